"""Record batches as they are stored: every body comes out as it went in, however the batch is read."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.kafka import record_batches
from brokercli.backends.kafka.record_batches import Bodies, RecordBatch, Unreadable, batches_in
from tests.backends.kafka_wire import record, record_batch

Written = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]
"""Key, body, headers."""
TRANSACTIONAL, CONTROL, LOG_APPEND_TIME = 0x10, 0x20, 0x08

# lengths that come back, and some at which one more byte says how long they are
short = st.one_of(st.none(), st.binary(max_size=6), st.sampled_from([b"", b"\0" * 63, b"\1" * 64, b"x" * 70, b"\xff" * 8191, b"y" * 8192, b"z" * 20_000]))
inner = st.builds(lambda key, body: record(0, 0, key, body, []), st.binary(max_size=4), st.binary(max_size=4))
"""Bodies that look like records."""
headers = st.lists(st.tuples(st.sampled_from([b"", b"a", b"trace", b"t" * 64]), st.one_of(st.none(), st.binary(max_size=4))), max_size=3)
written = st.tuples(short, st.one_of(short, inner, st.builds(lambda one, other: one + other, inner, inner)), headers)


def stored(records: Sequence[Written], first: int = 0, offsets: Sequence[int] | None = None, attributes: int = 0, following: int | None = None) -> bytes:
    """Write a batch that begins at an offset; `offsets` within it where compaction has left some of them only."""
    places = list(range(len(records))) if offsets is None else list(offsets)
    content = [record(place, place * 300, key, body, headers) for place, (key, body, headers) in zip(places, records, strict=True)]
    return record_batch(content, first, (following or max(places, default=0) + 1) - 1, attributes)


def read(content: bytes, bodies: Bodies | None = None, start: int = 0, end: int = 1 << 60) -> list[bytes]:
    bodies = bodies or Bodies()
    view = memoryview(content)
    return [body for batch in batches_in(view, 0, len(view)) for body in bodies.of(view, batch, start, end)]


@given(st.lists(st.lists(written, min_size=1, max_size=8), min_size=1, max_size=6))
def test_bodies_come_out_as_they_went_in_whatever_was_read_before(batches: list[list[Written]]) -> None:
    bodies = Bodies()
    content = b"".join(stored(records, index * 100) for index, records in enumerate(batches))
    expected = [body or b"" for records in batches for _, body, _ in records]
    # the second time all their lengths are known
    assert read(content, bodies) == expected
    assert read(content, bodies) == expected


@given(st.lists(written, min_size=1, max_size=8), st.integers(0, 20), st.integers(0, 20), st.data())
def test_of_a_batch_that_is_not_wanted_whole_only_the_offsets_asked_for_come_out(records: list[Written], start: int, end: int, data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.integers(0, 9), min_size=len(records), max_size=len(records))))
    content = stored(records, 5, places, following=10)
    expected = [body or b"" for place, (_, body, _) in zip(places, records, strict=True) if start <= 5 + place < end]
    assert read(content, start=start, end=end) == expected


def test_an_end_that_compaction_has_taken_away_is_not_looked_for_in_the_batch_behind_it() -> None:
    content = stored([(None, b"before", [])] * 5) + stored([(None, b"behind", [])] * 10, 20)
    for end in range(5, 21):
        assert read(content, end=end) == [b"before"] * 5
    assert read(content, end=21) == [b"before"] * 5 + [b"behind"]


def test_lengths_that_are_known_are_read_in_one_call_and_a_new_one_is_learnt_once() -> None:
    bodies = Bodies()
    for size in (90, 90, 91, 90, 91):
        assert read(stored([(b"key", b"x" * size, [(b"trace", b"id")])] * 50), bodies) == [b"x" * size] * 50
    assert bodies.misses == 1


def test_a_batch_that_is_not_there_whole_yet_is_left_out() -> None:
    content = stored([(None, b"one", [])]) + stored([(None, b"two", [])], 1)
    for cut in range(1, len(content)):
        found = read(content[:-cut])
        assert found == ([b"one"] if cut <= len(stored([(None, b"two", [])])) else [])


def test_a_batch_that_compaction_has_emptied_is_passed_over() -> None:
    content = record_batch([], 7, 12, 0) + stored([(None, b"next", [])], 20)
    view = memoryview(content)
    assert [(batch.first, batch.following, batch.number) for batch in batches_in(view, 0, len(view))] == [(7, 20, 0), (20, 21, 1)]
    assert read(content) == [b"next"]


@pytest.mark.parametrize("attributes", [1, 2, 3, 4, TRANSACTIONAL, TRANSACTIONAL | CONTROL, 0x40])
def test_what_is_compressed_or_of_a_transaction_or_unknown_is_left_to_the_client_and_what_lies_before_it_is_read(attributes: int) -> None:
    view = memoryview(stored([(None, b"plain", [])]) + stored([(None, b"other", [])], 1, attributes=attributes))
    batches = batches_in(view, 0, len(view))
    assert Bodies().of(view, next(batches), 0, 10) == [b"plain"]
    with pytest.raises(Unreadable):
        next(batches)


def test_the_brokers_own_time_changes_nothing() -> None:
    assert read(stored([(None, b"late", [])], attributes=LOG_APPEND_TIME)) == [b"late"]


@pytest.mark.parametrize("magic", [0, 1, 3])
def test_batches_of_another_form_are_left_to_the_client(magic: int) -> None:
    content = bytearray(stored([(None, b"old", [])]))
    content[16] = magic
    with pytest.raises(Unreadable):
        read(bytes(content))


@given(st.data())
def test_a_batch_in_which_something_is_not_as_it_should_be_is_never_read_as_something_else(data: st.DataObject) -> None:
    content = bytearray(stored([(b"k%d" % number, b"body-%02d" % number, [(b"h", b"v")]) for number in range(5)]))
    # whatever only says how long something is
    lengths = data.draw(st.sampled_from([61, 65, 68, 76, 77, 79]))
    content[lengths] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[lengths]))
    bodies = Bodies()
    read(stored([(b"k0", b"body-00", [(b"h", b"v")])]), bodies)
    for parser in (bodies, Bodies()):
        try:
            found = read(bytes(content), parser)
        except Unreadable:
            continue
        # a byte of a time or of a key may change and nothing else
        assert found == [b"body-%02d" % number for number in range(5)]


def test_it_says_that_it_does_not_pay_where_lengths_never_come_back_or_batches_are_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = Bodies()
    for size in range(40):
        read(stored([(None, b"x" * (size * 3), [])] * 10), bodies)
    assert not bodies.pays
    tiny = Bodies()
    for _ in range(200):
        read(stored([(None, b"same", [])]), tiny)
    assert not tiny.pays
    monkeypatch.setattr(record_batches, "_MOST_LENGTHS", 10)
    many = Bodies()
    read(stored([(None, b"x" * size, []) for size in range(20)] * 10), many)
    assert not many.pays
    steady = Bodies()
    for _ in range(200):
        read(stored([(None, b"same", [])] * 20), steady)
    assert steady.pays


def test_places_are_those_of_what_was_received() -> None:
    content = stored([(None, b"a", []), (None, b"b", [])], 3)
    (batch,) = batches_in(memoryview(b"...." + content), 4, 4 + len(content))
    assert batch == RecordBatch(3, 5, 4 + 61, 4 + len(content), 2, -1)
    assert struct.unpack_from(">q", content) == (3,)
