"""What a command that publishes says while it runs and at its end: verdicts, problems, one summary, one exit code."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from brokercli.backends.contract import withheld_in_words
from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.publishing import Outcome, Publishing
from brokercli.terminal.failure import present
from brokercli.terminal.interrupt import Interrupt, StopNow
from brokercli.terminal.notes import Notes
from brokercli.terminal.progress import Progress
from brokercli.terminal.silence import Silence
from brokercli.terminal.streams import Streams
from brokercli.terminal.summary import report_end, summarise
from brokercli.terminal.tables import print_json

# problems said one by one; the rest are in the summary's counts, and all of them in --receipts
SAID = 20


class Decided:
    """The exit code, once it is decided: no signal changes anything about it any more, neither while it is said nor while connections
    are closed. What is opened within it is closed before it is."""

    def __init__(self) -> None:
        self.code: int | None = None
        self._interrupt: Interrupt | None = None

    def hold(self, interrupt: Interrupt) -> None:
        """Keep signals caught until everything is closed."""
        self._interrupt = interrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if self._interrupt is not None:
            self._interrupt.__exit__(kind, error, trace)
        return kind in (KeyboardInterrupt, StopNow) and self.code is not None


class Delivery:
    """One run's talk. Signals are caught while it is open: the first lets what is in flight finish, the second stops. Once the exit code
    is decided they change nothing, until `decided` is closed."""

    def __init__(self, streams: Streams, decided: Decided, verb: str, *, receipts: bool = False, quiet: bool = False, report: str | None = None,
                 total: int | None = None, stops_at_bad_input: bool = False, typed: bool = False) -> None:
        self._streams = streams
        self._decided = decided
        self._verb = verb
        self._receipts, self._quiet, self._report, self._stops_at_bad_input = receipts, quiet, report, stops_at_bad_input
        self._said = 0
        self._notes: Notes | None = None
        self._interrupt = Interrupt(streams)
        self._progress = Progress(streams, verb, total, typed=typed)
        self.silence = Silence(self._progress.note, quiet=quiet)
        self._publishing: Publishing | None = None

    def __enter__(self) -> Self:
        self._interrupt.__enter__()
        self._progress.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.__exit__(kind, error, trace)
        if self._decided.code is None:
            self._interrupt.__exit__(kind, error, trace)

    def stopping(self) -> bool:
        """Whether a signal asked to stop. What has come to be known meanwhile is said: it may be why nothing moves."""
        if self._notes is not None:
            self._notes.say_new()
        return self._interrupt.requested

    def take(self, receipts: Receipts) -> None:
        """Print verdicts as they come: problems to standard error, and everything to standard output where asked."""
        self.silence.heard()
        self._progress.advance(len(receipts))
        for receipt in receipts.problems:
            if (self._publishing is not None and self._publishing.closing) or (self._stops_at_bad_input and receipt.index < 0):
                # it is said at the end, as what stopped us
                continue
            self._said += 1
            if self._said <= SAID and (receipt.verdict is not Verdict.CONFIRMED or not self._quiet):
                where = "" if receipt.index < 0 else f"message {self._number_of(receipt):,}: "
                what = "stored before, not again (duplicate)" if receipt.duplicate else f"{receipt.verdict}: {receipt.reason}"
                self._progress.note(f"{where}{what}")
            elif self._said == SAID + 1:
                self._progress.note("further problems are counted, not shown; --receipts prints each")
        if self._receipts:
            confirmed = {receipt.index for receipt in receipts.confirmations}
            problems = [receipt for receipt in receipts.problems if receipt.index not in confirmed]
            every = sorted([*receipts.confirmations, *problems], key=lambda receipt: receipt.index)
            self._receipts = False  # where they cannot be written, the rest of them cannot either
            print_json(self._streams, [self._line(receipt) for receipt in every])
            self._receipts = True

    def run(self, publishing: Publishing, work: Callable[[], Outcome], elapsed: Callable[[], float], *, fail_if_empty: bool = False,
            extra: dict[str, object] | None = None, abandon: Callable[[], Outcome] | None = None) -> int:
        """Do the work, stop at once on a second signal (by `abandon`, where that is more than to abandon the publishing), say how it
        ended and return the exit code."""
        self._publishing = publishing
        self._notes = notes = Notes(publishing.publisher, self._progress.note, quiet=self._quiet)
        notes.say_new()
        self.silence.tell_why = notes.say_new
        try:
            outcome = work()
            self._interrupt.last_words()
        except StopNow:
            self._interrupt.last_words()
            outcome = (abandon or publishing.abandon)()
        self._decided.hold(self._interrupt)
        self._decided.code = code = self._exit_code(outcome, fail_if_empty)
        self._progress.__exit__(None, None, None)
        notes.say_new()
        if outcome.error is not None:
            present(outcome.error, self._streams)
        if withheld := withheld_in_words(publishing.publisher.withheld) if not self._quiet else "":
            self._streams.say(f"{withheld}; --keep-control-headers passes them on")
        facts = {**(extra or {}), **({"duplicates": outcome.duplicates} if outcome.duplicates else {})}
        summarise(self._streams, self._verb, outcome.account, seconds=elapsed(), extra=facts, quiet=self._quiet)
        if self._report is not None:
            self._decided.code = code = report_end(self._streams, self._report, self._verb, outcome.account, code, elapsed(), facts)
        return code

    def _number_of(self, receipt: Receipt) -> int:
        return receipt.index + 1 if self._publishing is None else self._publishing.number_of(receipt)

    def _exit_code(self, outcome: Outcome, fail_if_empty: bool) -> int:
        code = int(outcome.exit_code)
        if outcome.stopped and code not in (ExitCode.IN_DOUBT,) and self._interrupt.requested:
            return self._interrupt.exit_code
        if code == ExitCode.DONE and fail_if_empty and not outcome.account.confirmed:
            return int(ExitCode.NOTHING_MATCHED)
        return code

    def _line(self, receipt: Receipt) -> dict[str, object]:
        line: dict[str, object] = {"message": self._number_of(receipt) if receipt.index >= 0 else None, "verdict": str(receipt.verdict)}
        if receipt.position:
            line["position"] = receipt.position
        if receipt.duplicate:
            line["duplicate"] = True
        if receipt.reason:
            line["reason"] = receipt.reason
        return line
