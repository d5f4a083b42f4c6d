"""What can go wrong, by what the user should do about it. One place (`terminal/failure.py`) turns these into words."""

from __future__ import annotations

from brokercli.model.exit_code import ExitCode


class BrokercliError(Exception):
    """Something the user can act on: one sentence that says what happened and why; `hint` says what to type next."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Bug(BrokercliError):
    """What is no broker's fault and no user's, met where nobody could raise it (on a connection's thread): its cause is what was raised there.
    It is said as any other bug, and the cause's traceback kept."""

    def __init__(self, where: str, problem: BaseException) -> None:
        super().__init__(f"{where}: {type(problem).__name__}: {problem}")
        self.__cause__ = problem


class UsageProblem(BrokercliError):
    """Asked wrongly; nothing was sent."""

    exit_code = ExitCode.USAGE


class Failed(BrokercliError):
    """Refused by the broker or impossible as things are; nothing changed."""


class NotFound(Failed):
    """The thing named does not exist on this broker."""


class OutOfRange(Failed):
    """The position asked for is not stored; the message says the range that is."""


class Unreachable(BrokercliError):
    """No usable connection: closed port, mute port, wrong protocol, unknown host name, connection lost for good."""

    exit_code = ExitCode.UNREACHABLE


class NotAuthorised(BrokercliError):
    """Login, TLS or permission."""

    exit_code = ExitCode.NOT_AUTHORISED


class Unsupported(BrokercliError):
    """This broker, or this kind of resource on it, cannot do that; the message is the reason in its capability table."""

    exit_code = ExitCode.UNSUPPORTED


class LocalIO(BrokercliError):
    """A local file, disk or pipe failed: journal, output, configuration that cannot be written."""

    exit_code = ExitCode.LOCAL_IO


class TimedOut(BrokercliError):
    """`--timeout` passed and nothing is in doubt."""

    exit_code = ExitCode.TIMED_OUT


class ReaderLeft(BrokercliError):
    """Whoever read our output closed the pipe."""

    exit_code = ExitCode.READER_LEFT


class InputRefused(BrokercliError):
    """One piece of input is not what it was said to be. `number` is its line (or record) number, from 1."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, number: int, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.number = number
