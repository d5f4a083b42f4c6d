"""Deleting queues, streams, exchanges and bindings: what goes with them is said before, and must still be so when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.comparing import Bind, bind_of, same_binding
from brokercli.backends.rabbitmq.counting import Count, counting, out_of_sight
from brokercli.backends.rabbitmq.inventory import Have, Inventory
from brokercli.backends.rabbitmq.keeping import CLASSIC, STREAM
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts
from brokercli.backends.rabbitmq.topology import Node, read_topology
from brokercli.model.amount import amount
from brokercli.model.declaration import Action, Change, Declaration
from brokercli.model.errors import Failed, NotFound, UsageProblem

_FIRST = {"binding": 0, "queue": 1, "stream": 1, "exchange": 2}
_AGAIN = "look at what is in it, then plan again"
_WAITING = "for another try or for their dead-letter exchange"


class _Unready(NamedTuple):
    """What is in a queue and ready for nobody; None where nobody says it."""

    in_hand: int | None
    """What consumers hold and have not acknowledged."""
    waiting: int | None
    """What a quorum queue holds back for later (delayed retry), or keeps until its dead letters are taken (at least once)."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Takes one thing away."""

    kind: str
    name: str
    type: str | None = None
    messages: int | None = None
    """What was ready in it when it was planned."""
    consumers: int | None = None
    in_hand: int | None = None
    """What its consumers had in hand then; None where that was not known."""
    waiting: int | None = None
    """What waited in it then, ready for nobody; None where that was not known."""
    policy: str = ""
    """Ours, which goes with it."""
    unbound: bool = False
    """Of an exchange: nothing was bound to it but what goes before it."""
    bind: Bind | None = None
    found: Facts | None = None
    """Of a binding with arguments: how the management API tells it."""

    def apply(self, link: Link, inventory: Inventory) -> None:
        """Do it. Raises Failed where a queue has got messages or consumers since, or an exchange a binding; a classic queue and an exchange
        are asked to make sure themselves, at the moment of deleting."""
        doing = f"deleting the {self.kind} {self.name}"
        if self.found is not None:
            # it does not tell of which types the arguments are, and unbinding with others does nothing, and says that all is well
            inventory.management.delete_binding(self.found)
            return
        if self.bind is not None:
            _unbind(link, self.bind, doing)
            return
        if self.kind == "exchange":
            self._delete_exchange(link, doing)
        else:
            self._require_same(inventory)
            classic = self.type == CLASSIC
            # other types close the connection when they are asked to make sure
            link.ask(doing, lambda channel, done: channel.queue_delete(self.name, if_unused=classic and not self.consumers,
                                                                       if_empty=classic and not self.messages, callback=done))
        if self.policy and not inventory.cannot_write:
            inventory.management.delete_policy(self.policy)

    def _delete_exchange(self, link: Link, doing: str) -> None:
        try:
            link.ask(doing, lambda channel, done: channel.exchange_delete(self.name, if_unused=self.unbound, callback=done))
        except Failed as problem:
            if not self.unbound or "in use" not in str(problem):
                raise
            raise Failed(f"Something was bound to {self.name} since it was looked at, so it was not deleted.", hint=_AGAIN) from None

    def _require_same(self, inventory: Inventory) -> None:
        count = _now(inventory, self.name)
        if count.messages and not self.messages:
            raise Failed(f"{self.name} has got {amount(count.messages, 'message')} since it was looked at, so it was not deleted.", hint=_AGAIN)
        if count.consumers and not self.consumers:
            raise Failed(f"{self.name} has got {amount(count.consumers, 'consumer')} since it was looked at, so it was not deleted.", hint=_AGAIN)
        # what consumers hold is ready for nobody and goes all the same; a queue asked to make sure does not look at it
        unready = _unready(inventory, self.name, self.type)
        if unready.in_hand and not (self.messages or self.in_hand):
            raise Failed(f"The consumers of {self.name} have got {amount(unready.in_hand, 'message')} in hand since it was looked at, so it was not deleted.",
                         hint=_AGAIN)
        if unready.waiting and not (self.messages or self.in_hand or self.waiting):
            raise Failed(f"In {self.name} {amount(unready.waiting, 'message waits', 'messages wait')} since it was looked at, so it was not deleted.",
                         hint=_AGAIN)
        if not count.certain and not (self.messages and self.consumers):
            raise Failed(f"The leader of {self.name} does not answer, so whether anything is in it is not known, and it was not deleted.",
                         hint="wait until it answers, then plan again")


def plan_removal(unwanted: Sequence[Declaration], inventory: Inventory) -> list[Change]:
    """Plan the deletion of what is there: bindings, then queues, then exchanges. Raises UsageProblem for what is RabbitMQ's own or
    belongs to one connection."""
    nodes = _nodes(inventory) if any(one.kind != "binding" for one in unwanted) else {}
    going = {one.name for one in unwanted if one.kind in ("queue", "stream")}
    unbinding = [bind_of(one) for one in unwanted if one.kind == "binding"]

    def stays(bound: Facts) -> bool:
        ends = bound.get("destination_type") == "queue" and bound.get("destination") in going
        return not ends and not any(bind.source == bound.get("source") and same_binding(bind, bound) for bind in unbinding)

    changes = []
    for declaration in unwanted:
        if declaration.name.startswith("amq.") and declaration.kind != "binding":
            raise UsageProblem(f"The {declaration} is RabbitMQ's own and is not deleted.")
        if declaration.kind == "binding":
            planned = _plan_binding(declaration, inventory)
        elif declaration.kind == "exchange":
            through = sorted(node.name for node in nodes.values() if node.dead_letters and node.exchange == declaration.name and node.name not in going)
            planned = _plan_exchange(declaration, inventory, through, stays)
        else:
            node = nodes.get(declaration.name)
            planned = _plan_queue(declaration, inventory, sorted(feed for feed in node.feeds if feed not in going) if node is not None else [])
        if planned is not None:
            changes.append(planned)
    return sorted(changes, key=lambda planned: _FIRST[planned.declaration.kind])


def _plan_binding(declaration: Declaration, inventory: Inventory) -> Change | None:
    bind = bind_of(declaration)
    if inventory.away is not None:
        remark = "whether it is there only the management API says"
        return Change(declaration, Action.DELETE, remarks=(remark,), handle=Remove("binding", declaration.name, bind=bind))
    found = next((facts for facts in inventory.bindings_from(bind.source) if same_binding(bind, facts)), None)
    if found is None:
        return None
    return Change(declaration, Action.DELETE, handle=Remove("binding", declaration.name, bind=bind, found=found if bind.arguments else None))


def _plan_exchange(declaration: Declaration, inventory: Inventory, feeds: Sequence[str], stays: Callable[[Facts], bool]) -> Change | None:
    have = inventory.exchange(declaration.name)
    if have is None:
        return None
    remarks = []
    unbound = False
    if feeds:
        remarks.append(f"dead letters of {', '.join(feeds)} go through it, and would be lost")
    if inventory.away is None:
        bound = inventory.bindings_from(have.name)
        away, here = len(bound), len(inventory.management.bindings_to_exchange(have.name))
        unbound = not any(stays(one) for one in bound)
        if away + here:
            remarks.append(f"{amount(away + here, 'binding')} {'goes' if away + here == 1 else 'go'} with it")
    return Change(declaration, Action.DELETE, remarks=tuple(remarks), handle=Remove(
        "exchange", have.name, policy=_ours(inventory, "exchange", have), unbound=unbound))


def _plan_queue(declaration: Declaration, inventory: Inventory, feeds: Sequence[str]) -> Change | None:
    have = inventory.queue(declaration.name)
    if have is None:
        return None
    if have.exclusive:
        raise UsageProblem(f"{have.name} is the exclusive queue of another connection, which goes with it.")
    count = _now(inventory, have.name)
    remarks = [] if count.certain else ["its leader does not answer: what would be lost with it is not known"]
    if count.messages:
        remarks.append(f"{amount(count.messages, 'message')} {'is' if count.messages == 1 else 'are'} lost with it")
    in_hand, waiting = _unready(inventory, have.name, have.type)
    if waiting:
        remarks.append(f"{amount(waiting, 'message waits', 'messages wait')} in it, {_WAITING}, and {'is' if waiting == 1 else 'are'} lost with it")
    elif waiting is None:
        remarks.append("what waits in it for another try or for its dead-letter exchange goes with it, and only the management API says how much")
    if in_hand:
        remarks.append(f"{amount(in_hand, 'message')} in the hands of consumers {'goes' if in_hand == 1 else 'go'} with it: what they do not finish is lost")
    if count.consumers:
        unseen = "" if in_hand is not None else "; what they have in hand goes with it, and only the management API says how much"
        remarks.append(f"{amount(count.consumers, 'consumer')} {'is' if count.consumers == 1 else 'are'} cut off{unseen}")
    if feeds:
        remarks.append(f"dead letters of {', '.join(feeds)} come here, and would be lost")
    if inventory.away is None:
        bound = [one for one in inventory.management.bindings_to_queue(have.name) if one.get("source")]
        if bound:
            remarks.append(f"{amount(len(bound), 'binding')} {'goes' if len(bound) == 1 else 'go'} with it")
    handle = Remove("queue", have.name, have.type, count.messages, count.consumers, in_hand, waiting, _ours(inventory, "queue", have))
    return Change(declaration, Action.DELETE, remarks=tuple(remarks), handle=handle)


def _now(inventory: Inventory, name: str) -> Count:
    """Count what would be lost. Where whoever answers for a queue is away RabbitMQ counts nothing, so that is believed only when it is
    counted once more after the management API has said that somebody is there."""
    count: Count
    (count,) = inventory.link.ask(f"looking at the queue {name}", counting(name))
    if not count.messages and count.certain:
        if inventory.is_down(name):
            return Count(0, 0, certain=False)
        (count,) = inventory.link.ask(f"looking at the queue {name}", counting(name))
    return count


def _unready(inventory: Inventory, name: str, kind: str | None) -> _Unready:
    """Return what is in a queue that it does not count as ready, as it is now; of a quorum queue as it was when it last counted, once a second here
    and every five as it comes (quorum_tick_interval; seen on 4.3.6). What is read of a stream is in nobody's hands."""
    if kind == STREAM:
        return _Unready(0, 0)
    try:
        facts = (inventory.management.queue_now(name) if inventory.away is None else None) or {}
    except Away:
        facts = {}
    in_hand = facts.get("messages_unacknowledged")
    return _Unready(in_hand if isinstance(in_hand, int) else None, out_of_sight({"type": kind} | facts))


def _nodes(inventory: Inventory) -> dict[str, Node]:
    """Return which queue dead-letters into which, as far as that can be found out."""
    if inventory.away is not None:
        return {}
    try:
        return read_topology(inventory.management)
    except Away:
        return {}


def _ours(inventory: Inventory, kind: str, have: Have) -> str:
    if inventory.away is not None:
        return ""
    ours = inventory.policies.ours(kind, have.name)
    return "" if ours is None else str(ours["name"])


def _unbind(link: Link, bind: Bind, doing: str) -> None:
    arguments: dict[str, Any] = dict(bind.arguments)
    try:
        if bind.to_queue:
            link.ask(doing, lambda channel, done: channel.queue_unbind(bind.destination, bind.source, bind.key, arguments, callback=done))
        else:
            link.ask(doing, lambda channel, done: channel.exchange_unbind(bind.destination, bind.source, bind.key, arguments, callback=done))
    except NotFound:
        return
