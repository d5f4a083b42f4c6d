"""A journal says only what is on the disk, belongs to one copy, and is used by one run at a time."""

from __future__ import annotations

import os
import resource
from contextlib import nullcontext
from dataclasses import replace

import pytest

from brokercli.model.errors import LocalIO, UsageProblem
from brokercli.model.message import Message, Record
from brokercli.model.position import Number, Span
from brokercli.operations.journal import Journal, is_begun

COPY = {"from": "kafka://a topic:x", "to": "kafka://a topic:y"}


def test_a_second_run_finds_what_the_first_one_entered(tmp_path) -> None:
    path = str(tmp_path / "journal")
    with Journal(path, COPY) as journal:
        assert (journal.done, journal.delivered, journal.bounds) == ({}, 0, {})
        journal.bind({"start": "0:0", "end": "0:9"})
        journal.enter({0: 4, 1: 7}, 12)
        journal.enter({0: 5}, 1)
    with Journal(path, COPY) as journal:
        assert journal.done == {0: 5, 1: 7}
        assert journal.delivered == 13
        assert journal.bounds == {"start": "0:0", "end": "0:9"}


def test_a_torn_last_line_is_passed_over_and_written_again(tmp_path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path), COPY) as journal:
        journal.enter({0: 4}, 5)
        journal.enter({0: 9}, 5)
    path.write_bytes(path.read_bytes()[:-7])
    with Journal(str(path), COPY) as journal:
        assert journal.done == {0: 4}
        journal.enter({0: 9}, 5)
    with Journal(str(path), COPY) as journal:
        assert journal.done == {0: 9}


def test_an_edited_journal_is_refused(tmp_path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path), COPY) as journal:
        journal.enter({0: 4}, 5)
    path.write_bytes(path.read_bytes().replace(b'"0":4', b'"0":8'))
    with pytest.raises(UsageProblem, match="line 2 does not match its checksum"):
        Journal(str(path), COPY)


def test_a_first_line_that_is_torn_is_written_again(tmp_path) -> None:
    path = tmp_path / "journal"
    Journal(str(path), COPY).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    Journal(str(path), COPY).close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", ["remember the milk", '{"v":1,"broker":"kafka","topic":"orders.dlq","body":"the only copy"}'])
def test_a_file_of_somebody_elses_is_left_as_it_is(tmp_path, content: str) -> None:
    path = tmp_path / "notes"
    path.write_text(content)
    with pytest.raises(UsageProblem, match="is no journal of brokercli"):
        Journal(str(path), COPY)
    assert path.read_text() == content


def test_the_journal_of_another_copy_is_refused_with_what_differs(tmp_path) -> None:
    path = str(tmp_path / "journal")
    Journal(path, COPY).close()
    with pytest.raises(UsageProblem, match="its to is kafka://a topic:y, not kafka://a topic:z"):
        Journal(path, {**COPY, "to": "kafka://a topic:z"})


def test_two_runs_at_once_cannot_share_a_journal(tmp_path) -> None:
    path = str(tmp_path / "journal")
    with Journal(path, COPY), pytest.raises(UsageProblem, match="in use by another run"):
        Journal(path, COPY)


def test_a_journal_that_cannot_be_written_is_said(tmp_path) -> None:
    with pytest.raises(LocalIO, match="cannot be opened: No such file or directory"):
        Journal(str(tmp_path / "missing" / "journal"), COPY)


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_what_cannot_be_read_again_is_no_journal(tmp_path, kind: str) -> None:
    path = "/dev/null"
    if kind == "a pipe":
        path = str(tmp_path / "pipe")
        os.mkfifo(path)
    for opened in (lambda: Journal(path, COPY), lambda: is_begun(path)):
        with pytest.raises(UsageProblem, match=f"The journal {path} is no regular file"):
            opened()


def test_a_line_that_did_not_fit_on_the_disk_spoils_none_that_follows(tmp_path) -> None:
    path = tmp_path / "journal"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(str(path), COPY) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
        try:
            # and what the system says is said: it is not always the disk that is full
            with pytest.raises(LocalIO, match="cannot be written: File too large"):
                journal.enter({0: 4}, 5)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        # a run that ends enters what it knows, and by then there may be room again
        journal.enter({0: 4}, 5)
    with Journal(str(path), COPY) as again:
        assert (again.done, again.delivered) == ({0: 4}, 5)


def test_a_journal_of_a_source_that_was_made_anew_is_refused_where_both_tell(tmp_path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path), COPY, "made on Monday") as journal:
        journal.bind({"start": "0:0", "end": "0:9"})
        journal.enter({0: 4}, 5)
    with pytest.raises(UsageProblem, match="kafka://a topic:x was deleted and made anew since"):
        Journal(str(path), COPY, "made on Tuesday")
    for incarnation in ("made on Monday", ""):
        with Journal(str(path), COPY, incarnation) as journal:
            assert (journal.done, journal.delivered) == ({0: 4}, 5)


def test_a_journal_that_was_begun_without_it_tells_from_its_next_run_on(tmp_path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path), COPY) as journal:
        journal.enter({0: 4}, 5)
    with Journal(str(path), COPY, "made on Monday") as journal:
        assert (journal.done, journal.delivered) == ({0: 4}, 5)
    with pytest.raises(UsageProblem, match="made anew"):
        Journal(str(path), COPY, "made on Tuesday")


def test_what_is_stored_under_the_last_number_tells_where_nothing_else_does(tmp_path) -> None:
    path = str(tmp_path / "journal")
    record = Record("rabbitmq", {}, "4", 1_000, Message(b"x", id="a"))
    others = [replace(record, time=2_000), replace(record, message=Message(b"y", id="a")), replace(record, message=Message(b"x", id="b"))]
    with Journal(path, COPY) as journal:
        journal.enter({0: 4}, 5, record)
    with Journal(path, COPY) as journal:
        for same in (replace(record, place={"offset": 4}), None):
            journal.require_same(same)
        for other in others:
            with pytest.raises(UsageProblem, match="was deleted and made anew since"):
                journal.require_same(other)
        journal.enter({0: 5}, 1)
        journal.require_same(others[0])
    with Journal(path, COPY) as journal:
        journal.require_same(others[0])


@pytest.mark.parametrize("message", [Message(None), Message(b"x", id="\udcff")], ids=["no body", "an id that is not UTF-8"])
def test_whatever_the_last_record_is_it_is_known_again(tmp_path, message: Message) -> None:
    path, record = str(tmp_path / "journal"), Record("rabbitmq", {}, "4", None, message)
    with Journal(path, COPY) as journal:
        journal.enter({0: 4}, 5, record)
    with Journal(path, COPY) as journal:
        assert journal.mark
        journal.require_same(record)
        with pytest.raises(UsageProblem, match="made anew"):
            journal.require_same(replace(record, time=1))


def test_a_journal_in_use_says_what_it_remembers_by_then(tmp_path) -> None:
    with Journal(str(tmp_path / "journal"), COPY) as journal:
        journal.bind({"start": "0:0", "end": "0:9"})
        journal.enter({0: 4}, 5)
        assert (journal.bounds, journal.done, journal.delivered) == ({"start": "0:0", "end": "0:9"}, {0: 4}, 5)


def test_a_source_that_tells_when_it_was_made_is_not_known_by_what_it_stores(tmp_path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path), COPY, "made on Monday") as journal:
        journal.enter({0: 4}, 5, Record("nats", {}, "4", 1_000, Message(b"x")))
    assert b"mark" not in path.read_bytes()


@pytest.mark.parametrize(("bounds", "found", "anew"), [
    ({"start": "0", "end": "9"}, Span(Number(0), Number(8)), True), ({"start": "0", "end": "9"}, Span(Number(5), Number(9)), False),
    ({"start": "0", "end": "9"}, Span(Number(0), Number(20)), False), ({"start": "0", "end": "9"}, None, False), ({}, Span(Number(0), Number(8)), False),
    ({"start": "0:0", "end": "0:9"}, Span(Number(0), Number(8)), False)])
def test_a_source_that_ends_before_its_end_of_then_was_made_anew(tmp_path, bounds: dict[str, str], found: Span | None, anew: bool) -> None:
    with Journal(str(tmp_path / "journal"), COPY) as journal:
        journal.bind(bounds)
        with pytest.raises(UsageProblem, match="was deleted and made anew") if anew else nullcontext():
            journal.require_reach(found)


def test_a_journal_of_another_version_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "journal")
    Journal(path, COPY).close()
    monkeypatch.setattr("brokercli.operations.journal.VERSION", 2)
    with pytest.raises(UsageProblem, match="or one of another version"):
        Journal(path, COPY)
