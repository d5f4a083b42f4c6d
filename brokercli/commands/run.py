"""One command line: run, and every way in which it can end turned into an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from brokercli.commands.app import build
from brokercli.model.errors import BrokercliError


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    if arguments[:1] == ["__complete"]:
        from brokercli.commands.completing import answer

        return answer(arguments[1:])
    if isinstance(sys.stdout, io.TextIOWrapper):  # help pages go there, and not every locale has their characters
        sys.stdout.reconfigure(errors="replace")
    if "--no-color" in arguments:  # help and complaints are typer's, which knows only this
        os.environ["NO_COLOR"] = "1"
    try:
        build(arguments)(args=list(arguments), prog_name="brokercli")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return _end_of_help(code) if code in (0, 1) and any(word in ("-h", "--help") for word in arguments) else code
    except OSError as error:
        from typer._click.exceptions import UsageError

        if isinstance(error.__context__, UsageError):  # standard error takes nothing: it was used wrongly all the same
            return error.__context__.exit_code
        return _present(error, arguments)
    except BaseException as error:  # noqa: BLE001  every error ends here, and is turned into words in one place
        return _present(error, arguments)
    return 0


def _present(error: BaseException, arguments: Sequence[str]) -> int:
    from brokercli.terminal.failure import present
    from brokercli.terminal.streams import Streams

    # a variable may say what an option does, and is quoted as it
    words = [*arguments, *(value for name, value in os.environ.items() if name.startswith("BROKERCLI_"))]
    return present(error, Streams.system(no_color="--no-color" in arguments), debug="--debug" in arguments, output_json=_asks_for_json(arguments),
                   words=words)


def _end_of_help(code: int) -> int:
    """Return the exit code of a help page. Of a reader that left typer makes 1; where nothing can be printed, it says that all is well."""
    if code == 1:
        return 141
    if sys.stdout is None:
        from brokercli.terminal.streams import Streams

        try:
            Streams.system().write(b"")
        except BrokercliError as problem:
            return _present(problem, ())
    return code


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether data is to be JSON, so that an error is an object too. The command line may be one that cannot be parsed."""
    words = " ".join(arguments)
    return any(text in words for text in ("-o json", "-ojson", "--output json", "--output=json"))
