"""What is remembered of letters, so that the next ones of their kind need not be read, is bounded by its bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from brokercli.backends.envelope import encode_record
from brokercli.dialects import kinds, recognise, stamp, to_message
from brokercli.model.message import Message, Record, Typed
from brokercli.model.remembered import Remembered
from brokercli.operations import inspecting, sorting
from brokercli.operations.decisions import Redrive
from brokercli.operations.inspecting import Inspection, inspect
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.record_list import RecordList
from brokercli.operations.sorting import Sorter
from tests.operations.test_inspecting import lying
from tests.operations.test_sorting import Outlined, Wrapped

RECOGNISER = Recogniser(None, fetch_originals=False)  # type: ignore[arg-type]
LONG = 60_000
MANY = 80
MOST = 3_500_000
"""They have 5 MB in all, most of them twice."""


@pytest.fixture(autouse=True)
def a_quarter_or_less_of_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, most in ((kinds, "_KINDS_BYTES", 1 << 18), (sorting, "_WAYS_BYTES", 1 << 20), (inspecting, "MOST_BYTES", 1 << 19)):
        monkeypatch.setattr(module, name, most)


@contextmanager
def holding_little() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MOST, f"{held:,} bytes are held"


def letter(number: int, reason: bytes = b"timeout", trace: int = 0, body: int = 0) -> Record:
    headers = (("x-dlq-reason", reason), ("x-original-topic", b"orders"), ("x-exception-stacktrace", b"%d" % number + b"a" * trace))
    return Record("kafka", {"topic": "dlq", "partition": 0, "offset": number}, f"0:{number}", 0, Message(body=b"%d" % number + b"a" * body, headers=headers))


def of_a_queue(number: int, reason: bytes, trace: int) -> Record:
    return Record("rabbitmq", {"queue": "dlq"}, "", None, Message(headers=letter(number, reason, trace).message.headers))


def counted_number(number: int) -> bytes:
    return b"%d " % number + b"r" * LONG


def test_letters_with_long_headers_are_put_back_one_by_one_without_a_trace() -> None:
    with holding_little():
        for number in range(MANY):
            found = recognise(letter(number, trace=LONG))
            stamp(to_message(found), found, 0)
            encode_record(found.record)


@pytest.mark.parametrize("make", [lambda number: Outlined([letter(number, counted_number(number))]),
                                  lambda number: Outlined([letter(number, b"%d" % number, body=LONG)]),
                                  lambda number: Wrapped([of_a_queue(number, b"timeout", LONG)])],
                         ids=["in what decides", "in their bodies", "around their bodies"])
def test_letters_of_many_kinds_that_are_long_are_sorted_without_a_trace(make: Callable[[int], RecordList]) -> None:
    sorter = Sorter(RECOGNISER, Redrive())
    with holding_little():
        for number in range(MANY):
            assert sorter.sort(make(number), 0) is not None


def test_groups_with_long_words_beyond_so_many_bytes_are_counted_together() -> None:
    found: Inspection | None = None
    with holding_little():
        found = inspect(lying(MANY, "#" + "r" * LONG), RECOGNISER, LetterFilter())
    assert (found.matched, found.together > MANY // 2) == (MANY, True)


def test_headers_are_remembered_until_they_are_too_many_bytes_at_any_depth() -> None:
    remembered: Remembered[int] = Remembered()
    deep = (("x-death", Typed("array", (Typed("table", (("reason", b"r" * 400_000),)),))),)
    others = [(*deep, ("number", number)) for number in range(3)]
    for number, headers in enumerate(others[:2]):
        remembered.put(headers, number)
    assert [remembered.get(headers) for headers in others] == [0, 1, None]
    remembered.put(others[2], 2)
    assert [remembered.get(headers) for headers in others] == [None, None, 2]
