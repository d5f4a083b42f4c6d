"""Bindings that retries with other delays or attempts have left: a message would go both ways, and be there twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from brokercli.backends.rabbitmq.declared import binding_of
from brokercli.backends.rabbitmq.inventory import Inventory
from brokercli.model.declaration import Declaration


def obsolete_bindings(source: str, declarations: Sequence[Declaration], inventory: Inventory) -> Iterator[Declaration]:
    """Yield what leads from the exchanges of a queue's retries to its wait queues and dead letters and is not declared any more.

    Bindings to anything else are somebody's own. Without the management API none can be seen.
    """
    if inventory.away is not None:
        return
    wanted = {one.name for one in declarations if one.kind == "binding"}
    for exchange in sorted({one.name for one in declarations if one.kind == "exchange"}):
        if inventory.exchange(exchange) is None:
            continue
        bindings = [(binding_of(facts), facts) for facts in inventory.bindings_from(exchange)]
        if exchange == f"{source}.dlx.dead" and not any(found.name in wanted for found, _ in bindings):
            # it goes before the new way is made, and letters would have none meanwhile: rather twice than lost, until the next plan
            continue
        for found, facts in bindings:
            destination = str(facts["destination"])
            ours = destination.startswith(f"{source}.retry.") or destination == f"{source}.dlq" or str(facts.get("routing_key")).startswith(f"{source}.retry.")
            if ours and found.name not in wanted:
                yield found
