"""Which exchanges take nothing that letters are put to: told before any is, where the management API says so."""

from __future__ import annotations

from collections.abc import Sequence

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


def _obstacle(destination: Address, routes: Routes) -> str:
    known = routes.exchange(destination.name)
    if known is None:
        return ""  # whoever opens it says it
    if known.internal:
        return f"the exchange {destination.name} is internal: only other exchanges publish to it"
    if routes.of(destination.name, destination.route):
        return ""
    return f"no queue is bound to the exchange {destination.name}" + ("" if destination.route is None else f" for the routing key '{destination.route}'")
