"""One broker as a group of processes: start, stop, kill, pause, resume; data and log in a folder of its own."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

STARTUP_SECONDS = 120.0
STOP_SECONDS = 20.0
HOST = "127.0.0.1"
_reserving = threading.Lock()
_reserved: set[int] = set()
"""Ports that this process has given away: brokers are started together, and each takes its own only a while later."""


class BrokerFailed(Exception):
    """A broker that did not start or stop; the text ends with the end of its log."""


def free_port(beside: int = 0) -> int:
    """Return a port nobody listens on, below those the kernel gives to outgoing connections: a broker that is killed
    must find its port free when it comes back. Within one run nobody else is given the same one. The port that lies
    `beside` above it is as free, and nobody else's either."""
    while True:
        port = random.randint(10_500, 32_000 - beside)
        with suppress(OSError):
            for one in {port, port + beside}:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, one))
                    _reserve(one)
            return port


def _reserve(port: int) -> None:
    """Take a port for the rest of the run. Raises FileExistsError where somebody has, in this process or in another one of the run."""
    with _reserving:
        if port in _reserved:
            raise FileExistsError(f"port {port}")
        _reserved.add(port)
    run = os.environ.get("BROKERCLI_TEST_RUN")
    if run:
        reserved = Path(run) / "ports"
        reserved.mkdir(exist_ok=True)
        (reserved / str(port)).touch(exist_ok=False)


def wait_until(condition: object, seconds: float, what: str) -> None:
    """Call `condition` until it is true. Raises TimeoutError that says `what` did not come."""
    assert callable(condition)
    began = time.monotonic()
    asked = began
    while not condition():
        now = time.monotonic()
        if now > began + seconds:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        # a question that costs something, to a broker or in a process, is not asked all the time: others need the processor
        time.sleep(min(0.2, max(0.02, 3 * (now - asked))))
        asked = time.monotonic()


class Server(ABC):
    """A broker that may be killed, frozen and started again on the same ports with the same data.

    `directory` holds everything it writes; a Server made for a folder that one left behind takes that one over.
    """

    name: str
    roles: tuple[str, ...]
    """What it needs ports for; the first is the one clients connect to."""

    def __init__(self, directory: Path, *, ports: dict[str, int] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self._pid_file = self.directory / "pid"
        self._process: subprocess.Popen[bytes] | None = None
        self.ports = self._ports(ports or {})

    @property
    @abstractmethod
    def address(self) -> str:
        """What a client connects to, as BROKERCLI_TEST_… takes it."""

    @abstractmethod
    def prepare(self) -> None:
        """Fetch what is not fetched, write the configuration."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs it in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes clients, asked by speaking its protocol."""

    def environment(self) -> dict[str, str]:
        """Return the environment of the command."""
        return dict(os.environ)

    @property
    def port(self) -> int:
        """The port clients connect to."""
        return self.ports[self.roles[0]]

    @property
    def unread(self) -> int:
        """How many bytes its clients have sent and it has not read: of a frozen one, what is in flight to it."""
        found = 0
        for table in ("tcp", "tcp6"):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                local, _, state, queues = line.split()[1:5]
                if int(local.rpartition(":")[2], 16) == self.port and state == "01":
                    found += int(queues.rpartition(":")[2], 16)
        return found

    @property
    def log(self) -> Path:
        """What it prints, over all its starts."""
        return self.directory / "log"

    @property
    def running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._group() is not None

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return once it takes clients. Raises BrokerFailed with the end of its log."""
        assert not self.running, f"{self.name} in {self.directory} runs already"
        self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(),
                                             cwd=self.directory, start_new_session=True, preexec_fn=_many_files)
        note_process(self._pid_file, self._process.pid)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it takes clients."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while not self.answers():
            if not self.running or time.monotonic() > deadline:
                why = "ended" if not self.running else f"does not answer on port {self.port} after {STARTUP_SECONDS:g} s"
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
                self.kill()
                raise BrokerFailed(f"{self.name} {why}; the end of {self.log}:\n{end}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in good order; kill it when it takes too long. Does nothing when it does not run."""
        self.resume()
        self._signal(signal.SIGTERM)
        self._await_end(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it as a power cut would: nothing is written any more, its connections are gone."""
        self._signal(signal.SIGKILL)
        self._await_end(STOP_SECONDS)
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers. Returns once every thread of it stands still."""
        self._signal(signal.SIGSTOP)
        group = self._group()
        if group is not None:
            wait_until(lambda: _stands_still(group), STOP_SECONDS, "its standing still")

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again, same ports, same data."""
        self.stop()
        self.start()

    def _ports(self, given: dict[str, int]) -> dict[str, int]:
        written = self.directory / "ports"
        known = dict(line.split("=") for line in written.read_text().split()) if written.exists() else {}
        ports = {role: given.get(role) or int(known.get(role, 0)) or free_port() for role in self.roles}
        written.write_text("".join(f"{role}={port}\n" for role, port in ports.items()))
        return ports

    def _group(self) -> int | None:
        """Return its process group while it is there. Its number may be somebody else's afterwards."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        return noted_process(self._pid_file)

    def _signal(self, number: signal.Signals) -> None:
        group = self._group()
        if group is not None:
            with suppress(ProcessLookupError):
                os.killpg(group, number)

    def _await_end(self, seconds: float) -> None:
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return
        with suppress(TimeoutError):
            wait_until(lambda: not self.running, seconds, "its end")


def conversation(port: int, question: bytes, enough: int, *, timeout: float = 1.0) -> bytes:
    """Connect, say `question`, and return the first `enough` bytes of the answer; less when it did not come."""
    answer = b""
    with suppress(OSError), socket.create_connection((HOST, port), timeout) as client:
        client.settimeout(timeout)
        client.sendall(question)
        while len(answer) < enough and (chunk := client.recv(65536)):
            answer += chunk
    return answer


def python() -> str:
    """The interpreter that runs the tests, with whatever is installed beside it."""
    return sys.executable


def _many_files() -> None:
    # a stream of RabbitMQ holds two, a topic of Kafka three; a thousand, the usual limit, are soon used up
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def note_process(file: Path, pid: int) -> None:
    """Write down a process's number, and beside it when it began: the number alone may be a stranger's one day."""
    file.with_suffix(".began").write_text(_began(pid))
    file.write_text(str(pid))


def noted_process(file: Path) -> int | None:
    """Return the number of the process that was written down, None when it is gone."""
    if not file.exists():
        return None
    pid = int(file.read_text())
    began = _began(pid)
    return pid if began and began == file.with_suffix(".began").read_text() else None


def _stands_still(group: int) -> bool:
    """Whether no thread of a group of processes runs: a signal reaches one thread first, and the others a moment later."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(status.read_text().rpartition(")")[2].split()[2]) == group and not all(map(_stopped, (status.parent / "task").iterdir())):
                return False
    return True


def _stopped(thread: Path) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    return True


def _began(pid: int) -> str:
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state == "Z" else fields[18]
