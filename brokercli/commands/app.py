"""The tree of commands. Only the module of the command that is called gets imported, so that one TAB stays cheap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import dropwhile
from typing import Any

from brokercli.backends.later import put_off

# of these it needs nothing to read a command line
with put_off("subprocess"), put_off("ipaddress"):
    import typer
from typer._click.exceptions import UsageError
from typer.core import TyperCommand, TyperGroup

MESSAGES, DEAD_LETTERS, RESOURCES, SETUP = "Messages", "Dead letters", "Topics, streams, queues", "Setting up"
# command → (module under commands/ with a `register(app)`, or a group of such modules; its panel in the help)
COMMANDS = {
    "publish": ("publish", MESSAGES),
    "tail": ("tail", MESSAGES),
    "replay": ("replay", MESSAGES),
    "dlq": ("dlq", DEAD_LETTERS),
    "ls": ("ls", RESOURCES),
    "describe": ("describe", RESOURCES),
    "consumers": ("consumers", RESOURCES),
    "declare": ("declare", RESOURCES),
    "topology": ("topology", RESOURCES),
    "context": ("context", SETUP),
    "doctor": ("doctor", SETUP),
    "brokers": ("brokers", SETUP),
    "local": ("local", SETUP),
    "demo": ("demo", SETUP),
    "completion": ("completion", SETUP),
    "help": ("help_topics", SETUP),
}


class Command(TyperCommand):
    """A command whose usage names what it needs as other tools do; typer puts braces around that (0.27)."""

    def collect_usage_pieces(self, context: Any) -> list[str]:
        return [piece[1:-1] if piece.startswith("{") else piece for piece in super().collect_usage_pieces(context)]


class Tree(TyperGroup):
    """The commands in the order in which somebody looks for them; typer would put all groups behind all commands."""

    def list_commands(self, context: object) -> list[str]:
        return [name for name in COMMANDS if name in self.commands]

    words: Sequence[str] = ()

    def make_context(self, info_name: str | None, args: list[str], *arguments: Any, **options: Any) -> Any:
        self.words = tuple(args)  # which are taken out of the list as they are read
        with _discreet(self.words):
            return super().make_context(info_name, args, *arguments, **options)

    def invoke(self, context: Any) -> Any:
        with _discreet(self.words):
            return super().invoke(context)


@contextmanager
def _discreet(words: Sequence[str]) -> Iterator[None]:
    """What typer says of a command line that cannot be parsed quotes it; where other tools have such a word, it says ours."""
    try:
        yield
    except UsageError as problem:
        from brokercli.commands.other_tools import ours
        from brokercli.terminal.logins import without_logins

        said = ours(problem.ctx.command_path if problem.ctx else "", problem.message)
        message = problem.message if said is None else f"{problem.message.partition(' Did you mean')[0].rstrip('.')}. Here: {said}"
        problem.message = without_logins(message, words)
        raise


def build(words: Sequence[str] = ()) -> typer.Typer:
    """Return the tree; with `words` (a command line) only the branch that they begin with, where they begin with one."""
    from brokercli.commands.groups import GROUPS, add_group

    app = typer.Typer(name="brokercli", add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True,
                      context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    app.callback(cls=Tree)(root)
    # the rest may be asked for help on what comes after them
    branch = list(dropwhile(("--no-color", "--debug").__contains__, words))
    for name, (module, panel) in COMMANDS.items():
        if branch and branch[0] in COMMANDS and branch[0] != name:
            continue
        if name in GROUPS:
            add_group(app, name, branch[1:], panel=panel)
        else:
            import_module(f"brokercli.commands.{module}").register(app)
    for branch_of_it in (app, *(group.typer_instance for group in app.registered_groups)):
        for command in branch_of_it.registered_commands if branch_of_it is not None else ():
            command.cls = Command
    return app


def _print_version(asked: bool) -> None:
    # as the option is read: by the time that the command runs it has been complained of that there is none
    if asked:
        from brokercli import __version__
        from brokercli.terminal.streams import Streams

        Streams.system().write(f"brokercli {__version__}\n".encode())
        raise typer.Exit


def root(
    context: typer.Context,
    no_color: bool = typer.Option(False, "--no-color", help="Print without colours; NO_COLOR in the environment does the same."),
    debug: bool = typer.Option(False, "--debug", help="Show a traceback with an error; BROKERCLI_DEBUG=1 does the same."),
    version: bool = typer.Option(False, "--version", "-V", help="Print the version.", is_eager=True, callback=_print_version),
) -> None:
    """See and repair what runs through Kafka, NATS/JetStream and RabbitMQ, the same way on all three.

    Data goes to standard output, talk to standard error; exit codes are a promise (brokercli help exit-codes).
    """
    context.obj = {"no_color": no_color}
