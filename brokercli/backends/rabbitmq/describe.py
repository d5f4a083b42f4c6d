"""Everything worth knowing about one queue, stream or exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from brokercli.backends.rabbitmq import CLASSIC_QUEUE, QUORUM_QUEUE, STREAM
from brokercli.backends.rabbitmq.consuming import member_row
from brokercli.backends.rabbitmq.dead_letters import feeds_of
from brokercli.backends.rabbitmq.existing import Exchange, Queue
from brokercli.backends.rabbitmq.keeping import EXCHANGE_KEEPING, KEEPING, argument_of, effective, to_broker
from brokercli.backends.rabbitmq.management import Away, Facts, Management, is_down
from brokercli.backends.rabbitmq.policies import EXCHANGE, Policies
from brokercli.backends.rabbitmq.risks import exchange_risks, queue_risks
from brokercli.backends.rabbitmq.telling import fate_of_the_unrouted, safely, told
from brokercli.backends.rabbitmq.topology import Exchange as Routing
from brokercli.backends.rabbitmq.topology import Node, read_exchanges, read_topology
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
        policies = Policies(management)
        target = str(known.get("type") or queue.type or "")
        operator, user = policies.definitions(queue.name, target, known.get("policy"))
        held = policies.holding(queue.name, target, known.get("policy"))
        nodes, exchanges = read_topology(management), read_exchanges(management)
    except Away as problem:
        if queue.type is None:
            description.missing.append("type: this login may not ask in any way that AMQP has")
        _counts(description, queue, {})
        if queue.exclusive:
            facts["exclusive"] = True
        description.missing.append(f"bindings, arguments, policy, dead lettering, retries, consumers, messages in delivery: {problem}; {problem.hint}")
        return description
    _counts(description, queue, known)
    for name in ("durable", "exclusive", "auto_delete"):
        # what is usual needs no line
        if known.get(name) is (name != "durable"):
            facts[name.replace("_", " ")] = known[name]
    arguments = known.get("arguments") or {}
    settings = {name: to_broker(name, value) for name in KEEPING if (value := effective(name, arguments, operator, user)) is not None}
    for name, title in (("dead-letter-exchange", "dead letter exchange"), ("dead-letter-routing-key", "dead letter routing key"),
                        ("dead-letter-strategy", "dead letter strategy"), ("message-ttl", "message ttl ms"), ("expires", "expires unused after ms"),
                        ("max-length", "max length"), ("max-length-bytes", "max length bytes"), ("overflow", "overflow"), ("max-age", "max age"),
                        ("single-active-consumer", "single active consumer"), ("max-priority", "max priority")):
        if name in settings:
            facts[title] = "(default exchange)" if settings[name] == "" else _plain(settings[name])
    if queue.resource == QUORUM_QUEUE:
        limit = settings.get("delivery-limit", known.get("delivery_limit"))
        facts["delivery limit"] = "unlimited" if isinstance(limit, int) and limit < _UNLIMITED_BELOW else limit
        if known.get("delayed_retry") not in (None, "disabled"):
            facts["delayed retry"] = known["delayed_retry"]
    node = nodes.get(queue.name)
    if node is not None:
        _dead_letters(description, node, nodes)
    if members := known.get("members"):
        facts["leader"] = known.get("leader")
        facts["members"] = ", ".join(sorted(members))
        if set(members) - set(known.get("online") or members):
            facts["members that are down"] = ", ".join(sorted(set(members) - set(known["online"])))
    else:
        facts["node"] = known.get("node")
    if known.get("state") not in (None, "running"):
        facts["state"] = known["state"]
    _policy_names(facts, held, known)
    if node is not None:
        _section(description, "risks", [{"risk": risk} for risk in queue_risks(node, nodes, exchanges, queue.messages)])
        _retries(description, node, nodes)
    _section(description, "bindings", [_binding(binding, "source") for binding in bindings])
    _section(description, "consumers", [member_row(consumer) for consumer in known.get("consumer_details") or ()])
    rows = _kept(settings, arguments, operator, user, held)
    if isinstance(facts.get("delivery limit"), int) and "delivery-limit" not in settings:
        # nobody asked for it, and it deletes messages
        rows.append({"setting": "delivery-limit", "value": facts["delivery limit"], "said by": "RabbitMQ's default", "beside": None})
    _section(description, "settings", rows)
    return description


def describe_exchange(exchange: Exchange, management: Management) -> Description:
    """Describe an exchange: its type, what is bound to it, where messages go that nothing is bound for."""
    description = Description("exchange", exchange.name, exchange.resource)
    facts = description.facts
    facts["type"] = exchange.type
    try:
        known = management.exchange(exchange.name) or {}
        leading_away, leading_here = management.bindings_from(exchange.name), management.bindings_to_exchange(exchange.name)
        policies = Policies(management)
        operator, user = policies.definitions(exchange.name, EXCHANGE, known.get("policy"))
        held = policies.holding(exchange.name, EXCHANGE, known.get("policy"))
        feeds = [node for node in read_topology(management).values() if node.dead_letters and node.exchange == exchange.name and exchange.name]
    except Away as problem:
        if exchange.type is None:
            description.missing.append("type: this login may not ask in any way that AMQP has")
        description.missing.append(f"bindings, arguments, policy, rates: {problem}; {problem.hint}")
        return description
    for name in ("durable", "auto_delete", "internal"):
        if known.get(name) is (name != "durable"):
            facts[name.replace("_", " ")] = known[name]
    arguments = known.get("arguments") or {}
    alternate = effective("alternate-exchange", arguments, operator, user)
    if alternate:
        facts["alternate exchange"] = alternate
    for name, title in (("publish_in", "published"), ("publish_out", "routed to queues")):
        if name in (known.get("message_stats") or {}):
            facts[title] = known["message_stats"][name]
    _policy_names(facts, held, known)
    facts["bindings"] = len(leading_away)
    if exchange.name:
        # the default exchange leads to every queue by its name
        _section(description, "risks", [{"risk": risk} for risk in exchange_risks(Routing(str(exchange.type), str(alternate or "")), len(leading_away))])
    _section(description, "bindings", [_binding(binding, "destination") for binding in leading_away])
    _section(description, "bound to", [_binding(binding, "source") for binding in leading_here])
    _section(description, "takes the dead letters of", [{"queue": f"queue:{node.name}"} for node in feeds])
    settings = {} if alternate is None else {"alternate-exchange": alternate}
    _section(description, "settings", _kept(settings, arguments, operator, user, held))
    return description


def _counts(description: Description, queue: Queue, known: Facts) -> None:
    facts = description.facts
    if is_down(known):
        # what AMQP counts in it is nothing, whatever there is
        queue = replace(queue, messages=None, consumers=None)
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
        if known.get("messages_delayed"):
            facts["messages held back"] = known["messages_delayed"]
    facts["consumers"] = known.get("consumers") if queue.consumers is None else queue.consumers
    if queue.resource != CLASSIC_QUEUE or queue.type is not None:
        facts["type"] = queue.type


def _dead_letters(description: Description, node: Node, nodes: dict[str, Node]) -> None:
    """Say where what dies here goes and how surely, and whose dead letters come here."""
    facts = description.facts
    if node.dead_letters:
        nowhere = f"nowhere: they {fate_of_the_unrouted(node)}"
        facts["returns to" if node.waits else "dead letters go to"] = ", ".join(f"queue:{name}" for name in node.targets) or nowhere
        facts["handed over"] = "at least once" if safely(node) else "at most once"
    if feeds := feeds_of(node, nodes):
        facts["holds the dead letters of"] = ", ".join(f"queue:{name}" for name in feeds)


def _retries(description: Description, node: Node, nodes: dict[str, Node]) -> None:
    waits = [other for other in nodes.values() if other.waits and node.name in other.targets]
    ttls = [(ttl if isinstance(ttl := other.settings.get("message-ttl"), int) else None, other) for other in waits]
    _section(description, "retries", [{"after": None if ttl is None else told(ttl), "queue": f"queue:{other.name}", "messages": other.messages}
                                      for ttl, other in sorted(ttls, key=lambda pair: (pair[0] or 0, pair[1].name))])


def _policy_names(facts: dict[str, Value], held: Facts | None, known: Facts) -> None:
    if held is not None:
        facts["policy"] = held["name"]
    if known.get("operator_policy"):
        facts["operator policy"] = known["operator_policy"]


def _kept(settings: Mapping[str, Any], arguments: Facts, operator: Facts, user: Facts, held: Facts | None) -> list[dict[str, Value]]:
    """Say of each setting who says so; what is there beside it and does not hold as well."""
    rows: list[dict[str, Value]] = []
    of_user = "" if held is None else f"policy {held['name']}"
    known = {"x-queue-type"}
    for name, value in settings.items():
        argument = argument_of(name)
        known.add(argument)
        said = {"argument": arguments.get(argument), "operator's policy": operator.get(name), of_user: user.get(name)}
        holding = [where for where, what in said.items() if what == value]
        beside = [f"{where} says {what}" for where, what in said.items() if what is not None and what != value]
        # an age is told in seconds, whatever it was written in
        where = (holding or [where for where, what in said.items() if what is not None])[0]
        rows.append({"setting": name, "value": _plain(value), "said by": where, "beside": ", ".join(beside) if holding and beside else None})
    rows += [{"setting": name, "value": _plain(value), "said by": "argument", "beside": None} for name, value in sorted(arguments.items()) if name not in known]
    others = {name: value for name, value in user.items() if name not in KEEPING and name not in EXCHANGE_KEEPING}
    rows += [{"setting": name, "value": _plain(value), "said by": of_user, "beside": None} for name, value in sorted(others.items())]
    return sorted(rows, key=lambda row: str(row["setting"]).removeprefix("x-"))


def _binding(binding: Facts, end: str) -> dict[str, Value]:
    other = binding.get("source") or "(default exchange)" if end == "source" else f"{binding.get('destination_type')}:{binding.get('destination')}"
    arguments = ", ".join(f"{name}={value}" for name, value in sorted((binding.get("arguments") or {}).items()))
    return {"from" if end == "source" else "to": other, "routing key": binding.get("routing_key"), "arguments": arguments or None}


def _section(description: Description, title: str, rows: list[dict[str, Value]]) -> None:
    if rows:
        description.sections.append(Section(title, rows[:_MOST_ROWS]))
    if len(rows) > _MOST_ROWS:
        description.missing.append(f"{title}: {len(rows) - _MOST_ROWS:,} more than are shown")


def _plain(value: Any) -> Value:
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
