"""How messages come to where dead letters lie: which queues only hold them back, and which of those they die in got them from an exchange."""

from __future__ import annotations

from functools import lru_cache

from brokercli.backends.dead_letters import Feeding
from brokercli.backends.rabbitmq.dead_letters import feeds_of
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.topology import Node, Routes, read_topology

_MOST_ROUTES = 4_096


def read_feeding(management: Management) -> Feeding:
    """Ask how queues dead-letter into each other now; raises Away. Of bindings is asked when an exchange is first asked for."""
    nodes, routes = read_topology(management), Routes(management)

    @lru_cache(maxsize=_MOST_ROUTES)
    def origins(letters: str, exchange: str, routing_key: str) -> tuple[str, ...] | None:
        if letters not in nodes:
            return None
        try:
            reached = routes.of(exchange, routing_key)
        except Away:
            return None
        return tuple([name for name in feeds_of(nodes[letters], nodes) if name in reached])

    return Feeding(_wait_queues(nodes), origins)


def _wait_queues(nodes: dict[str, Node]) -> dict[str, str | None]:
    """Return the queues that only hold messages back, and the one queue each returns them to; None where that is not one."""
    return {node.name: node.targets[0] if len(node.targets) == 1 else None for node in nodes.values() if node.waits}
