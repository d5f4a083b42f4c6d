"""The options that every `declare` has, and the way from them to an exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from brokercli.commands.options import complete_address


def complete_setting(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return `NAME=` of each setting of what is declared that begins so."""
    return _settings(context, incomplete, after="=")


def complete_unset(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the name of each setting of what is declared that begins so."""
    return _settings(context, incomplete, after="")


def _settings(context: typer.Context, incomplete: str, after: str) -> list[tuple[str, str]]:
    from brokercli.commands.completing_names import settings

    return settings((context.command.name or "").removeprefix("declare "), incomplete, context.params.get("context_name"), after)


def setting_option(flag: str, metavar: str, help_text: str) -> Any:
    """Return an option that stands for a setting."""
    return typer.Option(flag, metavar=metavar, rich_help_panel="Settings", help=help_text)


def name_argument(metavar: str, what: str) -> Any:
    """Return the argument that names what is declared."""
    return typer.Argument(metavar=metavar, autocompletion=complete_address, show_default=False, help=f"{what}; with its context @CONTEXT/{metavar}, or a URL.")


SetOption = Annotated[list[str] | None, typer.Option(
    "--set", "-s", metavar="NAME=VALUE", autocompletion=complete_setting, rich_help_panel="Settings",
    help="A setting under the broker's own name (brokercli declare settings lists them); repeat for several. Durations (7d, 30s), sizes (64MiB), "
         "lists (a,b), tables as JSON.")]
UnsetOption = Annotated[list[str] | None, typer.Option(
    "--unset", metavar="NAME", autocompletion=complete_unset, rich_help_panel="Settings",
    help="A setting that goes back to the broker's default; repeat for several.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Also change what exists. Without this differences are shown; on a terminal it is asked.")]
ApplyOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it. Without this the plan is printed; on a terminal it is asked.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel="Output",
                                           help="Print problems only, and no plan; the exit code says the rest. -o json is printed all the same.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan only, with exit code 8 where there is something to do.")]


def declare(context: typer.Context, kind: str, name: str, assignments: Sequence[str] | None, options: Mapping[str, str | None], *, yes: bool, dry_run: bool,
            output: str, quiet: bool, context_name: str | None, connect_timeout: float | None, unset: Sequence[str] | None = None,
            destination: str | None = None) -> int:
    """Declare one thing and return the exit code."""
    from brokercli.backends.registry import Descriptor, known_settings
    from brokercli.commands.declare_name import parse_binding, parse_name
    from brokercli.commands.declare_run import DeclareRun
    from brokercli.commands.session import open_broker, streams_of
    from brokercli.model.declaration import Declaration
    from brokercli.operations.declaring import Plan, read_assignments
    from brokercli.terminal.tables import check_output

    check_output(output)
    address = parse_name(kind, name.partition(" -> ")[0])
    wanted: list[Declaration] = []

    def check(descriptor: Descriptor) -> None:
        known_settings(descriptor, kind)
        settings = read_assignments(descriptor, kind, assignments or (), options, unset or ())
        wanted.append(Declaration(kind, address.name, settings) if kind != "binding" else parse_binding(name, destination, settings))

    with open_broker(address, context_name, connect_timeout=connect_timeout, check=check) as broker:
        declarer = broker.backend.declarer()
        changes = declarer.plan(wanted)
        run = DeclareRun(streams_of(context), broker, declarer, output, yes, dry_run, quiet, creates_unasked=True)
        return run.run(Plan(tuple(changes), notes=tuple(declarer.notes)))
