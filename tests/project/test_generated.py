"""Files that are made from the program: what is committed is what it makes. `pytest --regenerate` writes them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.backends.registry import BUILT_IN, descriptors
from brokercli.commands import broker_support, documentation, topology_options
from brokercli.commands.completion_scripts import FILES, SCRIPTS

ROOT = Path(__file__).resolve().parents[2]
_INTRODUCTION = """# From one broker to another

What `replay --to`, `publish --input json` and `dlq redrive --to` make of a message that comes from another broker, or from the same one.
Each of the nine pairs is a test (`tests/commands/test_replay.py`); each table below is the docstring of the module that does it.
"""


def crossing_brokers() -> str:
    """Render how each broker carries messages of the others, from `backends/*/convert.py`."""
    parts = [_INTRODUCTION]
    for descriptor in descriptors():
        source = ROOT / "brokercli" / "backends" / descriptor.name / "convert.py"
        if source.exists():
            parts.append(f"## To {descriptor.title}\n\n{ast.get_docstring(ast.parse(source.read_text()))}\n")
    return "\n".join(parts)


MADE: dict[str, Callable[[], str]] = {
    "docs/commands.md": documentation.page,
    "docs/brokers.md": broker_support.page,
    "docs/crossing-brokers.md": crossing_brokers,
    "docs/topology.schema.json": lambda: topology_options.schema_page([one for one in descriptors() if one.name in BUILT_IN]),
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
