"""Redriving to another broker than the one the letters lie on: published and confirmed there, then marked here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from brokercli.backends.contract import PublishPolicy, withheld_in_words
from brokercli.backends.dead_letters import Repair
from brokercli.commands.session import Session, open_destination
from brokercli.model.address import Address, parse_address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, UsageProblem
from brokercli.model.message import Message
from brokercli.operations.publishing import failure_of
from brokercli.operations.settlers import Dropping, PuttingElsewhere, Settler
from brokercli.operations.settling import Settling
from brokercli.settings.resolve import resolve_connection


@dataclass(slots=True)
class Elsewhere:
    """An open destination on another broker."""

    settling: Settling
    address: Address
    withholds: Callable[[Message], Sequence[str]]
    """Names what of a message does not go along."""
    guarantee: str = "at least once: confirmed there before it is marked here; a run that is killed between the two repeats at most one batch"

    @property
    def notes(self) -> Sequence[str]:
        """What there is to know of it before anything is sent."""
        return self.settling.publisher.notes

    def take_notes(self) -> list[str]:
        """Return what its publisher has to tell, once everything is over."""
        publisher = self.settling.publisher
        return [*publisher.notes, withheld_in_words(publisher.withheld)]


@contextmanager
def open_elsewhere(session: Session, text: str | None, park: str | None, delivery_timeout: float,
                   connect_timeout: float | None) -> Iterator[Elsewhere | None]:
    """Open a destination and close it at the end; None where there is none, or it is on the broker the letters lie on.

    Raises UsageProblem where some letters would be parked: all go to one place.
    """
    if text is None or not is_elsewhere(session, text):
        yield None
        return
    if park is not None:
        raise UsageProblem("--park does not go with a --to on another broker: everything is put there.", hint="dlq park moves letters away first")
    with open_destination(text, None, connect_timeout=connect_timeout) as there:
        there.require(Capability.PUBLISH)
        with there.backend.publisher(there.address, PublishPolicy(delivery_timeout=delivery_timeout, only_wanted=True)) as publisher:
            yield Elsewhere(Settling(publisher, delivery_timeout), there.address, there.backend.withholds)


def is_elsewhere(session: Session, text: str) -> bool:
    """Whether an address names another broker than the one the letters lie on."""
    return connection_of(session, text) != session.context.connection


def connection_of(session: Session, text: str | None) -> Connection:
    """Return the connection of the broker that an address names, that of the letters where it names none."""
    address = None if text is None else parse_address(text)
    if address is None or (address.context is None and address.url is None):
        return session.context.connection
    return resolve_connection(address, None).connection


def resolve_here(session: Session, option: str, text: str) -> Address:
    """Resolve an address on the broker of the letters. Raises UsageProblem for one elsewhere, and for where they lie now."""
    if is_elsewhere(session, text):
        raise UsageProblem(f"{option} {text} is on another broker, and letters are parked on the one that they lie on.",
                           hint=f"brokercli dlq redrive --to {text} puts them there, without what says that they died")
    parsed = parse_address(text)
    address = session.backend.resolve(Address(parsed.name, parsed.kind, parsed.route), "publish")
    if address.name == session.address.name and address.kind == session.address.kind:
        raise UsageProblem(f"{option} {text} is where the letters lie now.")
    return address


def guarantee_of(verb: str, repair: Repair, elsewhere: Elsewhere | None) -> str:
    """Return what is promised of letters on their way; those that are dropped go nowhere."""
    if verb == "drop":
        return "each letter is written to the journal before it is dropped; dlq redrive --from-file JOURNAL puts it back"
    return (elsewhere or repair).guarantee


def failure_behind(repair: Repair, elsewhere: Elsewhere | None) -> BrokercliError | None:
    """Return why nothing can be put anywhere any more, as far as it is known once all letters have their verdicts."""
    return repair.failure if elsewhere is None else failure_of(elsewhere.settling.publisher)


def settler_of(verb: str, repair: Repair, elsewhere: Elsewhere | None) -> Settler | None:
    """Return what settles letters that are dropped or go elsewhere; None where they are put back on the broker they lie on."""
    if verb == "drop":
        return Dropping(repair)
    return None if elsewhere is None else PuttingElsewhere(elsewhere.settling, repair)
