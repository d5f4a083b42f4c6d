"""Which queue dead-letters into which, as arguments, policies and bindings say, and which queues only hold messages back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from brokercli.backends.rabbitmq.dead_letter_names import by_name
from brokercli.backends.rabbitmq.keeping import KEEPING, effective
from brokercli.backends.rabbitmq.management import Facts, Management, is_down
from brokercli.backends.rabbitmq.policies import EXCHANGE, Policies

_MOST_HOPS = 10


@dataclass(slots=True)
class Node:
    """One queue or stream."""

    name: str
    type: str
    settings: Facts
    """Arguments without their x-, over what policies say."""
    limit_is_firm: bool = False
    """Its delivery limit is an argument's or an operator's, which no policy raises."""
    messages: int | None = None
    consumers: int | None = None
    on_the_way: int = 0
    """Its dead letters that nobody has confirmed yet where they go, some seconds ago; they lie in it until then."""
    held_back: int = 0
    """What was returned to it and waits for another try (delayed retry, from 4.3 on), some seconds ago: nobody gets it before its time."""
    oldest: int | None = None
    """Time of the first message in seconds, where a classic queue knows it."""
    targets: tuple[str, ...] = ()
    """Where its dead letters go, as far as that is fixed."""
    copied: bool = False
    """Each of its dead letters goes to all of them."""
    feeds: list[str] = field(default_factory=list)
    """What dead-letters here."""
    waits: bool = False
    """It only holds messages back for a while and then returns them to work."""
    down: bool = False
    """Whoever answers for it is away, and what lies in it is not known."""
    unrouted: bool = False
    """It dead-letters to an exchange that nothing is bound to, or that does not exist."""

    @property
    def dead_letters(self) -> bool:
        """Whether it hands its dead messages on."""
        return "dead-letter-exchange" in self.settings

    @property
    def exchange(self) -> str:
        """Where to, by name; empty is the default exchange."""
        return str(self.settings.get("dead-letter-exchange", ""))


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange, as far as routing goes."""

    type: str
    alternate: str = ""
    """Name of the exchange that takes what nothing is bound for."""
    internal: bool = False


def read_exchanges(management: Management) -> dict[str, Exchange]:
    """Ask for all exchanges; raises Away."""
    policies = Policies(management)
    found: dict[str, Exchange] = {}
    for facts in management.exchanges():
        name = str(facts.get("name"))
        operator, user = policies.definitions(name, EXCHANGE, facts.get("policy"))
        alternate = effective("alternate-exchange", facts.get("arguments") or {}, operator, user)
        found[name] = Exchange(str(facts.get("type")), str(alternate or ""), bool(facts.get("internal")))
    return found


def read_topology(management: Management) -> dict[str, Node]:
    """Ask for everything; raises Away. Costs a few questions, and one for each exchange that takes dead letters."""
    now = {facts["name"]: facts for facts in management.queues_now() if facts.get("name")}
    counted = {facts["name"]: facts for facts in management.queues_counted() if facts.get("name")}
    used = {facts["name"]: facts for facts in management.queues_in_use() if facts.get("name")}
    policies = Policies(management)
    # what was deleted between two questions is not down
    nodes = {name: _node(facts, counted.get(name), used[name], policies) for name, facts in now.items() if name in used and not facts.get("exclusive")}
    routes = Routes(management)
    for node in nodes.values():
        if node.dead_letters:
            key = node.settings.get("dead-letter-routing-key")
            node.targets = tuple(sorted(name for name in routes.of(node.exchange, key) if name in nodes))
            node.copied = len(node.targets) > 1 and routes.lead_everywhere(node.exchange, key)
            node.unrouted = not node.targets and not (node.exchange == "" and "dead-letter-routing-key" not in node.settings)
    for node in nodes.values():
        for target in node.targets:
            nodes[target].feeds.append(node.name)
    for node in nodes.values():
        node.waits = _waits(node, nodes)
    return nodes


def _node(now: Facts, counted: Facts | None, used: Facts, policies: Policies) -> Node:
    name, kind, given = now["name"], str(now.get("type") or used.get("type") or "classic"), now.get("arguments") or {}
    # what the broker itself says of policies is some seconds old for classic queues
    operator, user = policies.definitions(name, kind, now.get("policy") or used.get("policy"))
    settings = user | operator | {argument.removeprefix("x-"): value for argument, value in given.items()}
    settings |= {setting: value for setting in KEEPING if setting in settings and (value := effective(setting, given, operator, user)) is not None}
    head = used.get("head_message_timestamp")
    down = counted is None or any(is_down(facts) for facts in (now, counted, used))
    messages = None if counted is None or down else counted.get("messages", used.get("messages"))
    firm = any(isinstance(limit, int) and limit >= 0 for limit in (operator.get("delivery-limit"), given.get("x-delivery-limit")))
    return Node(name, kind, settings, firm, messages, used.get("consumers"), used.get("messages_dlx") or 0,
                used.get("messages_delayed") or 0, head if isinstance(head, int) and not isinstance(head, bool) else None, down=down)


def _waits(node: Node, nodes: dict[str, Node]) -> bool:
    """Whether a queue without consumers sends what expires in it back to work: it has a TTL of its own, or what feeds it is
    worked on at the moment. Where neither can be seen it is not taken for one: a home would be looked for elsewhere."""
    if not node.targets or node.consumers:
        return False
    targets = [nodes[name] for name in node.targets if name != node.name]
    if "message-ttl" in node.settings:
        return any(target.name in node.feeds or target.consumers or target.dead_letters for target in targets)
    return not by_name(node.name) and any(target.name in node.feeds and target.consumers for target in targets)


class Bindings:
    """Those that lead away from one exchange, found by key: thousands of queues may dead-letter through it, each with a key of its own."""

    def __init__(self, bindings: Sequence[Facts]) -> None:
        self._all = bindings
        self._by_key: dict[str, list[Facts]] = {}
        self._patterns: list[Facts] = []
        for binding in bindings:
            key = str(binding.get("routing_key", ""))
            self._by_key.setdefault(key, []).append(binding)
            if {"*", "#"} & set(words_of(key)):
                self._patterns.append(binding)

    def taking(self, kind: str, key: str | None) -> Sequence[Facts]:
        """Return those that an exchange of some type takes for a key; without one, those it may take."""
        if key is None or kind not in ("direct", "topic"):
            return self._all
        found = self._by_key.get(key, [])
        if kind == "direct":
            return found
        patterns = [binding for binding in self._patterns if matches(kind, str(binding["routing_key"]), key)]
        return [binding for binding in found if binding not in patterns] + patterns


class Routes:
    """Follows bindings, from exchange to exchange as well. Asks of each exchange once; everything raises Away."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._exchanges: dict[str, Exchange] | None = None
        self._bindings: dict[str, Bindings] = {}

    def of(self, exchange: str, key: Any) -> set[str]:
        """Return the queues a message may be routed to; without a key, with any key it may have had."""
        if not exchange:
            return {key} if isinstance(key, str) else set()
        return self._follow(exchange, key if isinstance(key, str) else None, _MOST_HOPS)

    def lead_everywhere(self, exchange: str, key: Any) -> bool:
        """Whether a message is routed to all of these, as far as the exchange itself tells."""
        kind = self._known(exchange).type
        return kind == "fanout" or (kind in ("direct", "topic") and isinstance(key, str))

    def alternate(self, exchange: str, key: str | None) -> str:
        """Return the alternate exchange that takes a message because no binding does; empty where one may, or there is no such exchange."""
        known = self._known(exchange)
        return "" if self._from(exchange).taking(known.type, key) else known.alternate

    def _follow(self, exchange: str, key: str | None, hops: int) -> set[str]:
        found: set[str] = set()
        known = self._known(exchange)
        routed = self._from(exchange).taking(known.type, key)
        for binding in routed:
            if binding.get("destination_type") == "queue":
                found.add(str(binding["destination"]))
            elif hops:
                found |= self._follow(str(binding["destination"]), key, hops - 1)
        certain = bool(routed) and known.type != "headers" and (key is not None or known.type == "fanout")
        if known.alternate and hops and not certain:
            found |= self._follow(known.alternate, key, hops - 1)
        return found

    def _from(self, exchange: str) -> Bindings:
        if exchange not in self._bindings:
            self._bindings[exchange] = Bindings(self._management.bindings_from(exchange))
        return self._bindings[exchange]

    def exchange(self, name: str) -> Exchange | None:
        """Return what is known of an exchange; None where there is none."""
        if self._exchanges is None:
            self._exchanges = read_exchanges(self._management)
        return self._exchanges.get(name)

    def _known(self, exchange: str) -> Exchange:
        return self.exchange(exchange) or Exchange("")


def matches(kind: str, pattern: str, key: str) -> bool:
    """Whether an exchange of some type takes a routing key for a binding; of a headers exchange any binding may be meant."""
    if kind == "direct":
        return pattern == key
    return kind != "topic" or _topic_matches(words_of(pattern), words_of(key))


def words_of(key: str) -> tuple[str, ...]:
    """Return the words of a key as a topic exchange counts them: the empty key has none (verified on 4.3.6)."""
    return tuple(key.split(".")) if key else ()


def _topic_matches(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    # which of the words the pattern so far may have used up
    reached = {0}
    for part in pattern:
        if part == "#":
            reached = set(range(min(reached), len(words) + 1)) if reached else reached
        else:
            reached = {at + 1 for at in reached if at < len(words) and part in ("*", words[at])}
    return len(words) in reached
