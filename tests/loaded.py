"""brokercli as a process that has been loaded already: forked where a start would take a tenth of a second, thousands of times.

A forked command is brokercli's `main`, or that of a program that runs it otherwise, in a process of its own, with the arguments,
environment, folder and files it is given. What it imports is there before; whatever is about that, or about a terminal, starts a real one.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import IO, NoReturn

BROKERCLI = "brokercli.__main__"
_LARGEST_REQUEST = 64 * 1024
# what commands import when they come to it, and programs that are run more than once
_LATER = ("brokercli_memory.backend", "brokercli_memory.consumers", "brokercli_memory.declaring", "brokercli_memory.look", "brokercli_memory.publish", "cel",
          "confluent_kafka.admin", "encodings.idna", "encodings.utf_8_sig", "http.client", "rich._emoji_codes", "tomlkit", "typer._click._textwrap",
          "typer._click.decorators", "tests.torture.child", "tests.backends.kafka_redrive", "tests.backends.rabbitmq_redrive", "tests.conformance.left_behind")
_lock = threading.Lock()
_nurseries: dict[int, Nursery] = {}


class Nursery:
    """The process that forks them: one for all workers of a run, begun by the first of them that asks. It ends with the run."""

    def __init__(self) -> None:
        run, number = os.environ.get("PYTEST_XDIST_TESTRUNUID"), os.getpid()
        # nobody else finds it: the name is not in the file system; and nobody has the same: containers on one network may count processes alike
        self._name = f"\0brokercli-tests-{run or uuid.uuid4().hex}"
        self._run = os.getppid() if run else number
        self._begun: subprocess.Popen[bytes] | None = None

    def begin(self, request: bytes, descriptors: Sequence[int]) -> socket.socket:
        """Fork a command; what is returned says its process id, with a handle of it, and in the end how it ended."""
        line = self._connect()
        socket.send_fds(line, [request], list(descriptors))
        return line

    def _connect(self) -> socket.socket:
        """Return a connection to it. It answers once everything is loaded."""
        while True:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                line.connect(self._name)
                return line
            except ConnectionRefusedError:
                line.close()
            # one that finds the name taken ends well
            ended = 0 if self._begun is None else self._begun.poll()
            assert not ended, "what forks commands ended"
            if ended == 0:
                # a pipe, though nothing is written to it: a forked command has its standard output as one in which nobody can go back
                self._begun = subprocess.Popen([sys.executable, "-m", "tests.loaded", self._name[1:], str(self._run)], stdin=subprocess.DEVNULL,
                                               stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parent.parent)
            time.sleep(0.02)


class Command:
    """A forked command: what the tests use of `subprocess.Popen`, with the same meaning. Its outputs are not buffered."""

    def __init__(self, request: bytes, stdin: int | IO[bytes] | None, stdout: int | IO[bytes] | None, stderr: int | IO[bytes] | None) -> None:
        with _lock:
            nursery = _nurseries.get(os.getpid())
            if nursery is None:
                nursery = _nurseries[os.getpid()] = Nursery()
        self.returncode: int | None = None
        ends = [_ends(number, given) for number, given in enumerate((stdin, stdout, stderr))]
        try:
            self._line = nursery.begin(request, [theirs for _, theirs in ends])
        finally:
            for _, theirs in ends:
                os.close(theirs)
        (to, _), (out, _), (err, _) = ends
        self.stdin = None if to is None else BufferedWriter(FileIO(to, "w"))
        self.stdout = None if out is None else FileIO(out)
        self.stderr = None if err is None else FileIO(err)
        said, (self._handle,), _, _ = socket.recv_fds(self._line, 32, 1)
        self.pid = int(said)

    def poll(self) -> int | None:
        """Return how it ended; None while it has not."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                self.returncode = int(self._line.recv(32))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None
            self._line.close()
            os.close(self._handle)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens where it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: bytes = b"", timeout: float | None = None) -> tuple[bytes | None, bytes | None]:
        """Write to its standard input and close that, read both outputs up to their ends, and wait for it. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + (threading.TIMEOUT_MAX if timeout is None else timeout)
        rest = memoryview(given)
        kept: dict[FileIO, list[bytes]] = {end: [] for end in (self.stdout, self.stderr) if end is not None}
        with selectors.DefaultSelector() as ready:
            for end in kept:
                ready.register(end, selectors.EVENT_READ)
            if self.stdin is not None and not self.stdin.closed:
                if given:
                    os.set_blocking(self.stdin.fileno(), False)
                    ready.register(self.stdin, selectors.EVENT_WRITE)
                else:
                    _close(self.stdin)
            while any(key.fileobj in kept for key in ready.get_map().values()):
                if (left := deadline - time.monotonic()) <= 0:
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
                for key, _ in ready.select(min(left, 3600)):
                    if key.fileobj is self.stdin:
                        try:
                            rest = rest[os.write(key.fd, rest[:65536]):]
                        except BrokenPipeError:
                            rest = rest[:0]
                        if not rest:
                            ready.unregister(self.stdin)
                            _close(self.stdin)
                    elif piece := os.read(key.fd, 65536):
                        kept[key.fileobj].append(piece)
                    else:
                        ready.unregister(key.fileobj)
        for end in (self.stdin, self.stdout, self.stderr):
            if end is not None:
                _close(end)
        self.wait(max(0.1, min(deadline - time.monotonic(), 3600)))
        return tuple(None if end is None else b"".join(kept[end]) for end in (self.stdout, self.stderr))


def start(program: str, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, stdin: int | IO[bytes] | None,
          stdout: int | IO[bytes] | None, stderr: int | IO[bytes] | None) -> Command | None:
    """Begin to run a program, a module with a function `main`. None where it has to be started in earnest."""
    request = json.dumps([program, list(arguments), dict(environment), str(folder)]).encode(errors="surrogatepass")
    own_start = sys.platform != "linux" or any(name.startswith(("PYTHON", "LC_")) for name in environment) or environment.get("LANG") != "C.UTF-8"
    if own_start or len(request) > _LARGEST_REQUEST:
        return None
    return Command(request, stdin, stdout, stderr)


def run(arguments: Sequence[str], *, stdin: bytes | None, environment: Mapping[str, str], folder: Path, timeout: float,
        program: str = BROKERCLI) -> tuple[int, bytes, bytes] | None:
    """Run a program to its end, and return what `subprocess` would: return code, standard output, standard error. None where it has to be
    started in earnest. Raises subprocess.TimeoutExpired, the command killed."""
    process = start(program, arguments, environment=environment, folder=folder, stdin=None if stdin is None else subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if process is None:
        return None
    try:
        stdout, stderr = process.communicate(stdin or b"", timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.wait(), stdout or b"", stderr or b""


def _ends(number: int, given: int | IO[bytes] | None) -> tuple[int | None, int]:
    """Return our end and the command's end of what is to be its descriptor `number`; ours where it is a pipe only."""
    if given == subprocess.PIPE:
        read, write = os.pipe()
        return (read, write) if number else (write, read)
    if given == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_RDWR)
    return None, os.dup(number if given is None else given if isinstance(given, int) else given.fileno())


def _close(end: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        end.close()


def _serve(name: str, run: int) -> None:
    """Fork until the process `run` ends. Does nothing where somebody else does so under this name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door, selectors.DefaultSelector() as ready:
        try:
            door.bind(f"\0{name}")
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            return
        door.listen(64)
        _load()
        over = os.pidfd_open(run)
        ready.register(door, selectors.EVENT_READ)
        ready.register(over, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == over:
                    return
                if key.fileobj is door:
                    _take(door, ready)
                else:
                    process, line = key.data
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(process, 0)
                    with suppress(BrokenPipeError):
                        line.send(b"%d" % os.waitstatus_to_exitcode(status))
                    line.close()


def _take(door: socket.socket, ready: selectors.BaseSelector) -> None:
    """Fork what is asked for; a worker may have been killed before it asked, or before it was answered."""
    line, _ = door.accept()
    request, descriptors, _, _ = socket.recv_fds(line, _LARGEST_REQUEST, 3)
    if not request:
        line.close()
        return
    process = os.fork()
    if not process:
        _become(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    handle = os.pidfd_open(process)
    with suppress(BrokenPipeError):
        socket.send_fds(line, [b"%d" % process], [handle])
    ready.register(handle, selectors.EVENT_READ, (process, line))


def _load() -> None:
    """Import whatever a command may come to."""
    import confluent_kafka
    import typer.rich_utils

    import brokercli

    for module in (*(found.name for found in pkgutil.walk_packages(brokercli.__path__, "brokercli.")), *_LATER):
        import_module(module)
    # it asks for its environment while it is imported, so each command has its own; what it imports is there
    del sys.modules["typer.rich_utils"], typer.rich_utils
    # what Kafka's client sets up once in a process is half of what the first one costs; of one that is closed no thread is left
    confluent_kafka.Consumer({"group.id": "tests", "log_level": 0}).close()
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    # patterns of every command line, which are compiled as they are used
    from brokercli.settings.broker_url import parse_broker_url

    parse_broker_url("amqp://user:password@localhost:5672/host", "this")
    _grow()
    gc.collect()
    gc.freeze()


def _grow() -> None:
    """Have typer read the signatures of every command, which otherwise is a third of what each of them costs."""
    from typer import Typer, main

    from brokercli.commands import app, run
    from brokercli.commands.groups import GROUPS

    names = [(name, command) for name in app.COMMANDS for command in (GROUPS[name][1] if name in GROUPS else [""])]
    trees = {(name, command): app.build([name, command]) for name, command in names}
    grown = {tree: main.get_command(tree) for tree in trees.values()}
    grow = main.get_command

    def build(words: Sequence[str]) -> Typer:
        name, command = [*words, "", ""][:2]
        return trees.get((name, command if name in GROUPS else "")) or app.build(words)

    vars(run)["build"] = build
    vars(main)["get_command"] = lambda tree: grown.get(tree) or grow(tree)


def _become(request: bytes, descriptors: Sequence[int]) -> NoReturn:
    try:
        program, arguments, environment, folder = json.loads(request.decode(errors="surrogatepass"))
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        os.chdir(folder)
        sys.path[0] = folder
        module = import_module(program)
        sys.argv = [str(module.__file__), *arguments]
        module.main()
        sys.stdout.flush()
        os._exit(0)
    except BaseException:  # noqa: BLE001  as where Python itself starts a program: it says what was raised
        traceback.print_exc()
    finally:
        os._exit(70)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
