"""What is held, step by step, on a connection that does what it is told: what is said to the broker, and what of it is believed."""

from __future__ import annotations

from threading import Thread

import pytest
from pika.exceptions import ChannelClosedByBroker

from brokercli.backends.rabbitmq import holding
from brokercli.backends.rabbitmq.counting import Count
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable
from tests.backends.rabbitmq_held import ACK, GONE, MULTIPLE, NACK, REQUEUE, Broker, Held
from tests.brokers.server import wait_until

FIRST_PART = holding._FIRST_PART


class Clock:
    """Goes on only while somebody sleeps, so that no machine is too busy."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(holding, "monotonic", made)
    monkeypatch.setattr(holding, "sleep", made.sleep)
    return made


@pytest.fixture(autouse=True)
def several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are the same for each part: the first need not be of one."""
    monkeypatch.setattr(holding, "_FIRST_PART", 16)


def test_only_what_was_handled_is_taken_out_and_the_rest_goes_back_part_by_part() -> None:
    held = Held(Broker(Count(0, 0)), 9, part=4).taken((1, 2, 3, 4), (5, 6, 7, 8), (9,))
    assert held.holding.acknowledge([1, 2, 4, 8])
    assert held.broker.said == [(ACK, 2, MULTIPLE), (ACK, 4, 0), (ACK, 8, 0)]
    held.broker.said.clear()
    assert held.holding.acknowledge([3, 7])
    # all below five are handled now
    assert held.broker.said == [(ACK, 3, MULTIPLE), (ACK, 7, 0)]
    held.broker.said.clear()
    held.holding.give_back()
    assert held.broker.said == [(NACK, 6, MULTIPLE | REQUEUE), (NACK, 9, MULTIPLE | REQUEUE)]
    assert not held.broker.channel.is_open
    assert held.holding.give_back()
    assert len(held.broker.said) == 2


def test_what_was_handled_to_the_last_is_not_given_back() -> None:
    held = Held(Broker(Count(0, 0)), 4).taken((1, 2, 3, 4))
    assert held.holding.acknowledge([1, 2, 3, 4])
    held.broker.said.clear()
    assert held.holding.give_back()
    assert (held.broker.said, held.holding.back, held.back) == ([], True, 1)


READY = Count(2, 1)


@pytest.mark.parametrize(("before", "after", "others", "back", "unseen"), [
    (READY, Count(5, 1), 1, True, 0),
    (READY, Count(6, 0), 0, True, 0),
    (READY, Count(4, 0), 0, False, 3),
    # somebody is there who may have taken one
    (READY, Count(4, 1), 1, False, 0),
    (READY, Count(5, 2), 1, False, 0),
    (Count(0, 0, certain=False), Count(9, 0), 0, False, 0),
    (READY, Count(0, 0, certain=False), 0, False, 0),
    (READY, Unreachable("nobody answers"), 0, False, 0),
], ids=["as many", "more", "fewer", "fewer, among others", "another consumer", "unknown before", "uncertain after", "unknown after"])
def test_letters_are_back_only_where_the_queue_shows_them(before: Count, after: Count | BrokercliError, others: int, back: bool, unseen: int) -> None:
    held = Held(Broker(before, after), 3, others=others).taken((1, 2, 3))
    assert held.holding.give_back()
    assert (held.holding.back, held.holding.unseen, held.back) == (back, unseen, int(back))


def test_letters_whose_return_the_broker_does_not_answer_are_not_said_to_be_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 0.01)
    held = Held(Broker(Count(0, 0), Count(3, 0)), 3).taken((1, 2, 3))
    held.broker.channel.mute = True
    assert not held.holding.give_back()
    assert (held.holding.back, held.back) == (False, 0)


@pytest.mark.parametrize("rescue", ["", "brokercli-lift-1-over"])
def test_a_limit_may_hold_again_where_the_queue_is_gone_but_not_where_its_letters_may_be_elsewhere(rescue: str) -> None:
    held = Held(Broker(Count(0, 0)), 3, rescue=rescue).taken((1, 2, 3))
    held.broker.gone = True
    held.holding.lost("the connection broke")
    assert held.holding.gone
    # what is held is nowhere else, and taken
    assert (held.holding.taken_back, held.holding.acknowledge([1]), held.holding.acknowledge([])) == (None, True, True)
    held.holding.give_back()
    assert (held.holding.back, held.holding.unseen, held.back) == (False, 2, 0 if rescue else 1)


@pytest.mark.parametrize("taken", [True, False])
def test_once_it_is_cut_off_nothing_that_was_taken_counts_as_given_back(taken: bool) -> None:
    held = Held(Broker(Count(0, 0), Count(3, 0)), 3).taken(*([(1, 2, 3)] if taken else []))
    held.holding.lost("the connection broke")
    assert not held.holding.acknowledge([1])
    assert not held.holding.acknowledge([])
    assert "the connection broke while letters of orders.dlq were held" in str(held.holding.taken_back)
    assert held.holding.give_back() is not taken
    assert (held.holding.back, held.back) == (not taken, int(not taken))


def test_it_ends_where_the_queue_says_three_times_running_that_there_is_nothing_more() -> None:
    nothing, some, silent = Count(0, 1), Count(4, 1), Count(0, 0, certain=False)
    held = Held(Broker(nothing, nothing, some, nothing, nothing, silent, nothing), 10).taken()
    held.deliver(1, 2)
    for _ in range(7):
        held.broker.tick()
        assert held.holding.take(0) is None
    # the first tick only sees that something came
    held.broker.tick()
    assert [delivery.tag for delivery in held.holding.take(0) or ()] == [1, 2]
    assert (held.holding.finished, held.holding.short) == (True, 8)


def test_a_queue_that_gives_nothing_of_what_it_has_and_one_that_is_silent_end_it_with_what_they_are(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(holding, "_STALLED_TICKS", 2)
    stalled = Held(Broker(Count(4, 2)), 10).taken()
    stalled.broker.tick()
    assert stalled.holding.take(0) is None
    stalled.broker.tick()
    with pytest.raises(Failed, match="has 4 letters ready, and has given none"):
        stalled.holding.take(0)
    silent = Held(Broker(Count(0, 0, certain=False)), 10).taken()
    clock.sleep(29.0)
    silent.broker.tick()
    assert silent.holding.take(0) is None
    clock.sleep(2.0)
    silent.broker.tick()
    with pytest.raises(Unreachable, match="its leader has been silent"):
        silent.holding.take(0)


def test_no_more_are_taken_at_once_than_a_part_or_than_its_bytes_allow_and_never_more_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_FIRST_PART", FIRST_PART)
    monkeypatch.setattr(holding, "PART_BYTES", 1000)
    held = Held(Broker(Count(0, 0)), 70, part=64)
    held.broker.open()
    first = 1
    for size in (10, 48, 498, 10):
        asked = held.broker.channel.prefetches[-1]
        held.deliver(*range(first, first + asked), size=size)
        held.holding.take(0)
        assert not held.holding.finished
        first += asked
    # one, of which nobody knows how large it is; sixteen times as many, as many as the bytes of a part allow, twice, and as many as are left
    assert held.broker.channel.prefetches == [1, 16, 20, 2, 31]


def test_nothing_is_taken_once_it_is_let_go_of() -> None:
    held = Held(Broker(Count(0, 0)), 3)
    assert held.holding.give_back()
    held.broker.open()
    assert (held.broker.channel.consumers, held.broker.channel.is_open) == ([], False)


@pytest.mark.parametrize(("now", "gone"), [(GONE, True), (None, True), (Unreachable("its node is away"), False)],
                         ids=["deleted", "made anew", "perhaps away"])
def test_what_is_held_of_a_queue_that_ends_its_consumer_is_ours_where_it_was_deleted_and_nothing_is_said_of_it_any_more(
        now: BrokercliError | None, gone: bool) -> None:
    held = Held(Broker(Count(0, 0), Count(9, 0)), 9, part=2).taken((1, 2))
    held.deliver(3)
    held.broker.there = now
    held.broker.channel.cancel()
    with pytest.raises(BrokercliError, match="was deleted, or lost its leader"):
        held.holding.take(0)
    held.deliver(4)
    assert (held.holding.taken, held.holding.gone, held.holding.taken_back is None) == (3, gone, gone)
    # another queue of that name may have given to this channel what has the same numbers
    assert held.holding.acknowledge([1]) is gone
    held.holding.give_back()
    assert (held.broker.said, held.holding.unseen, held.broker.channel.is_open) == ([], 2 if gone else 0, False)
    assert len(held.broker.channel.consumers) == 2
    # a node that is away does not answer how many there are either
    assert len(held.broker.counts) == 2


@pytest.mark.parametrize(("handled", "back"), [([1, 2], 1), ([1], 0)], ids=["all of it", "a part of it"])
def test_of_a_queue_that_was_deleted_nothing_is_on_its_way_back_once_all_that_was_held_is_taken_out(handled: list[int], back: int) -> None:
    """Then what keeps its letters meanwhile may go: nobody comes to that queue again to take it away."""
    held = Held(Broker(Count(0, 0)), 9, part=2, rescue="brokercli-lift-1-over").taken((1, 2))
    held.broker.channel.cancel()
    assert held.holding.acknowledge(handled)
    held.holding.give_back()
    assert (held.holding.gone, held.back) == (True, back)


def test_there_is_a_consumer_until_all_is_taken_and_none_makes_room_for_more() -> None:
    held = Held(Broker(Count(0, 0)), 5, part=2).taken()
    channel = held.broker.channel
    held.deliver(1, 2)
    assert (channel.consumers, channel.cancelled) == (["brokercli-00000001"], [])
    channel.mute = True
    assert len(held.holding.take(0) or ()) == 2
    assert (channel.consumers, channel.cancelled) == (["brokercli-00000001", "brokercli-00000002"], [])
    answers: list[bool] = []
    reader = Thread(target=lambda: answers.append(held.holding.acknowledge([1])))
    reader.start()
    wait_until(lambda: held.holding._turns.deferred, 60.0, "what is to be said")
    assert (channel.cancelled, held.broker.said) == ([], [])
    channel.mute = False
    channel.begun()
    reader.join()
    assert (channel.cancelled, held.broker.said, answers) == (["brokercli-00000001"], [(ACK, 1, MULTIPLE)], [True])
    held.deliver(3, 4)
    assert len(held.holding.take(0) or ()) == 2
    held.deliver(5)
    assert channel.cancelled == channel.consumers == [f"brokercli-0000000{number}" for number in (1, 2, 3)]


def test_an_answer_that_comes_once_the_broker_has_ended_the_consumer_is_no_surprise() -> None:
    held = Held(Broker(Count(0, 0)), 9, part=2).taken((1, 2))
    held.broker.channel.mute = True
    answers: list[bool] = []
    reader = Thread(target=lambda: answers.append(held.holding.acknowledge([1])))
    reader.start()
    wait_until(lambda: held.broker.channel.unanswered, 60.0, "what waits for an answer")
    held.broker.channel.cancel()
    held.broker.channel.unanswered.pop()(None)
    held.broker.channel.closed()
    reader.join()
    # it was deleted
    assert answers == [True]


def test_whether_a_queue_was_deleted_is_asked_once_its_channel_is_closed_because_until_then_the_connection_may_go() -> None:
    held = Held(Broker(Count(0, 0)), 9, part=2).taken((1, 2))
    held.broker.channel.mute = True
    held.broker.channel.cancel()
    assert held.broker.asked_whether_there == 0
    held.broker.channel.closed()
    assert (held.broker.asked_whether_there, held.holding.gone) == (1, True)


def test_what_still_comes_while_the_last_consumer_ends_is_of_its_part_and_begins_no_other() -> None:
    held = Held(Broker(Count(0, 1)), 9, part=2).taken((1, 2))
    held.deliver(3)
    held.broker.tick()
    held.broker.channel.mute = True
    for _ in range(3):
        held.broker.tick()
    held.deliver(4)
    assert held.holding.take(0) is None
    held.broker.channel.unanswered.pop()(None)
    assert [delivery.tag for delivery in held.holding.take(0) or ()] == [3, 4]
    assert (held.holding.finished, held.holding.short, len(held.broker.channel.consumers)) == (True, 5, 2)


@pytest.mark.parametrize("lasting", [False, True])
def test_the_broker_is_asked_to_let_letters_be_held_for_a_week_where_it_knows_how(lasting: bool) -> None:
    held = Held(Broker(Count(0, 0)), 3, lasting=lasting).taken()
    assert held.broker.channel.arguments == ({"x-consumer-timeout": 604_800_000} if lasting else None)


def test_where_nothing_is_wanted_nothing_is_asked_and_a_connection_that_ends_is_heard_of_until_it_is_let_go_of() -> None:
    held = Held(Broker(Count(0, 0)), 0)
    assert (held.holding.finished, held.holding.take(0), held.broker.asked) == (True, None, 0)
    assert held.broker.watchers == [held.holding]
    assert held.holding.give_back()
    assert (held.broker.watchers, held.holding.back, held.back) == ([], True, 1)


@pytest.mark.parametrize("gone", [False, True])
def test_where_all_went_with_its_virtual_host_that_is_why_nothing_comes(gone: bool) -> None:
    held = Held(Broker(Count(0, 0)), 3).taken()
    held.broker.gone = gone
    held.broker.failure = Failed("The virtual host was deleted meanwhile.")
    held.holding.lost("the connection broke")
    with pytest.raises(BrokercliError, match="virtual host was deleted" if gone else "the connection broke"):
        held.holding.take(0)


def test_a_part_that_is_on_its_way_is_let_go_of_before_it_goes_back_and_no_other_is_begun_beside_it() -> None:
    held = Held(Broker(Count(0, 0), Count(2, 0)), 9).taken()
    held.deliver(1, 2)
    held.holding._next()
    assert len(held.broker.channel.consumers) == 1
    assert held.holding.give_back()
    assert (held.broker.said, held.back) == ([(NACK, 2, MULTIPLE | REQUEUE)], 1)
    held.holding._next()
    assert len(held.broker.channel.consumers) == 1


@pytest.mark.parametrize("rescue", ["", "brokercli-lift-1-over"])
def test_which_of_two_queues_is_gone_is_not_known_where_both_were_asked_about(rescue: str) -> None:
    held = Held(Broker(Count(0, 0), GONE), 3, rescue=rescue).taken((1, 2, 3))
    assert held.holding.give_back()
    assert (held.holding.gone, held.holding.back, held.back) == (not rescue, False, 0 if rescue else 1)


def test_a_queue_of_which_a_part_came_and_that_is_not_found_for_the_next_was_deleted_meanwhile() -> None:
    held = Held(Broker(Count(0, 0)), 9, part=4).taken((1, 2, 3, 4))
    # what a virtual host that is being deleted says between its queues' end and the connection's (seen on 4.3.6)
    held.holding._failed(ChannelClosedByBroker(404, "NOT_FOUND - no queue 'orders.dlq' in vhost 'shop'"))
    with pytest.raises(NotFound, match=r"The queue orders\.dlq was deleted meanwhile"):
        held.holding.take(0)
    assert held.holding.gone


def test_who_may_not_read_a_queue_is_told_so_without_asking_whether_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """That may be denied too, and where a virtual host is being deleted it is, for a while: it is asked again and again."""
    asked: list[str] = []
    held = Held(Broker(Count(3, 0)), 3)
    held.broker.open()
    monkeypatch.setattr(held.broker, "ask", lambda doing, *steps, **how: asked.append(doing))
    held.holding._failed(ChannelClosedByBroker(403, "ACCESS_REFUSED - read access to queue 'orders.dlq' in vhost '/' refused for user 'low'"))
    with pytest.raises(NotAuthorised, match="read access"):
        held.holding.take(0)
    held.holding.give_back()
    assert (held.holding.gone, held.back, asked) == (False, 1, [])
