"""RabbitMQ behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

from brokercli.backends.contract import Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.dead_letters import DeadLetterSource, LetterReader, Repair, RepairPolicy
from brokercli.backends.rabbitmq import CLASSIC_QUEUE, STREAM, SUPPORT
from brokercli.backends.rabbitmq.connect import user_of
from brokercli.backends.rabbitmq.convert import Converter
from brokercli.backends.rabbitmq.describe import describe_exchange, describe_queue
from brokercli.backends.rabbitmq.existing import Exchange, Existing, Queue
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.listing import list_names
from brokercli.backends.rabbitmq.look import look_at_exchange, look_at_queue, look_at_stream
from brokercli.backends.rabbitmq.management import Management
from brokercli.backends.rabbitmq.outbox import Target
from brokercli.backends.rabbitmq.publish import RabbitMQPublisher
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.description import Description, Listing
from brokercli.model.errors import NotFound, Unsupported, UsageProblem
from brokercli.model.position import Span

_LONGEST_NAME = 255
_MANAGEMENT_SECONDS = 2.0


class RabbitMQBackend(Backend):
    """One connection to one virtual host. It asks, and carries the first publisher or look that is open; the others get their
    own, because a broker that is short of memory stops reading from a connection that publishes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._link = Link(connection)
        cluster = self._link.server_properties.get("cluster_name")
        self._management = Management(connection, cluster if isinstance(cluster, str) else None, min(_MANAGEMENT_SECONDS, connection.connect_timeout))
        self._existing = Existing(self._link, self._management)
        self._found: dict[tuple[str, str], Queue | Exchange] = {}
        self._lent = False

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        name, kind = address.name, address.kind
        if kind not in (None, "queue", "stream", "exchange"):
            raise UsageProblem(f"RabbitMQ has queues, streams and exchanges; there is no {kind} {name} on it.", hint=f"queue:{name} or exchange:{name}")
        self._check_name(name, "name")
        self._check_name(address.route or "", "routing key")
        if kind is None:
            return address.of_kind(self._either(name).kind)
        found = self._thing(kind, name)
        if kind == "stream" and found.kind == "queue" and isinstance(found, Queue) and found.type is not None:
            raise UsageProblem(f"{name} is a {found.resource}, not a stream.", hint=f"queue:{name}")
        return address if kind == "stream" else address.of_kind(found.kind)

    def _either(self, name: str) -> Queue | Exchange:
        queue, exchange = self._existing.find(name)
        if queue is not None and exchange is not None:
            raise UsageProblem(f"{name} is a {queue.kind} and an exchange.", hint=f"say which: {queue.kind}:{name} or exchange:{name}")
        found = queue or exchange
        if found is None:
            raise self._no_such("queue, stream or exchange", name)
        self._found["exchange" if found is exchange else "queue", name] = found
        return found

    def _thing(self, kind: str, name: str) -> Queue | Exchange:
        """Return what was found by that name, looked for once. Raises NotFound."""
        key = ("exchange" if kind == "exchange" else "queue", name)
        if key not in self._found:
            found = self._existing.exchange(name) if kind == "exchange" else self._existing.queue(name)
            if found is None:
                raise self._no_such(kind, name)
            self._found[key] = found
        return self._found[key]

    def _check_name(self, name: str, what: str) -> None:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise UsageProblem(f"A {what} in RabbitMQ is UTF-8, and {name[:60]!r} is not.") from None
        if size > _LONGEST_NAME:
            raise UsageProblem(f"A {what} in RabbitMQ has 255 bytes at most, and {name[:60]!r}… has {size}.")
        if any(character < " " or "\x7f" <= character <= "\x9f" for character in name):
            raise UsageProblem(f"The {what} {name[:60]!r} holds control characters.")

    def _no_such(self, kind: str, name: str) -> NotFound:
        near = get_close_matches(name, self._existing.names(), 3)
        return NotFound(f"There is no {kind} {name} in the virtual host {self._connection.virtual_host}.",
                        hint=f"did you mean {' or '.join(near)}?" if near else "brokercli ls shows what there is")

    def resource(self, address: Address) -> str:
        found = self._thing(address.kind or "queue", address.name)
        # a stream that nobody says is one is one because the address says so
        return STREAM if address.kind == "stream" else found.resource

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        resource = self.resource(destination)
        if policy.fire_and_forget:
            raise Unsupported(f"{SUPPORT[resource][Capability.FIRE_AND_FORGET].note}.")
        if destination.kind == "exchange":
            target = Target(destination.name.encode(), None if destination.route is None else destination.route.encode())
        else:
            target = Target(b"", destination.name.encode())
        converter = Converter(user=user_of(self._connection), to_stream=resource == STREAM, keep_control_headers=policy.keep_control_headers,
                              certain=destination.kind != "exchange" and self._thing("queue", destination.name).type is not None)
        link, give_back = self._lend()
        try:
            return RabbitMQPublisher(link, target, policy, converter, give_back)
        except BaseException:
            give_back()
            raise

    def look(self, source: Address, span: Span) -> Reader:
        if source.kind == "exchange":
            return look_at_exchange(self._link, self._management, source, span, self._lend)
        if self.resource(source) == STREAM:
            return look_at_stream(self._link, source.name, span, self._lend)
        return look_at_queue(self._link, self._management, source.name, self.resource(source), span, self._lend)

    def dead_letter_sources(self, patterns: Sequence[str] = ()) -> Iterable[DeadLetterSource]:
        raise Unsupported(f"{SUPPORT[CLASSIC_QUEUE][Capability.LOOK_LETTERS].note}.")

    def look_letters(self, source: Address) -> LetterReader:
        raise Unsupported(f"{SUPPORT[self.resource(source)][Capability.LOOK_LETTERS].note}.")

    def repair(self, source: Address, policy: RepairPolicy) -> Repair:
        raise Unsupported(f"{SUPPORT[self.resource(source)][Capability.REDRIVE].note}.")

    def _lend(self) -> tuple[Link, Callable[[], None]]:
        """Return a connection for one publisher or look, and how to give it back."""
        if self._lent:
            own = Link(self._connection)
            return own, own.close
        self._lent = True
        return self._link, self._take_back

    def _take_back(self) -> None:
        self._lent = False

    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        return list_names(self._management, kinds, self._connection)

    def describe(self, address: Address) -> Description:
        found = self._thing(address.kind or "queue", address.name)
        return describe_queue(found, self._management) if isinstance(found, Queue) else describe_exchange(found, self._management)

    def close(self) -> None:
        self._management.close()
        self._link.close()
