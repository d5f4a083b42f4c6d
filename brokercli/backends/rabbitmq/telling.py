"""What a queue does with its messages, in a few words: for drawings and descriptions."""

from __future__ import annotations

from brokercli.backends.rabbitmq.keeping import QUORUM, STREAM
from brokercli.backends.rabbitmq.topology import Node
from brokercli.model.address import Address
from brokercli.model.amount import amount

_DEFAULT_LIMIT = 20
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def told(milliseconds: int) -> str:
    """Say a time with the largest unit that leaves a whole number: 5s, 90s, 2m; no time is 0s."""
    if not milliseconds:
        return "0s"
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def delivery_limit(node: Node) -> int | None:
    """Return after how many redeliveries a message dies; None where it never does."""
    limit = node.settings.get("delivery-limit", _DEFAULT_LIMIT) if node.type == QUORUM else None
    return limit if isinstance(limit, int) and limit >= 0 else None


def deaths(node: Node) -> str:
    """Say what a queue hands on as dead letters: `after 5s` for one that only holds back, otherwise all ways to die in it."""
    ttl = node.settings.get("message-ttl")
    after = f"after {told(ttl)}" if isinstance(ttl, int) else ""
    if node.waits and after:
        return after
    limit = delivery_limit(node)
    full = any(name in node.settings for name in ("max-length", "max-length-bytes")) and node.settings.get("overflow", "drop-head") == "drop-head"
    ways = ["rejected", f"redelivered {amount(limit, 'time')}" if limit is not None else "", after, "pushed out when full" if full else ""]
    return ", ".join(way for way in ways if way)


def circumstances(node: Node) -> list[str]:
    """Say of a queue what matters in a drawing: its type, what it holds, what ends a message."""
    said = [] if node.type == STREAM else [node.type]
    if node.messages is not None:
        said.append(amount(node.messages, "message"))
    if node.waits:
        said.append("holds back")
    elif node.type == QUORUM:
        limit = delivery_limit(node)
        said.append("no delivery limit" if limit is None else f"delivery-limit {limit}")
    if node.dead_letters and not safely(node):
        said.append("dead-letters at most once")
    if node.settings.get("delayed-retry-type") not in (None, "disabled"):
        said.append(f"holds back what is returned for {told(int(node.settings.get('delayed-retry-min', 0)))} and longer each time")
    if node.unrouted:
        said.append(f"its dead letters are routed to nobody: they {fate_of_the_unrouted(node)}")
    return said


def safely(node: Node) -> bool:
    """Whether a dead letter is taken out only once it is confirmed where it goes."""
    return (node.type == QUORUM and node.settings.get("dead-letter-strategy") == "at-least-once"
            and node.settings.get("overflow") == "reject-publish")


def fate_of_the_unrouted(node: Node) -> str:
    """Say what becomes of dead letters that lead nowhere: at least once, RabbitMQ tries again every three minutes or so, for ever."""
    return "stay in it until they lead somewhere" if safely(node) else "are lost"


def fate_of_the_dead(exchange: str | None, key: str | None) -> str:
    """Say what becomes of a message that dies in a queue with this dead-letter exchange and routing key: `deleted`, `dead-lettered to …`."""
    if exchange is None:
        return "deleted"
    if exchange:
        return f"dead-lettered to {Address(exchange, 'exchange')}"
    return f"dead-lettered to {f'queue:{key}' if key else 'the queue that the routing key names'}"
