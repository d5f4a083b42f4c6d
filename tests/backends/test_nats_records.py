"""NATS messages as bodies, envelopes and records: the three views agree, and a copy is the message, byte for byte."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.errors import ProtocolError

from brokercli.backends.envelope import decode_envelope, encode_record
from brokercli.backends.nats.bulk_parser import BulkParser, Delivery, Sink, reply_of, split_headers, status_of
from brokercli.backends.nats.convert import Refusal, header_block
from brokercli.backends.nats.coordinates import coordinates
from brokercli.backends.nats.putting_back import CopyBlocks, as_copy
from brokercli.backends.nats.records import Delivered, DeliveredRun, Fetched, Row, read_headers
from brokercli.backends.nats.runs import Run
from brokercli.model.message import Message
from tests.backends.nats_streams import Streams, everything, publish, stream, subject

# what HPUB stores without a word: anything but the line end
_text = st.binary(max_size=30).filter(lambda text: b"\r\n" not in text)
_names = _text.filter(lambda name: b":" not in name and name != b"" and not name.endswith(b"\r") and not name.lower().startswith(b"nats-"))
_headers = st.lists(st.tuples(_names, _text.filter(lambda value: not value.endswith(b"\r") and not value.startswith(b"\n"))), max_size=5)
_subjects = st.lists(st.text(st.characters(codec="utf-8", exclude_characters=".*> \t\r\n\x00", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8),
                     min_size=1, max_size=3).map(".".join)
_times = st.integers(min_value=0, max_value=4 * 10**18)


def block_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" if headers else b""


def delivery(where: str, sequence: int, time: int, headers: list[tuple[bytes, bytes]], body: bytes, form: int = 9) -> Delivery:
    block = block_of(headers)
    place = b"S.C.1.%d.%d.%d.0" % (sequence, sequence, time)
    reply = b"$JS.ACK." + (place if form == 9 else b"hub.HASH." + place + b".Tq1")
    if block:
        return [b"HMSG", where.encode(), b"7", reply, b"%d" % len(block), b"%d" % (len(block) + len(body))], block + body
    return [b"MSG", where.encode(), b"7", reply, b"%d" % len(body)], body


_messages = st.tuples(_subjects, st.integers(1, 2**62), _times, _headers, st.binary(max_size=60), st.sampled_from([9, 12]))


@given(st.lists(_messages, max_size=8))
def test_the_views_of_stored_messages_agree(messages: list[Any]) -> None:
    batch = Delivered([delivery(*message) for message in messages], "S")
    records = batch.records()
    assert batch.envelopes() == [encode_record(record) for record in records]
    assert batch.bodies() == [record.message.body for record in records] == [message[4] for message in messages]
    assert [(record.place["subject"], record.place["sequence"], record.time) for record in records] == [message[:3] for message in messages]
    rows = Fetched([Row(where.encode(), sequence, time, block_of(headers), body) for where, sequence, time, headers, body, _ in messages], "S")
    assert rows.envelopes() == batch.envelopes()
    assert rows.records() == records
    chosen = list(range(0, len(messages), 2))
    assert batch.select(chosen).records() == rows.select(chosen).records() == [records[index] for index in chosen]
    assert len(batch) == len(rows) == len(messages)


@given(st.lists(_messages, min_size=1, max_size=8))
def test_a_run_of_messages_without_headers_has_the_same_views(messages: list[Any]) -> None:
    deliveries = [delivery(where, sequence, time, [], body, form) for where, sequence, time, _, body, form in messages]
    slow, fast = Delivered(deliveries, "S"), DeliveredRun(Run([b" ".join(parts) for parts, _ in deliveries], [body for _, body in deliveries]), "S")
    assert fast.envelopes() == slow.envelopes()
    assert fast.bodies() == slow.bodies()
    assert fast.records() == slow.records()
    chosen = list(range(0, len(messages), 2))
    assert fast.select(chosen).records() == slow.select(chosen).records()
    assert len(fast) == len(slow)


@given(st.lists(_messages, max_size=8))
def test_the_views_of_core_messages_agree_and_name_no_stream(messages: list[Any]) -> None:
    batch = Delivered([delivery(*message) for message in messages], None)
    records = batch.records()
    assert batch.envelopes() == [encode_record(record) for record in records]
    assert all(list(record.place) == ["subject"] and record.time is None and record.position == "" for record in records)


@given(_headers)
def test_headers_are_written_again_as_they_were_read(headers: list[tuple[bytes, bytes]]) -> None:
    block = block_of(headers)
    again = Message(headers=read_headers(block), origin="nats")
    assert header_block(again, keep_control=True, withheld={}) == block


_NAMES_OF_COPIES = st.sampled_from(["a", "b ", "Nats-Rollup", "nats-msg-id", "Nats-Original-Subject", "x-ünicode", "bad:name", "", "two\r\nlines"])
_VALUES_OF_COPIES = st.none() | st.binary(max_size=10) | st.sampled_from([b"\r\n", b"one\r\ntwo", b"\r", b"\n", b""])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.tuples(_NAMES_OF_COPIES, _VALUES_OF_COPIES), max_size=6), max_size=3),
       st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 5))), min_size=1, max_size=5))
def test_the_headers_of_copies_are_the_same_whichever_way_they_are_written(kinds: list[list[tuple[str, bytes | None]]],
                                                                           copies: list[tuple[int, set[int]]]) -> None:
    left_off, also_left_off = Counter[str](), Counter[str]()
    blocks = CopyBlocks(also_left_off)
    for number, (kind, own) in enumerate(copies):
        # those that copies of a kind do not have of their own are the very objects
        headers = [(header[0], b"%d" % number) if place in own else header for place, header in enumerate(kinds[kind] if kind < len(kinds) else [])]
        identity = f"brokercli:S:1:{number}"
        before = left_off.copy()
        try:
            right = header_block(as_copy(Message(headers=tuple(headers), origin="nats"), identity, None, left_off), keep_control=True, withheld={})
        except Refusal as refusal:
            left_off = before
            with pytest.raises(Refusal, match=re.escape(str(refusal))):
                blocks.write(headers, identity)
        else:
            assert blocks.write(headers, identity) == right
            assert also_left_off == left_off


def test_a_copy_without_the_header_in_which_those_before_it_differed_is_written_as_it_is() -> None:
    blocks = CopyBlocks(Counter())
    common = ("a", b"1")
    for headers in ([common, ("b", b"1")], [common, ("b", b"2")], [common, ("b", b"3")], [common], [common, ("b", b"4")], []):
        assert blocks.write(headers, "i") == block_of([(name.encode(), value) for name, value in [*headers, ("Nats-Msg-Id", b"i")]])


def test_a_header_line_without_a_colon_survives() -> None:
    block = b"NATS/1.0\r\nodd line\r\na:tight\r\n\r\n"
    assert read_headers(block) == (("odd line", None), ("a", b"tight"))
    assert header_block(Message(headers=(("odd line", None),), origin="nats"), keep_control=False, withheld={}) == b"NATS/1.0\r\nodd line\r\n\r\n"


def test_coordinates_are_read_with_and_without_a_domain() -> None:
    assert coordinates(b"$JS.ACK.ORDERS.c.1.87.12.1795472335617217407.3") == (87, 12, 1795472335617217407, 3)
    assert coordinates(b"$JS.ACK.hub.ACCHASH.ORDERS.c.1.87.12.1795472335617217407.3.rnd") == (87, 12, 1795472335617217407, 3)


class Heard:
    """What a parser tells its client."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def _process_ping(self) -> None:
        self.told.append("PING")

    async def _process_pong(self) -> None:
        self.told.append("PONG")

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.told.append(info)


_BETWEEN = (b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b'INFO {"max_payload":5} \r\n', b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n", b"")


def wire(messages: list[Any]) -> bytes:
    frames: list[bytes] = []
    for number, message in enumerate(messages):
        parts, payload = delivery(*message)
        frames.append(b" ".join(parts) + b"\r\n" + payload + b"\r\n")
        frames.append(_BETWEEN[number % len(_BETWEEN)])
    return b"".join(frames)


@given(st.lists(_messages, min_size=1, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_what_the_server_says_is_the_same_however_the_socket_cuts_it(messages: list[Any], cuts: list[int]) -> None:
    def heard(pieces: list[bytes]) -> tuple[list[Delivery], list[Any], list[str]]:
        client, errors, deliveries = Heard(), list[str](), list[Delivery]()
        parser = BulkParser(client, errors.append)  # type: ignore[arg-type]
        parser.sinks[b"7"] = Sink(deliveries.extend)

        async def feed() -> None:
            for piece in pieces:
                await parser.parse(piece)

        asyncio.run(feed())
        assert parser.rest == b""
        return deliveries, client.told, errors

    data = wire(messages)
    pieces, position, turn = [], 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        pieces.append(data[position:position + size])
        position, turn = position + size, turn + 1
    assert heard(pieces) == heard([data])
    assert heard([data])[0] == [delivery(*message) for message in messages]


_awkward = st.one_of(st.binary(max_size=20), st.sampled_from([
    b"", b"\r\n", b"\r", b"\n", b"a\r\nMSG x 7 $JS.ACK.S.C.1.1.1.1.0 1\r\nb", b"PING\r\n", b"x\r"]))
_mixed = st.tuples(
    st.sampled_from(["a", "a.b", "7"]), st.integers(1, 9), st.integers(10**18, 2 * 10**18), st.sampled_from([[], [], [], [(b"k", b"v")]]), _awkward)


@given(st.lists(st.tuples(_mixed, st.sampled_from([7, 7, 7, 8]), st.sampled_from([b"", b"", b"", b"PING\r\n"])), min_size=1, max_size=12),
       st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_messages_taken_in_runs_are_those_taken_one_by_one_and_in_their_order(sent: list[Any], cuts: list[int]) -> None:
    runs = 0

    def heard(whole: bool) -> tuple[list[Delivery], list[Delivery], list[Any]]:
        nonlocal runs
        client, ours, others = Heard(), list[Delivery](), list[Delivery]()

        def take(run: Run) -> None:
            nonlocal runs
            runs += 1
            ours.extend(run.deliveries())

        parser = BulkParser(client, lambda text: None)  # type: ignore[arg-type]
        parser.sinks[b"7"] = Sink(ours.extend, on_stored=take if whole else None)
        parser.sinks[b"8"] = Sink(others.extend)

        async def feed() -> None:
            for piece in pieces:
                await parser.parse(piece)

        asyncio.run(feed())
        return ours, others, client.told

    data = b""
    for message, sid, between in sent:
        parts, payload = delivery(*message)
        parts[2] = b"%d" % sid
        data += b" ".join(parts) + b"\r\n" + payload + b"\r\n" + between
    pieces, position, turn = [], 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        pieces.append(data[position:position + size])
        position, turn = position + size, turn + 1
    assert heard(whole=True) == heard(whole=False)
    if len(sent) == 1 and sent[0][1:] == (7, b"") and not sent[0][0][3] and b"\r\n" not in sent[0][0][4]:
        assert runs or len(pieces) > 1


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**9)), min_size=1, max_size=30), st.integers(1, 50), st.sampled_from(["", "hub"]))
def test_acknowledgements_counted_in_runs_are_those_taken_one_by_one(acknowledged: list[tuple[int, int]], cut: int, domain: str) -> None:
    import re

    from brokercli.backends.nats.in_flight import plain_acknowledgement, without_groups

    one = plain_acknowledgement(b"_INBOX.x", "ORDERS", domain)
    frames, said = b"", b'"domain":"hub",' if domain else b""
    for index, (number, sequence) in enumerate(acknowledged):
        other = b"OTHER" if index % 7 == 3 else b"ORDERS"
        answer = b'{"stream":"%b",%b"seq":%d%b}' % (other, said, sequence, b',"duplicate": true' if index % 5 == 4 else b"")
        frames += b"MSG _INBOX.x.%d 7 %d\r\n%b\r\n" % (number, len(answer), answer)
    runs: list[bytes] = []
    others: list[Delivery] = []
    parser = BulkParser(Heard(), lambda text: None)  # type: ignore[arg-type]
    parser.sinks[b"7"] = Sink(others.extend, re.compile(b"(?:" + without_groups(one) + b")+"), runs.append)

    async def feed() -> None:
        for begin in range(0, len(frames), cut):
            await parser.parse(frames[begin:begin + cut])

    asyncio.run(feed())
    plain = [(int(number), int(sequence)) for run in runs for number, sequence in re.findall(one, run)]
    assert plain == [pair for index, pair in enumerate(acknowledged) if index % 7 != 3 and index % 5 != 4]
    assert len(others) == len(acknowledged) - len(plain)


def test_a_large_message_is_put_together_once_and_not_with_each_piece_of_it() -> None:
    heard: list[Delivery] = []
    parser = BulkParser(Heard(), lambda text: None)  # type: ignore[arg-type]
    parser.sinks[b"7"] = Sink(heard.extend)
    body, held = bytes(1 << 20), set()
    frames = b"MSG a 7 %d\r\n%b\r\nMSG a 7 1\r\nx\r\n" % (len(body), body)

    async def feed() -> None:
        for begin in range(0, len(frames), 4096):
            await parser.parse(frames[begin:begin + 4096])
            held.add(len(parser.rest))

    asyncio.run(feed())
    assert held == {4096, 0}
    assert [payload for _, payload in heard] == [body, b"x"]


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"MSG a 1\r\n", b"MSG a 1 x\r\nhello\r\n", b"MSG a 1 2 3 4 5 6\r\n",
                                      b"MSG a 1 -20\r\n", b"HMSG a 1 12 99999999999\r\n", b"INFO []\r\n", b"INFO " + b"[" * 100_000 + b"\r\n",
                                      b"x" * (2 << 20)])
def test_what_nats_never_says_ends_the_connection(nonsense: bytes) -> None:
    parser = BulkParser(Heard(), lambda text: None)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        asyncio.run(parser.parse(nonsense))


def test_a_status_is_not_taken_for_a_message() -> None:
    parts = [b"HMSG", b"_I.a", b"1", b"28", b"28"]
    assert (reply_of(parts), status_of(b"NATS/1.0 404 No Messages\r\n\r\n"), status_of(b"NATS/1.0\r\na: b\r\n\r\n")) == (b"", (404, "No Messages"), (0, ""))
    assert split_headers(([b"HMSG", b"a", b"1", b"12", b"15"], b"NATS/1.0\r\n\r\nabc")) == (b"NATS/1.0\r\n\r\n", b"abc")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.tuples(_headers, st.binary(max_size=80)), min_size=1, max_size=10))
def test_a_copy_through_the_envelope_is_the_stored_message_bit_for_bit(streams: Streams, messages: list[tuple[list[tuple[bytes, bytes]], bytes]]) -> None:
    for retention in ("limits", "workqueue"):
        source, copy = streams.make(retention), streams.make()
        answers = streams.wire.ask_all([(f"{source.lower()}.a", body, block_of(headers)) for headers, body in messages])
        assert all(b'"seq"' in answer for answer in answers)
        reader = streams.look(stream(source))
        records = everything(reader)
        reader.close()
        lines = [encode_record(record) for record in records]
        receipts = publish(streams.publisher(subject(f"{copy.lower()}.a")), [decode_envelope(line, 1) for line in lines])
        assert receipts.confirmed == len(messages)
        assert [stored[1:] for stored in streams.stored(copy)] == [stored[1:] for stored in streams.stored(source)]
        assert [stored[1:] for stored in streams.stored(source)] == [(block_of(headers), body) for headers, body in messages]
