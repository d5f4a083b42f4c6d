"""Topics whose older messages lie in a remote storage: what is declared of them."""

from __future__ import annotations

import pytest

from brokercli.backends.kafka.declaring import _consequences
from brokercli.model.declaration import Difference, SettingValue


@pytest.mark.parametrize(("have", "want", "told"), [(True, False, True), (True, None, True), (False, True, False), (False, False, False)])
def test_a_plan_that_deletes_what_lies_in_remote_storage_says_so(have: SettingValue, want: SettingValue, told: bool) -> None:
    said = list(_consequences([Difference("remote.storage.enable", have, want)]))
    assert said == (["messages that lie in remote storage, and not on the brokers any more, are deleted"] if told else [])
