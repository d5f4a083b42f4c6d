"""Everything worth knowing about one queue, stream or exchange."""

from __future__ import annotations

from typing import Any

from brokercli.backends.rabbitmq import CLASSIC_QUEUE, QUORUM_QUEUE, STREAM
from brokercli.backends.rabbitmq.existing import Exchange, Queue
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.model.description import Description, Section, Value

_UNLIMITED_BELOW = 0
_MOST_ROWS = 500
"""Bindings and consumers that are shown; a queue of a fan-out may have tens of thousands."""


def describe_queue(queue: Queue, management: Management) -> Description:
    """Describe a queue or stream. Counts that AMQP says are of this moment, those of the management API up to five seconds old;
    what only the management API says is in `missing` where it cannot be asked."""
    description = Description(queue.kind, queue.name, queue.resource)
    facts = description.facts
    try:
        known = management.queue(queue.name) or {}
        bindings = management.bindings_to_queue(queue.name)
    except Away as problem:
        if queue.type is None:
            description.missing.append("type: this login may not ask in any way that AMQP has")
        _counts(description, queue, {})
        description.missing.append(f"bindings, arguments, policy, dead lettering, consumers, messages in delivery: {problem}; {problem.hint}")
        return description
    _counts(description, queue, known)
    for name in ("durable", "exclusive", "auto_delete"):
        # what is usual needs no line
        if known.get(name) is (name != "durable"):
            facts[name.replace("_", " ")] = known[name]
    settings = _settings(known)
    for name, title in (("dead-letter-exchange", "dead letter exchange"), ("dead-letter-routing-key", "dead letter routing key"),
                        ("dead-letter-strategy", "dead letter strategy"), ("message-ttl", "message ttl ms"), ("expires", "expires unused after ms"),
                        ("max-length", "max length"), ("max-length-bytes", "max length bytes"), ("overflow", "overflow"), ("max-age", "max age"),
                        ("single-active-consumer", "single active consumer"), ("max-priority", "max priority")):
        if name in settings:
            facts[title] = "(default exchange)" if settings[name] == "" else settings[name]
    if queue.resource == QUORUM_QUEUE:
        limit = known.get("delivery_limit", settings.get("delivery-limit"))
        facts["delivery limit"] = "unlimited" if isinstance(limit, int) and limit < _UNLIMITED_BELOW else limit
        if known.get("delayed_retry") not in (None, "disabled"):
            facts["delayed retry"] = known["delayed_retry"]
    if members := known.get("members"):
        facts["leader"] = known.get("leader")
        facts["members"] = ", ".join(sorted(members))
        if set(members) - set(known.get("online") or members):
            facts["members that are down"] = ", ".join(sorted(set(members) - set(known["online"])))
    else:
        facts["node"] = known.get("node")
    if known.get("state") not in (None, "running"):
        facts["state"] = known["state"]
    for name in ("policy", "operator_policy"):
        if known.get(name):
            facts[name.replace("_", " ")] = known[name]
    _section(description, "bindings", [_binding(binding, "source") for binding in bindings])
    _section(description, "consumers", [_consumer(consumer) for consumer in known.get("consumer_details") or ()])
    _section(description, "arguments", [{"argument": name, "value": _plain(value)} for name, value in sorted((known.get("arguments") or {}).items())])
    _section(description, "set by policy", [{"setting": name, "value": _plain(value)}
                                            for name, value in sorted((known.get("effective_policy_definition") or {}).items())])
    return description


def describe_exchange(exchange: Exchange, management: Management) -> Description:
    """Describe an exchange: its type, what is bound to it, where messages go that nothing is bound for."""
    description = Description("exchange", exchange.name, exchange.resource)
    facts = description.facts
    facts["type"] = exchange.type
    try:
        known = management.exchange(exchange.name) or {}
        leading_away, leading_here = management.bindings_from(exchange.name), management.bindings_to_exchange(exchange.name)
    except Away as problem:
        if exchange.type is None:
            description.missing.append("type: this login may not ask in any way that AMQP has")
        description.missing.append(f"bindings, arguments, policy, rates: {problem}; {problem.hint}")
        return description
    for name in ("durable", "auto_delete", "internal"):
        if known.get(name) is (name != "durable"):
            facts[name.replace("_", " ")] = known[name]
    arguments = known.get("arguments") or {}
    alternate = arguments.get("alternate-exchange", (known.get("effective_policy_definition") or {}).get("alternate-exchange"))
    if alternate:
        facts["alternate exchange"] = alternate
    for name, title in (("publish_in", "published"), ("publish_out", "routed to queues")):
        if name in (known.get("message_stats") or {}):
            facts[title] = known["message_stats"][name]
    if known.get("policy"):
        facts["policy"] = known["policy"]
    facts["bindings"] = len(leading_away)
    _section(description, "bindings", [_binding(binding, "destination") for binding in leading_away])
    _section(description, "bound to", [_binding(binding, "source") for binding in leading_here])
    _section(description, "arguments", [{"argument": name, "value": _plain(value)} for name, value in sorted(arguments.items())])
    return description


def _counts(description: Description, queue: Queue, known: Facts) -> None:
    facts = description.facts
    if queue.resource == STREAM:
        # a stream has no ready messages; the figure counts offsets and lags behind by the broker's tick
        facts["messages"] = known.get("messages", queue.messages)
        for name in ("segments", "publishers"):
            if name in known:
                facts[name] = known[name]
    else:
        facts["messages ready"] = known.get("messages_ready") if queue.messages is None else queue.messages
        if "messages_unacknowledged" in known:
            facts["messages in delivery"] = known["messages_unacknowledged"]
        if known.get("messages_dlx"):
            facts["messages being dead lettered"] = known["messages_dlx"]
    facts["consumers"] = known.get("consumers") if queue.consumers is None else queue.consumers
    if queue.resource != CLASSIC_QUEUE or queue.type is not None:
        facts["type"] = queue.type


def _settings(known: Facts) -> dict[str, Value]:
    """Return what holds for a queue: its arguments, and the policy where they are silent; of two limits the lower one."""
    settings: dict[str, Value] = {name: _plain(value) for name, value in (known.get("effective_policy_definition") or {}).items()}
    for name, value in (known.get("arguments") or {}).items():
        short = name.removeprefix("x-")
        other = settings.get(short)
        both = isinstance(value, int) and isinstance(other, int) and short not in ("delivery-limit",)
        settings[short] = min(value, other) if both else _plain(value)
    return settings


def _binding(binding: Facts, end: str) -> dict[str, Value]:
    other = binding.get("source") or "(default exchange)" if end == "source" else f"{binding.get('destination_type')}:{binding.get('destination')}"
    arguments = ", ".join(f"{name}={value}" for name, value in sorted((binding.get("arguments") or {}).items()))
    return {"from" if end == "source" else "to": other, "routing key": binding.get("routing_key"), "arguments": arguments or None}


def _consumer(consumer: Facts) -> dict[str, Value]:
    channel = consumer.get("channel_details") or {}
    return {"tag": consumer.get("consumer_tag"), "user": channel.get("user"), "from": channel.get("peer_host"), "prefetch": consumer.get("prefetch_count"),
            "acknowledges": consumer.get("ack_required"), "active": consumer.get("active")}


def _section(description: Description, title: str, rows: list[dict[str, Value]]) -> None:
    if rows:
        description.sections.append(Section(title, rows[:_MOST_ROWS]))
    if len(rows) > _MOST_ROWS:
        description.missing.append(f"{title}: {len(rows) - _MOST_ROWS:,} more than are shown")


def _plain(value: Any) -> Value:
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
