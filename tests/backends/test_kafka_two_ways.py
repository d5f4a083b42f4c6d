"""Two runs over the same letters, one in transactions and one that may have none: the second is not fenced, and has to see for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.at_least_once import AtLeastOnce
from brokercli.backends.kafka.ledger import Letter
from brokercli.model.errors import Failed
from brokercli.model.receipt import Receipts
from tests.backends.kafka_redrive import AT_LEAST_ONCE, letters, numbered, redrive, repair, states, stored, to
from tests.backends.kafka_topics import Topics, bodies


def test_what_a_run_in_transactions_has_put_back_is_not_put_back_again_by_one_that_has_none(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home = topics.make(), topics.make()
    topics.fill(dlq, numbered(30))
    slow = repair(topics, dlq, AT_LEAST_ONCE)
    found = letters(slow)
    mark = AtLeastOnce._mark

    def mark_late(self: AtLeastOnce, some: Sequence[Letter], state: State, receipts: Receipts) -> None:
        monkeypatch.setattr(AtLeastOnce, "_mark", mark)
        fast = repair(topics, dlq)
        assert redrive(fast, home).confirmed == 30
        fast.close()
        mark(self, some, state, receipts)

    monkeypatch.setattr(AtLeastOnce, "_mark", mark_late)
    assert slow.settle(to(home, found[:5])).confirmed == 5
    with pytest.raises(Failed, match="Another redrive"):
        slow.settle(to(home, found[5:]))
    assert set(states(topics, dlq).values()) == {State.REDRIVEN}
    assert redrive(repair(topics, dlq), home).confirmed == 0
    assert Counter(Counter(bodies(stored(topics, home))).values()) == {1: 25, 2: 5}
