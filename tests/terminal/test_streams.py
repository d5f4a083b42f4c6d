"""Standard streams in every state a shell can hand them over in."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brokercli.model.errors import LocalIO, ReaderLeft
from brokercli.terminal.streams import Streams, terminal_width

SAY = "from brokercli.terminal.streams import Streams; s = Streams.system(); s.say('grüße → \\x1b[31m'); s.write(b'data\\n')"


def run_in_shell(redirections: str, program: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, program],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def test_data_and_talk_go_to_their_own_streams_whatever_the_locale() -> None:
    for locale in ("C", "C.UTF-8", "POSIX"):
        ended = run_in_shell("", SAY, LC_ALL=locale)
        assert (ended.stdout, ended.stderr.decode(), ended.returncode) == (b"data\n", "grüße → \\x1b[31m\n", 0)


def test_talk_in_an_encoding_without_arrows_uses_ascii_ones() -> None:
    ended = run_in_shell("", SAY, PYTHONIOENCODING="latin-1")
    assert ended.stderr.decode("latin-1") == "grüße -> \\x1b[31m\n"


def test_closed_standard_error_is_no_reason_to_fail() -> None:
    ended = run_in_shell("2>&-", SAY)
    assert (ended.stdout, ended.returncode) == (b"data\n", 0)


def test_closed_standard_input_is_said_to_be_none() -> None:
    ended = run_in_shell(
        "<&-", "from brokercli.terminal.streams import Streams; s = Streams.system(); s.write(repr((s.stdin, s.stdin_is_terminal, s.ask('?'))).encode())"
    )
    assert ended.stdout == b"(None, False, False)"


def test_closed_standard_output_refuses_data_instead_of_losing_it() -> None:
    ended = run_in_shell(">&-", SAY.replace("s.write", "\ntry: s.write") + "\nexcept Exception as problem: s.say(f'{type(problem).__name__}: {problem}')")
    assert "LocalIO: cannot write output: standard output is closed" in ended.stderr.decode()


TAKES_ALL = """
import os, resource
from contextlib import suppress
from brokercli.terminal.streams import Streams
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
with suppress(OSError):
    while True:
        os.dup(2)
Streams.system().write(b"data")
"""


def test_where_no_file_can_be_opened_any_more_no_stream_is_missing() -> None:
    ended = run_in_shell("", TAKES_ALL)
    assert (ended.stdout, ended.returncode) == (b"data", 0), ended.stderr


CONNECTS = """
import os, socket
from brokercli.terminal.streams import Streams
Streams.system()
one, other = socket.socketpair()
os.write(3, f"{one.fileno()} {other.fileno()}".encode())
"""


def test_a_connection_never_takes_the_number_of_a_closed_stream() -> None:
    numbers = run_in_shell("<&- 3>&1 >&- 2>&-", CONNECTS).stdout.split()
    assert len(numbers) == 2
    assert all(int(number) > 2 for number in numbers)


def test_all_of_a_large_write_arrives_through_a_slow_non_blocking_pipe(capture: Callable[..., Any]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(1 << 20)
    received = bytearray()

    def read_slowly() -> None:
        while chunk := os.read(reader, 8192):
            received.extend(chunk)

    thread = threading.Thread(target=read_slowly)
    thread.start()
    capture(stdout_fd=writer).streams.write(data)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert bytes(received) == data


def test_a_reader_that_left_is_told_once_and_later_writes_go_nowhere(capture: Callable[..., Any]) -> None:
    reader, writer = os.pipe()
    streams = capture(stdout_fd=writer).streams
    os.close(reader)
    with pytest.raises(ReaderLeft):
        streams.write(b"x")
    assert os.path.samestat(os.fstat(writer), Path(os.devnull).stat())
    streams.write(b"the interpreter's last words")
    os.close(writer)


def test_a_full_disk_is_a_failure_of_ours_with_a_reason() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(LocalIO, match="cannot write output: No space left on device") as caught:
            Streams(None, full, False, False, False, False, 80).write(b"x")
        assert "disk is full" in (caught.value.hint or "")
    finally:
        os.close(full)


LIMITED = """
import resource, sys
from brokercli.terminal.streams import Streams
streams = Streams.system()
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    streams.write(b"x" * 100)
except Exception as problem:
    streams.say(f"{type(problem).__name__}: {problem}")
"""


def test_a_file_that_may_not_grow_is_a_failure_of_ours(tmp_path: Path) -> None:
    ended = run_in_shell(f"> {tmp_path}/out", LIMITED)
    assert ended.stderr == b"LocalIO: cannot write output: File too large\n"
    assert (tmp_path / "out").read_bytes() == b"x" * 10


@pytest.mark.parametrize(
    ("environment", "no_color", "coloured"),
    [
        ({}, False, True),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, False, True),
        ({"TERM": "dumb"}, False, False),
        ({}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "0"}, False, True),
    ],
)
def test_colour_on_a_terminal_follows_what_the_user_said(environment: dict[str, str], no_color: bool, coloured: bool) -> None:
    assert on_a_terminal(f"s = Streams.system({no_color}); s.write(repr(s.colour).encode())", environment).strip() == str(coloured)


def test_colour_in_a_pipe_needs_force() -> None:
    program = "from brokercli.terminal.streams import Streams; s = Streams.system(); s.write(repr(s.colour).encode())"
    assert run_in_shell("", program).stdout == b"False"
    assert run_in_shell("", program, FORCE_COLOR="1").stdout == b"True"


def test_the_width_is_the_terminals_unless_columns_says_otherwise() -> None:
    assert on_a_terminal("s = Streams.system(); s.write(repr(s.width).encode())", {}, columns=47).strip() == "47"
    assert on_a_terminal("s = Streams.system(); s.write(repr(s.width).encode())", {"COLUMNS": "33"}, columns=47).strip() == "33"
    assert terminal_width(-1, {}) == 80


def test_a_line_that_is_said_stands_above_the_passing_one() -> None:
    screen = on_a_terminal("s = Streams.system(); s.status('50%'); s.say('a note'); s.status(''); s.say('done')", {})
    assert screen == "\r50%\x1b[K\r\x1b[Ka note\r\n50%\r\x1b[Kdone\r\n"


def test_a_long_line_folds_between_words_and_a_command_to_copy_does_not() -> None:
    program = "s = Streams.system(); s.say('one two three four five six seven'); s.say_hint('ask for more'); s.say_hint('brokercli tail orders.created')"
    screen = on_a_terminal(program, {}, columns=20)
    assert screen == "one two three four\r\n  five six seven\r\n  → ask for more\r\n  → brokercli tail orders.created\r\n"
    assert on_a_terminal("Streams.system().say_hint('ask somebody for more')", {}, columns=20) == "  → ask somebody for\r\n    more\r\n"


def test_in_a_pipe_nothing_is_folded() -> None:
    ended = run_in_shell("", f"from brokercli.terminal.streams import Streams; Streams.system().say('{'word ' * 60}')", COLUMNS="20")
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("typed", "answer"), [(b"y\n", True), (b"YES\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)])
def test_only_a_yes_is_a_yes(typed: bytes, answer: bool) -> None:
    screen = on_a_terminal("s = Streams.system(); s.say(str(s.ask('Delete 3 messages?')))", {}, typed=typed)
    assert "Delete 3 messages? [y/N] " in screen
    assert screen.strip().endswith(str(answer))


def test_nobody_is_asked_who_said_not_to() -> None:
    assert on_a_terminal("s = Streams.system(); s.say(str(s.ask('Delete?')))", {"BROKERCLI_NO_INPUT": "1"}) == "False\r\n"


def on_a_terminal(program: str, environment: dict[str, str], *, columns: int = 80, typed: bytes = b"") -> str:
    """Run a program on a terminal of its own and return everything it has shown."""
    process, master = pty.fork()
    if process == 0:
        os.execve(
            sys.executable,
            [
                sys.executable,
                "-c",
                f"import os, termios, fcntl, struct\nfcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, {columns}, 0, 0))\n"
                f"from brokercli.terminal.streams import Streams\n{program}",
            ],
            {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
        )
    if typed:
        os.write(master, typed)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    os.waitpid(process, 0)
    return shown.decode()
