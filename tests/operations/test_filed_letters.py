"""Letters out of a file: every line is read once, however many there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brokercli.operations.filed_letters import FiledReader, LetterFileContent
from brokercli.operations.journal import Journal


def lines_read(path: Path, handled: dict[int, int]) -> list[int]:
    """Read a file of letters to its end; return the numbers of the lines that came."""
    with Journal(str(path.with_name("done")), {}) as journal:
        journal.done = handled
        reader = FiledReader(LetterFileContent(str(path), "kafka"), journal)
    came: list[int] = []
    while not reader.finished:
        batch = reader.read(0)
        came += [record.line for record in batch.records()] if batch is not None else []  # type: ignore[attr-defined]
    return came


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000, 3005])
def test_of_any_number_of_letters_every_one_is_read(tmp_path: Path, count: int) -> None:
    path = tmp_path / "letters"
    path.write_text("".join(json.dumps({"v": 1, "broker": "kafka", "topic": "t", "partition": 0, "offset": number, "body": "x"}) + "\n"
                            for number in range(count)))
    assert lines_read(path, {}) == list(range(1, count + 1))
    assert lines_read(path, {2: 1500}) == [line for line in range(1, count + 1) if not 2 <= line <= 1500]


def test_large_letters_are_not_held_in_memory_by_the_thousand(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    trace = "x" * 3_000_000
    path.write_text("".join(json.dumps({"v": 1, "broker": "kafka", "topic": "t", "partition": 0, "offset": number, "body": trace}) + "\n"
                            for number in range(8)))
    with Journal(str(tmp_path / "done"), {}) as journal:
        reader = FiledReader(LetterFileContent(str(path), "kafka"), journal)
    came = []
    while not reader.finished:
        batch = reader.read(0)
        came.append(0 if batch is None else len(batch))
    assert sum(came) == 8
    assert max(came) == 3
