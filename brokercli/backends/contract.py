"""What every broker promises to the operations. Blocking, used from one thread, batches in and batches out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.errors import Failed, NotAuthorised, TimedOut, Unreachable, Unsupported, UsageProblem
from brokercli.model.message import Header, Message, Place, Record, Unread
from brokercli.model.position import Span
from brokercli.model.receipt import Receipts

if TYPE_CHECKING:
    from brokercli.backends.consumers import Consumers
    from brokercli.backends.dead_letters import Capture, DeadLetterSource, Feeding, LetterReader, Lift, Repair, RepairPolicy
    from brokercli.backends.declaring import Declarer
    from brokercli.model.checkup import Check
    from brokercli.model.description import Description, Listing
    from brokercli.model.flow import Flow


Outline = tuple[Sequence[Header], bytes | None, bytes | None, int | None, Hashable]
"""Headers, key, body, the time of storing in nanoseconds since 1970, and the name of the topic, subject or queue it lies in, together with
whatever else decides what a letter is."""


class Batch(ABC):
    """Some records in the order of the broker, still in the client's own form.

    `bodies` and `envelopes` build no object per message beyond their result; that all three views agree is a test.
    """

    at_home: bool = False
    """Of dead letters: whether they lie where they were published, known to be dead by the broker alone."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def bodies(self) -> list[bytes]:
        """Return the bodies; a null body is empty here."""

    def lines(self) -> bytes:
        """Return the bodies with a line feed after each."""
        return b"\n".join([*self.bodies(), b""])

    @abstractmethod
    def envelopes(self) -> list[bytes]:
        """Return one JSON envelope each, without line ends."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Return them as objects, for filters, formats and copying."""

    def outlines(self) -> list[Outline] | None:
        """Return an outline of each. None where that is no cheaper than `records`."""
        return None

    def wrappings(self) -> list[bytes] | None:
        """Return what stands around each body, in the broker's own form: where it is the same, headers and properties are, and all of
        it lies under one name. None where no two records that are numbered would have the same."""
        return None

    def encoded_outlines(self) -> list[Outline] | None:
        """The same, with header values as they are encoded: good for being compared, and for `Repair.forward`, which puts them on as they
        are. No time of storing. None where that is no cheaper than `records`."""
        return None

    def positions(self) -> list[str]:
        """Return `Record.position` of each."""
        return [record.position for record in self.records()]

    @abstractmethod
    def select(self, indices: Sequence[int]) -> Batch:
        """Return the batch of those at `indices` (ascending)."""


class Reader(ABC):
    """One look at one source. Leaves the broker as it was found, whenever and however it ends."""

    expected: int | None = None
    """About how many records lie between start and end, where the broker knows; for progress only."""
    notes: Sequence[str] = ()
    """What the user should be told before the first record: side effects, what this look cannot see. Grows while reading."""
    bounds: Span | None = None
    """The span in numbers that do not move any more (Number, or PerPartition where there are partitions), for a journal;
    None where the broker numbers nothing or no end was asked for."""

    @abstractmethod
    def read(self, timeout: float) -> Batch | None:
        """Return the next records, or None when none came within `timeout` seconds or the end was reached.

        Never waits once records are there. Keeps the connection alive however seldom it is called; memory is bounded.
        Raises Unreachable when the connection is lost for good, OutOfRange when the records asked for are gone.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the snapshotted end is reached; false for ever when following."""

    @abstractmethod
    def close(self) -> None:
        """Take back whatever the look needed (ephemeral consumer, tap queue). May be called twice; raises nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class PublishPolicy:
    """How to publish: what applies to every message, and which guarantees are asked for."""

    template: Message = field(default_factory=lambda: Message(body=b""))
    """Key, headers, time, partition and properties of messages given as bare bodies (`send_bodies`)."""
    delivery_timeout: float = 30.0
    """Seconds after which a message that was sent without a verdict counts as unknown."""
    positions: bool = False
    """Report where each message was stored (`Receipts.confirmations`); costs speed."""
    fire_and_forget: bool = False
    """Ask for no confirmation; only where Capability.FIRE_AND_FORGET is supported."""
    keep_control_headers: bool = False
    """Pass on headers that steer the broker (Nats-Rollup, Nats-Msg-Id, CC, …) instead of withholding them."""
    maximum_in_flight: int | None = None
    """Upper bound of the window of unconfirmed messages; None leaves the backend its own."""
    only_wanted: bool = False
    """Refuse what the destination would confirm and drop because no consumer wants it (JetStream's interest retention): for whoever
    takes the message away elsewhere once it is confirmed. What a destination has confirmed that was deleted or made anew by then is unknown; verdicts
    may all come with `finish`. Where that cannot be asked, the confirmation is all there is."""
    bodies_only: bool = False
    """Everything is given to `send_bodies`, and `send` is never called; some backends are faster then."""


class Publisher(ABC):
    """Confirmed publishing to one destination, in the order given.

    Every message accepted gets exactly one verdict through `collect` or `finish`. Confirmed means the broker says it
    has stored it (Kafka acks=all, JetStream's acknowledgement, RabbitMQ's confirm of a message that was routed).
    A lost connection is re-established in the background; messages that were in flight then are either repeated where
    the broker removes repeats (Kafka idempotence, JetStream message ids) or unknown.
    """

    withheld: dict[str, int]
    """Control headers that were not passed on → how many messages had them."""
    notes: Sequence[str] = ()
    """What the user should be told before the first message. Grows while publishing."""

    @property
    def denied(self) -> NotAuthorised | None:
        """Why some of the messages may not be published by this login, where others perhaps may; None while nothing of the kind is known."""
        return None

    @abstractmethod
    def send(self, messages: Sequence[Message]) -> int:
        """Accept messages from the front, as many as the window has room for; return how many. Does not wait.

        A message that cannot be sent (too large, a wildcard subject, a header the broker cannot carry) is accepted and
        refused alone. Numbers every accepted message, from 0, for its receipt.
        """

    @abstractmethod
    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        """The same for bodies that share the policy's template: the fast way."""

    @abstractmethod
    def collect(self, timeout: float) -> Receipts:
        """Return the verdicts that have come, waiting up to `timeout` seconds for the first (0: not at all).

        Also where lost connections show: raises Unreachable or NotAuthorised only when nothing can be delivered any
        more; what was in flight then is in the Receipts of the `finish` that follows.
        """

    @abstractmethod
    def finish(self, timeout: float) -> Receipts:
        """Wait until everything accepted has a verdict, `timeout` seconds at most; what has none by then is unknown,
        or refused where it certainly never left us. Afterwards nothing is in flight, and sending may go on."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """How many accepted messages have no verdict yet."""

    @abstractmethod
    def close(self) -> None:
        """Let go without waiting. May be called twice; raises nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def withheld_in_words(withheld: Mapping[str, int]) -> str:
    """Say what a publisher, or a repair, did not pass on (`Publisher.withheld`); empty where that is nothing."""
    names = ", ".join(f"{name} ({count:,})" for name, count in sorted(withheld.items()))
    return f"headers that steer the broker were withheld: {names}" if names else ""


ANSWER_SECONDS = 5.0
"""So long a broker may take for an answer that costs it nothing."""
Purpose = Literal["publish", "look", "letters", "describe"]
"""What is to be done at an address; `letters`: whatever is done about the dead letters there, so that what keeps nothing is not meant."""


class Backend(ABC):
    """One open connection to one broker, closed by `with`. Raises only `model.errors`.

    A constructor connects within `connection.connect_timeout` seconds or raises Unreachable or NotAuthorised in one
    sentence that tells apart: closed port, mute port, wrong protocol, TLS against plain, unknown host, wrong login.
    """

    @abstractmethod
    def __init__(self, connection: Connection) -> None: ...

    @abstractmethod
    def resolve(self, address: Address, purpose: Purpose) -> Address:
        """Return the address with its kind said.

        Raises UsageProblem for a name that could be two things (printing both spellings), for a kind this broker does
        not have, and for a name no such thing can have; NotFound where the purpose needs it to exist.
        """

    @abstractmethod
    def resource(self, address: Address) -> str:
        """Return the row of the support table that a resolved address belongs to (`topic`, `quorum queue`, …)."""

    def leaves_route_open(self, destination: Address) -> bool:
        """Say whether a message for a resolved address says itself where it goes from there (`Message.route`)."""
        return False

    def by_way_of(self, destination: Address) -> tuple[Address, str | None]:
        """Return the address whose publisher carries the messages for a resolved destination, with those for others beside it and in their
        order, and the route that such a message needs (`Message.route`; None for its own): for whoever publishes to many destinations at a
        time. Raises as `publisher`."""
        return destination, None

    def require_answer(self) -> None:  # noqa: B027  where nothing can be asked, every destination speaks for itself
        """Ask the broker something of no matter, for `ANSWER_SECONDS` at most. Raises Unreachable where it is gone, for every destination there
        is on it: for whoever got no answer about one of them."""

    @abstractmethod
    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        """Open a publisher to a resolved address; refuses at once what cannot work (no stream listens, no such topic)."""

    @abstractmethod
    def look(self, source: Address, span: Span) -> Reader:
        """Open a look at a resolved address.

        `Span(End(), None)` is what arrives from now on. Raises OutOfRange, with the range there is, where the start is
        not stored; Unsupported, with the reason of the support table, where this resource cannot be looked at so.
        """

    def look_bodies(self, source: Address, span: Span) -> Reader:
        """The same for whoever asks the batches for nothing but their number, `bodies`, `lines` and `select`; some backends are faster then."""
        return self.look(source, span)

    def incarnation(self, source: Address) -> str:
        """Return what another topic or stream of the same name, made after this one was deleted, would not share, for whoever comes back
        to its numbers later. Empty where the broker tells nothing of the kind. Raises as `look`."""
        return ""

    @abstractmethod
    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        """Yield what exists, by name; `kinds` narrows to kinds of address. The broker's own internals are left out."""

    def not_shown(self) -> str:
        """Say why there may be more than `list` gives where the broker shows this login only some, without a word; empty where it shows all.
        Costs a question: for when nothing was found."""
        return ""

    @abstractmethod
    def describe(self, address: Address) -> Description:
        """Explain one resolved address."""

    def dead_letter_sources(self, patterns: Sequence[str] = (), unseen: MutableSequence[str] | None = None) -> Iterable[DeadLetterSource]:
        """Yield the destinations of dead letters there are. `patterns` are names (with * and ?) that are taken for some
        besides those of the known frameworks. What could not be looked into, so that there may be more, is added to
        `unseen`, a sentence each, whole once it is over. Changes nothing."""
        raise Unsupported("This broker plugin knows no dead letters.")

    def withholds(self, message: Message, *, letter: bool = False) -> Sequence[str]:
        """Return the names of headers and properties of a stored message that steer this broker, so that they do not go along: where a
        publisher copies it to here, or with `letter` where it is a letter here and a repair puts it back. A name is there once."""
        return ()

    def look_letters(self, source: Address, patterns: Sequence[str] = ()) -> LetterReader:
        """Open a look at the letters of a resolved address, up to the end it has now. `patterns`, as for `dead_letter_sources`, may say
        which of the messages there are some.

        Raises Unsupported, with the reason and the safe ways there are, where looking could cost a letter; NotFound;
        Failed where the address holds no letters but work.
        """
        raise Unsupported("This broker plugin knows no dead letters.")

    def repair(self, source: Address, policy: RepairPolicy, patterns: Sequence[str] = ()) -> Repair:
        """Open a run over the pending letters of a resolved address, those that `look_letters` shows. Raises as it does, and Failed where
        another run is at work there and cannot be shared with."""
        raise Unsupported("This broker plugin knows no dead letters.")

    def check_repair(self, letters: LetterReader) -> None:  # noqa: B027  most brokers tell it only when the run is opened
        """Raise as `repair` would where letters that are looked at could not be taken out, as far as that is told without opening a run.
        Changes nothing."""

    def obstacles(self, letters: LetterReader, destinations: Sequence[Address]) -> Mapping[int, str]:
        """Return, for those of the destinations, by their index, to which none of the letters that are or were looked at can be put, why.
        Sends nothing. What a login may not ask, and a broker that does not answer, are no obstacle that is known."""
        found = {}
        for index, destination in enumerate(destinations):
            try:
                self.publisher(self.resolve(destination, "publish"), PublishPolicy(only_wanted=True)).close()
            except (Failed, Unsupported, UsageProblem) as problem:
                found[index] = str(problem).rstrip(".")
            except (NotAuthorised, TimedOut, Unreachable):
                continue
        return found

    def fates(self, letters: LetterReader, destinations: Sequence[tuple[Address, int]]) -> Sequence[str]:
        """Say what destinations do with so many each of the letters that are or were looked at besides keeping them, where they would be confirmed and
        soon be gone, push out others, or not all be taken: a sentence each; and what becomes of messages that such letters only record, also where
        they go to no destination here. Sends nothing; what nobody tells at once is left out."""
        return ()

    def lift_limit(self, source: Address) -> Lift:
        """Make it safe to return the letters of a resolved address, where a limit of deliveries would delete them: open until
        whatever was opened within it by `look_letters` or `repair` is closed. Nothing is done where nothing is needed.

        Raises Unsupported, with everything as it was, where that takes what this login or this broker does not have.
        """
        from brokercli.backends.dead_letters import Lift  # which builds upon this module

        return Lift()

    def plan_capture(self, stream: Address, name: str | None) -> Capture:
        """Say what would have to be declared so that the dead letters of a resolved stream are recorded from now on."""
        raise Unsupported("Only JetStream needs its dead letters captured: on the other brokers they lie somewhere already.")

    def capture(self, planned: Capture) -> None:
        """Declare it. Raises Failed where something else of that name came meanwhile."""
        raise Unsupported("Only JetStream needs its dead letters captured: on the other brokers they lie somewhere already.")

    def fetch(self, places: Sequence[Place]) -> Sequence[Record | Unread | None]:
        """Return the records that dead letters point at, None for each that is gone, and why for each that cannot be read now. Changes nothing."""
        raise Unsupported("This broker plugin fetches no record by its place.")

    def feeding(self) -> Feeding | None:
        """Return how messages come to the dead letters there are, for whoever seeks their home. None where that cannot be told."""
        return None

    def declarer(self) -> Declarer:
        """Return what plans and makes declarations over this connection."""
        raise Unsupported("This broker plugin declares nothing.")

    def consumers(self) -> Consumers:
        """Return what sees and moves consumers over this connection."""
        raise Unsupported("This broker plugin knows no consumers.")

    def flow(self, address: Address) -> Flow:
        """Say where the messages of a resolved address come from and go to: publishers' side, consumers, retries, dead
        letters, up to what a message can reach. Changes nothing."""
        raise Unsupported("This broker plugin draws no graph.")

    def checkup(self) -> Iterable[Check]:
        """Yield what can be told of the broker's state and of what this login may do, as it is found. Changes nothing."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection. May be called twice; raises nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
