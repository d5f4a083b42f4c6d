"""Nothing in the repository names a package registry's host, a path of somebody's machine, a test that is not run, or a function that
is not there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.torture.crash import FROM_A_FILE, PUBLISHING, REPAIRING, THROUGH, UNPERMITTED, find

ROOT = Path(__file__).resolve().parents[2]
# put together here, so that this file does not name them either
HOSTS = [".".join(parts) for parts in (
    ("pypi", "org"), ("pythonhosted", "org"), ("maven", "org"), ("maven", "apache", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"),
    ("golang", "org"), ("deb", "debian", "org"), ("snapshot", "debian", "org"), ("security", "debian", "org"), ("archive", "ubuntu", "com"))]
PATHS = ["/" + "/".join(parts) + "/" for parts in (("work", "main"), ("work", "shared"), ("root",))]


def texts() -> dict[str, str]:
    """Return every text file that git would submit."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    found = {}
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                found[name] = content.decode(errors="replace")
    return found


def lines_with(pattern: str, *, under: str = "") -> list[str]:
    """Return `file:line` of every match."""
    return [f"{name}:{number}" for name, text in texts().items() if name.startswith(under)
            for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]


def test_no_package_registry_is_named() -> None:
    assert lines_with("|".join(re.escape(host) for host in HOSTS)) == []


def test_no_path_of_a_machine_is_named() -> None:
    assert lines_with("|".join(rf"(?<![\w.$}}]){re.escape(path)}" for path in PATHS)) == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = "|".join(("mark." + "skip", "mark." + "xfail", r"pytest\." + r"skip\(", r"pytest\." + r"xfail\(", "import" + "orskip"))
    assert lines_with(marks, under="tests/") == []


def test_nothing_is_left_to_do() -> None:
    assert lines_with(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")) + r")\b", under="brokercli/") == []


def functions_that_the_torture_watches() -> set[str]:
    planted = (ROOT / "tests" / "torture" / "controls.py").read_text()
    watched = {point.where for moments in (*REPAIRING.values(), *PUBLISHING.values(), FROM_A_FILE, THROUGH, UNPERMITTED) for point in moments.values()}
    return watched | set(re.findall(r'replace\("([\w.]+:[\w.]+)"', planted))


@pytest.mark.parametrize("function", sorted(functions_that_the_torture_watches()))
def test_a_function_at_which_the_torture_kills_or_plants_is_there_under_its_name(function: str) -> None:
    owner, name = find(function)
    assert hasattr(owner, name), "where it is called otherwise now, tests/torture/crash.py and controls.py have to follow"
