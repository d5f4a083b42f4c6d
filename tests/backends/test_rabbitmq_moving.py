"""Letters on their way, without a broker: each has a verdict when its window is finished, and none is taken for confirmed that has none."""

from __future__ import annotations

from typing import Any, cast

import pytest

from brokercli.backends.dead_letters import Goal
from brokercli.backends.rabbitmq.bulk_frames import Delivery, Returned
from brokercli.backends.rabbitmq.counting import Count
from brokercli.backends.rabbitmq.existing import Exchange, Queue
from brokercli.backends.rabbitmq.moving import Mover, Window
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Unreachable
from brokercli.model.message import Header, Message
from brokercli.model.receipt import Verdict
from tests.backends.test_rabbitmq_outbox_verdicts import Wire

HOME, BILLS = Address("orders", "queue"), Address("bills", "queue")


class There:
    """Every queue and every exchange, but for one exchange and one queue that nobody tells of."""

    def exchange(self, name: str) -> Exchange | None:
        return None if name == "missing" else Exchange(name, "direct")

    def queue(self, name: str) -> Queue | None:
        if name == "silent":
            raise Unreachable("nobody answers")
        return Queue(name, "classic")


class Answering(Wire):
    """A connection over which the broker answers questions, or does not."""

    answers = False
    silent: str | None = None
    """The queue whose leader does not answer."""

    def ask(self, doing: str, *steps: Any, timeout: float) -> list[Any]:
        if not self.answers:
            raise Unreachable("nobody answers")
        return [Count(0, 0, certain=self.silent is None or self.silent not in doing)] if steps else []


class Moving:
    """A mover on a connection that does what it is told."""

    def __init__(self, timeout: float = 3600.0, *, channels: int = 2047) -> None:
        self.wire = Answering()
        self.wire.params.channel_max = channels
        self.mover = Mover(cast("Any", self.wire), cast("Any", There()), "guest", timeout, lambda: None, lambda queue: None, lambda exchange: (), 10)

    def begin(self, *bodies: bytes, to: Address = HOME, headers: tuple[Header, ...] = ()) -> Window:
        return self.begin_each(*((body, to) for body in bodies), headers=headers)

    def begin_each(self, *letters: tuple[bytes, Address], headers: tuple[Header, ...] = ()) -> Window:
        window = self.mover.begin([(Message(body, None, headers, origin="rabbitmq"), to) for body, to in letters])
        self.wire.serve()
        return window

    def opened(self) -> None:
        while self.wire.asked:
            self.wire.opened()

    def settled(self, tag: int, lane: tuple[str, int] = ("", 0)) -> None:
        self.mover._outboxes[lane].settled(tag, multiple=True, confirmed=True)

    def finish(self, window: Window) -> list[tuple[int, Verdict, str]]:
        return [(index, receipt.verdict, receipt.reason) for index, receipt in sorted(self.mover.finish(window).items())]


def test_what_has_no_verdict_when_the_time_is_over_is_not_confirmed() -> None:
    moving = Moving(0.02)
    window = moving.begin(b"one", b"two", b"three")
    moving.opened()
    assert [verdict for _, verdict, _ in moving.finish(window)] == [Verdict.UNKNOWN, Verdict.REFUSED, Verdict.REFUSED]


def test_a_connection_that_is_lost_for_good_is_not_waited_for_and_is_why() -> None:
    moving = Moving()
    window = moving.begin(b"one", b"two")
    moving.mover._outboxes["", 0].given_up(Unreachable("it is gone"))
    assert moving.finish(window) == [(number, Verdict.REFUSED, "not sent: given up (it is gone)") for number in (0, 1)]
    assert str(moving.mover.failure) == "it is gone"


def test_each_window_has_the_verdicts_on_its_own() -> None:
    moving = Moving()
    first, second = moving.begin(b"one", b"two"), moving.begin(b"three", b"four")
    moving.opened()
    moving.settled(1)
    moving.mover._outboxes["", 0].returned(Returned(312, b"NO_ROUTE", b"", b"orders", b"\x10\x00\x02", b"three"))
    moving.mover._outboxes["", 0].settled(2, multiple=False, confirmed=False)
    moving.settled(4)
    assert [index for index, _, _ in moving.finish(first)] == [1]
    assert moving.finish(second) == [(0, Verdict.REFUSED, "there is no queue orders")]


@pytest.mark.parametrize(("to", "headers", "why"), [
    (Address("missing", "exchange", "key"), (), "there is no exchange missing"),
    (Address("o" * 256, "queue"), (), "a queue's name has 255 bytes at most"),
    (HOME, (("note", b"x" * 140_000),), "its headers and properties are 1"),
    (Address("silent", "queue"), (), "not sent: nobody answers")])
def test_what_cannot_go_is_refused_before_anything_is_sent_and_its_neighbours_go(to: Address, headers: tuple[Header, ...], why: str) -> None:
    moving = Moving()
    window = moving.begin(b"one", to=to, headers=headers)
    ((_, verdict, reason),) = moving.finish(window)
    assert (verdict, reason.startswith(why)) == (Verdict.REFUSED, True)
    assert (str(moving.mover.failure) == "nobody answers") is (to.name == "silent")
    window = moving.begin(b"two")
    moving.opened()
    moving.settled(1)
    assert moving.finish(window) == []


def test_one_that_is_larger_than_the_broker_takes_is_not_sent_once_that_is_known() -> None:
    moving = Moving()
    window = moving.begin(b"one")
    moving.opened()
    moving.settled(1)
    assert moving.finish(window) == []
    moving.mover._outboxes["", 0].size_limit = 10
    window = moving.begin(b"x" * 10, b"x" * 11)
    moving.settled(2)
    assert moving.finish(window) == [(1, Verdict.REFUSED, "it is 11 bytes; the broker takes 10 (max_message_size)")]


@pytest.mark.parametrize(("to", "key"), [(Address("events", "exchange"), b"own"), (Address("events", "exchange", "said"), b"said"), (HOME, b"orders")])
def test_the_address_says_the_way_and_else_the_letter(to: Address, key: bytes) -> None:
    moving = Moving()
    moving.mover.begin([(Message(b"one", None, (), route="own", origin="rabbitmq"), to)])
    moving.wire.serve()
    moving.opened()
    assert [name for name in (b"own", b"said", b"orders") if name in moving.wire.written] == [key]


def test_letters_that_differ_in_anything_but_their_bodies_have_envelopes_of_their_own() -> None:
    moving = Moving()
    plain, other = b"\0\0", b"\x10\0\x01"
    goal, elsewhere = Goal(HOME), Goal(Address("bills", "queue"))
    some, none = (("note", b"x"),), cast("tuple[Header, ...]", ())
    letters = [(Delivery(1, False, b"", b"dlq", properties, b"."), None, to, headers)
               for properties, to, headers in ((plain, goal, none), (plain, elsewhere, none), (plain, goal, some), (other, goal, none), (plain, goal, none))]
    made: list[tuple[bytes, Goal, tuple[Header, ...]]] = []

    def message_of(delivery: Delivery, to: Goal, headers: tuple[Header, ...]) -> Message:
        made.append((delivery.properties, to, headers))
        return Message(delivery.body, None, headers, origin="rabbitmq")

    window = moving.mover.forward(letters, message_of)
    assert made == [(delivery.properties, to, headers) for delivery, _, to, headers in letters[:4]]
    assert [[entry.routing_key for entry in outbox._backlog] for outbox in moving.mover._outboxes.values()] == [[b"orders"] * 4, [b"bills"]]
    assert window.count == 5


@pytest.fixture
def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that goes to queues shares a channel."""
    monkeypatch.setattr("brokercli.backends.rabbitmq.moving.LANES", 1)


def assert_one_is_left_out(moving: Moving, index: int, queue: str) -> None:
    """Of what is begun with now for both queues, the other's is taken."""
    window = moving.begin_each((b"to orders", HOME), (b"to bills", BILLS))
    moving.opened()
    moving.settled(1)
    assert moving.finish(window) == [(index, Verdict.REFUSED, f"{queue} takes nothing any more: it has confirmed nothing for 0.1 s")]


def test_whoever_cannot_be_asked_is_why_nothing_more_goes_there() -> None:
    moving = Moving()
    for _ in range(2):
        moving.finish(moving.begin(b"one", to=Address("silent", "queue")))
    assert isinstance(moving.mover.failure, BrokercliError)


def test_what_goes_to_one_queue_waits_for_no_other() -> None:
    moving = Moving()
    window = moving.begin_each((b"one", HOME), (b"two", BILLS), (b"three", HOME), (b"four", BILLS))
    moving.opened()
    moving.settled(1, ("", 1))
    moving.settled(2, ("", 1))
    assert [outbox.open for outbox in moving.mover._outboxes.values()] == [2, 0]
    moving.settled(1)
    moving.settled(2)
    assert moving.finish(window) == []


@pytest.mark.parametrize("answers", [True, False], ids=["the broker answers", "nobody answers"])
def test_a_queue_that_confirms_nothing_in_the_time_it_has_gets_no_more_where_the_broker_answers(answers: bool) -> None:
    moving = Moving(0.02)
    moving.wire.answers = answers
    first, second = (moving.begin_each((b"one", HOME), (b"two", BILLS), (b"three", HOME)) for _ in range(2))
    moving.opened()
    for tag in (1, 2):
        moving.settled(tag, ("", 1))
    # the first of a channel goes alone: what is behind it certainly never left
    assert [(index, verdict) for index, verdict, _ in moving.finish(first)] == [(0, Verdict.UNKNOWN), (2, Verdict.REFUSED)]
    assert [(index, verdict) for index, verdict, _ in moving.finish(second)] == [(0, Verdict.REFUSED), (2, Verdict.REFUSED)]
    third = moving.begin_each((b"one", HOME), (b"two", BILLS))
    moving.settled(3, ("", 1))
    ((index, _, reason),) = moving.finish(third)
    assert (index, moving.mover.failure) == (0, None)
    assert (reason == "queue:orders takes nothing any more: it has confirmed nothing for 0.02 s") is answers
    moving.mover.close()
    moving.wire.serve()
    assert moving.wire.watchers == []


@pytest.mark.parametrize(("allowed", "used"), [(2047, 8), (0, 8), (16, 8), (12, 4), (1, 1)])
def test_no_more_channels_are_opened_than_the_broker_allows(allowed: int, used: int) -> None:
    moving = Moving(channels=allowed)
    moving.begin_each(*((b"one", Address(f"queue {number}", "queue")) for number in range(100)))
    assert len(moving.mover._outboxes) == moving.wire.asked == used


@pytest.mark.usefixtures("one_lane")
def test_what_shares_a_channel_with_a_queue_that_confirms_nothing_goes_on_another() -> None:
    moving = Moving(0.02)
    moving.wire.answers = True
    window = moving.begin_each((b"one", HOME), (b"two", BILLS))
    moving.opened()
    assert [(index, verdict) for index, verdict, _ in moving.finish(window)] == [(0, Verdict.UNKNOWN), (1, Verdict.REFUSED)]
    window = moving.begin_each((b"one", HOME), (b"two", BILLS))
    moving.opened()
    moving.settled(1)
    assert [(index, verdict) for index, verdict, _ in moving.finish(window)] == [(0, Verdict.REFUSED)]


@pytest.mark.usefixtures("one_lane")
@pytest.mark.parametrize("confirmed_before", [False, True], ids=["nothing of it was confirmed", "some of it was confirmed before"])
def test_a_queue_is_not_left_out_for_another_that_holds_up_the_channel_they_share(confirmed_before: bool) -> None:
    moving = Moving(0.1)
    moving.wire.answers = True
    window = moving.begin_each((b"one", HOME), (b"two", BILLS), (b"three", BILLS), (b"four", HOME))
    moving.opened()
    moving.settled(1)
    if confirmed_before:
        moving.settled(2)
    assert {index for index, _, _ in moving.finish(window)} == ({2, 3} if confirmed_before else {1, 2, 3})
    if confirmed_before:
        # it may have been slow once; where nothing more comes it is the one whose turn it was
        window = moving.begin_each((b"five", HOME), (b"six", BILLS))
        assert [index for index, _, _ in moving.finish(window)] == [0, 1]
    assert_one_is_left_out(moving, 1, "queue:bills")


@pytest.mark.usefixtures("one_lane")
def test_a_queue_is_not_left_out_whose_confirms_wait_behind_one_that_does_not_answer() -> None:
    moving = Moving(0.1)
    moving.wire.answers, moving.wire.silent = True, "bills"
    window = moving.begin_each((b"one", HOME), (b"two", HOME), (b"three", BILLS))
    moving.opened()
    moving.settled(1)
    assert [index for index, _, _ in moving.finish(window)] == [1, 2]
    assert_one_is_left_out(moving, 1, "queue:bills")


@pytest.mark.usefixtures("one_lane")
def test_a_queue_that_was_slow_once_is_not_left_out_for_what_comes_later() -> None:
    moving = Moving(0.1)
    moving.wire.answers = True
    window = moving.begin_each((b"one", BILLS), (b"two", BILLS))
    moving.opened()
    moving.settled(1)
    assert [index for index, _, _ in moving.finish(window)] == [1]
    window = moving.begin_each((b"three", HOME), (b"four", BILLS))
    moving.settled(4)
    assert moving.finish(window) == []
    window = moving.begin_each((b"five", HOME), (b"six", BILLS))
    assert [index for index, _, _ in moving.finish(window)] == [0, 1]
    assert_one_is_left_out(moving, 0, "queue:orders")


def test_an_exchange_that_confirms_nothing_for_a_key_is_not_taken_for_the_queue_of_that_name() -> None:
    moving = Moving(0.02)
    moving.wire.answers = True
    events = Address("events", "exchange", "orders")
    window = moving.begin_each((b"one", events), (b"two", HOME))
    moving.opened()
    moving.settled(1)
    assert [(index, verdict) for index, verdict, _ in moving.finish(window)] == [(0, Verdict.UNKNOWN)]
    window = moving.begin_each((b"three", events), (b"four", HOME), (b"five", Address("events", "exchange", "bills")))
    moving.opened()
    moving.settled(2)
    moving.settled(1, ("events", 0))
    reason = "exchange:events/orders takes nothing any more: it has confirmed nothing for 0.02 s"
    assert moving.finish(window) == [(0, Verdict.REFUSED, reason)]


def test_a_broker_that_is_blocked_for_all_the_time_there_is_ends_it_and_one_that_was_in_between_does_not() -> None:
    moving = Moving(0.05)
    window = moving.begin(b"one", b"two")
    moving.opened()
    box = moving.mover._outboxes["", 0]
    box.blocked("low on memory")
    box.settled(1, multiple=False, confirmed=True)
    assert [verdict for _, verdict, _ in moving.finish(window)] == [Verdict.REFUSED]
    assert moving.mover.failure is None
    moving.finish(moving.begin(b"three"))
    assert "(blocked by the broker: low on memory)" in str(moving.mover.failure)
