"""Import rules that import-linter cannot say: rich is loaded inside functions only, plugins use the public contract only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ("brokercli.backends.contract", "brokercli.backends.consumers", "brokercli.backends.dead_letters", "brokercli.backends.declaring",
          "brokercli.backends.envelope", "brokercli.backends.handover", "brokercli.backends.registry", "brokercli.model")
CLIENTS = ("confluent_kafka", "nats", "pika")


def imported_at_once(path: Path) -> Iterator[str]:
    """Yield what importing a module imports: not what its functions do, not what is for type checkers."""
    yield from _imports(ast.parse(path.read_text()).body)


def _imports(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module)):
                yield module
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.If(body=inside, orelse=other) | ast.Try(body=inside, orelse=other):
                yield from _imports(inside)
                yield from _imports(other)
            case ast.ClassDef(body=inside):
                yield from _imports(inside)


def test_rich_is_loaded_inside_functions_only() -> None:
    at_once = [str(path) for path in (ROOT / "brokercli").rglob("*.py") if any(name.split(".")[0] == "rich" for name in imported_at_once(path))]
    assert at_once == []


@pytest.mark.parametrize("folder", ["kafka", "nats", "rabbitmq"])
def test_a_descriptor_loads_no_client(folder: str) -> None:
    names = list(imported_at_once(ROOT / "brokercli" / "backends" / folder / "__init__.py"))
    assert not [name for name in names if name.split(".")[0] in CLIENTS]


def test_the_plugin_uses_the_public_contract_and_nothing_else_of_brokercli() -> None:
    used = {name for path in (ROOT / "tests" / "plugin").rglob("*.py") for name in imported_at_once(path) if name.split(".")[0] == "brokercli"}
    assert used
    assert not [name for name in used if not name.startswith(PUBLIC)]
