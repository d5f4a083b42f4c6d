"""Files that are made from the program: what is committed is what it makes. `pytest --regenerate` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.commands import broker_support, documentation
from brokercli.commands.completion_scripts import FILES, SCRIPTS

ROOT = Path(__file__).resolve().parents[2]
MADE: dict[str, Callable[[], str]] = {
    "docs/commands.md": documentation.page,
    "docs/brokers.md": broker_support.page,
    **{f"completions/{FILES[shell]}": lambda script=script: script for shell, script in SCRIPTS.items()},  # type: ignore[misc]
}


@pytest.mark.parametrize("path", MADE)
def test_a_generated_file_is_what_the_program_makes_of_itself(path: str, request: pytest.FixtureRequest) -> None:
    made = MADE[path]()
    file = ROOT / path
    if request.config.getoption("--regenerate"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made, encoding="utf-8")
    assert file.exists(), "pytest --regenerate tests/project/test_generated.py writes it"
    assert file.read_text(encoding="utf-8") == made, "pytest --regenerate tests/project/test_generated.py writes it anew"


def test_every_generated_completion_is_committed_and_no_other() -> None:
    assert {path.name for path in (ROOT / "completions").iterdir()} == set(FILES.values())
