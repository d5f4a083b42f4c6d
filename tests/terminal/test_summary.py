"""The last line of a run, and its report."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.errors import LocalIO
from brokercli.model.receipt import Account
from brokercli.terminal.progress import spoken_duration
from brokercli.terminal.summary import report_end, summarise, write_report


def test_the_line_counts_everything_that_was_read(capture: Callable[..., Any]) -> None:
    captured = capture()
    summarise(captured.streams, "published", Account(1000, 998, 2, 0, 0), seconds=0.41)
    assert captured.err == "published: read 1,000, confirmed 998, refused 2, unknown 0, skipped 0 in 0.4 s\n"
    assert captured.out == b""


def test_a_longer_run_says_its_rate_and_what_else_is_worth_knowing(capture: Callable[..., Any]) -> None:
    captured = capture()
    summarise(captured.streams, "published", Account(20_000, 20_000), seconds=10, extra={"duplicates": 1200})
    assert captured.err == "published: read 20,000, confirmed 20,000, refused 0, unknown 0, skipped 0 in 10 s (2,000/s); duplicates 1,200\n"


def test_the_rate_is_of_what_was_sent_and_not_of_what_was_read_ahead(capture: Callable[..., Any]) -> None:
    """`--rate 100`, interrupted after a second: a rate of 3,988/s would contradict it."""
    captured = capture()
    summarise(captured.streams, "published", Account(3_988, 97, skipped=3_891), seconds=1)
    assert captured.err == "published: read 3,988, confirmed 97, refused 0, unknown 0, skipped 3,891 in 1.0 s (97/s)\n"


@pytest.mark.parametrize(
    ("unknown", "words"), [(1, "1 message was sent and its verdict never came: it may be stored, or not."), (2000, "2,000 messages were sent")]
)
def test_unknown_is_explained_with_the_next_step_even_when_quiet(capture: Callable[..., Any], unknown: int, words: str) -> None:
    captured = capture()
    summarise(captured.streams, "published", Account(unknown, unknown=unknown), seconds=1, quiet=True)
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert "Look before sending again" in captured.err


@pytest.mark.parametrize(("code", "expected"), [(0, 10), (9, 10), (1, 1), (3, 3), (4, 4), (130, 130)])
def test_a_report_that_cannot_be_written_is_said_and_hides_nothing_graver(capture: Callable[..., Any], tmp_path: Path, code: int, expected: int) -> None:
    captured = capture()
    assert report_end(captured.streams, str(tmp_path / "missing" / "report"), "published", Account(1, 1), code, 1.0) == expected
    assert "cannot be written" in captured.err


def test_quiet_says_nothing_when_nothing_is_in_doubt(capture: Callable[..., Any]) -> None:
    captured = capture()
    summarise(captured.streams, "published", Account(3, 1, 2), seconds=1, quiet=True)
    assert captured.err == ""


def test_a_report_is_private_json_in_place_of_the_last(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("the last one")
    write_report(str(report), "published", Account(2, 2), exit_code=0, seconds=0.50049, extra={"duplicates": 1})
    assert orjson.loads(report.read_bytes()) == {
        "summary": "published",
        "read": 2,
        "confirmed": 2,
        "refused": 0,
        "unknown": 0,
        "skipped": 0,
        "exit_code": 0,
        "seconds": 0.5,
        "duplicates": 1,
    }
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_report_names_a_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    write_report(str(tmp_path / "report"), "redriven", Account(1, 1), exit_code=0, seconds=0.1, extra={"journal": "kept\udcff"})
    assert orjson.loads((tmp_path / "report").read_bytes())["journal"] == "kept\\xff"


def test_a_report_through_a_link_replaces_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_report(str(tmp_path / "link.json"), "published", Account(), exit_code=0, seconds=0)
    assert orjson.loads((tmp_path / "real.json").read_bytes())["summary"] == "published"
    assert (tmp_path / "link.json").is_symlink()


def test_a_report_may_go_to_a_device() -> None:
    write_report("/dev/null", "published", Account(), exit_code=0, seconds=0)


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_report_to_what_is_open_already_comes_behind_what_stands_there(tmp_path: Path, through_a_link: bool) -> None:
    log = tmp_path / "run.log"
    log.write_text("of the run before\n")
    with log.open("ab") as opened:  # as by: brokercli … --report /dev/stderr 2>> run.log
        place = f"/dev/fd/{opened.fileno()}"
        if through_a_link:
            (tmp_path / "link").symlink_to(place)
            place = str(tmp_path / "link")
        write_report(place, "published", Account(), exit_code=0, seconds=0)
        opened.write(b"and more\n")
    before, report, after = re.split("(?<=\n)(?={)|(?<=}\n)", log.read_text())
    assert (before, orjson.loads(report)["summary"], after) == ("of the run before\n", "published", "and more\n")


def test_a_report_to_what_somebody_else_has_open_comes_behind_what_stands_there(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("[\n")
    with log.open("ab") as opened, subprocess.Popen(["sleep", "60"], stdout=opened) as other:
        write_report(f"/proc/{other.pid}/fd/1", "published", Account(), exit_code=0, seconds=0)
        other.kill()
    assert orjson.loads(log.read_bytes() + b"]")[0]["summary"] == "published"


def test_a_report_may_go_into_a_pipe() -> None:
    reading, writing = os.pipe()
    write_report(f"/dev/fd/{writing}", "published", Account(), exit_code=0, seconds=0)  # as by: brokercli … --report >(jq .unknown)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert orjson.loads(pipe.read())["summary"] == "published"


@pytest.mark.parametrize("path", ["missing/report.json", "."])
def test_a_report_that_cannot_be_written_is_a_local_failure(tmp_path: Path, path: str) -> None:
    with pytest.raises(LocalIO, match="cannot be written"):
        write_report(str(tmp_path / path), "published", Account(), exit_code=0, seconds=0)
    assert list(tmp_path.iterdir()) == []


@given(st.floats(0, 1e6))
def test_a_duration_is_spoken_in_a_few_words(seconds: float) -> None:
    assert len(spoken_duration(seconds)) <= 13


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [(0.0081, "8 ms"), (0.0996, "0.1 s"), (9.94, "9.9 s"), (9.96, "10 s"), (119.4, "119 s"), (200, "3 min 20 s"), (3900, "65 min 00 s"), (7500, "2 h 05 min")],
)
def test_a_duration_is_as_exact_as_it_is_useful(seconds: float, spoken: str) -> None:
    assert spoken_duration(seconds) == spoken
