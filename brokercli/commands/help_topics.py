"""`brokercli help`: what is not about one command."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands.app import COMMANDS, SETUP


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("help", rich_help_panel=SETUP)(help_)


def _topics(incomplete: str) -> list[tuple[str, str]]:
    from brokercli.commands.help_texts import TOPICS

    known = TOPICS | {name: panel for name, (_, panel) in COMMANDS.items()}
    return [(name, about) for name, about in known.items() if name.startswith(incomplete)]


def help_(
    context: typer.Context,
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", autocompletion=_topics, help="A topic or a command; without it, the topics.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="[WORD]", show_default=False, help="A command's second word: brokercli help dlq redrive.")] = None,
) -> None:
    """Explain what concerns all commands: addresses, positions, output, filters, topologies, contexts, environment, exit codes."""
    from brokercli.commands.help_texts import TOPICS, page
    from brokercli.commands.session import streams_of
    from brokercli.model.errors import UsageProblem

    streams = streams_of(context)
    if topic is None:
        width = max(map(len, TOPICS))
        lines = [f"  {name:{width}}  {summary}\n" for name, summary in TOPICS.items()]
        streams.write(f"brokercli help TOPIC\n\n{''.join(lines)}\nbrokercli COMMAND --help explains one command.\n".encode())
    elif topic in TOPICS and second is None:
        from brokercli.terminal.cells import hanging

        lines = page(topic).splitlines()
        if streams.stdout_is_terminal:
            lines = [part for line in lines for part in hanging(line, streams.width)]
        streams.write("".join(f"{line}\n" for line in lines).encode())
    elif topic in COMMANDS:
        from brokercli.commands.run import run

        raise typer.Exit(run([topic, *([] if second is None else [second]), "--help"]))
    else:
        from difflib import get_close_matches

        topic = topic if second is None else f"{topic} {second}"
        close = get_close_matches(topic, [*TOPICS, *COMMANDS], n=1)
        raise UsageProblem(f"There is no help on {topic!r}.", hint=f"did you mean {close[0]}?" if close else f"topics: {', '.join(TOPICS)}")
