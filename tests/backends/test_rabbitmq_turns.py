"""Consumers that take turns at a queue whose letters go back together, step by step, on a connection that does what it is told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from brokercli.backends.rabbitmq import turns
from brokercli.backends.rabbitmq.counting import Count
from tests.backends.rabbitmq_held import MULTIPLE, NACK, REQUEUE, Broker, Held

FIRST, SECOND, THIRD, FOURTH = (f"brokercli-0000000{number}" for number in (1, 2, 3, 4))
BACK = MULTIPLE | REQUEUE


def test_the_consumer_of_the_first_part_stays_until_all_is_taken_and_one_other_takes_all_other_parts() -> None:
    held = Held(Broker(Count(0, 0), Count(8, 0)), 8, part=3, together=True).taken((1,))
    channel = held.broker.channel
    assert (channel.consumers, channel.cancelled, channel.prefetches) == ([FIRST, SECOND], [], [1, 3])
    for part in ((2, 3, 4), (5, 6, 7)):
        held.deliver(*part)
        assert [delivery.tag for delivery in held.holding.take(0) or ()] == list(part)
    assert (channel.consumers, channel.cancelled, channel.prefetches) == ([FIRST, SECOND, SECOND, SECOND], [SECOND, SECOND], [1, 3, 3, 1])
    held.deliver(8)
    # nobody is told of the end of the queue once nothing more is to come from it
    assert channel.cancelled == [SECOND, SECOND, FIRST, SECOND]
    assert held.holding.give_back()
    assert held.broker.said == [(NACK, 1, BACK), (NACK, 8, BACK)]
    assert (held.holding.back, held.back) == (True, 1)


def test_no_part_is_begun_before_the_one_before_is_read() -> None:
    held = Held(Broker(Count(0, 0)), 20, part=3, together=True).taken((1,))
    held.deliver(2, 3, 4)
    channel = held.broker.channel
    assert (channel.consumers, channel.cancelled) == ([FIRST, SECOND], [])


def test_a_queue_that_gives_to_one_consumer_alone_gives_to_each_in_its_turn() -> None:
    held = Held(Broker(Count(9, 1)), 10, part=3, together=True).taken((1,))
    channel = held.broker.channel
    # the first finds that something has come since the one before
    for _ in range(3):
        held.broker.tick()
        assert channel.cancelled == []
    held.broker.tick()
    assert (channel.consumers, channel.cancelled) == ([FIRST, SECOND], [FIRST])
    for part in ((2, 3, 4), (5, 6, 7), (8, 9, 10)):
        held.deliver(*part)
        assert [delivery.tag for delivery in held.holding.take(0) or ()] == list(part)
    assert (channel.consumers, channel.cancelled) == ([FIRST, SECOND, THIRD, FOURTH], [FIRST, SECOND, THIRD, FOURTH])
    held.holding.give_back()
    assert held.broker.said == [(NACK, 1, BACK), (NACK, 4, BACK), (NACK, 7, BACK), (NACK, 10, BACK)]


def test_it_is_let_go_of_only_once_the_consumer_that_has_gone_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(Broker(Count(0, 0), Count(4, 0)), 9, part=3, together=True).taken((1,))
    channel = held.broker.channel
    held.deliver(2, 3, 4)
    channel.mute = True
    assert held.holding.take(0) is not None
    assert (held.holding._turns.between, channel.cancelled, channel.consumers) == (True, [SECOND], [FIRST, SECOND])
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(held.broker, "later", lambda seconds, callback: later.append(callback))
    answer: Future[bool] = Future()
    held.holding._stop_taking(answer)
    assert (len(later), channel.cancelled, answer.done()) == (1, [SECOND], False)
    channel.mute = False
    channel.unanswered.pop()(None)
    later.pop(0)()
    assert sorted(channel.cancelled) == sorted(channel.consumers)


def test_a_consumer_does_not_come_again_on_a_channel_that_is_closed() -> None:
    channel = Broker(Count(0, 0)).channel
    taking = turns.Turns("orders.dlq", None, lambda seconds, callback: callback(), together=True)
    taking.next(channel, 1)
    taking.next(channel, 5)
    channel.mute = True
    taking.next(channel, 5)
    channel.is_open = False
    channel.unanswered.pop()(None)
    assert channel.consumers == [FIRST, SECOND]
    taking.lost()
    taking.part()
    assert channel.cancelled == [SECOND]
