"""The contract of `brokercli.backends.contract` over one `Line`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NoReturn

from brokercli.backends.consumers import Consumers
from brokercli.backends.contract import ANSWER_SECONDS, Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.model.address import Address
from brokercli.model.capability import Capability, SupportTable
from brokercli.model.connection import Connection
from brokercli.model.description import Description, Listing
from brokercli.model.errors import NotFound, Unreachable, Unsupported, UsageProblem
from brokercli.model.flow import Flow
from brokercli.model.position import End, Position, Span
from brokercli_memory import SUPPORT, descriptor
from brokercli_memory.consumers import MemoryConsumers
from brokercli_memory.declaring import MemoryDeclarer
from brokercli_memory.look import MemoryReader
from brokercli_memory.publish import MemoryPublisher
from brokercli_memory.wire import Line

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


class MemoryBackend(Backend):
    """A connection to one memory broker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._line = Line(connection)

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        if address.kind is not None and address.kind not in descriptor.kinds:
            raise UsageProblem(f"A memory broker has no {address.kind}: it has topics and queues.", hint=f"for example: topic:{address.name}")
        if not _NAME.fullmatch(address.name):
            raise UsageProblem(f"{address.name!r} cannot be the name of a topic or queue: letters, digits, dots, dashes and underlines are.")
        listing = self._line.ask({"do": "list"})["logs"]
        found = [log["kind"] for log in listing if log["name"] == address.name and address.kind in (None, log["kind"])]
        if len(found) > 1:
            raise UsageProblem(f"{address.name} is a topic and a queue.", hint=f"say which: topic:{address.name} or queue:{address.name}")
        if not found:
            raise NotFound(f"There is no {address.kind or 'topic or queue'} {address.name} on this broker.", hint="brokercli ls")
        return address.of_kind(found[0])

    def resource(self, address: Address) -> str:
        assert address.kind is not None
        return address.kind

    def require_answer(self) -> None:
        self._line.say({"do": "list"})
        if self._line.hear(ANSWER_SECONDS) is None:
            raise Unreachable("The memory broker does not answer.")

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        row = self.resource(destination)
        require(SUPPORT, row, Capability.PUBLISH)
        if policy.fire_and_forget:
            require(SUPPORT, row, Capability.FIRE_AND_FORGET)
        self._line.ask({"do": "state", "kind": row, "name": destination.name})
        return MemoryPublisher(Line(self._connection), destination, policy)

    def look(self, source: Address, span: Span) -> Reader:
        line = Line(self._connection)
        try:
            return MemoryReader(line, source, self.resource(source), span)
        except BaseException:
            line.close()
            raise

    def list(self, kinds: Sequence[str] = ()) -> Iterator[Listing]:
        for log in self._line.ask({"do": "list"})["logs"]:
            if not kinds or log["kind"] in kinds:
                yield Listing(log["kind"], log["name"], log["kind"], log["next"] - log["first"], log["bytes"])

    def describe(self, address: Address) -> Description:
        row = self.resource(address)
        state = self._line.ask({"do": "state", "kind": row, "name": address.name})
        return Description(row, address.name, row, facts={"first offset": state["first"], "next offset": state["next"], "bytes": state["bytes"]})

    def look_letters(self, source: Address, patterns: Sequence[str] = ()) -> NoReturn:
        require(SUPPORT, self.resource(source), Capability.LOOK_LETTERS)
        raise AssertionError("the table says never")

    def consumers(self) -> Consumers:
        return MemoryConsumers(self._line, self._begin)

    def flow(self, address: Address) -> Flow:
        require(SUPPORT, self.resource(address), Capability.FLOW)
        drawn = Flow(drawn_start := str(address))
        drawn.node(drawn_start, "topic")
        for consumption in self.consumers().find():
            if drawn_start in consumption.reads:
                drawn.edge(drawn_start, drawn.node(f"consumer {consumption.name}", "consumer", f"lag {consumption.lag}"), "read by")
        return drawn

    def declarer(self) -> MemoryDeclarer:
        return MemoryDeclarer(self._line)

    def close(self) -> None:
        self._line.close()

    def _begin(self, topic: Address, position: Position) -> int:
        with MemoryReader(Line(self._connection), topic, "topic", Span(position, End())) as reader:
            return reader.begin


def require(table: SupportTable, row: str, *capabilities: Capability) -> None:
    """Raise Unsupported, with the table's reason, for the first of `capabilities` that a resource lacks."""
    for capability in capabilities:
        support = table[row][capability]
        if not support:
            raise Unsupported(f"A memory {row} cannot do that: {support.note}.")
