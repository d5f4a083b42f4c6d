"""A partition whose end the broker has lost, as after an election of a leader that was not in sync: what came since was never handled."""

from __future__ import annotations

from time import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.handled_set import HandledSet
from brokercli.backends.kafka.handled_text import Room, write
from brokercli.backends.kafka.topic_ids import tag_of
from tests.backends.kafka_redrive import numbered, redrive, repair, states
from tests.backends.kafka_topics import PATIENCE, Topics

_HOUR_MINUTES = 60


@pytest.mark.parametrize("handled", [HandledSet(20), HandledSet().handled([(2, 20)], State.REDRIVEN, 18)], ids=["floor", "above it"])
def test_letters_that_came_after_an_end_was_lost_are_pending(groups: Topics, handled: HandledSet) -> None:
    dlq, home = groups.make(called=f"{groups.name()}.dlq"), groups.make()
    now = int(time())
    # 20 letters were stored when some of them were handled an hour ago; the last 15 were lost, and 4 came since
    groups.fill(dlq, numbered(5), times=[(now - 2 * 3600) * 1000] * 5)
    groups.fill(dlq, [b"new %d" % number for number in range(4)], times=[now * 1000] * 4)
    text = write(handled, tag_of(groups.admin, dlq.name, PATIENCE), now // 60 - _HOUR_MINUTES, Room())
    consumer = Consumer({"bootstrap.servers": groups.address, "group.id": group_of(dlq.name), "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(dlq.name, 0, handled.floor, text)], asynchronous=False)
    consumer.close()
    old = [body for number, body in enumerate(numbered(5)) if handled.state(number) is State.PENDING]
    new = [b"new %d" % number for number in range(4)]
    found = states(groups, dlq)
    assert [body for body, state in found.items() if state is State.PENDING] == old + new
    (source,) = [source for source in groups.backend().dead_letter_sources() if source.address == dlq]
    assert source.pending == len(old + new)
    run = repair(groups, dlq)
    assert any("has lost the end of this partition" in note for note in run.notes)
    assert redrive(run, home).confirmed == len(old + new)
