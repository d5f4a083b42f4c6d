"""Which queues hold dead letters: by what dead-letters into them, and by their names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, MutableSequence, Sequence

from brokercli.backends.dead_letters import DeadLetterSource, some_of
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.dead_letter_names import by_name, feed_of
from brokercli.backends.rabbitmq.existing import ROW_OF, Queue
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.rescue_queue import policy_of
from brokercli.backends.rabbitmq.survivable import LIFTS, refuse_work
from brokercli.backends.rabbitmq.topology import Node, read_topology
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.errors import Failed, NotAuthorised, NotFound

_SECOND = 1_000_000_000
_MOST_FEEDS = 20


def find_sources(patterns: Sequence[str], management: Management, link: Link, unseen: MutableSequence[str]) -> Iterator[DeadLetterSource]:
    """Yield the queues and streams of dead letters by name. Queues that only hold messages back before another try are none. Letters that
    lead nowhere, and stay where they died, are told to `unseen`.

    Counts are of this moment, except those of streams, which are up to five seconds old, as are policies of classic queues.
    Raises Failed without the management API: AMQP itself says neither which queues there are nor what leads where.
    """
    try:
        nodes = read_topology(management)
    except Away as problem:
        raise Failed(f"Finding the dead letters of {link.where} takes the management API: {problem}.",
                     hint=f"{problem.hint}; or name the queue: brokercli dlq inspect queue:NAME") from None
    found = set()
    for name in sorted(nodes):
        # what a run keeps is counted with the queue that it is of
        if not name.startswith(LIFTS) and (why := found_by(nodes[name], nodes, patterns)) is not None:
            found.add(name)
            kept = sum([_ready(nodes[target], link)[0] or 0 for target in nodes[name].targets if target.startswith(LIFTS)])
            yield _source(nodes[name], nodes, why, *_ready(nodes[name], link), kept)
    unseen.extend(_kept_for_nobody(nodes, management, link))
    unseen.extend(_in_circles(nodes, found))
    unseen.extend(f"{_waiting(node)}, because what it sends them to does not exist or leads nowhere; brokercli describe queue:{node.name} says what that is"
                  for node in nodes.values() if node.on_the_way and node.unrouted)
    unseen.extend(f"{_held_back(nodes[name])} in queue:{name} by its delayed retry, until the time of each is over" for name in sorted(found)
                  if nodes[name].held_back)


def _in_circles(nodes: dict[str, Node], found: set[str]) -> Iterator[str]:
    """Say of two queues that dead-letter into each other where nothing tells which of them is worked on: no time to live, no consumer and no name."""
    for name in sorted(nodes):
        for other in sorted(set(nodes[name].targets) & set(nodes[name].feeds)):
            both = (nodes[name], nodes[other])
            if name < other and not any(node.waits or node.name in found for node in both) and any(node.messages for node in both):
                yield (f"queue:{name} and queue:{other} dead-letter into each other, neither has a TTL, and nobody consumes them: which of the two holds dead "
                       "letters nothing tells; brokercli dlq inspect queue:NAME shows those of one")


def _kept_for_nobody(nodes: dict[str, Node], management: Management, link: Link) -> Iterator[str]:
    """Say of letters that a run kept for a queue which was deleted since: no list has them, and only in such a queue are they as they were."""
    led_to = {target for node in nodes.values() for target in node.targets}
    for name in sorted(name for name in nodes if name.startswith(LIFTS) and name not in led_to):
        count, _ = _ready(nodes[name], link)
        if not count:
            continue
        try:
            policy = management.policy(policy_of(name))
        except Away:
            policy = None
        queue = re.sub(r"\\(.)", r"\1", str((policy or {}).get("pattern", ""))[1:-1]) or "NAME"
        yield (f"{amount(count, 'letter lies', 'letters lie')} in queue:{name}, where a run kept {'it' if count == 1 else 'them'} for a queue that is not there"
               f" any more; brokercli declare queue {shlex.quote(queue)} -s type=quorum, and then brokercli dlq inspect {shlex.quote(f'queue:{queue}')}"
               f" --lift-limit, puts {'it' if count == 1 else 'them'} back")


def require_letters(queue: Queue, management: Management) -> None:
    """Raise Failed for a queue that has consumers and is not known to hold letters: looking would take their work away."""
    if not queue.consumers or by_name(queue.name):
        return
    try:
        nodes = read_topology(management)
    except Away as problem:
        raise refuse_work(queue.name, queue.consumers, f"whether letters come to it cannot be found out ({problem})") from None
    if queue.name not in nodes or found_by(nodes[queue.name], nodes, ()) is None:
        raise refuse_work(queue.name, queue.consumers, "nothing dead-letters into it")


def found_by(node: Node, nodes: dict[str, Node], patterns: Sequence[str]) -> str | None:
    """Say why a queue is taken for dead letters; None where it is not. One that returns what expires in it to work is none,
    whatever its name."""
    if node.waits:
        return None
    feeds = feeds_of(node, nodes)
    if not feeds:
        return by_name(node.name, patterns)
    exchange = nodes[feeds[0]].exchange
    how = f"x-dead-letter-exchange {exchange}" if exchange else "x-dead-letter-routing-key"
    return f"{how} of queue {feeds[0]}" + (f" and {len(feeds) - 1} more" if len(feeds) > 1 else "")


def feeds_of(node: Node, nodes: dict[str, Node]) -> list[str]:
    """Return the queues whose letters come here. What comes back from where it was sent to is work that is tried again."""
    return sorted(name for name in node.feeds if name != node.name and not nodes[name].waits and name not in node.targets)


def _ready(node: Node, link: Link) -> tuple[int | None, int | None]:
    """Count what lies in a queue, where it can be told, and its consumers: the queue itself says both as they are at the moment, and the
    management API still has those of a run that is over. What a consumer holds at the moment is not among it."""
    if node.down:
        return None, node.consumers
    if node.type == "stream":
        return node.messages, node.consumers
    try:
        (count,) = link.ask(f"counting the letters of {node.name}", counting(node.name))
    except (NotAuthorised, NotFound):
        return None, node.consumers
    return (int(count.messages), int(count.consumers)) if count.certain else (None, node.consumers)


def _waiting(node: Node) -> str:
    return f"{amount(node.on_the_way, 'dead letter waits', 'dead letters wait')} in queue:{node.name}"


def _held_back(node: Node) -> str:
    return amount(node.held_back, "letter is held back", "letters are held back")


def _source(node: Node, nodes: dict[str, Node], why: str, depth: int | None, consumers: int | None, kept: int) -> DeadLetterSource:
    stream = node.type == "stream"
    feeds = feeds_of(node, nodes)
    if not feeds and (named := feed_of(node.name, nodes.__contains__)):
        feeds = [named]
    remarks = [f"{_waiting(nodes[name])} to come here" for name in node.feeds if nodes[name].on_the_way]
    copies = sorted({target for name in node.feeds if nodes[name].copied for target in nodes[name].targets} - {node.name})
    if copies:
        remarks.append(f"letters lie in {some_of([f'queue:{name}' for name in copies], 3)} as well: put back from both, they come home twice")
    remarks += ["the node that answers for it is away: how many there are is not known"] if node.down else []
    if kept:
        remarks.append(f"{kept:,} went over its delivery limit and {'is' if kept == 1 else 'are'} kept by a run; if that was killed, the next one with "
                       f"--lift-limit puts {'it' if kept == 1 else 'them'} back")
        depth = (depth or 0) + kept
    if node.held_back:
        remarks.append(f"{_held_back(node)} by its delayed retry, and not counted")
    if consumers:
        remarks.append(f"{amount(consumers, 'consumer takes', 'consumers take')} from it")
    if stream:
        remarks.append("a stream does not say which of its letters were handled")
    if "message-ttl" in node.settings:
        remarks.append(f"its letters are gone after {node.settings['message-ttl']} ms")
    return DeadLetterSource(
        Address(node.name, "stream" if stream else "queue"), ROW_OF.get(node.type, ROW_OF["classic"]), why, depth, depth,
        None if node.oldest is None or not depth else node.oldest * _SECOND,
        tuple(f"queue:{name}" for name in feeds[:_MOST_FEEDS]), tuple(remarks))
