"""Ports for brokers, and for nobody: each is given away once, however long nobody listens there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from tests.brokers.server import free_port


def test_brokers_that_are_made_at_the_same_time_have_no_port_in_common_though_none_listens_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKERCLI_TEST_RUN", raising=False)
    # every number comes up twice in a row
    drawn = count(2 * free_port())
    monkeypatch.setattr("random.randint", lambda low, high: next(drawn) // 2)
    with ThreadPoolExecutor(4) as together:
        given = list(together.map(lambda _: free_port(), range(20)))
    assert len(set(given)) == 20
