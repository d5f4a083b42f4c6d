"""`tests/run` says what is missing and how to install it, before it starts anything; and it stops what it started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bare_machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with a Python and nothing else."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "env", "dirname"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "python3").symlink_to(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    return {"PATH": str(programs), "HOME": str(tmp_path), "BROKERCLI_TEST_CACHE": str(tmp_path / "cache")}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call tests/run."""
    return subprocess.run([ROOT / "tests" / "run", *arguments], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def test_everything_that_is_missing_is_named_with_the_command_that_installs_it(bare_machine: dict[str, str]) -> None:
    ended = run(bare_machine)
    assert ended.returncode == 1
    for package in ("default-jre-headless", "openssl"):
        assert f"apt-get install {package}" in ended.stdout
    assert "Apache Kafka needs java" in ended.stdout
    assert "passed" not in ended.stdout
    assert not (Path(bare_machine["HOME"]) / "cache").exists()


def test_a_broker_that_is_given_or_left_out_needs_nothing_installed(bare_machine: dict[str, str]) -> None:
    given = bare_machine | {"BROKERCLI_TEST_KAFKA": "127.0.0.1:1", "BROKERCLI_TEST_RABBITMQ": "amqp://127.0.0.1:1/"}
    assert "Kafka" not in run(given).stdout
    narrowed = run(bare_machine, "--broker", "nats").stdout
    assert "Kafka" not in narrowed
    assert "RabbitMQ" not in narrowed


def test_ci_runs_the_same() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert os.access(ROOT / "tests" / "run", os.X_OK)
    assert "tests/run" in (ROOT / ".ci" / "run").read_text()
