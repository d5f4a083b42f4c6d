"""What a broker promises about its dead letters: find them, look at them, put them back, mark what was handled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from brokercli.backends.contract import Batch, Reader
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Header, Message, Place, Record
from brokercli.model.receipt import Receipts


class State(StrEnum):
    """What became of a letter that the destination still stores."""

    PENDING = "pending"
    REDRIVEN = "redriven"
    DROPPED = "dropped"
    HANDLED = "handled"
    """Redriven or dropped; the broker no longer says which."""


@dataclass(frozen=True, slots=True)
class DeadLetterSource:
    """One destination of dead letters. A number the broker does not say is None."""

    address: Address
    resource: str
    """Row of the support table."""
    found_by: str
    """Why it is taken for one: `name matches *.dlq`, `x-dead-letter-routing-key of queue work`."""
    depth: int | None = None
    pending: int | None = None
    oldest: int | None = None
    """Time of the oldest pending letter, nanoseconds since 1970."""
    feeds: tuple[str, ...] = ()
    """What its letters come from, as addresses."""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feeding:
    """How messages come to where dead letters lie, as the broker's topology says at the moment."""

    wait_queues: Mapping[str, str | None]
    """What only holds messages back before another try, and the one queue it returns them to (None where that is not one): a letter that came
    through it has its home elsewhere."""
    origins: Callable[[str, str, str], tuple[str, ...] | None]
    """Say, of the queue letters lie in, an exchange and a routing key: which of the queues whose dead letters come there may get what is
    published so. None where that cannot be told."""


def some_of(names: Sequence[str], most: int = 8) -> str:
    """Return names for a sentence: a few of them where there are many, and how many more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


@dataclass(frozen=True, slots=True)
class Capture:
    """What would record the dead letters of a stream."""

    name: str
    """Of the stream that records."""
    words: str
    """What would be declared, or that it is there already."""
    changes: bool
    settings: dict[str, object] = field(default_factory=dict)


class LetterReader(Reader):
    """A look at the letters of one destination, up to the end it had when it was opened.

    Where what was handled is taken out, as on most brokers, whatever is there is pending.
    """

    side_effects: str
    """What this look costs, in words: `none`, or what changes and why it is survivable."""
    left_out: BrokercliError | None = None
    """Why there may be letters that this look does not show: what was asked for is then not answered in full."""

    def state(self, record: Record) -> State:
        """Say what became of a letter that was read."""
        return State.PENDING

    def states(self, batch: Batch) -> Sequence[State]:
        """Say it of each letter of a batch that was read."""
        return [State.PENDING] * len(batch)


class LetterLook(LetterReader):
    """Letters where a look at everything there is shows them: it is closed with this one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.expected = reader.expected
        self.bounds = reader.bounds

    def read(self, timeout: float) -> Batch | None:
        return self._reader.read(timeout)

    @property
    def finished(self) -> bool:
        return self._reader.finished

    def close(self) -> None:
        self._reader.close()


class Lift:
    """What keeps letters from being deleted when they are returned, for as long as it is open; see `Backend.lift_limit`. This one
    is for where nothing is needed: nothing was changed."""

    before = ""
    """What was changed until it is closed, in words; empty where nothing was."""

    @property
    def after(self) -> str:
        """Once it is closed: that everything is as it was, or what is left behind and why, in words; empty where nothing was changed."""
        return ""

    def close(self) -> None:
        """Take back what was changed, where every letter is certainly back. May be called twice; raises nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass(slots=True, eq=False)
class Move:
    """Put `message` to `destination`, and then take `record` for handled."""

    record: Record
    message: Message
    destination: Address
    original: Place | None = None
    """Where the message lies that a letter only points at, and that `message` is a copy of; None where the letter is the
    message. Where it is of no use to anybody any more, it is taken out as well."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where letters go; `route` is the subject or routing key for an address that leaves it open."""

    address: Address
    route: str | None = None
    without: tuple[str, ...] = ()
    """Names of properties that do not go along."""


@dataclass(frozen=True, slots=True)
class RepairPolicy:
    """How a repair works."""

    delivery_timeout: float = 30.0
    batch: int = 5000
    """How many letters are settled together at most."""
    homeward: bool = True
    """Whether letters go to where they came from; where they are dropped, parked or sent elsewhere, nothing need be told of their homes."""
    waiting: Callable[[str], None] = lambda what: None
    """Told in words, while the repair is opened or works, what is waited for longer than usual."""


class Repair(ABC):
    """One run over the pending letters of one destination, up to the end it had when the run was opened.

    Letters are read in the broker's order; each one that was read is settled, marked or left. Where reading takes letters
    (a RabbitMQ queue), those neither settled nor marked go back as they were when the repair is closed, also when the
    process is told to stop. Only one repair of a destination makes progress at a time: a second one either fails with a
    sentence that says so, or shares the letters safely; `guarantee` says which.
    """

    guarantee: str
    """What is promised, in words, before it starts: `exactly once (…)`, `at least once: … may be repeated`."""
    atomic: bool = False
    """Whether a call of `settle` or `mark` that raises has changed nothing."""
    notes: Sequence[str] = ()
    """What the user should be told. Grows while reading, settling and closing; those that come later follow those before."""
    expected: int | None = None
    left_out: BrokercliError | None = None
    """Why there may be pending letters that this run does not come to."""
    failure: BrokercliError | None = None
    """What keeps letters from going that is no fault of theirs (a connection that is gone, a permission that is missing), where that came to
    be known together with verdicts. Where nothing can be settled any more for it, `check` raises it."""

    @abstractmethod
    def read(self, timeout: float) -> Batch | None:
        """Return the next pending letters, or None when none came within `timeout` seconds or the end was reached.
        At most `RepairPolicy.batch` letters are read ahead of what has been settled. Raises what `check` does."""

    def check(self) -> None:  # noqa: B027  where it shows only in settling there is nothing to say
        """Raise why nothing that was read can be settled any more, where that is known by now: asked before letters are given time, a program's
        or a rate's, that would be for nothing."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether every letter that was pending at the start has been read."""

    @abstractmethod
    def settle(self, moves: Sequence[Move]) -> Receipts:
        """Publish each message and, once it is confirmed, take its letter out of the pending ones.

        Receipt indices are those of `moves`. Confirmed: the message is stored at its destination and the letter is marked.
        Refused: not stored, the letter stays pending. Unknown: may be stored, the letter stays pending. Waits for every
        verdict, the delivery timeout at most. Raises Unreachable or Failed when nothing can be settled any more, after
        which everything of this call counts as unknown, or as refused where the call is `atomic`.
        """

    def confirmed_at_stop(self) -> int:
        """After `settle` was cut short by a second Ctrl-C, and `close`: return how many of its letters are known to be confirmed and marked."""
        return 0

    overlapping: bool = False
    """Whether the next letters can be begun while these are being settled."""

    def begin(self, moves: Sequence[Move]) -> Callable[[], Receipts]:
        """Begin what `settle` does and return what finishes it: waits for the verdicts, takes the letters out, and returns or raises as
        `settle`. At most one that is begun is open when the next is begun, and they are finished in their order."""
        receipts = self.settle(moves)
        return lambda: receipts

    def forward(self, batch: Batch, goals: Sequence[Goal], headers: Sequence[tuple[Header, ...]]) -> Callable[[], Receipts]:
        """Begin to settle every letter of a batch that was read here: it goes on as it is, each to its goal, with these headers.

        As `begin` in everything else; for letters that do not point elsewhere. Where messages need not become objects for it, this is
        the fast way. Letters of one kind share their goal, the very object.
        """
        return self.begin([
            Move(record, Message(record.message.body, record.message.key, kept, route=goal.route, origin=record.broker,
                                 properties={name: value for name, value in record.message.properties.items() if name not in goal.without}), goal.address)
            for record, goal, kept in zip(batch.records(), goals, headers, strict=True)])

    @abstractmethod
    def mark(self, records: Sequence[Record], state: Literal[State.REDRIVEN, State.DROPPED]) -> Receipts:
        """Take letters out of the pending ones without publishing: dropped, or redriven by a publisher of another broker. One that somebody
        else had taken out meanwhile is confirmed as a duplicate, with the reason, where the broker tells."""

    @abstractmethod
    def arrived(self) -> int | None:
        """Return how many letters have come to the destination since the run was opened; None where that cannot be told.
        Letters that were put back and died again are among them."""

    def newcomers(self) -> Reader | None:
        """Open a look at the letters that have come since the run was opened, and go on with those that come; closed with the run. Changes
        nothing: None where they cannot be looked at without being taken, or nothing tells which they are."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give back what was read and not handled. May be called twice; raises nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
