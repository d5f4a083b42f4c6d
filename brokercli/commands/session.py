"""From the words of a command line to an open broker and a resolved address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import typer

from brokercli.backends.contract import Backend, Purpose
from brokercli.backends.registry import Descriptor, find, open_backend
from brokercli.commands.may_change import check_may_change
from brokercli.model.address import Address, parse_address, split_broker
from brokercli.model.capability import Capability
from brokercli.model.errors import NotFound, Unsupported, UsageProblem
from brokercli.settings.contexts import read_contexts
from brokercli.settings.resolve import ResolvedContext, resolve_connection
from brokercli.terminal.streams import Streams


class Session(NamedTuple):
    """An open broker, and the address on it that the command is about."""

    backend: Backend
    address: Address
    context: ResolvedContext
    descriptor: Descriptor

    def has(self, capability: Capability) -> bool:
        """Whether this resource has it, be it in part."""
        return bool(self.descriptor.support[self.backend.resource(self.address)][capability])

    def require(self, *capabilities: Capability, hint: str = "brokercli brokers says what each broker can do") -> None:
        """Raise Unsupported, with the reason of the support table, for what this resource cannot do; nothing was sent."""
        resource = self.backend.resource(self.address)
        for capability in capabilities:
            support = self.descriptor.support[resource][capability]
            if not support:
                where = f"{'an' if resource[0] in 'aeiou' else 'a'} {resource}"
                # some reasons say it themselves: there are no partitions
                said = f"no {str(capability).rstrip('s')}" in support.note
                why = support.note if said else f"{self.descriptor.title} has no {capability} on {where}: {support.note}"
                raise Unsupported(f"{why[:1].upper()}{why[1:]}.".replace("..", "."), hint=hint)


def streams_of(context: typer.Context) -> Streams:
    """Return the streams of this run, with the colours the command line asked for."""
    return Streams.system(no_color=bool(context.find_root().obj and context.find_root().obj.get("no_color")))


class Broker(NamedTuple):
    """An open broker, for commands that are about no single address."""

    backend: Backend
    context: ResolvedContext
    descriptor: Descriptor


@contextmanager
def open_broker(address: Address | None, context_option: str | None, *, connect_timeout: float | None = None,
                check: Callable[[Descriptor], None] | None = None) -> Iterator[Broker]:
    """Open the broker of an address, or the one the context says; closes it at the end. `check` is asked before anything connects."""
    resolved = resolve_connection(address, context_option, seconds=connect_timeout)
    descriptor = find(resolved.connection.scheme)
    if check is not None:
        check(descriptor)
    connection = resolved.within(connect_timeout)
    with open_backend(connection) as backend:
        yield Broker(backend, resolved, descriptor)


@contextmanager
def open_address(text: str, context_option: str | None, purpose: Purpose, *, connect_timeout: float | None = None) -> Iterator[Session]:
    """Open the broker of an address and resolve the address on it; closes the broker at the end.

    Raises UsageProblem, before connecting, for an address that cannot be, no context, and publishing to a read-only one, or to a
    protected one that nobody named.
    """
    address = parse_address(text)
    resolved = resolve_connection(address, context_option, seconds=connect_timeout)
    if purpose == "publish":
        check_may_change(resolved, "choose another with --context, or take readonly out of it")
    descriptor = find(resolved.connection.scheme)
    if address.kind is not None and address.kind not in descriptor.kinds:
        raise UsageProblem(f"{descriptor.title} has no {address.kind}s; it has {' and '.join(f'{kind}s' for kind in descriptor.kinds)}.",
                           hint=f"for example: {descriptor.kinds[0]}:{address.name or 'orders'}")
    connection = resolved.within(connect_timeout)
    with open_backend(connection) as backend:
        try:
            found = backend.resolve(address, purpose)
        except (NotFound, UsageProblem) as problem:
            problem.hint = _meant(text) or problem.hint
            raise
        yield Session(backend, found, resolved, descriptor)


def _meant(text: str) -> str | None:
    """Say what is meant where the name of a context stands in front of an address, and nothing says that it is one."""
    context, slash, rest = text.partition("/")
    return f"did you mean @{text}? {context} is a context" if slash and rest and context in read_contexts().names() else None


def open_destination(text: str, context_option: str | None, *, connect_timeout: float | None = None) -> AbstractContextManager[Session]:
    """Open where messages of another address go. `context_option` says the broker of a destination that names none itself: of one that
    does, it is about where the messages come from."""
    context, url, _ = split_broker(text)
    return open_address(text, context_option if context is None and url is None else None, "publish", connect_timeout=connect_timeout)
