"""What `tests/run` does once it has found a Python: environment, brokers, pytest, and stopping what it started."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from tests import environment
from tests.brokers import kafka, nats, rabbitmq
from tests.brokers.downloads import FetchFailed, Missing, abandon, cache, need, run
from tests.brokers.server import BrokerFailed, Server, note_process
from tests.brokers.watchdog import watched

GIVEN = {"kafka": "BROKERCLI_TEST_KAFKA", "nats": "BROKERCLI_TEST_NATS", "rabbitmq": "BROKERCLI_TEST_RABBITMQ"}
_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30
_CHECKS: dict[str, Callable[[], None]] = {"kafka": kafka.check, "nats": nats.check, "rabbitmq": rabbitmq.check}


def _check_tools() -> None:
    """Raise Missing for what the tests themselves call."""
    need("openssl", "openssl", "making certificates for the tests of TLS")
    need("git", "git", "looking at every file of the repository")


class Stopped(BaseException):
    """Somebody asked us to stop while brokers were being started."""


class Run:
    """One run. `brokers` are those to test with; those given in the environment are not started."""

    def __init__(self, brokers: list[str], pytest_arguments: list[str]) -> None:
        self._brokers = brokers
        self._arguments = pytest_arguments
        self._own = [name for name in brokers if not os.environ.get(GIVEN[name])]
        self._directory = Path(tempfile.mkdtemp(prefix="brokercli-tests-", dir=_memory()))
        self._servers: dict[str, Server] = {}
        self._pytest: subprocess.Popen[bytes] | None = None
        self._asked_to_stop = 0

    def run(self) -> int:
        """Do it all and return pytest's exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        code = 1
        try:
            with watched(self._directory):
                code = self._test_with_brokers()
        except (Missing, FetchFailed, BrokerFailed) as problem:
            _say(str(problem))
        except Stopped:
            code = 128 + self._asked_to_stop
        finally:
            self._clean(keep_logs=code != 0)
        return code

    def _test_with_brokers(self) -> int:
        try:
            return self._test(self._prepare())
        finally:
            self._stop_servers()

    def _prepare(self) -> Path:
        began = time.monotonic()
        missing = []
        for check in [_check_tools, *(_CHECKS[name] for name in self._own)]:
            try:
                check()
            except Missing as problem:
                missing.append(str(problem))
        if missing:
            raise Missing("\n".join(missing))
        _say(f"downloads are kept in {cache()}")
        with ThreadPoolExecutor() as together:
            making = together.submit(environment.python)
            starting = [together.submit(self._start, name) for name in self._own if name != "nats"]
            try:
                python = making.result()
                starting.append(together.submit(self._compile, python))
                if "nats" in self._own:
                    # its server comes with the environment
                    os.environ["PATH"] = f"{python.parent}:{os.environ['PATH']}"
                    starting.append(together.submit(self._start, "nats"))
                for start in starting:
                    start.result()
            except BaseException:
                # one that failed, or somebody who asked us to stop, need not wait for the others
                abandon()
                for server in list(self._servers.values()):
                    server.kill()
                raise
        _say(f"ready after {time.monotonic() - began:.0f} s: " + ", ".join(f"{name} {self._address(name)}" for name in self._brokers))
        return python

    def _compile(self, python: Path) -> None:
        """Have the tests of a new checkout compiled while the brokers start: all workers would do it, each of them at the same time."""
        if not any((environment.ROOT / "tests" / "__pycache__").glob("conftest.*-pytest-*")):
            # what is wrong with them is said when they are run
            with suppress(FetchFailed):
                run([str(python), "-m", "pytest", "--collect-only", "-q"], self._directory / "collected", environment=_without_ours(os.environ))

    def _start(self, name: str) -> None:
        makers: dict[str, Callable[[Path], Server]] = {
            "kafka": partial(kafka.Kafka, settings=kafka.LASTING), "nats": nats.Nats, "rabbitmq": rabbitmq.RabbitMQ}
        server = makers[name](self._directory / name)
        self._servers[name] = server
        server.prepare()
        if self._asked_to_stop:
            raise BrokerFailed(f"{name} was not started")
        server.start()

    def _address(self, name: str) -> str:
        return self._servers[name].address if name in self._servers else f"{os.environ[GIVEN[name]].rpartition('@')[2]} (given)"

    def _test(self, python: Path) -> int:
        if self._asked_to_stop:
            raise Stopped
        variables = _without_ours(os.environ)
        variables |= {"PATH": f"{python.parent}:{os.environ['PATH']}", "BROKERCLI_TEST_CACHE": str(cache()), "BROKERCLI_TEST_RUN": str(self._directory)}
        given = (*GIVEN.values(), "BROKERCLI_TEST_KAFKA_LOGIN", "BROKERCLI_TEST_RABBITMQ_MANAGEMENT", "BROKERCLI_TEST_RABBITMQ_SUITE")
        variables |= {name: os.environ[name] for name in given if os.environ.get(name)}
        for name, server in self._servers.items():
            variables[GIVEN[name]] = server.address
            if isinstance(server, kafka.Kafka):
                variables["BROKERCLI_TEST_KAFKA_LOGIN"] = server.login_address
            if isinstance(server, rabbitmq.RabbitMQ):
                variables["BROKERCLI_TEST_RABBITMQ_MANAGEMENT"] = server.management
        narrowed = [word for name in self._brokers for word in ("--broker", name)] if len(self._brokers) < len(GIVEN) else []
        # six workers on two cores: most of them wait for a broker at any time; with more a broker that starts again is held up for a minute
        command = [str(python), "-m", "pytest", "-n", "6", "--dist", "loadgroup", *narrowed, *self._arguments]
        self._pytest = subprocess.Popen(command, cwd=environment.ROOT, env=variables)
        pid_file = self._directory / "pytest.pid"
        note_process(pid_file, self._pytest.pid)
        if self._asked_to_stop:
            self._pytest.send_signal(signal.SIGINT)
        code = self._pytest.wait()
        pid_file.unlink()
        return 128 - code if code < 0 else code

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = number
        if self._pytest is None:
            raise Stopped
        # on a terminal, Ctrl-C has reached pytest as well
        if number != signal.SIGINT or not sys.stdin.isatty():
            self._pytest.send_signal(signal.SIGINT)

    def _stop_servers(self) -> None:
        with ThreadPoolExecutor() as together:
            for server in self._servers.values():
                together.submit(server.stop)

    def _clean(self, *, keep_logs: bool) -> None:
        logs = sorted(self._directory.rglob("log")) if keep_logs else []
        if not logs:
            shutil.rmtree(self._directory, ignore_errors=True)
            return
        for folder in self._directory.glob("*/*"):
            if folder.name != "log":
                with suppress(OSError):
                    shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        kept = self._directory
        if kept.parent == _MEMORY:
            kept = Path(shutil.move(kept, tempfile.gettempdir()))
        sys.stderr.write(f"tests/run: the brokers' logs are in {kept}\n")


def _memory() -> Path | None:
    """Return a file system in memory for what brokers store, who then wait for no disk; None where there is none, or not the room for
    what a run stores at most (measured: 0.3 GB) many times over."""
    try:
        there = os.statvfs(_MEMORY)
        available = next(int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    fits = min(there.f_bavail * there.f_frsize, available // 2) >= _ROOM and not there.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return _MEMORY if fits and os.access(_MEMORY, os.W_OK) else None


def _without_ours(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment less what would change how the tests run, or what they see."""
    ours = ("BROKERCLI_", "PYTHON", "PYTEST_", "VIRTUAL_ENV", "NO_COLOR", "FORCE_COLOR", "CLICOLOR")
    return {name: value for name, value in variables.items() if not name.startswith(ours)}


def _say(text: str) -> None:
    for line in text.splitlines():
        sys.stdout.write(f"tests/run: {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="tests/run", description="Start real brokers and run every test; what is not --broker goes to pytest.",
                                     allow_abbrev=False)
    parser.add_argument("--broker", action="append", choices=list(GIVEN), help="start and test only this one; may be repeated")
    asked, pytest_arguments = parser.parse_known_args()
    brokers = [name for name in GIVEN if name in (asked.broker or GIVEN)]
    return Run(brokers, pytest_arguments).run()


if __name__ == "__main__":
    sys.exit(main())
