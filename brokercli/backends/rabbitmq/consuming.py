"""Who consumes what: on RabbitMQ a consumption is a queue. Nothing of a consumer outlives its connection, so nothing of it can be
moved, paused or removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from brokercli.backends.consumers import Consumers
from brokercli.backends.dead_letters import some_of
from brokercli.backends.rabbitmq import CLASSIC_QUEUE, STREAM, SUPPORT
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.existing import ROW_OF, Existing
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts, Management, is_down
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.consumption import Consumption, Lag, Seek
from brokercli.model.description import Description, Section, Value
from brokercli.model.errors import Failed, NotFound, Unsupported
from brokercli.model.pattern import matches
from brokercli.model.position import Position

_MOST_ROWS = 500


class RabbitMQConsumers(Consumers):
    """Asks the management API; of a queue that is named, AMQP itself tells how many messages are ready and how many consume it.

    Figures of the management API are up to five seconds old, but for the counts of a queue that is named; a lag that mixes both is rather
    too high than too low.
    """

    def __init__(self, link: Link, management: Management, existing: Existing) -> None:
        self._link = link
        self._management = management
        self._existing = existing

    def name_of(self, text: str) -> str:
        # a consumer is a queue, and that one has an address
        kind, _, name = text.partition(":")
        return name if kind in ("queue", "stream") and name else text

    def find(self, patterns: Sequence[str] = ()) -> Iterable[Consumption]:
        if (named := self._named(patterns)) is not None:
            return named
        return self._find(patterns)

    def names(self) -> list[str]:
        try:
            return [str(facts["name"]) for facts in self._management.consumed() if _shown(facts)]
        except Away as problem:
            raise self._away(problem) from None

    def describe(self, name: str) -> Description:
        facts = self._facts(name)
        if facts is None:
            return self._describe_over_amqp(name)
        consumers = facts.get("consumer_details") or []
        description = Description("consumer", name, ROW_OF.get(str(facts.get("type")), CLASSIC_QUEUE))
        said = description.facts
        said["queue"] = _address(facts)
        said["state"] = _state(facts)
        said["consumers"] = len(consumers)
        if facts.get("type") == "stream":
            description.missing.append("how far each one is: a stream's consumer keeps its offset itself, or asks the broker to keep it under a name that"
                                       " only stream clients see")
        else:
            said["messages ready"] = self._ready(name, facts)
            said["messages in delivery"] = _number((self._counted(name) or facts).get("messages_unacknowledged"))
        if (facts.get("arguments") or {}).get("x-single-active-consumer"):
            said["single active consumer"] = True
        rates = facts.get("message_stats") or {}
        for figure, title in (("deliver_get_details", "delivered per second"), ("ack_details", "acknowledged per second"),
                              ("redeliver_details", "redelivered per second")):
            if figure in rates:
                said[title] = rates[figure].get("rate")
        rows = [member_row(consumer) for consumer in consumers]
        if rows:
            description.sections.append(Section("consumers", rows[:_MOST_ROWS]))
        if len(rows) > _MOST_ROWS:
            description.missing.append(f"consumers: {len(rows) - _MOST_ROWS:,} more than are shown")
        return description

    def lag(self, name: str) -> Sequence[Lag]:
        facts = self._facts(name)
        if facts is None:
            queue = self._existing.queue(name)
            if queue is None:
                raise self._no_such(name)
            if queue.resource == STREAM:
                return [Lag(f"stream:{name}")]
            # AMQP counts what is ready; what consumers have in hand only the management API does
            return [Lag(f"queue:{name}", lag=queue.messages, at_least=queue.consumers != 0)]
        if facts.get("type") == "stream":
            # the figure counts offsets, and where the consumers are in it nobody but them knows
            return [Lag(f"stream:{name}", member=_members(facts))]
        # first what is ready, which is known now: what is delivered in between is in both rather than in neither
        ready = self._ready(name, facts)
        # of a quorum queue both are up to a second old, and what was delivered since is in hand nowhere but still in the total
        counted = self._counted(name) or facts
        in_hand = _number(counted.get("messages_unacknowledged"))
        # what died in it and waits to be handed over is no consumer's any more
        total = (_number(counted.get("messages")) or 0) - (_number(facts.get("messages_dlx")) or 0)
        behind = None if ready is None else max(ready + (in_hand or 0), total)
        return [Lag(f"queue:{name}", lag=behind, in_hand=in_hand, member=_members(facts), at_least=in_hand is None)]

    def plan_seek(self, name: str, position: Position, source: Address | None = None) -> Seek:
        self._refuse(name, Capability.SEEK_CONSUMERS)

    def seek(self, planned: Seek) -> None:
        self._refuse(planned.name, Capability.SEEK_CONSUMERS)

    def pause(self, name: str, until: int) -> None:
        self._refuse(name, Capability.PAUSE_CONSUMERS)

    def resume(self, name: str) -> None:
        self._refuse(name, Capability.PAUSE_CONSUMERS)

    def goes_with(self, name: str) -> NoReturn:
        self.remove(name)

    def remove(self, name: str) -> NoReturn:
        if self._existing.queue(name) is None:
            raise self._no_such(name)
        raise Unsupported(f"Of the consumers of {name} nothing is kept that could be removed: they are there as long as they are connected.",
                          hint="rabbitmqctl close_connection ends one; what it holds goes back to the queue")

    def _find(self, patterns: Sequence[str]) -> Iterator[Consumption]:
        try:
            for facts in self._management.consumed():
                name = str(facts["name"])
                if _shown(facts) and (not patterns or any(matches(name, pattern) for pattern in patterns)):
                    yield _consumption(facts)
        except Away as problem:
            raise self._away(problem) from None

    def _named(self, patterns: Sequence[str]) -> list[Consumption] | None:
        """Without the management API, ask for queues that are named in full; None where that is not what is asked."""
        try:
            self._management.tags()
        except Away:
            if patterns and not any({"*", "?", "["} & set(pattern) for pattern in patterns):
                return [found for name in sorted(set(patterns)) if (found := self._over_amqp(name)) is not None]
        return None

    def _over_amqp(self, name: str) -> Consumption | None:
        queue = self._existing.queue(name)
        if queue is None:
            return None
        return Consumption(name, "stream" if queue.resource == STREAM else "queue", members=queue.consumers,
                           lag=None if queue.resource == STREAM else queue.messages, reads=(f"{queue.kind}:{name}",), facts={"type": queue.type})

    def _describe_over_amqp(self, name: str) -> Description:
        queue = self._existing.queue(name)
        if queue is None:
            raise self._no_such(name)
        description = Description("consumer", name, queue.resource)
        description.facts |= {"queue": f"{queue.kind}:{name}", "consumers": queue.consumers}
        if queue.resource != STREAM:
            description.facts["messages ready"] = queue.messages
        why = self._why()
        description.missing.append(f"who consumes it, from where, prefetch, acknowledgements, messages in delivery: {why}")
        return description

    def _facts(self, name: str) -> Facts | None:
        """Return what the management API knows; None where it cannot be asked. Raises NotFound."""
        try:
            facts = self._management.queue(name)
        except Away:
            return None
        if facts is None:
            raise self._no_such(name)
        return facts

    def _ready(self, name: str, facts: Facts) -> int | None:
        """Return how many messages are ready; None where whoever answers for the queue is away, for which RabbitMQ counts none."""
        try:
            (count,) = self._link.ask(f"counting the messages of {name}", counting(name))
        except Failed:
            return _number(facts.get("messages_ready"))
        if not count.messages and self._is_down(name, facts):
            return None
        return int(count.messages) if count.certain else _number(facts.get("messages_ready"))

    def _counted(self, name: str) -> Facts | None:
        """Return what lies in a queue and in hands as it is now; None where the management API stopped answering, or the queue is gone."""
        try:
            return self._management.queue_now(name)
        except Away:
            return None

    def _is_down(self, name: str, facts: Facts) -> bool:
        try:
            return is_down(facts) or is_down(self._management.queue_now(name))
        except Away:
            return False

    def _refuse(self, name: str, capability: Capability) -> NoReturn:
        queue = self._existing.queue(name)
        if queue is None:
            raise self._no_such(name)
        raise Unsupported(f"{name}: {SUPPORT[queue.resource][capability].note}.")

    def _no_such(self, name: str) -> NotFound:
        return NotFound(f"There is no queue {name} in the virtual host {self._link.where.virtual_host}.",
                        hint="on RabbitMQ a consumer is called by the queue it consumes: brokercli consumers ls shows them")

    def _why(self) -> str:
        try:
            self._management.tags()
        except Away as problem:
            return f"{problem}; {problem.hint}"
        return "the management API does not say it"

    def _away(self, problem: Away) -> Failed:
        return Failed(f"Which queues are consumed only the management API of {self._link.where} says: {problem}.",
                      hint=f"{problem.hint}; of a queue that is named in full AMQP itself tells the numbers: brokercli consumers lag QUEUE")


def member_row(consumer: Mapping[str, Any]) -> dict[str, Value]:
    """Describe one consumer: who it is and from where, how much it is given at once, whether it acknowledges."""
    channel = consumer.get("channel_details") or {}
    row: dict[str, Value] = {
        "tag": consumer.get("consumer_tag"), "user": channel.get("user"), "from": _peer(channel), "prefetch": consumer.get("prefetch_count"),
        "acknowledges": consumer.get("ack_required"), "active": consumer.get("active")}
    status = consumer.get("activity_status")
    if status not in (None, "up", "single_active"):
        row["status"] = str(status)
    return row


def _consumption(facts: Facts) -> Consumption:
    stream = facts.get("type") == "stream"
    shown: dict[str, Value] = {"type": facts.get("type")}
    if facts.get("policy"):
        shown["policy"] = facts["policy"]
    messages = _number(facts.get("messages"))
    behind = None if stream or messages is None else messages - (_number(facts.get("messages_dlx")) or 0)
    return Consumption(str(facts["name"]), "stream" if stream else "queue", _state(facts), _number(facts.get("consumers")), behind,
                       None if stream else _number(facts.get("messages_unacknowledged")),
                       (_address(facts),), shown)


def _shown(facts: Facts) -> bool:
    return not (facts.get("internal") or facts.get("exclusive"))


def _address(facts: Facts) -> str:
    return f"{'stream' if facts.get('type') == 'stream' else 'queue'}:{facts['name']}"


def _state(facts: Facts) -> str:
    return str(facts.get("state") or "")


def _members(facts: Facts) -> str:
    found: list[str] = []
    for consumer in facts.get("consumer_details") or ():
        # where one runs that has just connected is not known yet
        peer = _peer(consumer.get("channel_details") or {})
        found.append(str(consumer.get("consumer_tag")) + (f" from {peer}" if peer else ""))
    return some_of(found, 5)


def _peer(channel: Mapping[str, Any]) -> str | None:
    host, port = channel.get("peer_host"), channel.get("peer_port")
    return None if host is None else f"{host}:{port}" if isinstance(port, int) else str(host)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
