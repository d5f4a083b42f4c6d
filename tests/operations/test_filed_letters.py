"""Letters out of a file: every line is read once, however many there are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from brokercli.backends.envelope import encode_record, encode_with_original, mark_dead_at_home
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message, Record
from brokercli.operations.filed_letters import FiledReader, Handled, LetterFileContent
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


LETTER = Record("nats", {"subject": "orders", "stream": "deaths", "sequence": 4}, "4", 5, Message(b"dead", route="orders", origin="nats"))
ORIGINAL = Record("nats", {"subject": "orders", "stream": "orders", "sequence": 9}, "9", 3, Message(b"\xff", route="orders", origin="nats"))
LINES = [encode_record(LETTER), b"  ", encode_with_original(LETTER, ORIGINAL), mark_dead_at_home(encode_record(LETTER))]


@pytest.mark.parametrize(("end", "torn"), [(b"", 0), (b"\n", 0), (b'\n{"broker":"na', 5), (b"\n" + LINES[0][:-1], 5)])
def test_a_letter_comes_with_all_that_its_line_says_and_half_a_line_at_the_end_is_told(tmp_path: Path, end: bytes, torn: int) -> None:
    path = tmp_path / "letters"
    path.write_bytes(b"\n".join(LINES) + end)
    sizes: list[int] = []
    content = LetterFileContent(str(path), "nats", sizes.append)
    assert (content.count, content.torn, sum(sizes)) == (3, torn, len(b"\n".join(LINES)) + bool(end))
    assert content.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    records = list(content.records(Handled({})))
    assert [(record.line, record.original, record.at_home, record.position, record.message) for record in records] == [
        (1, None, False, "4", LETTER.message), (3, ORIGINAL, False, "4", LETTER.message), (4, None, True, "4", LETTER.message)]
    with Journal(str(tmp_path / "done"), {}) as journal:
        reader = FiledReader(content, journal)
    assert reader.notes == ([f"line 5 of {path} is half a letter and passed over; its writer was stopped there"] if torn else [])


@pytest.mark.parametrize(("content", "why"), [
    (b'{"broker":"na', "is no file of letters: line 1 is not JSON"), (LINES[0] + b"\nnot json", "is no file of letters: line 2 is not JSON"),
    (LINES[0][:-1] + b"\n" + LINES[0], "is no file of letters: line 1 is not JSON"),
    (LINES[0] + b"\n" + LINES[0][:-1] + b"\n" + LINES[0], "is no file of letters: line 2 is not JSON"),
    (b"\n" + encode_record(Record("kafka", {}, "", None, Message())) + b"\n", "line 2 of .* is a letter of kafka, and this context is nats"),
    (LINES[0] + b'\n{"body":"x"}', "line 2: it does not say which broker"),
    (LINES[0][:-1] + b',"original":{"body":5}}', "is no file of letters"), (None, "cannot be read: No such file")])
def test_a_file_of_something_else_is_refused_as_a_whole(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "letters"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageProblem, match=f"{why}.*Nothing was sent"):
        LetterFileContent(str(path), "nats")


def test_lines_that_were_handled_in_any_order_are_known() -> None:
    handled = Handled({7: 9, 1: 2, 4: 4})
    assert [line for line in range(12) if line in handled] == [1, 2, 4, 7, 8, 9]
