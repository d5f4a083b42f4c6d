"""The whole repository passes its static checks: ruff, mypy --strict, and the import rules of pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# one after another: two at a time would write into one cache; and on a machine that does other things it takes its time
pytestmark = [pytest.mark.xdist_group("checks"), pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


def check(*command: str) -> None:
    """Run one tool of the environment the tests run in; fail with what it says."""
    tool = Path(sys.executable).parent / command[0]
    caches = Path(os.environ.get("BROKERCLI_TEST_CACHE") or ROOT) / ".checks"
    ended = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False,
                           env=os.environ | {"MYPY_CACHE_DIR": str(caches / "mypy"), "RUFF_CACHE_DIR": str(caches / "ruff")})
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_ruff_finds_nothing() -> None:
    check("ruff", "check", "--no-fix", "--output-format", "concise", ".")


def test_mypy_finds_nothing_in_strict_mode() -> None:
    check("mypy", "--no-error-summary")


def test_mypy_finds_nothing_in_the_plugin_that_knows_only_the_contract() -> None:
    check("mypy", "--no-error-summary", "-p", "brokercli_memory")


def test_imports_point_one_way() -> None:
    check("lint-imports", "--no-cache")


def test_tests_that_share_something_costly_are_kept_on_one_worker() -> None:
    here = "tests/conformance/test_connecting.py"
    ended = subprocess.run([sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", "--broker", "memory", here],
                           cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    workers = {line.partition("[gw")[2][0] for line in ended.stdout.splitlines() if line.startswith("[gw") and "tls_port" in line}
    assert len(workers) == 1, ended.stdout
