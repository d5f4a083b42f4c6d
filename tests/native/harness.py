"""What the conformance tests want of a broker beside brokercli: make a resource, put messages in, see what is really stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from hypothesis.strategies import SearchStrategy

from brokercli.backends.contract import Backend
from brokercli.backends.registry import Descriptor, find, open_backend
from brokercli.model.address import Address
from brokercli.model.capability import Capability, Support
from brokercli.model.connection import Connection
from tests.faults.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as the broker holds it. Headers and properties in the broker's own terms; two that are equal are the same
    message to every other client of that broker."""

    body: bytes | None
    key: bytes | None = None
    headers: tuple[Any, ...] = ()
    properties: tuple[Any, ...] = ()
    position: str = ""
    """As `--from` takes it, where the broker numbers messages."""
    time: int | None = None
    """Nanoseconds since 1970, where the broker says."""
    redelivered: bool = False

    def content(self) -> Stored:
        """Return it without what says where and when it was stored."""
        return replace(self, position="", time=None)


class Resource(ABC):
    """One topic, stream, queue or subject, empty when it is made."""

    row: str
    """Its row of the support table."""
    address: Address
    """Where to look, its kind said."""
    destination: Address
    """Where to publish, its kind said."""

    def put(self, bodies: Iterable[bytes]) -> None:
        """Store messages natively, in order; returns once all are stored."""
        self.put_messages([Stored(body) for body in bodies])

    @abstractmethod
    def put_messages(self, messages: Sequence[Stored]) -> None:
        """The same for whole messages."""

    @abstractmethod
    def stored(self, at_least: int = 0) -> list[Stored]:
        """Return everything that is there, in order; where the broker does not say how many that are, wait for `at_least`.
        Where it gives nothing without taking it out, it is taken out."""

    @abstractmethod
    def state(self) -> Any:
        """Return what a look must not change: counts, positions, consumers, groups, bindings. Compared with ==."""

    @abstractmethod
    def delete(self) -> None:
        """Remove it."""

    consumer: str | None = None
    """What brokercli calls a consumer of it, where one can be named."""

    def finish(self, count: int) -> None:
        """Have its consumer finish the first messages natively, `count` in all at its first call and `count` more at each
        other, and go away. Makes the consumer where it is not there yet and the broker remembers it."""
        raise AssertionError(f"a {self.row} has no consumers")

    def attend(self) -> AbstractContextManager[None]:
        """Have a member of its consumer at work; the consumer is there and has finished everything."""
        raise AssertionError(f"a {self.row} has no consumers")

    def consumer_state(self) -> Any:
        """Return how far its consumer is, and what else the broker knows of it; None where there is none. Compared with ==."""
        raise AssertionError(f"a {self.row} has no consumers")

    def forget_before(self, number: int) -> None:
        """Remove the oldest messages natively, so that `number` is the first."""
        raise AssertionError(f"a {self.row} does not forget its oldest messages")


class Broker(ABC):
    """One running broker."""

    name: str
    scheme: str
    confirms_positions = True
    """Whether the broker says where it stored what it confirms."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._made: list[Resource] = []

    @property
    def descriptor(self) -> Descriptor:
        """What brokercli says of it."""
        return find(self.scheme)

    @property
    def url(self) -> str:
        """As `brokercli` takes it on its command line."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def connection(self) -> Connection:
        """How brokercli reaches it."""
        # eight tests run at a time on two cores: a broker may be slow without anything being wrong
        return Connection(self.scheme, ((self.host, self.port),), connect_timeout=20)

    def support(self, row: str, capability: Capability) -> Support:
        """Return the table's answer."""
        return self.descriptor.support[row][capability]

    def open(self) -> Backend:
        """Open brokercli's connection."""
        return open_backend(self.connection)

    def make(self, row: str, *, partitions: int = 1) -> Resource:
        """Make an empty resource of a row of the support table, deleted by `clean`."""
        resource = self.make_resource(row, partitions)
        self._made.append(resource)
        return resource

    def clean(self) -> None:
        """Delete what `make` made."""
        while self._made:
            self._made.pop().delete()

    @abstractmethod
    def make_resource(self, row: str, partitions: int) -> Resource:
        """Make one. Raises KeyError for a row that these tests do not know yet."""

    @abstractmethod
    def missing(self, row: str) -> Address:
        """Return the address of a resource of that row that does not exist, its kind not said by us where a name says it."""

    @abstractmethod
    def impossible_names(self, row: str) -> list[str]:
        """Return names that no such thing to publish to can have: wildcards, spaces, too long."""

    @abstractmethod
    def oversized(self) -> bytes:
        """Return a body that is larger than the broker takes."""

    @abstractmethod
    def messages(self, row: str) -> SearchStrategy[Stored]:
        """Generate messages that the broker stores as they are."""

    def wrong_login(self, fixture: Callable[[str], Any]) -> Connection | None:
        """Return a connection with a password that is wrong, or None where the broker has no logins."""
        return None

    def behind(self, proxy: Proxy, fixture: Callable[[str], Any]) -> Broker:
        """Return this broker, or another of its kind, as it is reached through a proxy in front of it."""
        proxy.swap((self.host, self.port))
        reached = copy(self)
        reached.host, reached.port = proxy.address
        return reached

    def reconnect(self) -> None:
        """Connect the native client anew, where the broker may have hung up on it because it was silent."""
        raise AssertionError(f"{self.name} hangs up on nobody")

    @abstractmethod
    def close(self) -> None:
        """Let go of the native client."""
