"""The options that `topology plan` and `apply` share, and the way from a file to an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brokercli.backends.registry import Descriptor

FileArgument = Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="The topology, in TOML; - is standard input.")]
PruneOption = Annotated[bool, typer.Option("--prune", help="Also delete what the file's prune patterns name and the file does not declare.")]
PruneNameOption = Annotated[list[str] | None, typer.Option(
    "--prune-name", metavar="PATTERN", help="Also delete what this names (orders.*, queue:orders.*) and the file does not declare; repeat for several.")]


def carry_out(context: typer.Context, file: str, *, prune: bool, prune_names: list[str] | None, yes: bool, dry_run: bool, output: str, quiet: bool,
              context_name: str | None, connect_timeout: float | None, doer: str = "") -> int:
    """Plan the file, do it where `yes` says so or somebody agrees, and return the exit code."""
    from dataclasses import replace

    from brokercli.backends.registry import check_declarable
    from brokercli.commands.declare_run import DeclareRun
    from brokercli.commands.files import read_file
    from brokercli.commands.session import open_broker, streams_of
    from brokercli.model.declaration import Topology
    from brokercli.model.errors import Unsupported, UsageProblem
    from brokercli.operations.declaring import plan_topology
    from brokercli.settings.topology_file import place_of_problem, read_topology_file
    from brokercli.terminal.tables import check_output

    check_output(output)
    streams = streams_of(context)
    data = read_file(streams, file, "the topology" if file == "-" else file, "brokercli topology export FILE writes one")
    topologies: list[Topology] = []
    patterns: list[str] = []

    def check(descriptor: Descriptor) -> None:
        check_declarable(descriptor)
        topology = read_topology_file(file, data, descriptor)
        if prune and not topology.prune and not prune_names:
            raise UsageProblem("--prune deletes only what a pattern names, and the file has none.",
                               hint='for example: prune = ["orders.*"] in the file, or --prune-name \'orders.*\'')
        patterns.extend(topology.prune)
        topologies.append(replace(topology, prune=(*(topology.prune if prune else ()), *(prune_names or ()))))

    with open_broker(None, context_name, connect_timeout=connect_timeout, check=check) as broker:
        declarer = broker.backend.declarer()
        try:
            plan = plan_topology(declarer, topologies[0], prune=bool(prune or prune_names))
        except (UsageProblem, Unsupported) as problem:
            place = place_of_problem(str(problem), topologies[0], data, file)
            raise type(problem)(f"{place}: {problem}" if place else str(problem), hint=problem.hint) from None
        if not plan.changes and not quiet and output != "json":
            pruned = prune or prune_names
            streams.say("nothing is declared" + (", and nothing there has a name that is pruned" if pruned else "; --prune deletes what its patterns name"
                                                 if patterns else ""))
        return DeclareRun(streams, broker, declarer, output, yes, dry_run, quiet, doer=doer).run(plan)


def schema_page(descriptors: Sequence[Descriptor]) -> str:
    """Return the JSON Schema of topology files as a text."""
    import json

    from brokercli.settings.topology_schema import topology_schema

    return json.dumps(topology_schema(descriptors), indent=2, ensure_ascii=False) + "\n"
