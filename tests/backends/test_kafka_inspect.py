"""Counting letters by kind gives what reading each of them gives."""

from __future__ import annotations

import pytest

from brokercli.backends.dead_letters import RepairPolicy, State
from brokercli.dialects import Facts, recognise
from brokercli.model.address import Address
from brokercli.operations.inspecting import Inspection, inspect
from brokercli.operations.letters import LetterFilter, Recogniser
from tests.backends.kafka_redrive import letters, repair
from tests.backends.kafka_topics import Topics
from tests.dialects.real_letters import NAMES, read_letter


@pytest.mark.parametrize("pointers", [False, True], ids=["", "and pointers among them"])
def test_real_letters_are_counted_alike_with_and_without_reading_each(groups: Topics, pointers: bool) -> None:
    dlq = groups.make(partitions=2, retention_ms="-1")
    producer = groups.producer()
    real = [letter for name in NAMES if (letter := read_letter(name)).broker == "kafka" and (pointers or recognise(letter).complete)]
    for number in range(5):
        for letter in real:
            message = letter.message
            producer.produce(dlq.name, message.body, message.key, number % 2, headers=[*message.headers, ("number", b"%d" % number)],
                             timestamp=1_700_000_000_000 + number * 60_000)
    assert producer.flush(60) == 0
    run = repair(groups, dlq)
    assert run.mark(letters(run)[:7], State.DROPPED).confirmed == 7
    run.close()
    backend = groups.backend()
    recogniser = Recogniser(backend, facts=Facts(dead_letter_destinations=frozenset({dlq.name})))

    def inspected(letter_filter: LetterFilter) -> Inspection:
        with backend.look_letters(dlq) as reader:
            return inspect(reader, recogniser, letter_filter)

    by_kind, one_by_one = inspected(LetterFilter()), inspected(LetterFilter(since=0))
    assert by_kind.matched == len(real) * 5
    assert by_kind.states == {State.PENDING: len(real) * 5 - 7, State.DROPPED: 7}
    for group in (*by_kind.groups.values(), *one_by_one.groups.values()):
        # partitions come in any order, and the sample is the first that came
        other = one_by_one.groups[group.dialect, group.reason, group.exception, group.origin, group.consumer]
        group.sample_name, group.exception_message, group.remarks = other.sample_name, other.exception_message, other.remarks
    assert by_kind == one_by_one


def test_where_a_redrive_may_be_forgotten_that_is_said_before_letters_are_put_back_again(groups: Topics) -> None:
    def told(dlq: Address) -> list[str]:
        with groups.backend().look_letters(dlq) as look, groups.backend().repair(dlq, RepairPolicy()) as run:
            return [note for notes in (look.notes, run.notes) for note in notes if "knows of no redrive" in note]

    old, new = groups.make(retention_ms="-1"), groups.make(retention_ms="-1")
    producer = groups.producer()
    producer.produce(old.name, b"from 2023", timestamp=1_700_000_000_000)
    producer.produce(new.name, b"from now")
    assert producer.flush(60) == 0
    assert [note.partition(",")[0] for note in told(old)] == ["the broker knows of no redrive of these letters"] * 2
    assert told(new) == []
    run = repair(groups, old)
    assert run.mark(letters(run), State.DROPPED).confirmed == 1
    run.close()
    assert told(old) == []
