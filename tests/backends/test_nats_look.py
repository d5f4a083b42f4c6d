"""Looking at NATS: everything asked for, in order, and nothing changed."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest

from brokercli.backends.nats import look_consumer, look_sequence, reading
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import Failed, NotFound, OutOfRange, Unsupported, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Start, parse_time
from tests.backends.nats_streams import Streams, bodies, everything, some, stream, subject
from tests.brokers.server import wait_until

RETENTIONS = ("limits", "workqueue", "interest")


@pytest.fixture(params=[("limits", True), ("workqueue", True), ("workqueue", False), ("interest", True), ("interest", False)],
                ids=lambda parameters: f"{parameters[0]}-{'direct' if parameters[1] else 'leader'}")
def numbered(streams: Streams, request: pytest.FixtureRequest) -> str:
    """A stream of every retention, read in each way, that holds the numbers 1 to 300 at the sequences 1 to 300."""
    retention, direct = request.param
    name = streams.make(retention, allow_direct=direct)
    streams.worker(name)
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(1, 301)])
    streams.wait_pending(name, "worker", 300)
    return name


def numbers(first: int, end: int) -> list[bytes | None]:
    return [b"%d" % number for number in range(first, end)]


@pytest.mark.parametrize(("start", "end", "expected"), [
    (Start(), End(), (1, 301)), (Number(5), End(), (5, 301)), (Number(5), Number(8), (5, 8)), (Number(300), End(), (300, 301)),
    (Number(301), End(), (301, 301)),
    (Last(20), End(), (281, 301)), (Last(1000), End(), (1, 301)), (Last(0), End(), (301, 301)), (Start(), Last(290), (1, 11)), (End(), End(), (301, 301)),
    (Start(), Number(5000), (1, 301)), (Moment(0), End(), (1, 301)), (Moment(2**62), End(), (301, 301)), (Start(), Moment(0), (1, 1)),
    (Start(), Moment(2**62), (1, 301)), (Last(10), Number(100), (291, 291)),
])
def test_a_span_gives_what_lies_in_it(streams: Streams, numbered: str, start: Position, end: Position, expected: tuple[int, int]) -> None:
    records = everything(streams.look(stream(numbered), start, end))
    assert bodies(records) == numbers(*expected)
    assert [record.position for record in records] == [str(number) for number in range(*expected)]


def test_what_went_before_it_was_read_is_said(streams: Streams, numbered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    info = JetStream.info

    async def asked(jetstream: JetStream, name: str, question: Json | None = None) -> Json:
        answer = await info(jetstream, name, question)
        streams.delete(name, 1, 2, 150, 300)
        return answer

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(JetStream, "info", asked)
        reader = streams.look(stream(numbered))
        assert len(everything(reader)) == 296
    assert reader.notes == ["4 of the 300 messages that were there at the start went before they could be read"]
    reader = streams.look(stream(numbered))
    assert len(everything(reader)) == 296
    assert reader.notes == []


def test_a_look_changes_nothing_and_leaves_nothing_behind(streams: Streams, numbered: str) -> None:
    def state() -> dict[str, object]:
        consumers = streams.api(f"CONSUMER.LIST.{numbered}")["consumers"]
        parts = ("num_pending", "num_ack_pending", "num_redelivered", "delivered", "ack_floor")
        return streams.api(f"STREAM.INFO.{numbered}")["state"] | {consumer["name"]: [consumer[part] for part in parts] for consumer in consumers}

    before = state()
    reader = streams.look(stream(numbered), Last(50))
    assert reader.read(10) is not None
    reader.close()
    reader.close()
    # whoever closes asks for its consumer to be taken away, and waits for a moment only
    wait_until(lambda: state() == before, 60, "the state from before")
    whole = streams.look(stream(numbered))
    assert len(everything(whole)) == 300
    whole.close()
    live = streams.look(stream(numbered), End(), follow=True)
    live.close()
    wait_until(lambda: state() == before, 60, "the state from before")


def test_a_number_that_is_not_stored_says_what_is(streams: Streams, numbered: str) -> None:
    streams.api(f"STREAM.PURGE.{numbered}", seq=11)
    with pytest.raises(OutOfRange, match="11 to 300"):
        streams.look(stream(numbered), Number(10))
    with pytest.raises(OutOfRange, match="11 to 300"):
        streams.look(stream(numbered), Number(302))
    assert bodies(everything(streams.look(stream(numbered), Number(11), Number(13)))) == numbers(11, 13)


def test_gaps_are_passed_over_and_do_not_hang(streams: Streams, numbered: str) -> None:
    streams.delete(numbered, 1, 2, 100, 101, 102, 299, 300)
    expected = [number for number in numbers(1, 301) if number not in (b"1", b"2", b"100", b"101", b"102", b"299", b"300")]
    assert bodies(everything(streams.look(stream(numbered)))) == expected
    assert bodies(everything(streams.look(stream(numbered), Last(4)))) == expected[-4:]
    assert bodies(everything(streams.look(stream(numbered), Number(99), Number(103)))) == [b"99"]
    assert bodies(everything(streams.look(stream(numbered), Number(100), Number(103)))) == []


def test_an_empty_stream_ends_at_once_and_says_so(streams: Streams, numbered: str) -> None:
    streams.api(f"STREAM.PURGE.{numbered}")
    for position in (Start(), Last(5), Moment(0), Number(301)):
        assert everything(streams.look(stream(numbered), position)) == []
    with pytest.raises(OutOfRange, match="holds no messages; the next one gets the sequence 301"):
        streams.look(stream(numbered), Number(5))


def test_the_end_is_the_one_at_the_start(streams: Streams, numbered: str) -> None:
    reader = streams.look(stream(numbered))
    streams.fill(f"{numbered.lower()}.a", [b"later"] * 50)
    assert bodies(everything(reader)) == numbers(1, 301)


def test_a_purge_while_reading_ends_the_look(streams: Streams, numbered: str) -> None:
    reader = streams.look(stream(numbered), Number(1))
    streams.api(f"STREAM.PURGE.{numbered}")
    read = bodies(everything(reader))
    assert read == numbers(1, 301)[:len(read)]


def test_a_moment_starts_at_the_first_message_stored_then_or_later(streams: Streams, numbered: str) -> None:
    records = everything(streams.look(stream(numbered)))
    times = [record.time or 0 for record in records]
    assert times == sorted(times)
    moment = times[120]
    first = times.index(moment)
    assert bodies(everything(streams.look(stream(numbered), Moment(moment)))) == numbers(first + 1, 301)
    assert bodies(everything(streams.look(stream(numbered), Moment(moment + 1), Moment(times[200])))) == numbers(
        next(index for index, time in enumerate(times) if time > moment) + 1, times.index(times[200]) + 1)


def test_following_goes_on_where_the_stored_ones_end(streams: Streams, numbered: str) -> None:
    reader = streams.look(stream(numbered), Last(3), follow=True)
    assert bodies(some(reader, 3)) == numbers(298, 301)
    streams.fill(f"{numbered.lower()}.b", [b"new", b"newer"])
    assert bodies(some(reader, 2)) == [b"new", b"newer"]
    assert not reader.finished
    assert reader.read(0.1) is None


def test_new_messages_only_are_shown_from_the_end(streams: Streams, numbered: str) -> None:
    reader = streams.look(stream(numbered), End(), follow=True)
    streams.fill(f"{numbered.lower()}.b", [b"new", b"newer"])
    assert bodies(some(reader, 2)) == [b"new", b"newer"]


def test_a_subject_is_replayed_from_the_stream_that_captures_it(streams: Streams, numbered: str) -> None:
    low = numbered.lower()
    streams.fill(f"{low}.b", [b"b1"])
    streams.fill(f"{low}.a", [b"a"])
    streams.fill(f"{low}.b", [b"b2"])
    assert bodies(everything(streams.look(subject(f"{low}.b")))) == [b"b1", b"b2"]
    assert bodies(everything(streams.look(subject(f"{low}.b"), Last(1)))) == [b"b2"]
    assert bodies(everything(streams.look(subject(f"{low}.*"), Last(2)))) == [b"a", b"b2"]
    assert bodies(everything(streams.look(subject(f"{low}.b"), Number(302)))) == [b"b2"]
    assert bodies(everything(streams.look(subject(f"{low}.none")))) == []
    reader = streams.look(subject(f"{low}.b"), Last(1), follow=True)
    assert bodies(some(reader, 1)) == [b"b2"]
    streams.fill(f"{low}.a", [b"not this"])
    streams.fill(f"{low}.b", [b"b3"])
    assert bodies(some(reader, 1)) == [b"b3"]


def test_a_subject_that_no_or_several_streams_capture_has_no_history(streams: Streams) -> None:
    with pytest.raises(NotFound, match="No stream captures"):
        streams.look(subject(streams.subject()))
    base = streams.subject()
    names = sorted([streams.make(subjects=[f"{base}.a"]), streams.make(subjects=[f"{base}.b"])])
    with pytest.raises(UsageProblem, match="Several streams") as asked:
        streams.look(subject(f"{base}.*"))
    assert all(f"stream:{name}" in (asked.value.hint or "") for name in names)


def test_partitions_are_declined(streams: Streams) -> None:
    with pytest.raises(Unsupported, match="no partitions"):
        streams.look(stream(streams.make()), PerPartition(((0, 5),)))


@pytest.mark.parametrize("wildcard", [False, True])
def test_a_subject_is_seen_live_without_any_stream(streams: Streams, wildcard: bool) -> None:
    base = streams.subject()
    reader = streams.look(subject(f"{base}.>" if wildcard else f"{base}.a"), End(), follow=True)
    streams.wire.publish(f"{base}.a", b"one", b"NATS/1.0\r\nk: v\r\n\r\n")
    streams.wire.publish(f"{base}.a", b"two")
    one, two = some(reader, 2)
    assert (one.place, one.position, one.time, one.message.headers, one.message.body) == ({"subject": f"{base}.a"}, "", None, (("k", b"v"),), b"one")
    assert two.message.body == b"two"


def test_work_queue_and_interest_streams_are_tailed_although_workers_take_everything(streams: Streams) -> None:
    for retention in ("workqueue", "interest"):
        name = streams.make(retention)
        reader = streams.look(stream(name), End(), follow=True)
        assert reader.notes
        # nobody is interested, or everybody has taken it before we could ask
        for number in range(50):
            streams.wire.ask(f"{name.lower()}.a", b"%d" % number)
        assert bodies(some(reader, 50)) == [b"%d" % number for number in range(50)]
        assert streams.state(name)["messages"] == (50 if retention == "workqueue" else 0)
        assert streams.consumers(name) == []


def test_large_and_small_messages_come_whatever_a_pull_may_hold(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_consumer, "BATCH_BYTES", 10_000)
    name = streams.make()
    sent: list[bytes] = [b"x" * size for size in (1, 9_000, 200_000, 5, 50_000, 60_000, 1_000_000, 0)] * 3
    streams.fill(f"{name.lower()}.a", sent)
    assert bodies(everything(streams.look(stream(name)))) == sent


def test_pulls_ask_for_no_more_than_large_messages_need(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_consumer, "BATCH_BYTES", 10_000)
    name = streams.make()
    sent: list[bytes] = [b"x" * 30_000] * 30
    streams.fill(f"{name.lower()}.a", sent)
    asked: list[int] = []
    write = Link.write

    def noted(self: Link, frames: bytes) -> bool:
        asked.extend(int(number) for number in re.findall(rb'MSG\.NEXT.*\r\n\{.*"max_bytes":(\d+)', frames))
        return write(self, frames)

    monkeypatch.setattr(Link, "write", noted)
    assert bodies(everything(streams.look(stream(name)))) == sent
    assert max(asked) == 40_000


def test_large_messages_are_not_asked_for_many_at_once_where_each_is_asked_for(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make("workqueue", allow_direct=False)
    sent: list[bytes] = [b"x"] * 240 + [b"x" * 20_000] * 60
    streams.fill(f"{name.lower()}.a", sent)
    under_way: list[list[int]] = [[]]
    monkeypatch.setattr(look_sequence, "PIPELINE_BYTES", 50_000)
    fetch_next, fetch_message = look_sequence.fetch_next, look_sequence.fetch_message

    async def round_of(*arguments: Any) -> Any:
        under_way.append([])
        return await fetch_next(*arguments)

    async def one_of(jetstream: JetStream, stream: str, sequence: int) -> Any:
        under_way[-1].append(sequence)
        return await fetch_message(jetstream, stream, sequence)

    monkeypatch.setattr(look_sequence, "fetch_next", round_of)
    monkeypatch.setattr(look_sequence, "fetch_message", one_of)
    assert bodies(everything(streams.look(stream(name)))) == sent
    counts = [len(questions) for questions in under_way if questions]
    assert counts[:6] == [8, 16, 32, 64, 128, 2], counts
    assert max(counts[5:]) == 2


def test_a_slow_reader_is_waited_for_within_bounded_memory(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BUFFER_BYTES", 100_000)
    monkeypatch.setattr(look_consumer, "BATCH", 50)
    for retention in RETENTIONS:
        name = streams.make(retention)
        streams.worker(name)
        sent: list[bytes | None] = [b"%d" % number + b"x" * 1000 for number in range(2000)]
        streams.fill(f"{name.lower()}.a", [body or b"" for body in sent])
        reader = streams.look(stream(name))
        first = reader.read(10)
        assert first is not None
        held = reader._handover._held  # type: ignore[attr-defined]
        assert held < 100_000 + 2 * 2500 * 1500
        assert [body or b"" for body in first.bodies()] + [body or b"" for body in bodies(everything(reader))] == sent


def test_a_core_reader_that_is_too_slow_says_that_it_missed_messages(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BUFFER_BYTES", 50_000)
    where = streams.subject()
    reader = streams.look(subject(where), End(), follow=True)
    sent = [b"%d" % number for number in range(5000)]
    for body in sent:
        streams.wire.publish(where, body)
    # whoever reads meanwhile may be fast enough
    wait_until(lambda: reader._full, 60, "a message too many")  # type: ignore[attr-defined]
    got: list[bytes] = []

    def read_all() -> None:
        while (batch := reader.read(60)) is not None:
            got.extend(batch.bodies())

    with pytest.raises(Failed, match="missed"):
        read_all()
    assert got == sent[:len(got)]
    assert 0 < len(got) < 5000


def test_a_consumer_removed_meanwhile_is_replaced_behind_the_last_message(streams: Streams) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(20)])
    reader = streams.look(stream(name), follow=True)
    assert len(some(reader, 20)) == 20
    for consumer in streams.consumers(name):
        streams.api(f"CONSUMER.DELETE.{name}.{consumer}")
    streams.fill(f"{name.lower()}.a", [b"after"])
    assert bodies(some(reader, 1)) == [b"after"]


def test_a_stream_deleted_while_it_is_followed_is_said(streams: Streams) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"x"])
    reader = streams.look(stream(name), follow=True)
    some(reader, 1)
    streams.api(f"STREAM.DELETE.{name}")
    with pytest.raises(NotFound, match="deleted while it was read"):
        reader.read(60)


def test_many_messages_arrive_once_each_and_in_order(streams: Streams) -> None:
    name = streams.make(storage="memory")
    sent = [b"%d" % number for number in range(30_000)]
    streams.fill(f"{name.lower()}.a", sent)
    reader = streams.look(stream(name))
    assert reader.expected == 30_000
    got: list[bytes] = []
    while not reader.finished:
        batch = reader.read(10)
        got += batch.bodies() if batch is not None else []
    assert got == sent


def test_stored_headers_of_the_servers_own_names_do_not_move_a_message(streams: Streams) -> None:
    block = b"NATS/1.0 404 Not Found\r\nNats-Sequence: 999\r\nNats-Stream: other\r\nNats-Subject: elsewhere\r\n\r\n"
    for retention in RETENTIONS:
        name = streams.make(retention)
        streams.worker(name)
        streams.fill(f"{name.lower()}.a", [b"x", b"y"], block)
        records = everything(streams.look(stream(name)))
        assert [(record.place, record.message.body) for record in records] == [
            ({"subject": f"{name.lower()}.a", "stream": name, "sequence": number}, body) for number, body in ((1, b"x"), (2, b"y"))]
        assert records[0].message.headers == (("Nats-Sequence", b"999"), ("Nats-Stream", b"other"), ("Nats-Subject", b"elsewhere"))


def test_a_record_says_where_it_lies_and_when_it_was_stored(streams: Streams, numbered: str) -> None:
    record = everything(streams.look(stream(numbered), Number(7), Number(8)))[0]
    stored = streams.api(f"STREAM.MSG.GET.{numbered}", seq=7)["message"]
    assert record.time == parse_time(stored["time"])
    assert (record.broker, record.place, record.position) == ("nats", {"subject": f"{numbered.lower()}.a", "stream": numbered, "sequence": 7}, "7")
    assert (record.message.route, record.message.origin, record.message.time) == (f"{numbered.lower()}.a", "nats", None)


def test_a_reader_that_is_closed_while_another_thread_publishes_raises_nothing(streams: Streams) -> None:
    name = streams.make()
    reader = streams.look(stream(name), follow=True)
    stop = threading.Event()

    def publish() -> None:
        other = Streams(f"nats://{streams.host}:{streams.port}")
        while not stop.is_set():
            other.wire.ask(f"{name.lower()}.a", b"x")
        other.close()

    thread = threading.Thread(target=publish)
    thread.start()
    assert reader.read(10) is not None
    reader.close()
    stop.set()
    thread.join()
    wait_until(lambda: streams.consumers(name) == [], 60, "the end of its consumer")


def test_ls_and_describe_say_what_there_is(streams: Streams) -> None:
    name = streams.make("workqueue", max_msgs=1000, max_age=3_600_000_000_000)
    streams.worker(name, max_deliver=5)
    streams.fill(f"{name.lower()}.a", [b"1", b"2"])
    streams.fill(f"{name.lower()}.b", [b"3"])
    streams.wait_pending(name, "worker", 3)
    backend = streams.backend()
    listing = next(found for found in backend.list(["stream"]) if found.name == name)
    assert (listing.resource, listing.messages, listing.facts["consumers"]) == ("work-queue stream", 3, 1)
    counts = {found.name: found.messages for found in backend.list(["subject"]) if found.facts["stream"] == name}
    assert counts == {f"{name.lower()}.a": 2, f"{name.lower()}.b": 1}
    description = backend.describe(stream(name))
    assert (description.facts["messages"], description.facts["oldest age"], description.facts["most messages"]) == (3, "1h", 1000)
    sections = {section.title: section.rows for section in description.sections}
    assert (sections["consumers"][0]["name"], sections["consumers"][0]["pending"], sections["consumers"][0]["max deliver"]) == ("worker", 3, 5)
    assert sections["messages by subject"] == [{"subject": f"{name.lower()}.a", "messages": 2}, {"subject": f"{name.lower()}.b", "messages": 1}]
    described = backend.describe(subject(f"{name.lower()}.*"))
    assert (described.facts["captured by"], described.facts["messages"]) == (name, 3)
    assert backend.describe(subject(streams.subject())).facts["captured by"] is None


def test_describe_shows_captured_advisories(streams: Streams) -> None:
    name = streams.make(subjects=[f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{streams.subject().replace('.', '-')}.>"])
    assert "CONSUMER.MAX_DELIVERIES" in str(streams.backend().describe(stream(name)).facts["captures advisories"])
    assert json.dumps(streams.backend().describe(stream(name)).facts)
