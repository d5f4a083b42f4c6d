"""RabbitMQ's declarations: planned against what there is, and made one at a time.

What a policy can hold is kept in one policy of ours for each queue and exchange, because it can be changed later; the rest in
arguments, which never change. Without the management API everything is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from brokercli.backends.declaring import Declarer
from brokercli.backends.rabbitmq.comparing import Alter, Bind, Make, bind_of, compare_binding, compare_exchange, compare_queue
from brokercli.backends.rabbitmq.declared import declared
from brokercli.backends.rabbitmq.inventory import Inventory
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away
from brokercli.backends.rabbitmq.obsolete import obsolete_bindings
from brokercli.backends.rabbitmq.removing import Remove, plan_removal
from brokercli.backends.rabbitmq.retrying import plan_retries
from brokercli.backends.rabbitmq.told_arguments import as_meant
from brokercli.model.declaration import Action, Change, Declaration, RetrySpecification, RetryTopology
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable, Unsupported, UsageProblem

_PLAN = {"exchange": compare_exchange, "queue": compare_queue, "stream": compare_queue, "binding": compare_binding}
_FIRST = {"exchange": 0, "queue": 1, "stream": 1, "binding": 2}
_CHANGES_LAST = 3
_AGAIN = "type the same again: it plans on what is there"


class RabbitMQDeclarer(Declarer):
    """Declares in one virtual host, over AMQP, and policies through the management API."""

    def __init__(self, link: Link, inventory: Inventory) -> None:
        self._link = link
        self._inventory = inventory
        self.notes = _notes(inventory)

    def plan(self, wanted: Sequence[Declaration]) -> list[Change]:
        self._inventory.forget()
        wanted = _once(wanted)
        self._require_ends(wanted)
        try:
            changes = [_PLAN[declaration.kind](declaration, self._inventory) for declaration in wanted]
        except Away as problem:
            raise Unreachable(f"The management API stopped answering: {problem}.", hint=problem.hint) from None
        # what exists changes last, when everything that it then refers to is there: dead letters would go nowhere meanwhile
        return sorted(changes, key=lambda change: _CHANGES_LAST if change.action is Action.CHANGE else _FIRST[change.declaration.kind])

    def apply(self, change: Change) -> None:
        declaration, handle = change.declaration, change.handle
        self._inventory.forget()
        try:
            if isinstance(handle, Make):
                self._make(declaration, handle)
            elif isinstance(handle, Alter):
                self._require_still_there(declaration)
                self._inventory.policies.make(handle.policy, handle.said)
            elif isinstance(handle, Bind):
                self._bind(handle)
            elif isinstance(handle, Remove):
                handle.apply(self._link, self._inventory)
        except Away as problem:
            raise Failed(f"Nothing was done about the {declaration}: the management API stopped answering ({problem}).", hint=problem.hint) from None

    def declared(self, kinds: Sequence[str] = ()) -> Iterable[Declaration]:
        self._inventory.forget()
        return declared(self._inventory, kinds)

    def plan_removal(self, unwanted: Sequence[Declaration]) -> list[Change]:
        self._inventory.forget()
        return plan_removal(_once(unwanted), self._inventory)

    def retry(self, specification: RetrySpecification) -> RetryTopology:
        self._inventory.forget()
        topology = plan_retries(specification, self._inventory)
        return replace(topology, obsolete=tuple(obsolete_bindings(specification.source, topology.declarations, self._inventory)))

    def _require_ends(self, wanted: Sequence[Declaration]) -> None:
        """Raise UsageProblem for a binding whose ends neither exist nor are declared."""
        known = {("exchange" if one.kind == "exchange" else "queue", one.name) for one in wanted}
        for declaration in wanted:
            if declaration.kind != "binding":
                continue
            bind = bind_of(declaration)
            for kind, name in (("exchange", bind.source), ("queue" if bind.to_queue else "exchange", bind.destination)):
                if (kind, name) not in known and not self._exists(kind, name):
                    raise UsageProblem(f"The {declaration} needs the {kind} {name}, which is neither there nor declared.",
                                       hint=f"brokercli declare {kind} {name}")
                known.add((kind, name))

    def _exists(self, kind: str, name: str) -> bool:
        """Whether it is there, or it may be that nobody lets us ask."""
        try:
            return self._found(kind, name)
        except NotAuthorised:
            return True

    def _found(self, kind: str, name: str) -> bool:
        """Whether it is there. Raises NotAuthorised where this login may do nothing with what is called so, there or not."""
        try:
            self._link.ask(f"looking at the {kind} {name}", lambda channel, done: (
                channel.queue_declare if kind == "queue" else channel.exchange_declare)(name, passive=True, callback=done))
        except NotFound:
            return False
        except Failed:
            return True
        return True

    def _require_still_there(self, declaration: Declaration) -> None:
        # a policy for what is gone would be made without complaint, and lie in wait for the next of that name
        if not self._exists("exchange" if declaration.kind == "exchange" else "queue", declaration.name):
            raise NotFound(f"The {declaration} is gone by now, so nothing was changed.", hint=_AGAIN)

    def _make(self, declaration: Declaration, make: Make) -> None:
        kind, name = declaration.kind, declaration.name
        address = "exchange" if kind == "exchange" else "queue"
        if self._found(address, name):
            raise Failed(f"There is a {address} {name} by now, so nothing was changed.", hint=_AGAIN)
        if make.policy is not None:
            # first, so that it holds from the first message on
            self._inventory.policies.make(make.policy)
        try:
            self._declare(kind, name, make)
        except Unreachable:
            raise
        except BrokercliError as problem:
            if make.policy is not None:
                self._take_back(make)
            if isinstance(problem, Failed) and "inequivalent arg" in str(problem):
                raise Failed(f"There is another {address} {name} by now, so nothing was changed.", hint=_AGAIN) from None
            raise

    def _declare(self, kind: str, name: str, make: Make) -> None:
        flags, arguments = make.flags, dict(make.arguments)
        if kind == "exchange":
            def step(channel: Any, done: Any) -> Any:
                return channel.exchange_declare(name, exchange_type=make.type, durable=flags["durable"], auto_delete=flags["auto_delete"],
                                                internal=flags["internal"], arguments=arguments, callback=done)
        else:
            if make.type is not None:
                arguments["x-queue-type"] = make.type

            def step(channel: Any, done: Any) -> Any:
                return channel.queue_declare(name, durable=flags["durable"], auto_delete=flags["auto_delete"], arguments=arguments, callback=done)
        self._link.ask(f"declaring the {kind} {name}", step)

    def _take_back(self, make: Make) -> None:
        policy = make.policy
        assert policy is not None
        if policy.before is not None and not policy.takes_over:
            before = policy.before
            self._inventory.management.put_policy(policy.name, before["pattern"], before["apply-to"], before["priority"], before["definition"])
        else:
            self._inventory.management.delete_policy(policy.name)

    def _bind(self, bind: Bind) -> None:
        doing = f"binding {bind.destination} to the exchange {bind.source}"
        arguments = as_meant(bind.arguments)
        if bind.to_queue:
            self._link.ask(doing, lambda channel, done: channel.queue_bind(bind.destination, bind.source, bind.key, arguments, callback=done))
        else:
            self._link.ask(doing, lambda channel, done: channel.exchange_bind(bind.destination, bind.source, bind.key, arguments, callback=done))


def _once(wanted: Sequence[Declaration]) -> list[Declaration]:
    """Leave out what is declared twice in the same way. Raises UsageProblem where it is declared in two ways."""
    found: dict[tuple[str, str], Declaration] = {}
    for declaration in wanted:
        if declaration.kind not in _PLAN:
            raise Unsupported(f"RabbitMQ has no {declaration.kind} to declare.")
        key = ("exchange" if declaration.kind == "exchange" else "binding" if declaration.kind == "binding" else "queue", declaration.name)
        if found.setdefault(key, declaration) != declaration:
            raise UsageProblem(f"The {declaration} is declared twice, with different settings.")
    return list(found.values())


def _notes(inventory: Inventory) -> list[str]:
    if inventory.away is not None:
        return [f"without the management API everything is kept in arguments, which never change, and neither policies nor bindings can be seen"
                f" ({inventory.away}; {inventory.away.hint})"]
    if inventory.cannot_write:
        return [f"everything is kept in arguments, which never change: {inventory.cannot_write}"]
    return []
