"""What may cost messages in a queue or an exchange, as it is now: for whoever asks at night why some are missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from brokercli.backends.rabbitmq.dead_letters import found_by
from brokercli.backends.rabbitmq.keeping import QUORUM, STREAM
from brokercli.backends.rabbitmq.telling import delivery_limit, fate_of_the_unrouted, safely, told
from brokercli.backends.rabbitmq.topology import Exchange, Node
from brokercli.model.amount import amount


def queue_risks(node: Node, nodes: dict[str, Node], exchanges: dict[str, Exchange], ready: int | None) -> Iterator[str]:
    """Yield the risks of a queue, the worst first."""
    if node.type == STREAM:
        return
    holds_letters = found_by(node, nodes, ()) is not None
    limit = delivery_limit(node)
    yield from _without_dead_letters(node, limit, holds_letters)
    yield from _lost_dead_letters(node, exchanges)
    full = _full(node)
    if full and node.dead_letters:
        yield f"when it is full ({full}), its oldest messages die"
    if "expires" in node.settings:
        yield f"the queue itself is deleted after {_time(node.settings['expires'])} without consumers"
    if ready and not node.consumers and not holds_letters and not node.waits:
        yield f"nobody consumes it, and {amount(ready, 'message waits', 'messages wait')}"


def exchange_risks(exchange: Exchange, bindings: int) -> Iterator[str]:
    """Yield the risks of an exchange."""
    if not bindings and not exchange.alternate:
        yield "nothing is bound to it and it has no alternate exchange: what is published is lost, unless the publisher asks to have it back (mandatory)"


def _without_dead_letters(node: Node, limit: int | None, holds_letters: bool) -> Iterator[str]:
    if node.dead_letters:
        return
    if limit is not None and holds_letters:
        lifts = f"brokercli declare queue {node.name} -s delivery-limit=-1 lifts it"
        if node.limit_is_firm:
            lifts = "no policy lifts it, and a classic queue has none"
        yield (f"it has a delivery limit of {limit} and no dead-letter exchange: a letter that died of a delivery limit is deleted by being returned once;"
               f" {lifts}")
    elif limit is not None:
        yield f"it has no dead-letter exchange: what is rejected, or redelivered more than {limit} times, is deleted"
    elif not holds_letters:
        yield "it has no dead-letter exchange: what is rejected is deleted"
    if "message-ttl" in node.settings:
        yield f"messages older than {_time(node.settings['message-ttl'])} are deleted"
    if full := _full(node):
        yield f"when it is full ({full}), its oldest messages are deleted"


def _lost_dead_letters(node: Node, exchanges: dict[str, Exchange]) -> Iterator[str]:
    if not node.dead_letters:
        return
    if node.unrouted:
        where = ("a queue that does not exist" if not node.exchange else f"the exchange {node.exchange}, where nothing is bound for them"
                 if node.exchange in exchanges else f"the exchange {node.exchange}, which does not exist")
        yield f"its dead letters go to {where}: they {fate_of_the_unrouted(node)}"
    elif not safely(node):
        wants = node.settings.get("dead-letter-strategy") == "at-least-once"
        if node.type == QUORUM and wants:
            yield "its dead letters are handed over at most once all the same: at-least-once takes overflow reject-publish"
        elif node.type == QUORUM:
            yield ("its dead letters are handed over at most once, and lost where that fails; dead-letter-strategy at-least-once with overflow reject-publish"
                   " waits for the confirmation")
        else:
            yield "its dead letters are handed over at most once, and lost where that fails; only a quorum queue can wait for the confirmation"


def _full(node: Node) -> str:
    """Say the limit at which the oldest messages have to go; empty where there is none, or publishers are refused instead."""
    if node.settings.get("overflow", "drop-head") != "drop-head":
        return ""
    limits = [(f"{amount(node.settings['max-length'], 'message')}" if "max-length" in node.settings else ""),
              (f"{amount(node.settings['max-length-bytes'], 'byte')}" if "max-length-bytes" in node.settings else "")]
    return " or ".join(limit for limit in limits if limit)


def _time(value: Any) -> str:
    return told(value) if isinstance(value, int) else str(value)
