"""Redriving to another broker than the one the letters lie on: published and confirmed there, then marked here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.dead_letters import Repair
from brokercli.commands.session import open_address
from brokercli.model.address import Address, parse_address
from brokercli.model.capability import Capability
from brokercli.model.receipt import Receipts
from brokercli.operations.publishing import SLICE
from brokercli.operations.redriving import Decision, mark_confirmed


@dataclass(slots=True)
class Elsewhere:
    """An open destination on another broker."""

    publisher: Publisher
    address: Address
    delivery_timeout: float
    guarantee: str = "at least once: confirmed there before it is marked here; a run that is killed between the two repeats at most one batch"
    sent: int = 0

    @classmethod
    @contextmanager
    def open(cls, text: str, context_name: str | None, delivery_timeout: float, connect_timeout: float | None) -> Iterator[Elsewhere]:
        """Open the destination; closes it at the end."""
        with open_address(text, context_name, "publish", connect_timeout=connect_timeout) as session:
            session.require(Capability.PUBLISH)
            with session.backend.publisher(session.address, PublishPolicy(delivery_timeout=delivery_timeout)) as publisher:
                yield cls(publisher, session.address, delivery_timeout)


def is_elsewhere(text: str) -> bool:
    """Whether an address names its broker itself."""
    address = parse_address(text)
    return address.context is not None or address.url is not None


def settle_elsewhere(elsewhere: Elsewhere, repair: Repair, decisions: list[Decision]) -> Receipts:
    """Publish each message there and mark here what was confirmed."""
    messages = [decision.message for decision in decisions if decision.message is not None]
    receipts, sent = Receipts(), 0
    publisher = elsewhere.publisher
    while sent < len(messages):
        sent += publisher.send(messages[sent:])
        receipts.add(publisher.collect(0 if sent == len(messages) else SLICE))
    receipts.add(publisher.finish(elsewhere.delivery_timeout))
    for receipt in receipts.problems:
        receipt.index -= elsewhere.sent  # the publisher counts all it was ever given
    elsewhere.sent += sent
    return mark_confirmed(repair, [decision.letter.record for decision in decisions], receipts)
