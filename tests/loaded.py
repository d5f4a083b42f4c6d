"""brokercli as a process that has been loaded already: forked where a start would take a tenth of a second, thousands of times.

A forked command is brokercli's `main` in a process of its own, with the arguments, environment, folder and pipes it is given. What it
imports is there before; whatever is about that, about a terminal, or about signals starts a real one.
"""

from __future__ import annotations

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
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

_LARGEST_REQUEST = 64 * 1024
_CLIENTS = ("brokercli.backends.kafka.client", "brokercli.backends.nats.backend", "brokercli.backends.rabbitmq.backend")
_lock = threading.Lock()
_nurseries: dict[int, Nursery] = {}


class Nursery:
    """The process that forks them. It ends with this one."""

    def __init__(self) -> None:
        # nobody else finds it: the name is not in the file system, and is that of this process
        self._name = f"\0brokercli-tests-{os.getpid()}"
        self._open, theirs = os.pipe()[::-1]
        self._process = subprocess.Popen([sys.executable, "-m", "tests.loaded", self._name[1:], str(theirs)], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, pass_fds=(theirs,), cwd=Path(__file__).resolve().parent.parent)
        os.close(theirs)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def begin(self, request: bytes, descriptors: Sequence[int]) -> socket.socket:
        """Fork a command; what is returned says its process id, and in the end how it ended."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.connect(self._name)
        socket.send_fds(line, [request], list(descriptors))
        return line


def run(arguments: Sequence[str], *, stdin: bytes | None, environment: Mapping[str, str], folder: Path, timeout: float) -> tuple[int, bytes, bytes] | None:
    """Run a command to its end, and return what `subprocess` would: return code, standard output, standard error. None where it has to be
    started in earnest. Raises subprocess.TimeoutExpired, the command killed."""
    request = json.dumps([list(arguments), dict(environment), str(folder)]).encode(errors="surrogatepass")
    own_start = sys.platform != "linux" or any(name.startswith(("PYTHON", "LC_")) for name in environment) or environment.get("LANG") != "C.UTF-8"
    if own_start or len(request) > _LARGEST_REQUEST:
        return None
    with _lock:
        nursery = _nurseries.get(os.getpid())
        if nursery is None:
            nursery = _nurseries[os.getpid()] = Nursery()
    read_out, out = os.pipe()
    read_err, err = os.pipe()
    source, to = os.pipe() if stdin is not None else (os.dup(0), -1)
    try:
        line = nursery.begin(request, (source, out, err))
    finally:
        for descriptor in (source, out, err):
            os.close(descriptor)
    with line:
        process = int(line.recv(32))
        ended = _communicate(read_out, read_err, to, stdin or b"", time.monotonic() + timeout)
        line.settimeout(max(0.1, timeout))
        if ended is None:
            os.kill(process, signal.SIGKILL)
            line.recv(32)
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        return int(line.recv(32)), *ended


def _communicate(out: int, err: int, to: int, given: bytes, deadline: float) -> tuple[bytes, bytes] | None:
    """Write and read until both outputs are closed; None where that takes too long."""
    kept: dict[int, list[bytes]] = {out: [], err: []}
    rest = memoryview(given)
    with selectors.DefaultSelector() as ready:
        for descriptor in kept:
            ready.register(descriptor, selectors.EVENT_READ)
        if to >= 0:
            os.set_blocking(to, False)
            ready.register(to, selectors.EVENT_WRITE)
        try:
            while ready.get_map() and any(key.fd in kept for key in ready.get_map().values()):
                if (left := deadline - time.monotonic()) <= 0:
                    return None
                for key, _ in ready.select(left):
                    if key.fd == to:
                        try:
                            rest = rest[os.write(to, rest[:65536]):] if rest else rest
                        except BrokenPipeError:
                            rest = rest[:0]
                        if not rest:
                            ready.unregister(to)
                            os.close(to)
                            to = -1
                    elif piece := os.read(key.fd, 65536):
                        kept[key.fd].append(piece)
                    else:
                        ready.unregister(key.fd)
        finally:
            for descriptor in (out, err, *([to] if to >= 0 else [])):
                os.close(descriptor)
    return b"".join(kept[out]), b"".join(kept[err])


def _serve(name: str, alive: int) -> None:
    """Fork until the other end of `alive` is closed."""
    import brokercli.__main__
    import brokercli.commands

    for module in (*(f"brokercli.commands.{found.name}" for found in pkgutil.iter_modules(brokercli.commands.__path__)), *_CLIENTS):
        import_module(module)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door, selectors.DefaultSelector() as ready:
        door.bind(f"\0{name}")
        door.listen(64)
        ready.register(door, selectors.EVENT_READ)
        ready.register(alive, selectors.EVENT_READ)
        os.write(1, b"ready\n")
        while True:
            for key, _ in ready.select():
                if key.fd == alive:
                    return
                if key.fileobj is door:
                    line, _ = door.accept()
                    process = _fork(line)
                    line.send(b"%d" % process)
                    ready.register(os.pidfd_open(process), selectors.EVENT_READ, (process, line))
                else:
                    process, line = key.data
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(process, 0)
                    line.send(b"%d" % os.waitstatus_to_exitcode(status))
                    line.close()


def _fork(line: socket.socket) -> int:
    request, descriptors, _, _ = socket.recv_fds(line, _LARGEST_REQUEST, 3)
    process = os.fork()
    if not process:
        _become(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return process


def _become(request: bytes, descriptors: Sequence[int]) -> NoReturn:
    from brokercli import __main__ as entry

    try:
        arguments, environment, folder = json.loads(request.decode(errors="surrogatepass"))
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        os.chdir(folder)
        sys.path[0] = folder
        sys.argv = [str(entry.__file__), *arguments]
        entry.main()
    finally:
        os._exit(70)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
