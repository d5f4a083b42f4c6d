"""Which exchanges take nothing that letters are put to, or hand it to another: told before any is, where the management API says so."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.dead_letters import some_of
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.topology import Routes
from brokercli.model.address import Address


def unrouted(destinations: Sequence[Address], management: Management) -> dict[int, str]:
    """Return, for those of the destinations, by their index, from which nothing reaches a queue, why; what cannot be asked is left out."""
    routes = Routes(management)
    found = {}
    for index, destination in enumerate(destinations):
        if destination.kind == "exchange" and destination.name:
            try:
                why = _obstacle(destination, routes)
            except Away:
                break
            if why:
                found[index] = why
    return found


def handed_on(destinations: Sequence[Address], routes: Routes) -> list[str]:
    """Say which of the exchanges among the destinations hand letters to their alternate exchange: RabbitMQ confirms those as well, and they are where
    nobody may look for them. What cannot be asked is left out."""
    said = []
    for destination in destinations:
        if destination.kind == "exchange" and destination.name:
            try:
                alternate = routes.alternate(destination.name, destination.route)
                queues = sorted(routes.of(alternate, destination.route)) if alternate else []
            except Away:
                break
            if queues:
                said.append(f"{_nothing_bound(destination)}: its alternate exchange {alternate} takes it to {some_of([f'queue:{name}' for name in queues], 3)}")
    return said


def _obstacle(destination: Address, routes: Routes) -> str:
    known = routes.exchange(destination.name)
    if known is None:
        return ""  # whoever opens it says it
    if known.internal:
        return f"the exchange {destination.name} is internal: only other exchanges publish to it"
    if routes.of(destination.name, destination.route):
        return ""
    return _nothing_bound(destination)


def _nothing_bound(destination: Address) -> str:
    return f"no queue is bound to the exchange {destination.name}" + ("" if destination.route is None else f" for the routing key '{destination.route}'")
