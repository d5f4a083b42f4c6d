"""`brokercli declare settings`: which settings a thing takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from brokercli.commands import options as shared

EXAMPLES = """[bold]Examples[/bold]

brokercli declare settings topic --broker kafka

brokercli declare settings -o json | jq -r 'select(.fixed) | .setting'"""


def _kinds(incomplete: str) -> list[str]:
    from brokercli.model.declaration import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def _brokers(incomplete: str) -> list[str]:
    from brokercli.backends.registry import BUILT_IN

    return [name for name in BUILT_IN if name.startswith(incomplete)]


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("settings", epilog=EXAMPLES)(settings)


def settings(
    context: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", autocompletion=_kinds, help="topic, stream, exchange, queue, binding or consumer.")] = None,
    broker: Annotated[str | None, typer.Option("--broker", metavar="NAME", autocompletion=_brokers, help="kafka, nats, rabbitmq, a plugin's.")] = None,
    output: shared.TableOption = "auto",
) -> None:
    """Print which settings can be declared, how each is written, and which never change. Connects nowhere."""
    from brokercli.backends.registry import settings_of
    from brokercli.commands.broker_support import chosen
    from brokercli.commands.session import streams_of
    from brokercli.model.declaration import KINDS
    from brokercli.model.errors import UsageProblem
    from brokercli.model.setting_value import nearest
    from brokercli.terminal.tables import check_output, print_table

    check_output(output)
    if kind is not None and kind not in KINDS:
        raise UsageProblem(f"{kind!r} is no kind of thing to declare.", hint=nearest(kind, KINDS))
    rows: list[dict[str, object]] = []
    for descriptor in chosen(broker):
        for known, its in settings_of(descriptor).items():
            rows += [{"broker": descriptor.name, "kind": known, "setting": one.name, "form": str(one.form) if not one.choices else ", ".join(one.choices),
                      "help": one.help, "fixed": one.fixed or None} for one in its if kind in (None, known)]
    if output != "json":
        alike = [name for name in ("broker", "kind") if len({row[name] for row in rows}) == 1]
        rows = [{**{name: row[name] for name in row if name not in (*alike, "fixed")}, "help": _told(row)} for row in rows]
    print_table(streams_of(context), rows, output=output)


def _told(row: Mapping[str, object]) -> str:
    return f"{row['help']}{'; never changes: ' if row['fixed'] else ''}{row['fixed'] or ''}"
