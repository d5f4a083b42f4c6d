"""One open connection to NATS, with JetStream where the server has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

from brokercli.backends.contract import Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.nats import SUBJECT, descriptor
from brokercli.backends.nats.link import GIVE_UP_SECONDS, Link
from brokercli.backends.nats.questions import Questions
from brokercli.backends.nats.streams import JetStream, resource_of
from brokercli.backends.nats.subjects import check_stream_name, check_subject, has_wildcards
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, NotAuthorised, TimedOut, Unreachable, Unsupported, UsageProblem
from brokercli.model.message import Message, Place, Record
from brokercli.model.position import Span

if TYPE_CHECKING:
    # each method loads what it needs: a command of a moment is mostly start-up
    from brokercli.backends.consumers import Consumers
    from brokercli.backends.dead_letters import Capture, DeadLetterSource, LetterReader, Repair, RepairPolicy
    from brokercli.backends.declaring import Declarer
    from brokercli.model.checkup import Check
    from brokercli.model.description import Description, Listing
    from brokercli.model.flow import Flow


class NatsBackend(Backend):
    """Streams and subjects of one NATS server or cluster."""

    def __init__(self, connection: Connection) -> None:
        self._link = Link(connection)
        self._jetstream = JetStream(self._link)
        self._questions = Questions(self._link)
        self._opened: WeakSet[Publisher | Reader | Repair] = WeakSet()

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        if address.kind not in (None, *descriptor.kinds):
            raise UsageProblem(f"NATS has no {address.kind}s.", hint=f"subject:{address.name} or stream:{address.name}")
        if address.kind is None and purpose == "letters" and "." not in address.name:
            address = address.of_kind("stream")
        if address.kind == "stream":
            check_stream_name(address.name)
            self._link.run(self._jetstream.info(address.name))
            return address
        check_subject(address.name)
        if purpose == "publish" and has_wildcards(address.name):
            raise UsageProblem(f"{address.name} is a wildcard: it can be read, but nothing can be published to it.", hint="name one subject: orders.created")
        if address.kind is None and "." not in address.name and not has_wildcards(address.name):
            return address.of_kind(self._link.run(self._kind_of(address.name)))
        return address.of_kind("subject")

    async def _kind_of(self, name: str) -> str:
        """Return what a bare name means."""
        try:
            info = await self._jetstream.info_or_none(name)
            capturing = await self._jetstream.capturing(name) if info is not None else []
        except Unreachable:
            raise
        except BrokercliError:
            return "subject"  # no JetStream, or none for this login
        if info is None:
            return "subject"
        if capturing and not (capturing == [name] and info["config"].get("subjects") == [name]):
            raise UsageProblem(f"{name} could be two things: the stream, or the subject that stream {', '.join(capturing)} captures.",
                               hint=f"say which: stream:{name} or subject:{name}")
        return "stream"

    def resource(self, address: Address) -> str:
        if address.kind != "stream":
            return SUBJECT
        return resource_of(self._link.run(self._jetstream.info(address.name)))

    def leaves_route_open(self, destination: Address) -> bool:
        return destination.kind == "stream"

    def by_way_of(self, destination: Address) -> tuple[Address, str | None]:
        if destination.kind != "subject":
            return destination, None
        with suppress(NotAuthorised, TimedOut):
            capturing = self._link.run(self._jetstream.capturing(destination.name))
            if capturing:
                return Address(capturing[0], "stream"), destination.name
        return destination, None

    def require_answer(self) -> None:
        self._link.require_answer()

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        from brokercli.backends.nats.destination import open_publisher

        publisher = open_publisher(self._jetstream, destination, policy)
        # without anything to wait for, a connection may be away longer than a message may wait
        self._link.give_up_after(max(GIVE_UP_SECONDS, policy.delivery_timeout))
        self._opened.add(publisher)
        return publisher

    def look(self, source: Address, span: Span) -> Reader:
        from brokercli.backends.nats.look import open_reader

        reader = open_reader(self._jetstream, source, span)
        self._opened.add(reader)
        return reader

    def incarnation(self, source: Address) -> str:
        from brokercli.backends.nats.look import incarnation_of

        return incarnation_of(self._jetstream, source)

    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        from brokercli.backends.nats.listing import list_all

        return self._link.run(list_all(self._jetstream, kinds))

    def describe(self, address: Address) -> Description:
        from brokercli.backends.nats.describe import describe

        return self._link.run(describe(self._jetstream, address))

    def dead_letter_sources(self, patterns: Sequence[str] = (), unseen: MutableSequence[str] | None = None) -> Iterable[DeadLetterSource]:
        from brokercli.backends.nats.dead_letters import find_sources

        return self._link.run(find_sources(self._jetstream, patterns, [] if unseen is None else unseen))

    def withholds(self, message: Message, *, letter: bool = False) -> Sequence[str]:
        from brokercli.backends.nats.convert import withheld_from_copies
        from brokercli.backends.nats.putting_back import held_back

        return held_back(message) if letter else withheld_from_copies(message)

    def look_letters(self, source: Address, patterns: Sequence[str] = ()) -> LetterReader:
        from brokercli.backends.nats.letters import find_letters, open_letters

        self._require(source, Capability.LOOK_LETTERS)
        reader = open_letters(self._jetstream, self._link.run(find_letters(self._jetstream, source.name, patterns)))
        self._opened.add(reader)
        return reader

    def repair(self, source: Address, policy: RepairPolicy, patterns: Sequence[str] = ()) -> Repair:
        from brokercli.backends.nats.open_repair import open_repair

        self._require(source, Capability.REDRIVE)
        repair = open_repair(self._jetstream, self._questions, source.name, policy, patterns)
        self._opened.add(repair)
        return repair

    def check_repair(self, letters: LetterReader) -> None:
        from brokercli.backends.nats.letters import NatsLetterReader
        from brokercli.backends.nats.open_repair import check_repair

        if isinstance(letters, NatsLetterReader):
            check_repair(self._jetstream, self._questions, letters.letters)

    def obstacles(self, letters: LetterReader, destinations: Sequence[Address]) -> Mapping[int, str]:
        from brokercli.backends.nats.letters import NatsLetterReader
        from brokercli.backends.nats.open_repair import obstacles

        if isinstance(letters, NatsLetterReader):
            return obstacles(self._jetstream, letters.letters, destinations)
        return super().obstacles(letters, destinations)

    def fates(self, letters: LetterReader, destinations: Sequence[tuple[Address, int]]) -> Sequence[str]:
        from brokercli.backends.nats.letters import NatsLetterReader
        from brokercli.backends.nats.open_repair import fates

        return fates(self._jetstream, letters.letters, [address for address, _ in destinations]) if isinstance(letters, NatsLetterReader) else ()

    def fetch(self, places: Sequence[Place]) -> Sequence[Record | None]:
        from brokercli.backends.nats.originals import fetch_originals

        return self._link.run(fetch_originals(self._jetstream, self._questions, places))

    def plan_capture(self, stream: Address, name: str | None) -> Capture:
        from brokercli.backends.nats.capture import plan

        self._require(stream, Capability.LOOK_LETTERS)
        return self._link.run(plan(self._jetstream, stream.name, name))

    def capture(self, planned: Capture) -> None:
        from brokercli.backends.nats.capture import declare

        self._link.run(declare(self._jetstream, planned))

    def declarer(self) -> Declarer:
        from brokercli.backends.nats.declaring import NatsDeclarer

        return NatsDeclarer(self._jetstream)

    def consumers(self) -> Consumers:
        from brokercli.backends.nats.consuming import NatsConsumers

        return NatsConsumers(self._jetstream)

    def flow(self, address: Address) -> Flow:
        from brokercli.backends.nats.flowing import flow_of

        return self._link.run(flow_of(self._jetstream, address))

    def checkup(self) -> Iterable[Check]:
        from brokercli.backends.nats.checkup import check_up

        return check_up(self._jetstream)

    def _require(self, source: Address, capability: Capability) -> None:
        if source.kind != "stream":
            raise Unsupported(descriptor.support[SUBJECT][capability].note, hint="brokercli ls shows the streams there are")

    def close(self) -> None:
        # a consumer that a look made goes with the look, not half a minute later
        for opened in list(self._opened):
            opened.close()
        self._link.close()
