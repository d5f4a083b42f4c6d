"""What an outbox writes, and what it says became of it, on a connection that does what it is told and no more."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pika.exceptions import ChannelClosedByBroker

from brokercli.backends.rabbitmq.amqp_table import encode_table
from brokercli.backends.rabbitmq.bulk_frames import Returned
from brokercli.backends.rabbitmq.exact_properties import encode_properties
from brokercli.backends.rabbitmq.in_flight import Entry
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.moving import ToQueues
from brokercli.backends.rabbitmq.outbox import Outbox, Target
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound, Unreachable
from brokercli.model.message import Header
from brokercli.model.receipt import Receipts, Verdict

PLAIN = b"\0\0"
TOO_LARGE = "PRECONDITION_FAILED - message size 600000 is larger than configured max size 500000"


class Wire:
    """A connection: what is written on it, and the channels that are asked for. Serves what is posted when told to."""

    where = "amqp://host"
    failure: BrokercliError | None = None

    def __init__(self) -> None:
        self.is_open, self.unwritten, self.params = True, 0, SimpleNamespace(frame_max=131_072, channel_max=2047)
        self.live = self
        self.written = b""
        self.largest = 0
        self.reconnected = 0
        self.watchers: list[Any] = []
        self.timers: list[Callable[[], None]] = []
        self._posted: list[Callable[[], None]] = []
        self._asked: list[Any] = []

    def post(self, callback: Callable[[], None]) -> None:
        self._posted.append(callback)

    def serve(self) -> None:
        while self._posted:
            self._posted.pop(0)()

    def open_channel(self, sink: Any, steps: Any, done: Any, failed: Any, ended: Any) -> None:
        self._asked.append((done, ended))

    def opened(self, number: int = 1) -> Callable[[BaseException], None]:
        """Open the channel that was asked for, and return what ends it."""
        done, ended = self._asked.pop()
        done(SimpleNamespace(channel_number=number, is_open=True, close=lambda: None), [])
        return cast("Callable[[BaseException], None]", ended)

    @property
    def asked(self) -> int:
        return len(self._asked)

    def later(self, seconds: float, callback: Callable[[], None]) -> str:
        self.timers.append(callback)
        return "timer"

    def reconnect(self) -> None:
        self.reconnected += 1

    def emit(self, frames: bytes | memoryview) -> None:
        self.written += frames
        self.largest = max(self.largest, len(frames))


def body(number: int, size: int = 10) -> bytes:
    return b"<%d>" % number + b"." * size


def entry(number: int, *, size: int = 10, risk: str = "", late: bool = False) -> Entry:
    return Entry(number, b"orders", PLAIN, body(number, size), size, monotonic() + (-1.0 if late else 3600.0), risk)


def returned(number: int) -> Returned:
    return Returned(312, b"NO_ROUTE", b"", b"orders", PLAIN, body(number))


class Sending:
    """An outbox with a channel, and what is known of it."""

    def __init__(self, target: Target | None = None, *, positions: bool = False) -> None:
        self.wire = Wire()
        self.box = Outbox(cast("Link", self.wire), target or ToQueues(b"", None), positions=positions)
        self.box.open_channel()
        self.end = self.wire.opened()

    def put(self, *entries: Entry) -> None:
        with self.box.changed:
            self.box.put(list(entries))
        self.wire.serve()

    def proven(self, *entries: Entry) -> None:
        """Put messages behind one that was confirmed, so that all may be written."""
        self.put(entry(1))
        self.box.settled(1, multiple=False, confirmed=True)
        self.put(*entries)

    def sent(self) -> list[int]:
        """The numbers of what was written since this was asked last."""
        found, self.wire.written = self.wire.written, b""
        return [number for number in range(100) if b"<%d>" % number in found]

    def verdicts(self) -> dict[int, tuple[Verdict, str]]:
        news, self.box.news = self.box.news, Receipts()
        return {receipt.index: (receipt.verdict, receipt.reason) for receipt in news.problems}


def test_the_first_message_of_a_channel_goes_alone_and_the_others_once_it_is_confirmed() -> None:
    sending = Sending()
    sending.put(*map(entry, (1, 2, 3)))
    assert sending.sent() == [1]
    sending.put(entry(4))
    assert sending.sent() == []
    sending.box.settled(1, multiple=False, confirmed=True)
    assert sending.sent() == [2, 3, 4]
    sending.box.settled(3, multiple=True, confirmed=True)
    assert (sending.box.news.confirmed, sending.box.open, sending.box.held_bytes) == (3, 1, 10)


@pytest.mark.parametrize("alone", [entry(3, size=20_000), entry(3, risk="a table it may not take")], ids=["large", "a risk"])
def test_what_may_take_its_neighbours_down_waits_for_those_before_and_those_behind_wait_for_it(alone: Entry) -> None:
    sending = Sending()
    sending.proven(entry(2), alone, entry(4))
    assert sending.sent() == [1, 2]
    sending.box.settled(2, multiple=False, confirmed=True)
    assert sending.sent() == [3]
    sending.box.settled(3, multiple=False, confirmed=True)
    assert sending.sent() == [4]


def test_what_is_as_large_as_one_that_was_taken_goes_with_the_others() -> None:
    sending = Sending()
    sending.proven(entry(2, size=20_000))
    sending.box.settled(2, multiple=False, confirmed=True)
    sending.put(entry(3, size=20_000), entry(4, size=20_001))
    assert sending.sent() == [1, 2, 3]


def test_what_one_message_was_alone_refused_for_is_its_own_reason() -> None:
    sending = Sending()
    sending.put(entry(1), entry(2))
    sending.end(ChannelClosedByBroker(406, "PRECONDITION_FAILED - no"))
    assert sending.verdicts() == {1: (Verdict.REFUSED, "the broker refused it: no (406)")}
    assert (sending.box.open, sending.wire.asked, sending.box.failure) == (1, 1, None)
    sending.wire.opened(2)
    assert sending.sent() == [1, 2]


def test_of_several_that_were_written_nobody_knows_which_ended_the_channel_and_the_next_goes_alone_again() -> None:
    sending = Sending()
    sending.proven(entry(2), entry(3))
    sending.put(entry(4, size=20_000), entry(5))
    sending.end(ChannelClosedByBroker(406, "PRECONDITION_FAILED - no"))
    assert {index: verdict for index, (verdict, _) in sending.verdicts().items()} == {2: Verdict.UNKNOWN, 3: Verdict.UNKNOWN}
    sending.sent()
    sending.wire.opened(2)
    assert sending.sent() == [4]


def test_one_that_is_too_large_teaches_the_limit_and_nothing_follows_it_on_its_connection() -> None:
    sending = Sending()
    sending.put(entry(1), entry(2))
    sending.end(ChannelClosedByBroker(406, TOO_LARGE))
    assert sending.verdicts()[1][0] is Verdict.REFUSED
    assert (sending.box.size_limit, sending.wire.reconnected, sending.wire.asked) == (500_000, 1, 0)


@pytest.mark.parametrize(("code", "failure"), [(404, NotFound), (403, NotAuthorised)])
def test_a_place_that_is_not_there_or_may_not_be_written_to_ends_it(code: int, failure: type[BrokercliError]) -> None:
    sending = Sending()
    sending.put(entry(1), entry(2))
    sending.end(ChannelClosedByBroker(code, "NOT_HERE - no"))
    assert isinstance(sending.box.failure, failure)
    assert (sending.wire.asked, sending.box.open) == (0, 1)


def test_a_message_that_is_not_permitted_after_others_were_ends_nothing() -> None:
    sending = Sending()
    sending.proven(entry(2))
    sending.end(ChannelClosedByBroker(403, "ACCESS_REFUSED - no"))
    assert (sending.box.failure, sending.wire.asked, sending.verdicts()[2][0]) == (None, 1, Verdict.REFUSED)


def test_a_large_message_is_not_put_together_once_more_to_be_written() -> None:
    sending = Sending()
    sending.proven(entry(2, size=5_000_000))
    sending.box.settled(2, multiple=False, confirmed=True)
    assert (sending.sent(), len(sending.verdicts())) == ([1, 2], 0)
    assert sending.wire.largest < 131_072


DENIED = "ACCESS_REFUSED - write access to topic 'b.1' in exchange 'events' in vhost '/' refused for user 'x'"


def keyed(number: int, key: bytes) -> Entry:
    return entry(number)._replace(routing_key=key)


def test_a_routing_key_that_topic_permissions_deny_is_refused_and_others_go() -> None:
    sending = Sending(Target(b"events", None))
    sending.put(keyed(1, b"b.1"), keyed(2, b"a.1"))
    sending.end(ChannelClosedByBroker(403, DENIED))
    assert (sending.box.failure, sending.verdicts()[1][0], sending.sent()) == (None, Verdict.REFUSED, [1])
    sending.end = sending.wire.opened(2)
    sending.box.settled(1, multiple=False, confirmed=True)
    sending.put(keyed(3, b"a.1"), keyed(4, b"b.1"), keyed(5, b"a.1"), keyed(6, b"a.1"))
    assert sending.sent() == [2, 3, 4, 5, 6]
    sending.end(ChannelClosedByBroker(403, DENIED))
    # a channel that was closed handles nothing more, and loses confirms of what it handled before
    assert {number: verdict for number, (verdict, _) in sending.verdicts().items()} == {3: Verdict.UNKNOWN, 4: Verdict.REFUSED}
    sending.wire.opened(3)
    sending.box.settled(1, multiple=False, confirmed=True)
    assert sending.sent() == [5, 6]


def test_of_several_messages_with_a_denied_key_none_is_said_to_be_refused_for_the_permission_may_have_gone_between_them() -> None:
    sending = Sending(Target(b"events", None))
    sending.proven(keyed(2, b"b.1"), keyed(3, b"b.1"), keyed(4, b"a.1"))
    sending.end(ChannelClosedByBroker(403, DENIED))
    assert {number: verdict for number, (verdict, _) in sending.verdicts().items()} == {2: Verdict.UNKNOWN, 3: Verdict.UNKNOWN}
    assert sending.box.open == 1


def test_a_denied_key_that_all_messages_have_ends_it() -> None:
    sending = Sending(Target(b"events", b"b.1"))
    sending.put(keyed(1, b"b.1"), keyed(2, b"b.1"))
    sending.end(ChannelClosedByBroker(403, DENIED))
    assert isinstance(sending.box.failure, NotAuthorised)


def test_what_was_written_when_the_connection_went_is_in_doubt_and_the_rest_goes_with_the_next() -> None:
    sending = Sending()
    sending.proven(entry(2), entry(3, size=20_000))
    sending.sent()
    sending.box.lost("the connection broke")
    assert sending.verdicts() == {2: (Verdict.UNKNOWN, "the connection broke before the confirm")}
    sending.put(entry(4))
    assert (sending.sent(), sending.box.open) == ([], 2)
    sending.box.restored()
    sending.wire.opened(1)
    assert sending.sent() == [3]
    # numbers begin anew on each channel
    sending.box.settled(1, multiple=False, confirmed=True)
    assert (sending.sent(), sending.verdicts(), sending.box.held_bytes) == ([4], {}, 10)


@pytest.mark.parametrize(("target", "verdict"), [
    (ToQueues(b"", None), Verdict.REFUSED), (Target(b"", b"orders"), Verdict.REFUSED), (Target(b"", None), Verdict.UNKNOWN),
    (Target(b"events", b"orders"), Verdict.UNKNOWN)], ids=["a queue each", "a queue", "any queue", "an exchange"])
def test_what_is_not_taken_is_refused_where_one_queue_is_behind_it_and_else_in_doubt(target: Target, verdict: Verdict) -> None:
    sending = Sending(target)
    sending.put(entry(1), entry(2))
    sending.box.settled(1, multiple=False, confirmed=False)
    assert sending.verdicts()[1][0] is verdict
    assert sending.box.news.confirmed == 0
    # but it has ended no channel
    sending.put(entry(3))
    assert sending.sent() == [1, 2, 3]


def test_what_came_back_is_refused_and_its_confirm_confirms_nothing() -> None:
    sending = Sending()
    sending.proven(entry(2), entry(3))
    sending.box.returned(returned(2))
    sending.box.returned(returned(2))
    sending.box.settled(3, multiple=True, confirmed=True)
    assert sending.box.news.confirmed == 2
    assert sending.verdicts() == {2: (Verdict.REFUSED, "there is no queue orders")}
    assert (sending.box.open, sending.box.held_bytes) == (0, 0)


def test_what_comes_back_with_headers_that_the_broker_wrote_on_it_is_the_one_that_has_the_others() -> None:
    def with_headers(*headers: Header) -> bytes:
        return encode_properties({}, encode_table(headers))

    sending = Sending()
    sending.proven(*[entry(number)._replace(properties=with_headers(*headers), body=b"same") for number, headers in (
        (2, ()), (3, (("kind", b"wanted"),)), (4, (("kind", True),)), (5, (("kind", 1),)), (6, (("kind", 1),)))])
    sending.box.returned(Returned(312, b"NO_ROUTE", b"", b"orders", with_headers(("kind", 1), ("timestamp_in_ms", 1_700_000_000_000)), b"same"))
    sending.box.settled(6, multiple=True, confirmed=True)
    assert list(sending.verdicts()) == [5]


def test_a_first_message_that_came_back_lets_the_next_ones_go_as_large_as_it_was() -> None:
    sending = Sending()
    sending.put(entry(1), entry(2), entry(3), entry(4, size=20_000))
    sending.box.returned(returned(1))
    sending.box.settled(1, multiple=False, confirmed=True)
    # RabbitMQ looks at the size before it looks for a queue (seen on 4.3.6)
    assert sending.sent() == [1, 2, 3]


def test_what_waits_for_too_long_is_in_doubt_where_it_was_written_and_refused_where_not() -> None:
    sending = Sending()
    assert sending.box.expire() == 0.0
    sending.put(entry(1, late=True), entry(2, late=True), entry(3))
    sending.box._progress = monotonic() - 60
    sending.box._look_at_clock = 0.0
    assert sending.box.expire() >= 60
    assert sending.verdicts() == {1: (Verdict.UNKNOWN, "no confirm within the delivery timeout"), 2: (Verdict.REFUSED, "not sent within the delivery timeout")}
    assert (sending.box.open, sending.box.held_bytes) == (1, 10)
    sending.box._look_at_clock = 0.0
    assert sending.box.expire() == 0.0, "nothing else waits for too long"
    # the verdict that comes later is of nothing
    sending.box.settled(1, multiple=False, confirmed=True)
    assert sending.box.news.confirmed == 0


def test_nothing_is_written_while_the_broker_takes_nothing_and_that_is_why() -> None:
    sending = Sending()
    sending.box.blocked("low on memory")
    sending.put(entry(1), entry(2))
    assert sending.sent() == []
    assert sending.box.notes == ["blocked by the broker: low on memory; waiting for it to take messages again"]
    sending.box.blocked(None)
    assert (sending.sent(), len(sending.box.notes)) == ([1], 1)
    sending.box.blocked("low on disk")
    sending.box.abandon("given up")
    assert sending.verdicts() == {1: (Verdict.UNKNOWN, "no confirm: given up (blocked by the broker: low on disk)"),
                                  2: (Verdict.REFUSED, "not sent: given up (blocked by the broker: low on disk)")}
    assert (sending.box.open, sending.box.held_bytes) == (0, 0)


def test_no_more_leaves_our_hands_than_can_still_be_taken_back() -> None:
    sending = Sending()
    sending.put(entry(1, size=300_000))
    sending.box.settled(1, multiple=False, confirmed=True)
    sending.put(*(entry(number, size=300_000) for number in (2, 3, 4, 5)))
    assert sending.sent() == [1, 2, 3]
    sending.wire.unwritten = 600_000
    for timer in (timers := sending.wire.timers):
        timers.remove(timer)
        timer()
    assert (sending.sent(), len(sending.wire.timers)) == ([], 1)
    sending.wire.unwritten = 0
    sending.wire.timers.pop()()
    assert sending.sent() == [4, 5]
    assert not sending.wire.timers


def test_once_it_is_known_to_be_lost_nothing_is_written_and_that_is_why() -> None:
    sending = Sending()
    sending.put(entry(1))
    sending.box.given_up(Unreachable("it is gone."))
    sending.box.give_up(30.0)
    sending.put(entry(2))
    sending.box.abandon("given up")
    assert sending.verdicts() == {1: (Verdict.UNKNOWN, "no confirm: given up (it is gone)"), 2: (Verdict.REFUSED, "not sent: given up (it is gone)")}


def test_all_before_a_number_have_their_verdicts_when_neither_what_is_written_nor_what_waits_is_one_of_them() -> None:
    sending = Sending()
    assert sending.box.all_before(1)
    sending.put(entry(1), entry(2), entry(3))
    assert [sending.box.all_before(number) for number in (1, 2)] == [True, False]
    sending.box.settled(1, multiple=False, confirmed=True)
    assert [sending.box.all_before(number) for number in (2, 3)] == [True, False]
    sending.box.lost("the connection broke")
    sending.put(entry(4))
    assert [sending.box.all_before(number) for number in (4, 5)] == [True, False]


def test_a_closed_one_writes_nothing_and_opens_no_channel() -> None:
    sending = Sending()
    sending.put(entry(1))
    sending.box.close()
    sending.box.restored()
    sending.box.settled(1, multiple=False, confirmed=True)
    sending.put(entry(2))
    assert (sending.sent(), sending.wire.asked) == ([1], 0)


def test_each_confirmation_is_named_where_that_is_asked_for() -> None:
    sending = Sending(positions=True)
    sending.proven(entry(2))
    sending.box.settled(2, multiple=False, confirmed=True)
    assert [receipt.index for receipt in sending.box.news.confirmations] == [1, 2]
