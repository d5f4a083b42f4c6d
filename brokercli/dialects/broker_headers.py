"""Headers and properties that brokers add or act on: none of them may be sent again with a letter that goes home."""

from __future__ import annotations

from brokercli.model.message import HeaderValue

# x-death and its kin: what a 3.x broker would take for its own record of this message (and drop it as a cycle), what a
# 4.x broker would pass on as noise. CC and BCC would be routed again, and stay in a dead letter even where
# x-dead-letter-routing-key is set (verified on 4.3.6). timestamp_in_ms and x-routed-by come from interceptors.
_RABBITMQ = frozenset({"x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC", "x-stream-offset", "timestamp_in_ms", "x-routed-by"})
_RABBITMQ_PREFIXES = ("x-first-death-", "x-last-death-")
# user_id is checked against the login that publishes (406); an expiration would kill the letter again
_RABBITMQ_PROPERTIES = ("expiration", "user_id")

# Nats-Msg-Id would be taken for a duplicate, Nats-Rollup purges, Nats-Expected-* refuses, Nats-Batch-* is acknowledged
# and not stored, Nats-TTL deletes again, Nats-Trace-Only is not delivered (verified on nats-server 2.15.1 but for the
# last); the others are what the server writes on messages that it republishes, schedules, sources or answers with.
_NATS = frozenset({
    "Nats-Msg-Id", "Nats-Rollup", "Nats-TTL", "Nats-Incr", "Nats-Counter-Sources", "Nats-Scheduler", "Nats-Stream", "Nats-Subject", "Nats-Sequence",
    "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence", "Nats-UpTo-Sequence", "Nats-Stream-Source", "Nats-Marker-Reason", "Nats-Response-Type",
    "Nats-Msg-Size", "Nats-Required-Api-Level"})
_NATS_PREFIXES = ("Nats-Expected-", "Nats-Batch-", "Nats-Schedule", "Nats-Trace-", "Nats-Pin-", "Nats-Pending-")


def added_by_broker(broker: str, name: str) -> bool:
    """Whether a header of that name is the broker's own or an instruction to it, on a record of `broker`."""
    if broker == "rabbitmq":
        return name in _RABBITMQ or name.startswith(_RABBITMQ_PREFIXES)
    if broker == "nats":
        return name in _NATS or name.startswith(_NATS_PREFIXES)
    return False


def properties_to_strip(properties: dict[str, HeaderValue]) -> tuple[str, ...]:
    """Return the AMQP properties that do not go back."""
    if not properties:
        return ()
    names = [name for name in _RABBITMQ_PROPERTIES if name in properties]
    reply_to = properties.get("reply_to")
    # a direct reply address dies with the requester's channel; publishing with it closes ours
    if isinstance(reply_to, bytes) and reply_to.startswith(b"amq.rabbitmq.reply-to"):
        names.append("reply_to")
    return tuple(names)
