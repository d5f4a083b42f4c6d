"""Finding the commands that are compared, and their versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HOW = {"kcat": "apt-get install kcat", "amqp-publish": "apt-get install amqp-tools", "nats": "go install github.com/nats-io/natscli/nats@latest"}


class Missing(Exception):
    """A peer is not installed; the text is the command that installs it."""


def find(name: str) -> str:
    """Return a peer's path. Raises Missing."""
    found = shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))
    if found is None:
        raise Missing(f"{name} is not installed: {HOW[name]}")
    return found


def brokercli(*arguments: str) -> list[str]:
    """Return our command, as it is installed beside this Python."""
    return [str(Path(sys.executable).with_name("brokercli")), *arguments]


def versions() -> dict[str, str]:
    """Return the versions of everything that was compared."""
    said = {"kcat": _first([find("kcat"), "-V"], "kcat - ").partition("Version ")[2] or _first([find("kcat"), "-V"], "Version"),
            "natscli": _first([find("nats"), "--version"], "")}
    packages = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "amqp-tools"], capture_output=True, text=True, check=False).stdout
    return {**said, "amqp-tools": packages or "?", "Python": sys.version.split()[0]}


def _first(command: list[str], mark: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return next((line for line in (ended.stdout + ended.stderr).splitlines() if mark in line), "").strip()
