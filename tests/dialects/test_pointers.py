"""Letters that only point: the original is fetched by coordinates, and nothing else is ever put back in its place."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from brokercli.dialects import attach_original, holds_another, original_is_gone, recognise, to_message
from brokercli.model.dead_letter import Hop
from brokercli.model.errors import Failed
from brokercli.model.message import Message, Record
from tests.dialects.frameworks import karafka, karafka_before_2_5, uber
from tests.dialects.real_letters import read_letter, read_original

SECOND = 1_000_000_000


def _original(name: str) -> Record:
    original = read_original(name)
    assert original is not None
    return original


@pytest.mark.parametrize("name", ["share_group_pointer", "share_group_copy", "jetstream_max_deliveries", "jetstream_terminated", "kafka_streams_after_output"])
def test_a_pointer_cannot_go_back_before_its_original_was_fetched(name: str) -> None:
    letter = recognise(read_letter(name))
    assert not letter.complete
    assert letter.pointer is not None
    there = ", ".join(f"{name} {value}" for name, value in letter.pointer.items())
    with pytest.raises(Failed, match=rf"only points at its original \({there}\)"):
        to_message(letter)


@pytest.mark.parametrize("name", ["share_group_pointer", "jetstream_max_deliveries", "kafka_streams_after_output"])
def test_a_record_from_elsewhere_is_not_taken_for_the_original(name: str) -> None:
    letter, original = recognise(read_letter(name)), _original(name)
    number = "offset" if "offset" in original.place else "sequence"
    with pytest.raises(Failed, match="what was fetched lies at"):
        attach_original(letter, replace(original, place={**original.place, number: 99}))
    assert not letter.complete


def test_an_advisory_goes_home_to_the_subject_of_its_original() -> None:
    letter = attach_original(recognise(read_letter("jetstream_terminated")), _original("jetstream_terminated"))
    assert letter.home is not None
    assert (str(letter.home.address), letter.home.place) == ("subject:dialects.orders.created", letter.pointer)
    assert to_message(letter) == Message(body=b'{"id": 1}', headers=(("trace", b"abc"),), route="dialects.orders.created", origin="nats")


def test_the_original_of_a_letter_keeps_the_headers_the_broker_did_not_copy() -> None:
    letter = attach_original(recognise(read_letter("share_group_copy")), _original("share_group_copy"))
    assert [name for name, _ in to_message(letter).headers] == ["trace", "sig", "trace", "none"]
    assert letter.lost == ()


def test_a_copy_stands_in_for_an_original_that_is_gone_and_says_what_it_lacks() -> None:
    copied, empty = (original_is_gone(recognise(read_letter(name))) for name in ("share_group_copy", "share_group_pointer"))
    assert to_message(copied) == Message(body=b'{"id":1}', key=b"c-7", route="dialects-shared", origin="kafka")
    assert "headers" in copied.lost[0]
    assert "the original it points at is no longer stored" in copied.remarks
    assert not empty.complete


def test_an_advisory_is_no_copy_of_a_message_that_is_gone() -> None:
    letter = original_is_gone(recognise(read_letter("jetstream_max_deliveries")))
    assert not letter.complete
    with pytest.raises(Failed, match="only points"):
        to_message(letter)


def test_how_often_an_original_was_put_back_counts_and_not_what_its_pointer_says() -> None:
    letter, original = recognise(read_letter("share_group_pointer")), _original("share_group_pointer")
    message = replace(original.message, headers=(*original.message.headers, ("x-brokercli-redriven-count", b"2")))
    assert letter.redrives == 0
    assert attach_original(letter, replace(original, message=message)).redrives == 2
    assert letter.stripped == ("x-brokercli-redriven-count",)


@pytest.mark.parametrize("header", ["topic", "partition", "offset"])
def test_an_empty_letter_of_kafka_streams_without_its_coordinates_never_goes_back(header: str) -> None:
    record = read_letter("kafka_streams_after_output")
    headers = tuple((name, None if name == f"__streams.errors.{header}" else value) for name, value in record.message.headers)
    letter = recognise(replace(record, message=replace(record.message, headers=headers)))
    assert not original_is_gone(letter).complete
    assert letter.lost == ("everything: the record is empty and points nowhere",)
    assert [hop.where for hop in letter.journey] == ([] if header == "topic" else ["dialects-streams-c"])


@pytest.mark.parametrize(("key", "body", "complete", "lost"), [
    (None, None, False, "everything: the record is empty and points nowhere"), (b"c-7", None, True, "the original's headers"),
    (None, b"{}", True, "the original's headers")])
def test_a_letter_of_a_share_group_that_points_nowhere_is_as_good_as_its_copy(key: bytes | None, body: bytes | None, complete: bool, lost: str) -> None:
    message = Message(body=body, key=key, headers=(("__dlq.errors.group", b"billing"),))
    letter = recognise(Record("kafka", {"topic": "dead", "partition": 0, "offset": 1}, "0:1", None, message))
    assert (letter.homes, letter.complete, letter.lost) == ((), complete, (lost,))
    assert "it does not say where its original lies" in letter.remarks


def test_what_kafka_streams_left_of_a_message_is_its_own_where_a_key_or_a_body_is_there() -> None:
    record = read_letter("kafka_streams_after_output")
    for part in ({"key": b"c-7"}, {"body": b"{}"}):
        letter = recognise(replace(record, message=replace(record.message, **part)))
        assert letter.pointer is None
        assert not holds_another(letter.record)
        assert to_message(letter).key == part.get("key")


def test_a_letter_whose_key_is_not_the_messages_own_is_one_that_holds_another() -> None:
    message = Message(body=b"{}", key=b"c-7")
    for written in (karafka_before_2_5(message), uber(message)):
        assert holds_another(written)
        assert to_message(recognise(written)).key == b"c-7"
    assert not holds_another(replace(uber(message), message=message))


def test_whether_karafka_wrote_over_no_key_or_an_empty_one_cannot_be_told_and_that_is_said() -> None:
    without, with_key = (recognise(karafka_before_2_5(Message(body=b"{}", key=key))) for key in (b"", b"c-7"))
    assert (to_message(without).key, len(without.remarks), len(with_key.remarks)) == (None, 1, 0)


def test_a_key_that_karafka_did_not_write_over_stays() -> None:
    record = karafka_before_2_5(Message(body=b"{}", key=b"c-7"))
    assert to_message(recognise(replace(record, message=replace(record.message, key=b"chosen by enhance_dlq_message")))).key == b"chosen by enhance_dlq_message"


def test_what_karafka_piped_from_another_topic_did_not_die() -> None:
    record = karafka(Message(body=b"{}"))
    piped = tuple(header for header in record.message.headers if header[0] not in ("source_attempts", "source_trace_id"))
    assert recognise(replace(record, message=replace(record.message, headers=piped))).dialect == "unknown"


@pytest.mark.parametrize(("kind", "stream"), [
    ("max_deliver", None), ("max_deliver", 5), ("stream_action", "ORDERS"), ("", "ORDERS"), (None, "ORDERS"), (7, "ORDERS")])
def test_an_advisory_of_something_else_points_at_nothing(kind: object, stream: object) -> None:
    prefix = "io.nats.jetstream.advisory.v1."
    advisory = {"type": f"{prefix}{kind}" if isinstance(kind, str) else kind, "stream": stream, "stream_seq": 7, "also": prefix}
    for body in (orjson.dumps(advisory), orjson.dumps([advisory]), orjson.dumps(advisory)[:-1]):
        assert recognise(Record("nats", {"subject": "x", "stream": "X", "sequence": 1}, "1", None, Message(body=body))).dialect == "unknown"


def test_what_an_advisory_says_of_the_death_is_read_and_of_a_refusal_alone_that_it_need_not_be_one() -> None:
    died, refused = recognise(read_letter("jetstream_max_deliveries")), recognise(read_letter("jetstream_naked"))
    assert died.journey == (Hop("dialects-orders", "max deliveries", {"stream": "dialects-orders", "sequence": 1}, died.last_death, 1),)
    assert (died.remarks, "may still be delivered again" in refused.remarks[0]) == ((), True)


@pytest.mark.parametrize("sequence", [None, "7", 0, -1, 10**30])
def test_an_advisory_without_a_believable_sequence_points_nowhere(sequence: object) -> None:
    record = read_letter("jetstream_max_deliveries")
    body = (record.message.body or b"").replace(b'"stream_seq":1', b'"stream_seq":' + (b"null" if sequence is None else f'"{sequence}"'.encode()
                                                                                       if isinstance(sequence, str) else str(sequence).encode()))
    letter = recognise(replace(record, message=replace(record.message, body=body)))
    assert not letter.complete
    assert letter.remarks
    with pytest.raises(Failed, match="does not say which message"):
        attach_original(letter, _original("jetstream_max_deliveries"))


@pytest.mark.parametrize(("name", "why"), [("share_group_pointer", "the topic was made anew and it is another message, or the clock of its producer"),
                                           ("jetstream_max_deliveries", "the stream was made anew")])
def test_what_came_to_lie_there_after_the_death_is_not_the_original(name: str, why: str) -> None:
    original, died = _original(name), recognise(read_letter(name)).last_death
    assert died is not None
    # servers, and producers that stamp their messages themselves, do not agree to the millisecond
    assert attach_original(recognise(read_letter(name)), replace(original, time=died + SECOND)).complete
    letter = recognise(read_letter(name))
    with pytest.raises(Failed, match=why):
        attach_original(letter, replace(original, time=died + 60 * SECOND))
    assert not letter.complete
    assert attach_original(letter, replace(original, time=None)).complete


def test_a_letters_own_copy_says_whether_what_lies_there_is_the_original() -> None:
    original = _original("share_group_copy")
    for other in (replace(original.message, body=b'{"id":2}'), replace(original.message, key=b"c-8"), replace(original.message, body=None)):
        letter = recognise(read_letter("share_group_copy"))
        with pytest.raises(Failed, match="another key or body"):
            attach_original(letter, replace(original, message=other))
        assert to_message(original_is_gone(letter)) == Message(body=b'{"id":1}', key=b"c-7", route="dialects-shared", origin="kafka")
    # one that has no key, or is a tombstone, is a copy as well
    for part in ({"key": None}, {"body": None}):
        record = read_letter("share_group_copy")
        record = replace(record, message=replace(record.message, **part))
        with pytest.raises(Failed, match="another key or body"):
            attach_original(recognise(record), original)
        assert original_is_gone(recognise(record)).complete
        assert attach_original(recognise(record), replace(original, message=replace(original.message, **part))).complete
    # whatever the clock of a producer said
    letter = recognise(read_letter("share_group_copy"))
    assert letter.last_death is not None
    assert attach_original(letter, replace(original, time=letter.last_death + 60 * SECOND)).lost == ()
