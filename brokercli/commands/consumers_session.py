"""From the words of a command line to the consumers of an open broker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from brokercli.backends.consumers import Consumers
from brokercli.backends.contract import Backend
from brokercli.backends.registry import Descriptor, find, open_backend
from brokercli.commands.may_change import check_may_change
from brokercli.model.address import Address, parse_address, split_broker
from brokercli.model.capability import Capability
from brokercli.model.errors import Unsupported, UsageProblem
from brokercli.model.scheme import SCHEME
from brokercli.settings.resolve import ResolvedContext, resolve_connection


@dataclass(frozen=True, slots=True)
class ConsumerSession:
    """An open broker, its consumers, and those of them that the command names."""

    backend: Backend
    consumers: Consumers
    names: tuple[str, ...]
    """Without the broker in front; with * and ? where the command takes patterns."""
    context: ResolvedContext
    descriptor: Descriptor
    typed: tuple[str, ...]
    """With the broker in front, where there was one."""

    @property
    def name(self) -> str:
        """The one name of a command that takes one. Raises UsageProblem where only a broker was named."""
        if not self.names:
            raise names_nothing(self.typed)
        return self.names[0]

    def command(self, verb: str, *words: str, options: Sequence[str] = ()) -> str:
        """Write the command line that does something else about this broker's consumers, to be copied into a shell."""
        from shlex import join

        broker = ["--context", self.context.name] if self.context.said else []
        end = ["--"] if any(word.startswith("-") for word in words) else []
        return join(["brokercli", "consumers", verb, *broker, *options, *end, *words])

    def resolve(self, text: str | None) -> Address | None:
        """Return an address on this broker, its kind said. Raises UsageProblem for one on another broker."""
        if text is None:
            return None
        address = parse_address(text)
        if (address.context or address.url) and resolve_connection(address, None).connection != self.context.connection:
            raise UsageProblem(f"{address} is on another broker than the consumer.")
        return self.backend.resolve(replace(address, context=None, url=None), "describe")


@contextmanager
def open_consumers(texts: Sequence[str], context_name: str | None, capability: Capability = Capability.CONSUMERS, *, changing: str | None = None,
                   connect_timeout: float | None = None) -> Iterator[ConsumerSession]:
    """Open the broker that names are on; closes it at the end.

    `changing` says that the command changes something, and how one looks at it where that is not allowed. Raises, before
    connecting, UsageProblem for names on several brokers and where this context allows no changes, and Unsupported where no resource
    of this broker has the capability.
    """
    broker, names = split_names(texts)
    resolved = resolve_connection(broker, context_name, seconds=connect_timeout)
    descriptor = find(resolved.connection.scheme)
    _require(descriptor, capability)
    if changing is not None:
        check_may_change(resolved, changing)
    connection = resolved.within(connect_timeout)
    with open_backend(connection) as backend:
        consumers = backend.consumers()
        yield ConsumerSession(backend, consumers, tuple([consumers.name_of(name) for name in names]), resolved, descriptor, tuple(texts))


def split_names(texts: Sequence[str]) -> tuple[Address | None, tuple[str, ...]]:
    """Split names from the one broker they are on; None: the context's. A broker alone names nothing."""
    brokers: dict[tuple[str | None, str | None], None] = {}
    names: list[str] = []
    for text in texts:
        alone = re.fullmatch(rf"(@[^/\s]+)/?|({SCHEME}://[^/]+)/?", text)
        context, url, name = split_broker(f"{alone[1] or alone[2]}/*" if alone else text)
        brokers[context, url] = None
        if not alone:
            names.append(name)
            if not name:
                raise UsageProblem("A consumer's name cannot be empty.", hint="brokercli consumers ls shows them")
    if len(brokers) > 1:
        raise UsageProblem("These names are on several brokers.", hint="name the broker once: --context NAME")
    return next((Address("*", context=context, url=url) for context, url in brokers if context or url), None), tuple(names)


def names_nothing(texts: Sequence[str]) -> UsageProblem:
    """Return what to raise where a broker was named, and nothing on it."""
    return UsageProblem(f"{texts[0]} names no consumer.", hint="brokercli consumers ls shows them")


def _require(descriptor: Descriptor, capability: Capability) -> None:
    answers = [row[capability] for row in descriptor.support.values()]
    if not any(answers):
        raise Unsupported(f"{descriptor.title} cannot do that ({capability}): {answers[0].note}.".replace("..", "."),
                          hint="brokercli brokers says what each broker can do")
