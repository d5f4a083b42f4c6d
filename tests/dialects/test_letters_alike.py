"""Letters that share their headers are read once, and each is still its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brokercli.dialects import Facts, parse_user_dialect, recognise, stamp, to_message
from brokercli.dialects.redrive_headers import COUNT
from brokercli.model.message import Header, Message, Record, Typed

DEATH: Header = ("x-death", Typed("array", (Typed("table", (
    ("count", 1), ("reason", b"rejected"), ("queue", b"work"), ("time", Typed("timestamp", 1_700_000_000)), ("exchange", b""),
    ("routing-keys", Typed("array", (b"work",))))),)))
KINDS: dict[str, tuple[Header, ...]] = {
    "rabbitmq": (("tenant", b"acme"), DEATH),
    "generic": (("x-original-queue", b"work"), ("x-error-message", b"timeout"), ("tenant", b"acme")),
    "tiered": (("x-attempts", b"3"), ("x-original-topic", b"work"), ("tenant", b"acme")),
}


def record(headers: tuple[Header, ...], body: bytes, queue: str = "dead", **properties: bytes) -> Record:
    place = {"exchange": "", "routing_key": queue, "queue": queue, "redelivered": False}
    return Record("rabbitmq", dict(place), "", None, Message(body=body, headers=headers, properties=dict(properties), origin="rabbitmq"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_letter_has_its_own_body_and_properties(kind: str) -> None:
    headers = KINDS[kind]
    first, second = recognise(record(headers, b"1", expiration=b"10")), recognise(record(headers, b"2", message_id=b"m-2"))
    assert (first.reason, first.homes) == (second.reason, second.homes)
    assert first.home is not None
    assert (first.stripped_properties, second.stripped_properties) == (("expiration",), ())
    messages = [stamp(to_message(letter), letter, 5) for letter in (first, second)]
    assert [(message.body, message.properties) for message in messages] == [(b"1", {}), (b"2", {"message_id": b"m-2"})]
    assert messages[0].headers == messages[1].headers


@pytest.mark.parametrize("kind", KINDS)
def test_where_a_letter_lies_and_what_is_known_is_not_taken_from_another(kind: str) -> None:
    headers = KINDS[kind]
    assert recognise(record(headers, b"")).home is not None
    # it lies at its own home: that is none
    assert recognise(record(headers, b"", queue="work")).home is None
    assert recognise(record(headers, b""), facts=Facts(dead_letter_destinations=frozenset({"work"}))).home is None
    assert recognise(record(headers, b"")).home is not None


def test_what_one_dialect_strips_stays_where_the_same_headers_are_read_by_another() -> None:
    mine = parse_user_dialect("mine", {"when": ["x-original-queue"], "queue": "x-original-queue", "strip": ["tenant"]})
    by_mine, by_generic = recognise(record(KINDS["generic"], b"1"), extra=[mine]), recognise(record(KINDS["generic"], b"2"))
    for _ in range(2):
        assert "tenant" not in dict(to_message(by_mine).headers)
        assert to_message(by_generic).headers == (("tenant", b"acme"),)


def test_our_own_headers_are_stamped_once_also_on_a_message_that_has_them_and_counted_anew_where_the_count_is_not_believed() -> None:
    letter = recognise(record((*KINDS["generic"], (COUNT, b"many")), b""))
    assert letter.redrives is None
    stamped = stamp(Message(headers=((COUNT, b"many"), ("tenant", b"acme"), (COUNT, b"7"))), letter, 1)
    assert [name for name, _ in stamped.headers].count(COUNT) == 1
    assert (stamped.headers[0], dict(stamped.headers)[COUNT]) == (("tenant", b"acme"), b"1")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [(True, False, True), (False, True, False)], ids=["a stream first", "a queue first"])
def test_what_a_stream_loses_is_said_of_its_letters_alone(kind: str, order: tuple[bool, ...]) -> None:
    headers = (*KINDS[kind],)  # seen by no other test
    for in_stream in order:
        letter = record(headers, b"")
        letter = replace(letter, place={**letter.place, "offset": 3}) if in_stream else letter
        assert bool(recognise(letter).lost) is in_stream


def test_headers_that_only_look_equal_are_told_apart() -> None:
    number, truth = recognise(record((*KINDS["generic"], ("flag", 1)), b"")), recognise(record((*KINDS["generic"], ("flag", True)), b""))
    assert to_message(number).headers[-1][1] is not True
    assert to_message(truth).headers[-1][1] is True


def test_what_was_stamped_on_one_letter_is_not_stamped_on_a_later_one() -> None:
    letter = recognise(record(KINDS["generic"], b""))
    moments = [dict(stamp(to_message(letter), letter, at).headers)["x-brokercli-redriven-at"] for at in (1_000_000_000, 2_000_000_000)]
    assert len(set(moments)) == 2
    elsewhere = replace(letter.record, place={**letter.record.place, "queue": "other"})
    moved = recognise(elsewhere)
    assert dict(stamp(to_message(moved), moved, 1).headers)["x-brokercli-redriven-from"] == b"queue:other"
