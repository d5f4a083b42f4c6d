"""Give messages to a publisher and keep the account: read = confirmed + refused + unknown + skipped, however it ends."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from brokercli.backends.contract import Publisher
from brokercli.model.errors import BrokercliError, InputRefused, LocalIO, ReaderLeft
from brokercli.model.exit_code import ExitCode
from brokercli.model.message import Message
from brokercli.model.receipt import Account, Receipt, Receipts, Verdict
from brokercli.operations.named_verdicts import NamedVerdicts
from brokercli.operations.reading import SLICE

_LAST_WAIT_SECONDS = 5.0


class Source(Protocol):
    """Where messages come from; see `operations/input.py`."""

    @property
    def first(self) -> int:
        """Number, in the input, of the first message of the last `read`; the others follow it without a gap."""

    def read(self, timeout: float) -> Sequence[bytes] | Sequence[Message] | None:
        """Return what is there, nothing after `timeout` seconds, None at the end."""


@dataclass(slots=True)
class Outcome:
    """How publishing ended. `error` is what stopped it, if anything did; the account is complete in any case."""

    account: Account = field(default_factory=Account)
    duplicates: int = 0
    error: BrokercliError | None = None
    stopped: bool = False
    """The user asked to stop, or the time given was over."""
    timed_out: bool = False
    """It was the time given."""

    @property
    def exit_code(self) -> ExitCode:
        """In doubt beats partly. An error keeps its own code where nothing had been confirmed; one of our own disk or reader also where
        everything had been."""
        account = self.account
        if account.unknown:
            return ExitCode.IN_DOUBT
        if self.error is not None:
            everything_stored = account.confirmed == account.read and isinstance(self.error, (LocalIO, ReaderLeft))
            return ExitCode.PARTLY if account.confirmed and not everything_stored else self.error.exit_code
        if account.refused:
            return ExitCode.PARTLY if account.confirmed else ExitCode.FAILED
        return ExitCode.TIMED_OUT if self.timed_out else ExitCode.DONE

    def blame(self, failure: BrokercliError | None) -> None:
        """Take in why nothing can be delivered any more, where that became known with the last verdicts and was never raised. It counts
        only where something was not confirmed."""
        if failure is not None and self.error is None and self.account.refused + self.account.unknown:
            self.error = failure


def failure_of(publisher: Publisher) -> BrokercliError | None:
    """Return why a publisher delivers nothing any more, which its `collect` raises; None where it still does. For one that has given all
    its verdicts."""
    try:
        publisher.collect(0)
    except BrokercliError as failure:
        return failure
    return None


class Rate:
    """At most so many messages a second, spread evenly; None lets everything through."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._free_at = time.monotonic()

    @property
    def unlimited(self) -> bool:
        """Whether everything is let through."""
        return self._per_second is None

    @property
    def share(self) -> int | None:
        """How many may go in a moment, after which one looks whether to go on; None where all may."""
        return None if self._per_second is None else max(1, int(self._per_second * SLICE))

    def allow(self, wanted: int) -> int:
        """Return how many of `wanted` may go now; what is returned is spent."""
        if self._per_second is None:
            return wanted
        now = time.monotonic()
        # what was not used in the past tenth of a second is lost: a stalled input is not followed by a burst
        self._free_at = max(self._free_at, now - SLICE)
        allowed = min(wanted, int((now - self._free_at) * self._per_second) + (now >= self._free_at))
        self._free_at += allowed / self._per_second
        return allowed


@dataclass(slots=True)
class Publishing:
    """One run of publishing. `run` may be interrupted by any exception; `settle` then still closes the account."""

    publisher: Publisher
    on_receipts: Callable[[Receipts], None] = lambda receipts: None
    """Called with verdicts as they come: receipts to print, problems to say."""
    stopping: Callable[[], bool] = lambda: False
    rate: Rate = field(default_factory=lambda: Rate(None))
    on_bad_input: Literal["stop", "skip"] = "stop"
    delivery_timeout: float = 30.0
    waiting: Callable[[int], None] = lambda in_flight: None
    """Called again and again while no verdict comes on what is in flight, so many messages, or nothing is accepted."""
    out_of_time: Callable[[], bool] = lambda: False
    """Whether it was to be over by now: nothing more is accepted then, and verdicts are waited for only while they come."""
    outcome: Outcome = field(default_factory=Outcome)
    accepted: int = 0
    """How many messages the publisher has accepted; the next one has this number."""
    unconfirmed: set[int] | None = None
    """Where it is a set: the numbers of messages whose verdict came and is no confirmation, and -1 for one of which that is not known."""
    closing: bool = False
    """Whether the verdicts told now are no broker's: of messages that whatever stopped it left without one. The outcome says what that was."""
    _named: NamedVerdicts = field(default_factory=NamedVerdicts)
    _offered: int = 0
    """How many it may have accepted: more than it says where a second Ctrl-C came while it was accepting."""
    _elsewhere: int = 0
    """How many verdicts in the account are not the publisher's."""
    _shifts: list[tuple[int, int]] = field(default_factory=list)

    def run(self, source: Source) -> Outcome:
        """Publish until the source ends, the user stops it, or it cannot go on; then wait for every verdict."""
        try:
            while not self.stopping():
                if not self._publish_next(source):
                    break
            else:
                self.outcome.stopped = True
        except BrokercliError as error:
            self.outcome.error = error
        self.settle()
        return self.outcome

    def send(self, messages: Sequence[bytes] | Sequence[Message]) -> None:
        """Publish these, which count as read from here on; returns once all are accepted, or the user stops it."""
        self.outcome.account.read += len(messages)
        send: Callable[..., int] = self.publisher.send_bodies if isinstance(messages[0], bytes) else self.publisher.send
        start = 0
        while start < len(messages) and not self.stopping():
            allowed = self.rate.allow(len(messages) - start)
            self._offered = self.accepted + allowed
            try:
                accepted = send(messages[start:start + allowed] if start or allowed < len(messages) else messages) if allowed else 0
            except BrokercliError:
                self._offered = self.accepted
                raise
            start += accepted
            self.accepted += accepted
            self._offered = self.accepted
            refused = self.outcome.account.refused
            self._take(self.publisher.collect(0 if accepted else SLICE / 10 if not allowed else SLICE), stuck=not accepted and allowed > 0)
            if self.outcome.account.refused > refused and not self.publisher.in_flight:
                # where all are refused for what does not change, the rest need not be read
                self._take(self.publisher.collect(0))
            if start < len(messages) and self.out_of_time():
                break

    def settle(self, timeout: float | None = None) -> None:
        """Wait for what is in flight, `timeout` seconds (the delivery timeout without it) at most, and where it is out of time no longer than
        five seconds after the last verdict; then every message has one, and what was read and never sent counts as skipped, or as refused when
        an error stopped us."""
        heard = time.monotonic()
        deadline = heard + (self.delivery_timeout if timeout is None else timeout)
        try:
            while (in_flight := self.publisher.in_flight) and time.monotonic() < deadline:
                if self.out_of_time() and time.monotonic() - heard >= _LAST_WAIT_SECONDS:
                    self.outcome.timed_out = True
                    break
                self._take_to_the_end(self.publisher.collect(SLICE))
                if self.publisher.in_flight != in_flight:
                    heard = time.monotonic()
        except BrokercliError as error:
            self.outcome.error = self.outcome.error or error
        finally:
            self._take_to_the_end(self.publisher.finish(0))
            self._judge_the_rest()

    def _judge_the_rest(self) -> None:
        account = self.outcome.account
        self.closing = True
        # the account is what tells how many are judged: whatever is entered only in part when a signal comes is not entered twice
        lost = self._offered - (account.confirmed + account.refused + account.unknown - self._elsewhere)
        if lost > 0:
            # a second Ctrl-C took their verdicts from under their reader
            missing = self._named.missing(self._offered)
            numbers = missing if len(missing) == lost else [-1] * lost
            why = "sent, and stopped before its verdict was read"
            self._take_to_the_end(Receipts(unknown=lost, problems=[Receipt(number, Verdict.UNKNOWN, reason=why) for number in numbers]))
        if account.refused and self.outcome.error is None and not self.publisher.in_flight:
            self.outcome.blame(failure_of(self.publisher))
        if self.outcome.error is None:
            account.skipped += account.open
        else:
            never_sent = range(self._offered, self._offered + account.open)
            why = f"never sent: {str(self.outcome.error).rstrip('.')}"
            self._take_to_the_end(Receipts(refused=len(never_sent), problems=[Receipt(index, Verdict.REFUSED, reason=why) for index in never_sent]))
        self.closing = False

    def refuse(self, reason: str) -> None:
        """Count a message as read and refused that does not get as far as the publisher."""
        self.outcome.account.read += 1
        self._elsewhere += 1
        self.outcome.account.refused += 1
        self.on_receipts(Receipts(refused=1, problems=[Receipt(-1, Verdict.REFUSED, reason=reason)]))

    def number_of(self, receipt: Receipt) -> int:
        """Return the number, in the input, of the message a receipt is about: its line, from 1."""
        past = bisect_right(self._shifts, receipt.index, key=lambda entry: entry[0])
        return receipt.index + (self._shifts[past - 1][1] if past else 1)

    def abandon(self) -> Outcome:
        """Stop now: what is in flight is unknown from here on. For the second Ctrl-C."""
        self.settle(0)
        self.outcome.stopped = True
        return self.outcome

    def _publish_next(self, source: Source) -> bool:
        try:
            messages = source.read(SLICE)
        except InputRefused as problem:
            self.refuse(str(problem))
            if self.on_bad_input == "stop":
                problem.hint = "; ".join(filter(None, (problem.hint, "--on-bad-input skip goes on behind it")))
                raise
            return True
        if messages is None:
            return False
        if messages:
            shift = source.first - self.accepted
            if not self._shifts or self._shifts[-1][1] != shift:
                self._shifts.append((self.accepted, shift))
            self.send(messages)
        else:
            self._take(self.publisher.collect(0))
        return True

    def _take_to_the_end(self, receipts: Receipts) -> None:
        """Take verdicts where nothing more is sent. That they cannot be printed is no reason not to wait for the others, and to count them."""
        try:
            self._take(receipts)
        except (LocalIO, ReaderLeft) as problem:
            self.outcome.error = self.outcome.error or problem

    def _take(self, receipts: Receipts, *, stuck: bool = False) -> None:
        if not len(receipts):
            if (in_flight := self.publisher.in_flight) or stuck:
                self.waiting(in_flight)
        else:
            self._named.take(receipts)
            if self.unconfirmed is not None:
                self.unconfirmed.update(receipt.index for receipt in receipts.problems if receipt.verdict is not Verdict.CONFIRMED)
            self.outcome.account.take(receipts)
            self.outcome.duplicates += receipts.duplicates
            self.on_receipts(receipts)
