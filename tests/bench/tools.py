"""Finding the commands that are compared, their versions, and the machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.bench.cases import Peer
from tests.bench.measure import Command

HOW = {"kcat": "apt-get install kcat", "amqp-publish": "apt-get install amqp-tools", "nats": "go install github.com/nats-io/natscli/nats@latest"}


def find(name: str) -> str | None:
    """Return a peer's path, None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))


def peer(title: str, tool: str, arguments: Sequence[str], messages: int, stdin: Path | None = None) -> Peer:
    """Return a peer; where its tool is not installed, one that says what would install it."""
    path = find(tool)
    if path is None:
        return Peer(title, None, f"not installed ({HOW[tool]})")
    return Peer(title, Command([path, *arguments], messages, stdin))


def brokercli(*arguments: str) -> list[str]:
    """Return our command, as it is installed beside this Python."""
    return [str(Path(sys.executable).with_name("brokercli")), *arguments]


def brokercli_command(messages: int, *arguments: str, stdin: Path | None = None, prepare: Callable[[int], Sequence[str]] = lambda number: ()) -> Command:
    """Return a run of ours."""
    return Command(brokercli(*arguments), messages, stdin, prepare)


def versions() -> dict[str, str]:
    """Return the versions of everything that was compared and is installed."""
    import confluent_kafka

    found = {"kcat": _first("kcat", "-V", "Version ").partition("Version ")[2].partition(" ")[0], "natscli": _first("nats", "--version", ""),
             "amqp-tools": _said(["dpkg-query", "-W", "-f", "${Version}", "amqp-tools"]), "Python": sys.version.split()[0],
             "librdkafka": confluent_kafka.libversion()[0]}
    found |= {package: version(package) for package in ("confluent-kafka", "nats-py", "pika", "orjson")}
    return {name: text for name, text in found.items() if text}


def machine() -> str:
    """Describe where this runs: processor, cores, memory, system, and what else was going on when it began."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} at the start"


def _first(tool: str, option: str, mark: str) -> str:
    path = find(tool)
    return "" if path is None else next((line.strip() for line in _said([path, option]).splitlines() if mark in line), "")


def _said(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (ended.stdout + ended.stderr).strip() if ended.returncode == 0 else ""
