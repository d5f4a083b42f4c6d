"""Letters that come to a topic while others are put back from it: counted, looked at, and left for the next run."""

from __future__ import annotations

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts
from brokercli.operations.decisions import Redrive
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from tests.backends.kafka_redrive import numbered, redrive, repair, stored
from tests.backends.kafka_topics import Topics, publish
from tests.brokers.server import wait_until


def test_letters_that_arrive_meanwhile_are_counted_and_left_for_the_next_run(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(5))
    run = repair(groups, dlq)
    assert run.arrived() == 0
    groups.fill(dlq, [b"late"] * 3)
    assert redrive(run, home).confirmed == 5
    wait_until(lambda: run.arrived() == 3, 20, "the three")
    assert redrive(repair(groups, dlq), home).confirmed == 3


def test_letters_that_arrive_meanwhile_can_be_looked_at_and_no_other(groups: Topics) -> None:
    dlq, home = groups.make(partitions=2), groups.make()
    groups.fill(dlq, numbered(5), partition=0)
    groups.fill(dlq, numbered(5), partition=1)
    with repair(groups, dlq) as run:
        new = run.newcomers()
        assert new is not None
        assert new.read(1.0) is None
        groups.fill(dlq, [b"late"] * 2, partition=0)
        assert redrive(run, home).confirmed == 10
        groups.fill(dlq, [b"later"], partition=1)
        came: list[bytes] = []
        wait_until(lambda: bool(came.extend((new.read(1.0) or RecordList([])).bodies()) or len(came) == 3), 20, "the three")
        assert sorted(came) == [b"late", b"late", b"later"]
        assert run.newcomers() is new
    assert redrive(repair(groups, dlq), home).confirmed == 3


@pytest.mark.parametrize("back", [False, True], ids=["others", "the same again"])
def test_only_letters_that_come_back_stop_a_run(groups: Topics, back: bool) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(300))
    backend, publisher = groups.backend(), groups.publisher(dlq)
    with backend.repair(dlq, RepairPolicy(batch=50)) as run:
        def die(receipts: Receipts) -> None:
            headers = stored(groups, home)[-1].message.headers
            assert publish(publisher, [Message(b"another", headers=headers if back else ())] * 50).confirmed == 50
        outcome = Redriving(run, Recogniser(backend), Redrive(home, 3, None, dlq), LetterFilter(), on_receipts=die).run()
    assert outcome.account.confirmed == (50 if back else 300)
    assert (outcome.error is not None) is back
