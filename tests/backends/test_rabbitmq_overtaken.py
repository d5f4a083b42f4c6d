"""What a look at a stream does not show because the stream's limits deleted it first: that is said, and nothing is said of what was never to be seen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from brokercli.backends.contract import PublishPolicy, Reader
from brokercli.backends.rabbitmq import overtaken, stream_look
from brokercli.backends.rabbitmq.overtaken import Gap, Overtaken, gaps
from brokercli.model.address import Address
from brokercli.model.message import Message
from brokercli.model.position import End, Number, Span, Start
from tests.backends.rabbitmq_places import Places, bodies_of, records_of
from tests.brokers.server import wait_until
from tests.conformance.driving import publish

PATIENCE = 60.0


class Asked:
    """Overtaken, the questions that it asked and what it wants to be called for later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.questions: list[Callable[[int | None], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.now = 100.0
        monkeypatch.setattr(overtaken, "monotonic", lambda: self.now)
        self.of = Overtaken(self.questions.append, lambda seconds, call: self.timers.append((seconds, call)))

    def answer(self, first: int | None) -> None:
        """Answer the one question that is open."""
        (question,) = self.questions
        self.questions.clear()
        question(first)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def small_stream(places: Places) -> Address:
    return Address(places.queue("stream", x_max_length_bytes=("l", 200_000), x_stream_max_segment_size_bytes=("l", 100_000)), "stream")


def fill_until(places: Places, stream: Address, first: int) -> None:
    """Publish until everything before an offset is deleted."""
    with places.open() as backend, backend.publisher(stream, PublishPolicy()) as publisher:
        def deleted() -> bool:
            assert publish(publisher, [Message(b"later" + b"x" * 1000)] * 300).confirmed == 300
            with backend.look(stream, Span(Start(), End())) as now:
                return now.bounds is not None and int(str(now.bounds.start)) >= first

        wait_until(deleted, PATIENCE, "the deletion of what is to be read")


def overtake(places: Places, monkeypatch: pytest.MonkeyPatch, *, follow: bool) -> tuple[Reader, int]:
    """Open a look that has asked for a part of a stream of which all is deleted then; return it and where the stream ended before."""
    monkeypatch.setattr(stream_look, "_HELD_BYTES", 20_000)
    monkeypatch.setattr(stream_look, "PREFETCH", 8)
    stream = small_stream(places)
    # written at once they may be one chunk, and a chunk is never divided between two files: all are sent then from the one that is open
    for _ in range(15):
        places.put("", stream.name, [b"x" * 1000] * 10)
    reader = places.open().look(stream, Span(Start(), None if follow else End()))
    end = 150
    fill_until(places, stream, end)
    return reader, end


def test_what_was_passed_over_and_is_still_stored_was_never_to_be_seen(asked: Asked) -> None:
    asked.of.passed([Gap(5, 9), Gap(12, 40)])
    asked.answer(5)
    assert asked.of.unsaid(None) + asked.of.stopped(100) == []


def test_what_was_passed_over_and_lies_before_the_beginning_went_unread(asked: Asked) -> None:
    asked.of.passed([Gap(5, 9)])
    asked.answer(9)
    assert asked.of.unsaid(5) == [], "what comes before it is still to be handed on"
    assert asked.of.unsaid(10) == ["what lay at the offsets 5 to 8 was deleted before it was read: a stream's limits do that"]
    assert asked.of.unsaid(None) + asked.of.stopped(100) == []


def test_one_offset_is_named_as_one(asked: Asked) -> None:
    asked.of.passed([Gap(5, 6)])
    asked.answer(6)
    assert asked.of.unsaid(None) == ["what lay at the offset 5 was deleted before it was read: a stream's limits do that"]


def test_where_other_holes_were_there_one_that_may_have_been_read_over_before_it_was_deleted_is_in_doubt(asked: Asked) -> None:
    asked.of.passed([Gap(0, 5)])
    asked.answer(0)
    asked.now += 1
    asked.of.passed([Gap(10, 15), Gap(30, 35)])
    asked.answer(35)
    assert asked.of.unsaid(None) == ["it was not to be learnt whether what lay at the offsets 10 to 14 was deleted unread"]


def test_a_look_that_is_overtaken_again_and_again_says_so_twice_and_then_how_much_in_all(asked: Asked) -> None:
    said = []
    for start in (100, 200, 300, 400):
        asked.now += 1
        asked.of.passed([Gap(start, start + 50)])
        asked.answer(start + 50)
        said += asked.of.unsaid(None)
    assert [note[:13] for note in said] == ["what lay at t", "more offsets "]
    assert asked.of.stopped(500) == ["200 offsets in all went unread"]


def test_a_stream_whose_offsets_are_never_dense_is_asked_about_once_a_second(asked: Asked) -> None:
    asked.of.passed([Gap(0, 5)])
    asked.answer(5)
    asked.of.passed([Gap(10, 15)])
    asked.now += 0.25
    asked.of.passed([Gap(20, 25)])
    assert not asked.questions
    ((seconds, call),) = asked.timers
    assert seconds == 1.0
    asked.now += 0.75
    call()
    asked.answer(25)
    assert [note[:13] for note in asked.of.unsaid(None)] == ["what lay at t", "more offsets "]


def test_what_is_passed_over_while_a_question_is_open_is_asked_about_afterwards(asked: Asked) -> None:
    asked.of.passed([Gap(0, 5)])
    asked.of.passed([Gap(10, 15)])
    asked.answer(12)
    assert [note[:26] for note in asked.of.unsaid(None)] == ["what lay at the offsets 0 "]
    asked.now += 1
    asked.timers.pop()[1]()
    asked.answer(12)
    assert [note[:13] for note in asked.of.unsaid(None)] == ["more offsets "]


def test_the_end_waits_until_it_is_known_what_was_passed_over(asked: Asked) -> None:
    ended: list[bool] = []
    asked.of.passed([Gap(0, 5)])
    asked.of.passed([Gap(10, 15)])
    asked.of.when_known(lambda: ended.append(True))
    asked.answer(0)
    assert not ended, "one of them was passed over after the question"
    asked.answer(0)
    assert ended == [True]
    asked.of.when_known(lambda: ended.append(True))
    assert ended == [True, True]


def test_a_question_that_was_lost_with_its_connection_is_asked_again(asked: Asked) -> None:
    asked.of.passed([Gap(0, 5)])
    asked.questions.clear()
    asked.of.restored()
    asked.answer(5)
    assert len(asked.of.unsaid(None)) == 1


def test_what_is_never_answered_is_in_doubt_and_that_is_said_once(asked: Asked) -> None:
    doubt = ["it was not to be learnt whether what lay at the offsets 0 to 4 was deleted unread"]
    ended: list[bool] = []
    asked.of.passed([Gap(0, 5)])
    asked.of.when_known(lambda: ended.append(True))
    assert not ended
    asked.of.given_up()
    assert ended
    assert asked.of.unsaid(None) == doubt
    asked.of.passed([Gap(10, 15)])
    assert asked.of.stopped(100) == []


def test_what_is_not_answered_by_the_end_of_a_look_is_in_doubt_where_it_was_passed_over(asked: Asked) -> None:
    asked.of.passed([Gap(10, 15)])
    assert asked.of.stopped(5) == []
    assert asked.of.stopped(16) == ["it was not to be learnt whether what lay at the offsets 10 to 14 was deleted unread"]


def test_gaps_are_what_may_have_held_something_that_was_to_be_read() -> None:
    assert list(gaps(3, [3, 4, 6, 9, 10], None)) == [Gap(7, 9)], "a single offset is the broker's own, at the beginning of a segment"
    assert list(gaps(3, [20, 21], None)) == [Gap(3, 20)]
    assert list(gaps(3, [20, 21], 10)) == [Gap(3, 10)]
    assert list(gaps(9, [20, 21], 10)) == [Gap(9, 10)], "before the end there was a record"
    assert list(gaps(3, [3, 4, 5, 6], 5)) == []


def test_a_look_that_follows_says_which_offsets_were_deleted_before_it_came_to_them(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, end = overtake(places, monkeypatch, follow=True)
    offsets: list[int] = []

    def jumped() -> bool:
        batch = reader.read(0.2)
        offsets.extend(int(record.position) for record in (batch.records() if batch is not None else ()))
        return bool(offsets) and offsets[-1] >= end

    wait_until(jumped, PATIENCE, "what came later")
    reader.close()
    (jump,) = [(before, after) for before, after in pairwise(offsets) if after > before + 2]
    assert [note.split(" to ")[0] for note in reader.notes] == [f"what lay at the offsets {jump[0] + 1}"]


def test_a_look_that_ends_says_what_was_deleted_up_to_its_end(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, end = overtake(places, monkeypatch, follow=False)
    records = records_of(reader)
    assert reader.finished
    reader.close()
    following = int(records[-1].position) + 1
    # the broker may have the file open still, and send what is in it
    assert following < end
    assert reader.bounds is not None
    stop = int(str(reader.bounds.end)) - 1
    assert reader.notes == [f"what lay at the offsets {following} to {stop} was deleted before it was read: a stream's limits do that"]


def test_a_stream_that_shows_nothing_for_once_has_not_deleted_what_is_to_be_read(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[None] = []
    monkeypatch.setattr(stream_look, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(stream_look, "end_of", lambda link, stream: seen.append(None))
    monkeypatch.setattr(stream_look.StreamReader, "_open", lambda reader: None)
    with places.open() as backend, backend.look(Address(places.stream([b"1", b"2"]), "stream"), Span(Start(), End())) as reader:
        finished = []
        for _ in range(3):
            assert reader.read(0) is None
            finished.append(reader.finished)
    assert (len(seen), finished) == (3, [False, False, True])
    assert list(reader.notes) == ["what lay at the offsets 0 to 1 was deleted before it was read: a stream's limits do that"]


def test_what_was_read_before_it_was_deleted_is_not_said_to_have_gone_unread(places: Places) -> None:
    """Each segment begins with an offset that is the broker's own: there is a hole where one that was read ends that is deleted by now."""
    stream = small_stream(places)
    places.put("", stream.name, [b"first"])
    with places.open() as backend, backend.look(stream, Span(Number(0), None)) as reader, backend.publisher(stream, PublishPolicy()) as publisher:
        assert bodies_of(reader, 1) == [b"first"]
        offsets: list[int] = []
        for _ in range(40):
            assert publish(publisher, [Message(b"x" * 1000)] * 50).confirmed == 50
            offsets += [int(record.position) for record in records_of(reader, 50)]
        with backend.look(stream, Span(Start(), End())) as now:
            assert now.bounds is not None
            assert int(str(now.bounds.start)) > 0
    assert offsets[-1] > 40 * 50, "there were segments that begin with an offset of the broker's own"
    assert reader.notes == []
