"""Where messages flow: exchanges, their bindings, queues, their consumers, and where what dies in them goes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from brokercli.backends.rabbitmq.dead_letters import found_by
from brokercli.backends.rabbitmq.existing import Existing
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.backends.rabbitmq.telling import circumstances, deaths
from brokercli.backends.rabbitmq.topology import Exchange, Node, matches, read_exchanges, read_topology
from brokercli.model.address import Address
from brokercli.model.flow import Flow

_MOST_NODES = 400
_LOST = "does not exist: dead letters are lost"


def draw_flow(address: Address, management: Management, existing: Existing) -> Flow:
    """Draw what a queue, stream or exchange is connected to. Without the management API there is little to see, and that is said."""
    try:
        return _Drawing(management).draw(address)
    except Away as problem:
        return _alone(address, existing, problem)


@dataclass(slots=True)
class _Ways:
    """Bindings by where they start and where they end."""

    out: defaultdict[str, list[Facts]] = field(default_factory=lambda: defaultdict(list))
    into: defaultdict[tuple[str, str], list[Facts]] = field(default_factory=lambda: defaultdict(list))


class _Drawing:
    """What there is in the virtual host, followed from one address both ways."""

    def __init__(self, management: Management) -> None:
        self._queues = read_topology(management)
        self._exchanges = read_exchanges(management)
        self._ways = _Ways()
        for binding in management.bindings():
            if binding.get("source"):
                self._ways.out[str(binding["source"])].append(binding)
                self._ways.into[str(binding.get("destination_type")), str(binding.get("destination"))].append(binding)
        self._flow = Flow("")
        self._ahead: deque[tuple[str, str, str | None]] = deque()
        """Kind, name and routing key of places that messages go on from."""
        self._followed: set[tuple[str, str, str | None]] = set()
        self._left_out = False

    def draw(self, address: Address) -> Flow:
        """Follow messages on from the address, and back to where they come from."""
        kind = "exchange" if address.kind == "exchange" else "queue"
        if kind == "exchange" and not address.name:
            self._flow.start = self._flow.node(f"exchange:/{address.route or ''}", "exchange", "the default exchange, to the queue of that name")
            if address.route is not None and address.route in self._queues:
                self._step(self._flow.start, "queue", address.route, None, "")
            self._go_on()
            return self._flow
        self._flow.start = self._place(kind, address.name) or ""
        self._ahead.append((kind, address.name, address.route if kind == "exchange" else None))
        self._go_on()
        self._go_back(kind, address.name)
        if self._left_out:
            self._flow.missing.append(f"the rest: there are more than {_MOST_NODES} places to draw")
        return self._flow

    def _place(self, kind: str, name: str) -> str | None:
        """Enter a queue or an exchange; None where the drawing is full."""
        node, exchange = self._queues.get(name), self._exchanges.get(name)
        id = str(Address(name, "exchange")) if kind == "exchange" else f"stream:{name}" if node is not None and node.type == "stream" else f"queue:{name}"
        if id not in self._flow.nodes and len(self._flow.nodes) >= _MOST_NODES:
            self._left_out = True
            return None
        if kind == "exchange":
            if exchange is None:
                return self._flow.node(id, "missing", _LOST)
            return self._flow.node(id, "exchange", exchange.type, *(["internal"] if exchange.internal else []))
        if node is None:
            return self._flow.node(id, "queue", "of one connection, and gone with it")
        return self._flow.node(id, _kind(node, self._queues), *circumstances(node))

    def _step(self, source: str, kind: str, name: str, key: str | None, why: str) -> None:
        """Enter a way and where it leads, to be followed."""
        target = self._place(kind, name)
        if target is not None:
            self._flow.edge(source, target, why)
            self._ahead.append((kind, name, key))

    def _go_on(self) -> None:
        while self._ahead:
            kind, name, key = place = self._ahead.popleft()
            if place in self._followed or (kind, name, None) in self._followed:
                continue
            self._followed.add(place)
            id = self._place(kind, name)
            if id is None:
                continue
            if kind == "exchange":
                self._leave_exchange(id, name, key)
            elif name in self._queues:
                self._leave_queue(id, self._queues[name])

    def _leave_exchange(self, id: str, name: str, key: str | None) -> None:
        exchange = self._exchanges.get(name)
        if exchange is None:
            return
        bindings = self._ways.out[name]
        routed = [binding for binding in bindings if key is None or matches(exchange.type, str(binding.get("routing_key", "")), key)]
        for binding in routed:
            kind = "queue" if binding.get("destination_type") == "queue" else "exchange"
            self._step(id, kind, str(binding["destination"]), key, _route(binding, exchange.type))
        certain = bool(routed) and (key is not None or exchange.type == "fanout") and exchange.type != "headers"
        if exchange.alternate and not certain:
            self._step(id, "exchange", exchange.alternate, key, "bound for nobody")

    def _leave_queue(self, id: str, node: Node) -> None:
        if node.consumers:
            self._flow.edge(id, self._flow.node(f"consumer {node.name}", "consumer", f"{node.consumers:,} at work"), "delivered")
        if not node.dead_letters:
            return
        said = node.settings.get("dead-letter-routing-key")
        key = said if isinstance(said, str) else None
        why = deaths(node)
        if node.exchange:
            self._step(id, "exchange", node.exchange, key, why if key is None else f"{why}, as {key}")
        elif (target := key if key is not None else node.name) in self._queues:
            self._step(id, "queue", target, None, why)
        else:
            self._flow.edge(id, self._flow.node(f"queue:{target}", "missing", _LOST), why)

    def _go_back(self, kind: str, name: str) -> None:
        """Enter what leads to a place: bindings, alternate exchanges, and queues whose dead letters come there."""
        behind, seen, reached = [(kind, name)], {(kind, name)}, {name} if kind == "queue" else set()
        while behind:
            kind, name = behind.pop()
            for other, whence, why in list(self._sources(kind, name, reached)):
                source, target = self._place(other, whence), self._place(kind, name)
                if source is None or target is None:
                    continue
                self._flow.edge(source, target, why)
                if (other, whence) not in seen:
                    seen.add((other, whence))
                    behind.append((other, whence))
                    if other == "queue":
                        reached.add(whence)

    def _sources(self, kind: str, name: str, reached: set[str]) -> Iterator[tuple[str, str, str]]:
        for binding in self._ways.into[kind, name]:
            source = str(binding["source"])
            yield "exchange", source, _route(binding, self._exchanges[source].type if source in self._exchanges else "")
        if kind == "exchange":
            for other, exchange in self._exchanges.items():
                if exchange.alternate == name:
                    yield "exchange", other, "bound for nobody"
        for node in self._queues.values():
            said = node.settings.get("dead-letter-routing-key")
            if kind == "exchange" and node.dead_letters and node.exchange == name and (not reached or reached & set(node.targets)):
                yield "queue", node.name, f"{deaths(node)}, as {said}" if isinstance(said, str) else deaths(node)
            elif kind == "queue" and node.dead_letters and not node.exchange and name in node.targets:
                yield "queue", node.name, deaths(node)


def _kind(node: Node, nodes: dict[str, Node]) -> str:
    if found_by(node, nodes, ()) is not None:
        return "dead letters"
    return "stream" if node.type == "stream" else "queue"


def _route(binding: Facts, kind: str) -> str:
    """Say which messages go by a binding."""
    key = str(binding.get("routing_key", ""))
    if kind != "headers":
        return "" if kind == "fanout" else key
    wanted: dict[str, Any] = dict(binding.get("arguments") or {})
    joined = " or " if str(wanted.pop("x-match", "all")).startswith("any") else " and "
    return joined.join(f"{name}={value}" for name, value in sorted(wanted.items()))


def _alone(address: Address, existing: Existing, problem: Away) -> Flow:
    """Draw the address by itself, and who takes from it as far as AMQP tells."""
    flow = Flow("")
    if address.kind == "exchange":
        exchange: Exchange | Any = existing.exchange(address.name)
        named = str(Address(address.name, "exchange", None if address.name else address.route or ""))
        flow.start = flow.node(named, "exchange", *([exchange.type] if exchange and exchange.type else []))
    else:
        queue = existing.queue(address.name)
        kind = address.kind or "queue" if queue is None else queue.kind
        flow.start = flow.node(f"{kind}:{address.name}", kind, *([queue.type] if queue is not None and queue.type else []))
        if queue is not None and queue.consumers:
            flow.edge(flow.start, flow.node(f"consumer {address.name}", "consumer", f"{queue.consumers:,} at work"), "delivered")
    flow.missing.append(f"bindings, dead-lettering and the rest of the graph: {problem}; {problem.hint}")
    return flow
