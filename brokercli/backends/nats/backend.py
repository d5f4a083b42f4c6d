"""One open connection to NATS, with JetStream where the server has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakSet

from brokercli.backends.contract import Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.nats import SUBJECT, describe, descriptor, listing, look
from brokercli.backends.nats.destination import open_publisher
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.streams import JetStream, resource_of
from brokercli.backends.nats.subjects import check_stream_name, check_subject, has_wildcards
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.description import Description, Listing
from brokercli.model.errors import BrokercliError, Unsupported, UsageProblem
from brokercli.model.position import Span

if TYPE_CHECKING:
    from brokercli.backends.dead_letters import LetterReader, Repair, RepairPolicy


class NatsBackend(Backend):
    """Streams and subjects of one NATS server or cluster."""

    def __init__(self, connection: Connection) -> None:
        self._link = Link(connection)
        self._jetstream = JetStream(self._link)
        self._opened: WeakSet[Publisher | Reader] = WeakSet()

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        if address.kind not in (None, *descriptor.kinds):
            raise UsageProblem(f"NATS has no {address.kind}s.", hint=f"subject:{address.name} or stream:{address.name}")
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

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        publisher = open_publisher(self._jetstream, destination, policy)
        self._opened.add(publisher)
        return publisher

    def look(self, source: Address, span: Span) -> Reader:
        reader = look.open_reader(self._jetstream, source, span)
        self._opened.add(reader)
        return reader

    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        return self._link.run(listing.list_all(self._jetstream, kinds))

    def describe(self, address: Address) -> Description:
        return self._link.run(describe.describe(self._jetstream, address))

    def look_letters(self, source: Address) -> LetterReader:
        raise Unsupported(descriptor.support[self.resource(source)][Capability.LOOK_LETTERS].note)

    def repair(self, source: Address, policy: RepairPolicy) -> Repair:
        raise Unsupported(descriptor.support[self.resource(source)][Capability.REDRIVE].note)

    def close(self) -> None:
        # a consumer that a look made goes with the look, not half a minute later
        for opened in list(self._opened):
            opened.close()
        self._link.close()
