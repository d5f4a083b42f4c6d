"""Letters in a stream that captures work as well: told by the subjects it holds messages of, and by the names the user gives."""

from __future__ import annotations

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.nats.dead_letter_names import marks_among
from tests.backends.nats_letters import letters_of, numbers, read_all, redrive, source_of
from tests.backends.nats_streams import Streams, bodies, everything, stream


def mixed(streams: Streams, letters: str, *, work: int = 10) -> str:
    """Make a stream of everything below its name, with some work on `TOKEN.orders` and three letters on `TOKEN.LETTERS`."""
    name = streams.make()
    low = name.lower()
    streams.worker(name)
    streams.fill(f"{low}.orders", [b"work %d" % number for number in range(work)])
    streams.fill(f"{low}.{letters}", numbers(3), f"NATS/1.0\r\nX-Original-Subject: {low}.orders\r\n\r\n".encode())
    return name


def test_letters_on_a_subject_of_their_own_are_told_from_the_work_that_the_same_wildcard_captures(streams: Streams) -> None:
    name = mixed(streams, "orders.dlq")
    letters = f"{name.lower()}.orders.dlq"
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert (found.pending, found.found_by, found.remarks) == (3, f"subject {letters}", (f"letters are the messages on {letters}",))
    with backend.look_letters(stream(name)) as reader:
        assert bodies(everything(reader)) == numbers(3)
        assert f"only messages on {letters} are letters; the others in this stream are left alone" in reader.notes
    outcome, _ = redrive(backend, name)
    assert (outcome.account.read, outcome.account.confirmed) == (3, 3)
    assert [(where, body) for where, _, body in streams.stored(name)] == [
        (f"{name.lower()}.orders", body) for body in [*(b"work %d" % number for number in range(10)), *numbers(3)]]


def test_a_name_that_the_user_gives_tells_letters_from_work_wherever_they_are_looked_at_or_put_back(streams: Streams) -> None:
    name = mixed(streams, "failed")
    backend = streams.backend()
    assert source_of(backend, name) is None
    pattern = f"{name.lower()}.fail*"
    found = source_of(backend, name, pattern)
    assert found is not None
    assert found.pending == 3
    with backend.look_letters(stream(name), [pattern]) as reader:
        assert bodies(everything(reader)) == numbers(3)
    with backend.repair(stream(name), RepairPolicy(), [pattern]) as repair:
        assert bodies(read_all(repair)) == numbers(3)


def test_who_waits_for_letters_is_given_some_however_much_work_comes_before(streams: Streams) -> None:
    name = mixed(streams, "orders.dlq", work=3000)
    with streams.backend().look_letters(stream(name)) as reader:
        first = reader.read(20)
        assert first is not None
        assert bodies(first.records()) == numbers(3)[:len(first)]


def test_a_subject_that_the_user_names_narrows_a_stream_whose_configuration_has_it(streams: Streams) -> None:
    token = streams.subject().replace(".", "")
    name = streams.make(subjects=[f"{token}.failed", f"{token}.work.>"])
    streams.fill(f"{token}.work.a", [b"work"])
    streams.fill(f"{token}.failed", numbers(3))
    with streams.backend().look_letters(stream(name), [f"{token}.failed"]) as reader:
        assert bodies(everything(reader)) == numbers(3)


def test_what_may_be_work_in_a_stream_that_nothing_marks_is_said_although_some_of_it_speaks_of_deaths(streams: Streams) -> None:
    name = mixed(streams, "other")
    backend = streams.backend()
    assert len(letters_of(backend, name)) == 13
    with backend.look_letters(stream(name)) as reader:
        note, = reader.notes
    assert "what no dialect recognises may be work" in note


@pytest.mark.parametrize(("subjects", "patterns", "narrow"), [
    (["a.b", "orders.dlq"], [], ("orders.dlq",)),
    (["orders.dlq.a", "orders.dlq.b.c", "orders.new"], [], ("orders.dlq.>",)),
    (["eu.orders.dlq", "us.orders.dlq", "us.dlq.orders"], [], ("*.orders.dlq", "us.dlq.>")),
    (["orders.failed", "orders.new"], ["*.failed"], ("orders.failed",)),
    (["deadline.a", "orders.new"], [], ()),
])
def test_subjects_that_speak_of_dead_letters_are_found_again_by_their_shape(subjects: list[str], patterns: list[str], narrow: tuple[str, ...]) -> None:
    marks = marks_among(subjects, patterns)
    assert (marks.subjects if marks is not None else ()) == narrow
    assert marks is None or [subject for subject in subjects if marks.holds(subject)] == [
        subject for subject in subjects if "dlq" in subject or subject == "orders.failed"]
