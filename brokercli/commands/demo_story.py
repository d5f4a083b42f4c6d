"""The story that `demo` tells. Each step is a command line that is shown and then run as it stands."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from brokercli.local import server
from brokercli.local.state import Identity
from brokercli.local.worker import CONSUMER, STREAM, work
from brokercli.model.errors import LocalIO
from brokercli.model.exit_code import ExitCode
from brokercli.settings.places import local_files
from brokercli.terminal.streams import STYLES, Streams


@dataclass(frozen=True, slots=True)
class Chapter:
    """A sentence, what has to be done first that no command does, and the command lines it is about."""

    says: str
    commands: tuple[tuple[str, ...], ...] = ()
    prepares: Callable[[Identity], str] | None = None
    """Returns what it did, to be told."""


def _work_in_vain(identity: Identity) -> str:
    worked = work(identity, mended=False)
    return (f"A worker, {CONSUMER}, ran: {worked.billed} orders billed, {worked.failed} given back twice, because their amount is a text and not a number."
            " JetStream gives them up.")


def _work_mended(identity: Identity) -> str:
    return f"The worker was mended and ran again: {work(identity, mended=True).billed} order billed."


START = Chapter("A broker of your own: a nats-server with JetStream, for this machine only.", (("local", "start"),))
CHAPTERS = (
    Chapter("Messages are kept by a stream that captures their subject. Declaring it again changes nothing.", (
        ("declare", "stream", STREAM, "--subjects", "orders.>"),)),
    Chapter("Publish three orders. A message counts as confirmed when the broker says that it is stored.", (
        ("publish", "orders.created", '{"order":1,"customer":"ada","amount":120}', "-H", "source=demo"),
        ("publish", "orders.created", '{"order":2,"customer":"grace","amount":75}', "-H", "source=demo"),
        ("publish", "orders.created", '{"order":3,"customer":"edsger","amount":310}', "-H", "source=demo"))),
    Chapter("Follow them as they arrive. Looking changes nothing; without --from and -n it waits for new ones until Ctrl-C.", (
        ("tail", "orders.created", "--from", "-3", "-n", "3"),)),
    Chapter("Read stored messages again, from a place to a place: here the last three, as envelopes for jq and for publish --input json.", (
        ("replay", "orders.created", "--from", "-3", "-o", "json"),)),
    Chapter("Replay them somewhere else: confirmed one by one, with an account at the end.", (
        ("replay", "orders.created", "--from", "-3", "--to", "orders.copied"),
        ("replay", "orders.copied", "--from", "-3", "--grep", "ada"))),
    Chapter("A service bills the orders. What it fails on twice is dead; JetStream only announces that, so a stream has to record it.", (
        ("declare", "consumer", f"{STREAM}/{CONSUMER}", "--max-deliver", "2", "--filter-subject", "orders.created"),
        ("dlq", "capture", STREAM, "--yes"),
        ("publish", "orders.created", '{"order":4,"customer":"linus","amount":"80"}'),
        ("publish", "orders.created", '{"order":5,"customer":"barbara","amount":"95"}'))),
    Chapter("Something is wrong with two of them.", prepares=_work_in_vain),
    Chapter("Where are dead letters, how many, and why did they die?", (("dlq", "ls"), ("dlq", "inspect"), ("dlq", "show", "#1"))),
    Chapter("Put one back: the plan first, which changes nothing, then the thing itself. It is confirmed at home before it is taken off the dead letters.", (
        ("dlq", "redrive", "--grep", "linus", "--dry-run"), ("dlq", "redrive", "--grep", "linus", "--yes"))),
    Chapter("And the service?", (("consumers", "lag", f"{STREAM}/{CONSUMER}"),), prepares=_work_mended),
    Chapter("See what is there.", (("ls",), ("describe", f"stream:{STREAM}"))),
)
ENDING = ("brokercli dlq redrive", "brokercli tail orders.created", "brokercli publish orders.created '{\"order\":6}'",
          "brokercli replay orders.created --from @-1h", "brokercli local stop", "brokercli help")


def tell(streams: Streams) -> int:
    """Tell the story and return the exit code: that of the first command that fails."""
    # a broker that does not start is not chosen
    code = _tell_chapter(streams, START, ())
    if code:
        return code
    about_context, context_words = _choose_local()
    for chapter in CHAPTERS:
        code = _tell_chapter(streams, chapter, context_words)
        if code:
            return code
    _narrate(streams, "That was it. Type next:")
    streams.write("".join(f"  {_spelled(line, context_words)}\n" for line in ENDING).encode())
    streams.say(about_context)
    return 0


def _tell_chapter(streams: Streams, chapter: Chapter, context_words: tuple[str, ...]) -> int:
    _narrate(streams, chapter.says)
    if chapter.prepares is not None:
        _narrate(streams, chapter.prepares(server.start(local_files())[0]), first=False)
    for command in chapter.commands:
        words = (*command, *context_words)
        _show(streams, words)
        code = _run(words)
        if code and not ("--dry-run" in words and code == ExitCode.CHANGES_PENDING):
            streams.say(f"the demonstration ends here: this command ended with exit code {code}")
            return code
    return 0


def _choose_local() -> tuple[str, tuple[str, ...]]:
    """Choose `local` where nothing is chosen; return what to say about it, and what commands need in addition."""
    from brokercli.settings.resolve import NothingChosen, choose
    from brokercli.settings.writing import use_context

    try:
        choice = choose(None, None)
    except NothingChosen:
        try:
            return f"the context local is chosen now ({use_context('local')})", ()
        except LocalIO as unwritable:
            return f"the context local could not be chosen: {unwritable}", ("--context", "local")
    if choice.name == "local":
        return f"the context local is chosen ({choice.source})", ()
    return f"your context stays {choice.name or 'the URL'} ({choice.source}); --context local means this broker", ("--context", "local")


def _run(words: tuple[str, ...]) -> int:
    from brokercli.commands.run import run

    return run(words)


def _narrate(streams: Streams, text: str, *, first: bool = True) -> None:
    newline = "\n" if first else ""
    streams.write(f"{newline}{_styled(streams, text, 'bold') if first else text}\n".encode())


def _show(streams: Streams, words: tuple[str, ...]) -> None:
    streams.write(f"{_styled(streams, f'$ brokercli {shlex.join(words)}', 'green')}\n".encode())


def _spelled(line: str, context_words: tuple[str, ...]) -> str:
    return f"{line} {' '.join(context_words)}" if context_words and line.split()[1] not in ("local", "help") else line


def _styled(streams: Streams, text: str, style: str) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if streams.colour else text
