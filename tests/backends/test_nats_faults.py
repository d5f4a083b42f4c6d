"""NATS when things break: a message is confirmed only where it is stored, refused only where it is not, and never there twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokercli.backends.contract import Publisher
from brokercli.backends.nats import link, look_consumer, reading, recovery
from brokercli.backends.nats.bulk_parser import BulkParser
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.model.errors import Failed, TimedOut, Unreachable
from brokercli.model.message import Message
from brokercli.model.position import End
from brokercli.model.receipt import Receipt, Receipts, Verdict
from tests.backends.nats_streams import Streams, bodies, everything, some, stored_bodies, stream, subject, wait_written
from tests.brokers.nats import Nats
from tests.brokers.server import wait_until
from tests.faults.proxy import Proxy


@pytest.fixture
def proxy(private: Streams) -> Iterator[Proxy]:
    """The way there, to be disturbed."""
    with Proxy((private.host, private.port)) as made:
        yield made


def freeze(server: Nats) -> None:
    """Pause it and return once it has stopped: a signal takes a moment to arrive in every thread, and acknowledgements still come then."""
    server.pause()
    process = Path(f"/proc/{(server.directory / 'pid').read_text()}/task")
    wait_until(lambda: all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in process.iterdir()), 60, "the stop of every thread")


def through(proxy: Proxy, **options: str) -> dict[str, Any]:
    return {"hosts": (proxy.address,), "options": options}


def check(receipts: Receipts, total: int, stored: list[bytes]) -> None:
    """Hold verdicts against what is there; message `n` has the body `n`, perhaps with something behind a space."""
    assert len(receipts) == total
    count = Counter(int(body.split()[0]) for body in stored)
    assert all(times == 1 for times in count.values()), f"stored twice: {[number for number, times in count.items() if times > 1][:10]}"
    verdicts = {problem.index: problem.verdict for problem in receipts.problems if problem.verdict is not Verdict.CONFIRMED}
    assert [number for number, verdict in verdicts.items() if verdict is Verdict.REFUSED and number in count] == [], "refused and yet stored"
    lost = [number for number in range(total) if number not in verdicts and number not in count]
    assert lost == [], f"confirmed and not stored: {lost[:10]}"
    assert receipts.confirmed == total - len(verdicts)


@pytest.mark.parametrize(("stored", "problems", "lie"), [
    ([b"0"], [], "confirmed and not stored"), ([b"0", b"1", b"1"], [], "stored twice"), ([b"0", b"1"], [Receipt(1, Verdict.REFUSED)], "refused and yet stored"),
])
def test_the_check_sees_a_lie(stored: list[bytes], problems: list[Receipt], lie: str) -> None:
    receipts = Receipts(confirmed=2 - len(problems), refused=len(problems), problems=problems)
    with pytest.raises(AssertionError, match=lie):
        check(receipts, 2, stored)
    check(Receipts(confirmed=1, unknown=1, problems=[Receipt(1, Verdict.UNKNOWN)]), 2, [b"0", b"1"])


def publish_while(publisher: Publisher, messages: list[Message], disturb: Callable[[], None], at: int) -> Receipts:
    """Publish; once `at` messages are confirmed, disturb on another thread and go on."""
    timeout = 60.0
    total, sent = Receipts(), 0
    disturbing: threading.Thread | None = None
    deadline = time.monotonic() + timeout
    while sent < len(messages) and time.monotonic() < deadline:
        sent += publisher.send(messages[sent:])
        total.add(publisher.collect(0.05))
        if disturbing is None and total.confirmed >= at:
            disturbing = threading.Thread(target=disturb)
            disturbing.start()
    assert sent == len(messages), f"only {sent} were accepted within {timeout} s"
    assert disturbing is not None
    total.add(publisher.finish(60))
    disturbing.join()
    return total


@pytest.mark.parametrize("with_ids", [False, True], ids=["without-ids", "with-ids"])
@pytest.mark.parametrize("at", [1, 3000, 9000])
def test_a_server_killed_while_publishing_and_back_loses_nothing_and_doubles_nothing(private: Streams, private_nats: Nats, with_ids: bool, at: int) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"))
    messages = [Message(b"%d" % number, id=f"m-{number}" if with_ids else None) for number in range(20_000)]

    def kill_and_start() -> None:
        private_nats.kill()
        private_nats.start()

    receipts = publish_while(publisher, messages, kill_and_start, at)
    stored = stored_bodies(private, name)
    check(receipts, len(messages), stored)
    # one server that nobody else publishes to leaves nothing in doubt
    assert (receipts.confirmed, receipts.unknown, receipts.duplicates) == (len(messages), 0, 0), receipts.problems[:3]
    assert [int(body) for body in stored] == list(range(len(messages)))


def test_with_somebody_else_publishing_what_was_in_flight_is_in_doubt_and_nothing_is_claimed(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"))
    private.fill(f"{name.lower()}.other", [b"99999999"])

    def kill_and_start() -> None:
        private_nats.kill()
        private_nats.start()

    messages = [Message(b"%d" % number) for number in range(20_000)]
    receipts = publish_while(publisher, messages, kill_and_start, 2000)
    stored = stored_bodies(private, name)
    check(receipts, len(messages), [body for body in stored if body != b"99999999"])


@pytest.mark.parametrize("with_ids", [False, True], ids=["without-ids", "with-ids"])
def test_a_connection_that_is_reset_again_and_again_doubles_nothing(private: Streams, proxy: Proxy, with_ids: bool) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), private.backend(**through(proxy)), maximum_in_flight=500)
    messages = [Message(b"%d" % number, id=f"m-{number}" if with_ids else None) for number in range(20_000)]
    receipts, sent, cuts = Receipts(), 0, 0
    deadline = time.monotonic() + 60
    while sent < len(messages):
        if proxy.accepted > cuts and cuts < 4:
            # each connection, as soon as it is there, is cut where so much has passed: in the midst of what is on its way
            cuts += 1
            proxy.cut_after(100_000, "to broker")
        sent += publisher.send(messages[sent:])
        receipts.add(publisher.collect(0.05))
        assert time.monotonic() < deadline, f"only {sent} were accepted"
    receipts.add(publisher.finish(60))
    assert proxy.accepted > 4
    check(receipts, len(messages), stored_bodies(private, name))
    if with_ids:
        assert receipts.unknown == 0


def test_a_connection_cut_in_the_middle_of_a_message_leaves_no_half_of_it(private: Streams, proxy: Proxy) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), private.backend(**through(proxy)), maximum_in_flight=300)
    messages = [Message(b"%d " % number + b"x" * 5000) for number in range(3000)]
    receipts = publish_while(publisher, messages, lambda: proxy.cut_after(123_457, "to broker"), 100)
    stored = stored_bodies(private, name)
    check(receipts, len(messages), stored)
    assert all(body.endswith(b" " + b"x" * 5000) for body in stored)


def test_lost_acknowledgements_are_unknown_never_confirmed(private: Streams, proxy: Proxy) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), private.backend(**through(proxy)), delivery_timeout=0.5)
    proxy.lose_answers()
    assert publisher.send_bodies([b"%d" % number for number in range(100)]) == 100
    # what is given up before it was written was refused
    wait_written(publisher)
    receipts = Receipts()
    try:
        while len(receipts) < 100:
            receipts.add(publisher.collect(1))
    except Unreachable:
        # given up before each of them had waited for the whole of its timeout
        receipts.add(publisher.finish(0))
    assert (receipts.confirmed, receipts.unknown) == (0, 100)
    assert "no acknowledgement" in receipts.problems[0].reason
    assert publisher.in_flight == 0
    wait_until(lambda: private.state(name)["messages"] == 100, 60, "the messages")


def test_a_frozen_server_leaves_messages_unknown_and_has_them_once_it_thaws(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"))
    freeze(private_nats)
    assert publisher.send_bodies([b"%d" % number for number in range(50)]) == 50
    wait_written(publisher)
    receipts = publisher.finish(0.3)
    assert (receipts.confirmed, receipts.unknown, receipts.refused) == (0, 50, 0)
    private_nats.resume()
    private.reconnect()
    wait_until(lambda: private.state(name)["messages"] == 50, 60, "the messages")
    # an acknowledgement that comes after the verdict changes nothing
    assert publisher.send_bodies([b"50"]) == 1
    assert publisher.finish(60).confirmed == 1
    assert [int(body) for body in stored_bodies(private, name)] == list(range(51))


def test_a_server_that_stays_away_is_given_up_and_what_was_in_flight_is_unknown(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), private.backend(options={"give_up_after": "0.5"}))
    freeze(private_nats)
    assert publisher.send_bodies([b"sent"]) == 1
    wait_written(publisher)
    private_nats.kill()
    with pytest.raises(Unreachable, match="could not be re-established"):
        publisher.collect(60)
    assert publisher.send_bodies([b"too late"]) == 0
    receipts = publisher.finish(5)
    assert (receipts.confirmed, receipts.unknown) == (0, 1)


def test_what_was_never_written_is_refused_not_unknown(private: Streams, private_nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"))
    # the moment between accepting and writing, held open
    monkeypatch.setattr(link.Link, "write", lambda self, frames: False)
    assert publisher.send_bodies([b"a", b"b"]) == 2
    receipts = publisher.finish(0.2)
    assert (receipts.refused, receipts.unknown) == (2, 0)
    assert "never left" in receipts.problems[0].reason
    monkeypatch.undo()
    assert publisher.send_bodies([b"c"]) == 1
    assert publisher.finish(60).confirmed == 1
    assert [body for _, _, body in private.stored(name)] == [b"c"]


def test_a_stream_that_lost_what_it_confirmed_leaves_the_rest_unknown(private: Streams, private_nats: Nats) -> None:
    name = private.make(storage="memory")
    publisher = private.publisher(subject(f"{name.lower()}.a"))
    assert publisher.send_bodies([b"stored"] * 500) == 500
    receipts = publisher.finish(60)
    assert receipts.confirmed == 500
    freeze(private_nats)
    assert publisher.send_bodies([b"in flight"] * 500) == 500
    private_nats.kill()
    private_nats.start()
    # memory is gone: nothing in flight then may be called stored
    receipts = publisher.finish(60)
    assert (receipts.confirmed, receipts.unknown + receipts.refused) == (0, 500)


def test_repeats_are_not_sent_once_the_duplicate_window_is_over(private: Streams, private_nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MARGIN_SECONDS", 1000.0)
    name = private.make()
    private.fill(f"{name.lower()}.other", [b"somebody else"])
    publisher = private.publisher(subject(f"{name.lower()}.a"))
    private.fill(f"{name.lower()}.other", [b"somebody else"])
    assert publisher.send_bodies([b"first"]) == 1
    assert publisher.finish(60).confirmed == 1
    freeze(private_nats)
    assert publisher.send([Message(b"x", id="m-1")]) == 1
    wait_written(publisher)
    private_nats.kill()
    private_nats.start()
    receipts = publisher.finish(60)
    assert (receipts.confirmed, receipts.unknown) == (0, 1)


@pytest.mark.parametrize("retention", ["limits", "workqueue", "interest"])
def test_a_look_goes_on_behind_the_last_message_after_the_server_was_killed(private: Streams, private_nats: Nats, monkeypatch: pytest.MonkeyPatch,
                                                                            retention: str) -> None:
    monkeypatch.setattr(reading, "BUFFER_BYTES", 200_000)
    monkeypatch.setattr(look_consumer, "BATCH", 200)
    name = private.make(retention)
    private.worker(name)
    sent = [b"%d " % number + b"x" * 500 for number in range(6000)]
    private.fill(f"{name.lower()}.a", sent)
    reader = private.look(stream(name))
    first = reader.read(10)
    assert first is not None
    private_nats.kill()
    private_nats.start()
    rest = everything(reader)
    assert first.bodies() + bodies(rest) == sent


def test_following_goes_on_after_the_server_was_killed(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    private.fill(f"{name.lower()}.a", [b"before"])
    reader = private.look(stream(name), follow=True)
    assert bodies(some(reader, 1)) == [b"before"]
    private_nats.kill()
    private_nats.start()
    private.reconnect()
    private.fill(f"{name.lower()}.a", [b"after", b"that"])
    assert bodies(some(reader, 2)) == [b"after", b"that"]


def test_a_core_look_says_that_it_missed_what_came_while_the_server_was_away(private: Streams, private_nats: Nats) -> None:
    where = private.subject()
    reader = private.look(subject(where), End(), follow=True)
    private.wire.publish(where, b"before")
    assert bodies(some(reader, 1)) == [b"before"]
    private_nats.kill()
    private_nats.start()
    with pytest.raises(Failed, match="missed"):
        reader.read(60)


def test_a_look_whose_server_stays_away_fails_and_does_not_end(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    reader = private.look(stream(name), follow=True, backend=private.backend(options={"give_up_after": "0.3"}))
    private_nats.kill()
    with pytest.raises(Unreachable):
        reader.read(60)
    assert not reader.finished
    reader.close()


def test_a_server_that_takes_long_to_answer_is_given_as_long_as_it_was_to_connect(private: Streams, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.backends.nats.streams.ANSWER_SECONDS", 0.1)
    name = private.make()
    patient, hasty = private.backend(hosts=(proxy.address,), connect_timeout=60.0), private.backend(hosts=(proxy.address,))
    # it has been connected, however long that took
    hasty._link.connection = replace(hasty._link.connection, connect_timeout=0.3)
    proxy.delay(0.5)
    assert patient.describe(stream(name)).facts["messages"] == 0
    with pytest.raises(TimedOut):
        hasty.describe(stream(name))


def test_core_messages_whose_pong_does_not_come_are_unknown(private: Streams, proxy: Proxy) -> None:
    publisher = private.publisher(subject(private.subject()), private.backend(**through(proxy)), fire_and_forget=True, delivery_timeout=0.3)
    proxy.lose_answers()
    assert publisher.send_bodies([b"a", b"b"]) == 2
    receipts = publisher.finish(10)
    assert (receipts.confirmed, receipts.unknown) == (0, 2)


def test_a_reader_that_stalls_for_many_pings_keeps_its_connection(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server: Nats = servers(Nats, settings={"ping_interval": '"500ms"', "ping_max": "5", "write_deadline": '"3s"'})
    monkeypatch.setattr(reading, "BUFFER_BYTES", 100_000)
    monkeypatch.setattr(look_consumer, "BATCH", 100)
    pings: list[bytes] = []
    original = BulkParser._control

    async def counting(self: BulkParser, line: bytes) -> None:
        pings.extend([line] if line == b"PING" else [])
        await original(self, line)

    monkeypatch.setattr(BulkParser, "_control", counting)
    made = Streams(server.address)
    try:
        name = made.make()
        sent = [b"%d " % number + b"x" * 1000 for number in range(5000)]
        made.fill(f"{name.lower()}.a", sent)
        made.wire.close()
        connection_of = made.backend()
        client = connection_of._link._client
        reader = made.look(stream(name), backend=connection_of)
        before = len(pings)
        wait_until(lambda: len(pings) >= before + 8, 60, "eight pings")
        assert bodies(everything(reader)) == sent
        assert client.stats["reconnects"] == 0
    finally:
        made.reconnect()
        made.close()


def test_a_connection_lost_for_good_closes_without_a_word(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    backend = private.backend(options={"give_up_after": "0.2"})
    publisher, reader = private.publisher(subject(f"{name.lower()}.a"), backend), private.look(stream(name), follow=True, backend=backend)
    private_nats.kill()
    with pytest.raises(Unreachable):
        reader.read(60)
    publisher.close()
    reader.close()
    backend.close()
    backend.close()
    wait_until(lambda: not backend._link._thread.is_alive(), 60, "the end of its thread")


def test_a_frozen_server_is_noticed_by_its_silence(private: Streams, private_nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    from brokercli.backends.nats import connect

    monkeypatch.setattr(connect, "PING_SECONDS", 0.6)
    backend = private.backend(options={"give_up_after": "0.5"})
    name = private.make()
    reader = private.look(stream(name), follow=True, backend=backend)
    freeze(private_nats)
    with pytest.raises(Unreachable):
        reader.read(60)


def test_a_window_that_nobody_confirmed_is_the_last_even_if_all_of_it_was_late_at_once(private: Streams, private_nats: Nats,
                                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    name = private.make()
    backend = private.backend(options={"give_up_after": "60"})
    publisher = private.publisher(subject(f"{name.lower()}.a"), backend, delivery_timeout=1.0)
    accept = JetStreamPublisher._accept_some

    def held_up(*arguments: Any) -> int:
        accepted = accept(*arguments)
        # the connection's thread sends them meanwhile
        time.sleep(0.7)
        return accepted

    monkeypatch.setattr(JetStreamPublisher, "_accept_some", held_up)
    freeze(private_nats)
    assert publisher.send_bodies([b"0", b"1"]) == 2
    total = publisher.finish(2)
    assert (total.confirmed, total.refused, total.unknown) == (0, 0, 2)
    with pytest.raises(Unreachable, match="confirmed nothing for 1 s"):
        publisher.collect(0)
