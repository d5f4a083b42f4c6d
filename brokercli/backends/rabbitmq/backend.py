"""RabbitMQ behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from brokercli.backends.contract import Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.rabbitmq import CLASSIC_QUEUE, EXCHANGE, STREAM, SUPPORT
from brokercli.backends.rabbitmq.connect import user_of
from brokercli.backends.rabbitmq.convert import Converter
from brokercli.backends.rabbitmq.kinds import exchange_exists, queue_exists, queue_kind
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.look import look_at_exchange, look_at_queue, look_at_stream
from brokercli.backends.rabbitmq.management import Management
from brokercli.backends.rabbitmq.outbox import Target
from brokercli.backends.rabbitmq.publish import RabbitMQPublisher
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.description import Description, Listing
from brokercli.model.errors import NotAuthorised, NotFound, Unsupported, UsageProblem
from brokercli.model.position import Span

_LONGEST_NAME = 255


class RabbitMQBackend(Backend):
    """One connection to one virtual host. It asks, and carries the first publisher or look that is open; the others get their
    own, because a broker that is short of memory stops reading from a connection that publishes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._link = Link(connection)
        self._management = Management(connection)
        self._kinds: dict[str, str | None] = {}
        self._lent = False

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        name, kind = address.name, address.kind
        if kind not in (None, "queue", "stream", "exchange"):
            raise UsageProblem(f"RabbitMQ has queues, streams and exchanges; there is no {kind} {name} on it.", hint=f"queue:{name} or exchange:{name}")
        self._check_name(name, "name")
        self._check_name(address.route or "", "routing key")
        if kind == "exchange":
            if not exchange_exists(self._link, name):
                raise self._no_such("exchange", name)
            return address
        if kind is None:
            return self._resolve_bare(address)
        if not queue_exists(self._link, name):
            raise self._no_such(kind, name)
        resource = self._kind_of(name)
        if kind == "stream" and resource not in (STREAM, None):
            raise UsageProblem(f"{name} is a {resource}, not a stream.", hint=f"queue:{name}")
        return address.of_kind("stream" if resource == STREAM else kind)

    def _resolve_bare(self, address: Address) -> Address:
        name = address.name
        found: list[str] = []
        refused: NotAuthorised | None = None
        for kind, exists in (("queue", queue_exists), ("exchange", exchange_exists)):
            try:
                if exists(self._link, name):
                    found.append(kind)
            except NotAuthorised as refusal:
                refused = refusal
        if len(found) == 2:
            raise UsageProblem(f"{name} is a queue and an exchange.", hint=f"say which: queue:{name} or exchange:{name}")
        if not found:
            raise refused or self._no_such("queue or exchange", name)
        if found == ["queue"] and self._kind_of(name) == STREAM:
            return address.of_kind("stream")
        return address.of_kind(found[0])

    def _check_name(self, name: str, what: str) -> None:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise UsageProblem(f"A {what} in RabbitMQ is UTF-8, and {name[:60]!r} is not.") from None
        if size > _LONGEST_NAME:
            raise UsageProblem(f"A {what} in RabbitMQ has 255 bytes at most, and {name[:60]!r}… has {size}.")

    def _no_such(self, kind: str, name: str) -> NotFound:
        return NotFound(f"There is no {kind} {name} in the virtual host {self._connection.virtual_host}.", hint="brokercli ls shows what there is")

    def _kind_of(self, name: str) -> str | None:
        if name not in self._kinds:
            self._kinds[name] = queue_kind(self._link, name, self._management)
        return self._kinds[name]

    def resource(self, address: Address) -> str:
        if address.kind == "exchange":
            return EXCHANGE
        # where nobody says what it is, what holds for a classic queue promises least
        return self._kind_of(address.name) or (STREAM if address.kind == "stream" else CLASSIC_QUEUE)

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        resource = self.resource(destination)
        if policy.fire_and_forget:
            raise Unsupported(f"{SUPPORT[resource][Capability.FIRE_AND_FORGET].note}.")
        if destination.kind == "exchange":
            if not exchange_exists(self._link, destination.name):
                raise self._no_such("exchange", destination.name)
            target = Target(destination.name.encode(), None if destination.route is None else destination.route.encode())
        else:
            if not queue_exists(self._link, destination.name):
                raise self._no_such(destination.kind or "queue", destination.name)
            target = Target(b"", destination.name.encode())
        converter = Converter(user=user_of(self._connection), to_stream=resource == STREAM, keep_control_headers=policy.keep_control_headers,
                              certain=destination.kind != "exchange" and self._kind_of(destination.name) is not None)
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
        return []

    def describe(self, address: Address) -> Description:
        return Description(address.kind or "", address.name, self.resource(address))

    def close(self) -> None:
        self._link.close()
