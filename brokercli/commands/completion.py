"""`brokercli completion SHELL`, and the answer to every TAB."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from brokercli.commands.app import SETUP

EXAMPLES = """[bold]Examples[/bold]

source <(brokercli completion bash)  # in ~/.bashrc

source <(brokercli completion zsh)  # in ~/.zshrc, after compinit

brokercli completion fish | source  # in ~/.config/fish/config.fish

brokercli completion powershell | Out-String | Invoke-Expression"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("completion", rich_help_panel=SETUP, epilog=EXAMPLES)(completion)


def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.", show_default=False)],
) -> None:
    """Print the script that lets a shell complete commands, options, contexts and the names on the broker. Changes nothing."""
    from brokercli.commands.completion_scripts import SCRIPTS
    from brokercli.commands.session import streams_of

    streams_of(context).write(SCRIPTS[shell].encode())
