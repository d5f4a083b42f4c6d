"""Files that commands are given: what may be standard input or output, what may not, and what must not be there yet. All of it is known
before anything connects: nothing listens where the broker of these tests is to be."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from brokercli.commands.files import are_one, check_report
from brokercli.model.errors import UsageProblem
from tests.commandline import CommandLine, environment
from tests.commandline import command as command_line

NOWHERE = {"BROKERCLI_URL": "nats://127.0.0.1:1", "BROKERCLI_CONNECT_TIMEOUT": "1"}


@pytest.fixture
def nowhere(cli: CommandLine) -> CommandLine:
    """Return `cli`, its broker one that nobody answers for."""
    cli.extra |= NOWHERE
    return cli


def refused(cli: CommandLine, *arguments: str, stdin: bytes | None = b"") -> str:
    """Return what is said by a command that is refused as used wrongly."""
    ended = cli(*arguments, stdin=stdin)
    assert (ended.code, ended.stdout) == (2, b""), ended.stderr
    return ended.stderr


@pytest.mark.parametrize("command", [("dlq", "export", "there"), ("topology", "export", "there"), ("dlq", "redrive", "--journal", "there"),
                                     ("dlq", "drop", "--journal", "there", "--yes"), ("dlq", "park", "--to", "orders", "--journal", "there")], ids=" ".join)
def test_a_file_that_is_there_is_not_written_over(nowhere: CommandLine, command: tuple[str, ...]) -> None:
    (nowhere.home / "there").write_text("mine")
    assert "there is there already" in refused(nowhere, *command)
    assert (nowhere.home / "there").read_text() == "mine"


@pytest.mark.parametrize("command", [("dlq", "export", ""), ("topology", "export", ""), ("dlq", "drop", "--yes", "--journal", ""),
                                     ("replay", "orders", "--to", "fixed", "--resume", ""), ("dlq", "redrive", "--yes", "--from-file", ""),
                                     ("dlq", "inspect", "--ids", ""), ("topology", "plan", "")], ids=" ".join)
def test_a_file_without_a_name_is_refused(nowhere: CommandLine, command: tuple[str, ...]) -> None:
    assert "A file needs a name" in refused(nowhere, *command)


@pytest.mark.parametrize("verb", [("inspect",), ("export", "-"), ("redrive",), ("drop",), ("park", "--to", "orders")], ids=" ".join)
def test_names_of_letters_come_from_standard_input_as_well(nowhere: CommandLine, verb: tuple[str, ...]) -> None:
    assert "--ids - names no letter" in refused(nowhere, "dlq", *verb, "--ids", "-")
    assert nowhere("dlq", *verb, "--ids", "-", stdin=b"12\n").code == 5  # they are read, and then it goes to the broker


@pytest.mark.parametrize("command", [("dlq", "inspect", "--ids", "-"), ("topology", "plan", "-"), ("publish", "orders"), ("publish", "orders", "-f", "-")],
                         ids=" ".join)
def test_standard_input_that_is_closed_is_said_to_be(nowhere: CommandLine, command: tuple[str, ...]) -> None:
    ended = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *command_line(command)], capture_output=True, check=False,
                           env=environment(nowhere.home, NOWHERE))
    assert (ended.returncode, b"Standard input is closed" in ended.stderr) == (2, True), ended.stderr


def test_bodies_come_from_standard_input_once(nowhere: CommandLine) -> None:
    assert "once" in refused(nowhere, "publish", "orders", "-f", "-", "-f", "-", "--input", "whole")


def test_a_file_of_letters_is_read_twice_so_that_no_pipe_is_one(nowhere: CommandLine) -> None:
    assert "is read again later is a file" in refused(nowhere, "dlq", "redrive", "--from-file", "-", "--yes")
    assert "cannot be read twice" in refused(nowhere, "dlq", "redrive", "--from-file", "/dev/null", "--yes")


def test_a_file_that_is_read_at_every_use_is_not_standard_input(nowhere: CommandLine) -> None:
    for option in ("--password-file", "--credentials", "--ca", "--certificate", "--key"):
        assert "is read again later is a file" in refused(nowhere, "context", "add", "other", "--url", "nats://broker.example", option, "-")


@pytest.mark.parametrize("verb", [("redrive",), ("drop",), ("park", "--to", "orders")], ids=" ".join)
def test_a_plan_has_no_report(nowhere: CommandLine, verb: tuple[str, ...]) -> None:
    for options in (("--dry-run",), ("--dry-run", "--yes"), ()):
        said = refused(nowhere, "dlq", *verb, "--report", "report", *options)
        assert "--report tells how a run ended" in said
        assert "-o json" in said
    assert not (nowhere.home / "report").exists()


def test_a_copy_that_is_only_counted_has_no_report(nowhere: CommandLine) -> None:
    assert "--report tells how a run ended" in refused(nowhere, "replay", "orders", "--to", "other", "--dry-run", "--report", "report")


@pytest.mark.parametrize("command", [("publish", "orders", "-f", "mine"), ("publish", "orders", "-f", "other", "-f", "./mine"),
                                     ("replay", "orders", "--to", "fixed", "--resume", "mine"), ("dlq", "redrive", "--yes", "--from-file", "mine"),
                                     ("dlq", "redrive", "--yes", "--from-file", "other", "--resume", "mine"), ("dlq", "redrive", "--yes", "--ids", "mine"),
                                     ("dlq", "park", "--to", "parked", "--yes", "--journal", "mine"), ("dlq", "drop", "--yes", "--journal", "mine")],
                         ids=" ".join)
def test_a_report_is_written_over_nothing_that_the_run_reads_or_keeps(nowhere: CommandLine, command: tuple[str, ...]) -> None:
    (nowhere.home / "also").symlink_to("mine")
    for name in ("mine", "also", str(nowhere.home / "mine")):
        assert f"--report {name} would write over what the run itself reads or keeps" in refused(nowhere, *command, "--report", name)
    assert "needs the name of a file" in refused(nowhere, *command, "--report", "")


@pytest.mark.parametrize("command", [("publish", "orders", "hi"), ("replay", "orders", "--to", "fixed"), ("dlq", "redrive", "--yes"), ("dlq", "drop", "--yes")],
                         ids=" ".join)
def test_a_report_that_nowhere_can_be_is_refused_before_anything_is_sent(nowhere: CommandLine, command: tuple[str, ...]) -> None:
    # at the end it would make a run that did everything one that failed, and is repeated
    assert "--report missing/report cannot be written: there is no such folder" in refused(nowhere, *command, "--report", "missing/report")
    assert "--report . is a directory" in refused(nowhere, *command, "--report", ".")


def test_a_report_that_may_not_be_written_is_refused_before_anything_is_sent() -> None:
    # the folders of tests are for their owner alone, and others see nothing in them
    with TemporaryDirectory() as name:
        open_to_all, shut, pipe = Path(name), Path(name) / "shut", Path(name) / "pipe"
        open_to_all.chmod(0o777)
        shut.mkdir(mode=0o555)
        (shut / "file").touch()
        os.mkfifo(pipe, mode=0o400)
        for report in (shut / "report", shut / "file", pipe):
            assert f"--report {report} cannot be written: that is not permitted. Nothing was sent." in said_to_others(report)
        (open_to_all / "file").touch(mode=0o400)
        (open_to_all / "circle").symlink_to("circle")
        for report in (open_to_all / "report", open_to_all / "file", open_to_all / "circle", Path("/dev/null"), Path("/dev/stdout"), Path("/dev/fd/7")):
            assert said_to_others(report) == ""


def said_to_others(report: Path) -> str:
    """Return why a report there is refused to somebody who is not root; empty where it is not."""
    told, tells = os.pipe()
    if not (other := os.fork()):
        if os.geteuid() == 0:
            os.setuid(65534)
        with suppress(BaseException):
            try:
                check_report(str(report), None)
            except UsageProblem as problem:
                os.write(tells, str(problem).encode())
            os._exit(0)
        os._exit(1)
    os.close(tells)
    with os.fdopen(told) as words:
        said = words.read()
    assert os.waitpid(other, 0)[1] == 0
    return said


def test_where_the_folder_is_gone_a_report_is_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert are_one("report", "./report")
    folder.rmdir()
    assert not are_one("report", "journal")
    assert not are_one("-", "-")
