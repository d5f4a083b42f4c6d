"""Files stay small enough to be read in one go, and their names say what is in them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "common", "base", "manager", "misc", "util", "helper"}


def sizes(folder: str) -> dict[str, int]:
    """Return the lines of each Python file."""
    return {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}


def test_no_file_is_longer_than_400_lines() -> None:
    assert {name: lines for name, lines in (sizes("brokercli") | sizes("tests")).items() if lines > 400} == {}


def test_no_command_is_longer_than_150_lines() -> None:
    assert {name: lines for name, lines in sizes("brokercli/commands").items() if lines > 150} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name for name in sizes("brokercli") if Path(name).stem in NAMES_THAT_SAY_NOTHING] == []
