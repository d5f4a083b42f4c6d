"""RabbitMQ behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from brokercli.backends.contract import Backend, Publisher, PublishPolicy, Purpose, Reader
from brokercli.backends.rabbitmq import CLASSIC_QUEUE, EXCHANGE, QUORUM_QUEUE, STREAM, SUPPORT
from brokercli.backends.rabbitmq.connect import user_of
from brokercli.backends.rabbitmq.existing import Exchange, Existing, Queue
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.names import check_name, check_short
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.connection import Connection
from brokercli.model.errors import Failed, NotAuthorised, NotFound, Unsupported, UsageProblem
from brokercli.model.message import Message
from brokercli.model.position import End, Span, Start

if TYPE_CHECKING:
    # each method loads what it needs: a command of a moment is mostly start-up
    from brokercli.backends.consumers import Consumers
    from brokercli.backends.dead_letters import DeadLetterSource, Feeding, LetterReader, Lift, Repair, RepairPolicy
    from brokercli.backends.declaring import Declarer
    from brokercli.backends.rabbitmq.lifting import LimitLift
    from brokercli.backends.rabbitmq.perishing import Fate
    from brokercli.backends.rabbitmq.survivable import Conditions, Taking
    from brokercli.model.checkup import Check
    from brokercli.model.description import Description, Listing
    from brokercli.model.flow import Flow

# so long a publisher waits at most to be told what its queue does with messages: the answer is for a note alone
_FATE_SECONDS, _GUESSED_SECONDS = 3.0, 0.25
_CHANNELS = 3
"""At a time on one connection, where letters are taken: what they come over, a question, and one that is kept for the next question."""


class RabbitMQBackend(Backend):
    """One connection to one virtual host. It asks, and carries the first publisher or look that is open; the others get their
    own, because a broker that is short of memory stops reading from a connection that publishes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._link = Link(connection)
        self._management = Management(connection, self._link.server_properties.get("cluster_name"), connection.connect_timeout,
                                      self._link.host)
        self._hurried: Management | None = None
        self._existing = Existing(self._link, self._management)
        self._rows: dict[str, str] = {}
        self._lent = False
        self._own: list[Link] = []
        self._leaving: list[Thread] = []
        """Say goodbye on connections that publishers had, and wait for the broker."""
        self._lifts: dict[str, LimitLift] = {}

    def resolve(self, address: Address, purpose: Purpose) -> Address:
        name, kind = address.name, address.kind
        if kind not in (None, "queue", "stream", "exchange"):
            raise UsageProblem(f"RabbitMQ has queues, streams and exchanges; there is no {kind} {name} on it.",
                               hint=f"queue:{name} or {Address(name, 'exchange')}")
        check_name(name)
        check_short(address.route or "", "routing key")
        if kind == "exchange":
            self._exchange(name, purpose, address.route)
            return address
        if kind is None:
            return self._resolve_bare(address, purpose)
        queue = self._queue(name, kind, purpose)
        if queue is None or queue.type is None:
            return address
        if kind == "stream" and queue.kind != "stream":
            raise UsageProblem(f"{name} is a {queue.resource}, not a stream.", hint=f"queue:{name}")
        return address.of_kind(queue.kind)

    def _resolve_bare(self, address: Address, purpose: Purpose) -> Address:
        try:
            queue, exchange = self._existing.find(address.name)
        except NotAuthorised as problem:
            if purpose != "publish":
                raise
            # the kind of what may not be asked about has to be said; then nothing needs asking
            raise NotAuthorised(str(problem), hint=f"say what it is, queue:{address.name} or {Address(address.name, 'exchange')}: then it is not asked for;"
                                f" or {problem.hint}") from None
        # an exchange keeps no letters
        if queue is not None and exchange is not None and purpose != "letters":
            raise UsageProblem(f"{address.name} is a {queue.resource} and an exchange.",
                               hint=f"say which: {queue.kind}:{address.name} or {Address(address.name, 'exchange')}")
        if queue is not None:
            self._rows[address.name] = queue.resource
            return address.of_kind(queue.kind)
        if exchange is None:
            raise self._no_such("queue, stream or exchange", address.name, purpose)
        return address.of_kind("exchange")

    def _queue(self, name: str, kind: str, purpose: Purpose) -> Queue | None:
        """Return a queue that exists; None where we may not ask, but may publish to it all the same."""
        try:
            queue = self._existing.queue(name)
        except NotAuthorised:
            # publishing takes the permission to write to the default exchange, and none for the queue
            if purpose == "publish":
                self._rows[name] = _row_of(None, kind)
                return None
            raise
        if queue is None:
            raise self._no_such(kind, name, purpose)
        self._rows[name] = _row_of(queue, kind)
        return queue

    def _exchange(self, name: str, purpose: Purpose, route: str | None = None) -> Exchange | None:
        try:
            exchange = self._existing.exchange(name)
        except NotAuthorised:
            # 4.3.0 wants the permission to configure for this question, and publishing does not
            if purpose == "publish":
                return None
            raise
        if exchange is None:
            raise self._no_such("exchange", name, purpose, route)
        return exchange

    def _no_such(self, kind: str, name: str, purpose: Purpose, route: str | None = None) -> NotFound:
        from difflib import get_close_matches
        from shlex import quote

        known = self._existing.names(kind)
        # the slash may be the name's own
        whole = f"{name}/{route}"
        spelled = route is not None and whole in known
        near = [str(Address(whole, "exchange"))] if spelled else get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "brokercli ls shows what there is"
        if kind == "exchange" and name == "amq.default":
            hint = "the management API's name of the default exchange, which leads to the queue that the routing key names: exchange:/QUEUE, or queue:QUEUE"
        elif purpose == "publish" and not spelled and not name.startswith("amq."):  # those only the broker makes
            hint += f"{'' if near else ';'} brokercli declare {kind.partition(',')[0]} {quote(name)} makes it"
        return NotFound(f"There is no {kind} {name} in the virtual host {self._connection.virtual_host}.", hint=hint)

    def resource(self, address: Address) -> str:
        if address.kind == "exchange":
            return EXCHANGE
        if address.name not in self._rows:
            queue = self._existing.queue(address.name)
            self._rows[address.name] = _row_of(queue, address.kind)
        return self._rows[address.name]

    def leaves_route_open(self, destination: Address) -> bool:
        return destination.kind == "exchange" and destination.route is None

    def by_way_of(self, destination: Address) -> tuple[Address, str | None]:
        if destination.kind != "exchange" or destination.route is None:
            return destination, None
        return replace(destination, route=None), destination.route

    def require_answer(self) -> None:
        from brokercli.backends.rabbitmq.answering import require_answer

        require_answer(self._link)

    def publisher(self, destination: Address, policy: PublishPolicy) -> Publisher:
        if policy.fire_and_forget:
            raise Unsupported(f"{SUPPORT[EXCHANGE][Capability.FIRE_AND_FORGET].note}.")
        from brokercli.backends.rabbitmq.convert import Converter
        from brokercli.backends.rabbitmq.outbox import Target
        from brokercli.backends.rabbitmq.publish import RabbitMQPublisher

        name = destination.name
        to_stream = certain = False
        if destination.kind == "exchange":
            self._exchange(name, "publish")
            target = Target(name.encode(), None if destination.route is None else destination.route.encode())
        else:
            queue = self._queue(name, destination.kind or "queue", "publish")
            to_stream = destination.kind == "stream" or (queue is not None and queue.kind == "stream")
            certain = queue is not None and queue.type is not None
            target = Target(b"", name.encode())
        converter = Converter(user=user_of(self._connection), to_stream=to_stream, certain=certain, keep_control_headers=policy.keep_control_headers)
        link, give_back = self._lend(self._leave)
        try:
            publisher = RabbitMQPublisher(link, target, policy, converter, give_back)
        except BaseException:
            give_back()
            raise
        # its channel is being opened meanwhile
        if target.is_queue and target.routing_key is not None and (fate := self._fate(target.routing_key.decode())) is not None:
            publisher.beware(fate)
        return publisher

    def _fate(self, queue: str) -> Fate | None:
        """Find out what a queue does with what it takes, by one question; None where nobody says it in time."""
        from brokercli.backends.rabbitmq.perishing import Fate

        try:
            facts = self._in_a_hurry().queue_that_takes(queue)
        except Away:
            return None
        return None if facts is None else Fate(queue, facts, self._in_a_hurry())

    def _in_a_hurry(self) -> Management:
        if self._hurried is None:
            self._hurried = self._management.hurried(_FATE_SECONDS, _GUESSED_SECONDS)
        return self._hurried

    def obstacles(self, letters: LetterReader, destinations: Sequence[Address]) -> Mapping[int, str]:
        from brokercli.backends.rabbitmq.unrouted import unrouted

        return {**unrouted(destinations, self._management), **super().obstacles(letters, destinations)}

    def fates(self, letters: LetterReader, destinations: Sequence[tuple[Address, int]]) -> Sequence[str]:
        from brokercli.backends.rabbitmq.topology import Routes
        from brokercli.backends.rabbitmq.unrouted import handed_on

        said = handed_on([address for address, _ in destinations], Routes(self._management))
        for address, count in destinations:
            # behind the default exchange is the queue that the routing key names, behind others any number
            name = address.name if address.kind != "exchange" else "" if address.name else address.route
            if name and (fate := self._fate(name)) is not None:
                said += fate.of(count)
        return said

    def look(self, source: Address, span: Span) -> Reader:
        from brokercli.backends.rabbitmq.look import look_at_stream
        from brokercli.backends.rabbitmq.tap import look_at_exchange, look_at_queue

        if source.kind == "exchange":
            return look_at_exchange(self._link, self._management, source, span, self._lend)
        resource = self.resource(source)
        if resource == STREAM:
            return look_at_stream(self._link, source.name, span, self._lend)
        return look_at_queue(self._link, self._management, source.name, resource, span, self._lend)

    def incarnation(self, source: Address) -> str:
        # neither AMQP nor the management API tells it (verified on 4.3): the time in the name that a stream has on the disk is shown nowhere
        return ""

    def list(self, kinds: Sequence[str] = ()) -> Iterable[Listing]:
        from brokercli.backends.rabbitmq.listing import list_names

        return list_names(self._management, kinds, self._connection)

    def describe(self, address: Address) -> Description:
        from brokercli.backends.rabbitmq.describe import describe_exchange, describe_queue

        if address.kind == "exchange":
            exchange = self._exchange(address.name, "describe")
            assert exchange is not None
            return describe_exchange(exchange, self._management)
        queue = self._queue(address.name, address.kind or "queue", "describe")
        assert queue is not None
        return describe_queue(queue, self._management)

    def dead_letter_sources(self, patterns: Sequence[str] = (), unseen: MutableSequence[str] | None = None) -> Iterable[DeadLetterSource]:
        from brokercli.backends.rabbitmq.dead_letters import find_sources

        return find_sources(patterns, self._management, self._link, [] if unseen is None else unseen)

    def withholds(self, message: Message, *, letter: bool = False) -> Sequence[str]:
        from brokercli.backends.rabbitmq.convert import CannotCarry, Converter
        from brokercli.backends.rabbitmq.harmless import harmless

        if letter:
            return harmless(message, user_of(self._connection))[1]
        converter = Converter(user=user_of(self._connection), to_stream=False, certain=False, keep_control_headers=False)
        with suppress(CannotCarry):
            converter.convert(replace(message, body=message.body or b"", partition=None))
        return tuple(converter.withheld)

    def look_letters(self, source: Address, patterns: Sequence[str] = ()) -> LetterReader:
        from brokercli.backends.rabbitmq.letters import StreamLetterReader, open_queue_letters

        if source.kind == "exchange":
            raise Unsupported(f"{SUPPORT[EXCHANGE][Capability.LOOK_LETTERS].note}.")
        if self.resource(source) == STREAM:
            return StreamLetterReader(self.look(source, Span(Start(), End())))
        return open_queue_letters(self._conditions(source), self._lend, self._taking(source))

    def repair(self, source: Address, policy: RepairPolicy, patterns: Sequence[str] = ()) -> Repair:
        from brokercli.backends.rabbitmq.open_repair import open_repair
        from brokercli.backends.rabbitmq.topology import Routes

        self._link.require_channels(_CHANNELS)
        row = self.resource(source)
        if not SUPPORT[row][Capability.REDRIVE]:
            raise Unsupported(f"{SUPPORT[row][Capability.REDRIVE].note}.", hint=f"brokercli replay {source} --to ADDRESS copies them")
        return open_repair(self._conditions(source), policy, self._lend, self._existing, self._fate, Routes(self._in_a_hurry()),
                           user_of(self._connection), self._taking(source))

    def lift_limit(self, source: Address) -> Lift:
        from brokercli.backends.dead_letters import Lift
        from brokercli.backends.rabbitmq.lifting import LimitLift
        from brokercli.backends.rabbitmq.rescuing import lift_limit

        if source.kind == "exchange" or self.resource(source) != QUORUM_QUEUE:
            return Lift()
        # without them it could not be asked at the end whether the limit is still needed, and would stay lifted
        self._link.require_channels(_CHANNELS)
        assert not self._lent, "letters are taken over the connection that lifts their limit"
        conditions = self._conditions(source)
        lift = lift_limit(self._link, self._management, conditions, user_of(self._connection))
        if isinstance(lift, LimitLift):
            self._lifts[source.name] = lift
        return lift

    def feeding(self) -> Feeding | None:
        from brokercli.backends.rabbitmq.feeding import read_feeding

        try:
            return read_feeding(self._management)
        except Away:
            return None

    def declarer(self) -> Declarer:
        from brokercli.backends.rabbitmq.declaring import RabbitMQDeclarer
        from brokercli.backends.rabbitmq.inventory import Inventory

        return RabbitMQDeclarer(self._link, Inventory(self._link, self._management, self._existing))

    def consumers(self) -> Consumers:
        from brokercli.backends.rabbitmq.consuming import RabbitMQConsumers

        return RabbitMQConsumers(self._link, self._management, self._existing)

    def _taking(self, source: Address) -> Taking:
        """Return what is told before letters of a queue are taken."""
        from brokercli.backends.rabbitmq.survivable import nothing_lifted

        lift = self._lifts.get(source.name)
        return nothing_lifted if lift is None else lift.taking

    def flow(self, address: Address) -> Flow:
        from brokercli.backends.rabbitmq.flowing import draw_flow

        return draw_flow(address, self._management, self._existing)

    def checkup(self) -> Iterable[Check]:
        from brokercli.backends.rabbitmq.checkup import check_up

        return check_up(self._connection, self._link.server_properties, self._management)

    def _conditions(self, source: Address) -> Conditions:
        """Find out what taking from a queue of letters would do. Raises Failed for one that is worked on and holds none."""
        from brokercli.backends.rabbitmq.dead_letters import require_letters
        from brokercli.backends.rabbitmq.survivable import count_once_more, read_conditions, refuse_rescued, version_of

        refuse_rescued(source.name)
        queue = self._queue(source.name, "queue", "look")
        assert queue is not None
        if queue.exclusive:
            raise Failed(f"{queue.name} is the exclusive queue of another connection: nobody else can read it, and it is deleted with that connection.",
                         hint="let dead letters go to a queue that is declared without exclusive")
        require_letters(queue, self._management)
        lift = self._lifts.get(source.name)
        found = count_once_more(read_conditions(queue, self._management, version_of(self._link.server_properties), self._connection.virtual_host,
                                                said=queue.said, lifted=lift is not None and lift.open), self._link)
        return found if found.auto_delete is not None else replace(found, auto_delete=self._existing.goes_with_its_last_consumer(queue))

    def _lend(self, end: Callable[[Link], None] = Link.close) -> tuple[Link, Callable[[], None]]:
        """Return a connection for one publisher or look, and how to give it back; one of its own is ended so."""
        if self._lent:
            own = Link(self._connection)
            self._own.append(own)
            return own, partial(end, own)
        self._lent = True
        return self._link, self._take_back

    def _take_back(self) -> None:
        self._lent = False

    def _leave(self, link: Link) -> None:
        """End a connection while others are ended: a broker that hears nothing is waited for by each of them."""
        try:
            leaving = Thread(target=link.close, daemon=True)
            leaving.start()
        except RuntimeError:  # no memory for another thread
            link.close()
        else:
            self._leaving.append(leaving)

    def close(self) -> None:
        for link in self._own:
            self._leave(link)
        self._link.close()
        for leaving in self._leaving:
            leaving.join()
        self._own.clear()
        self._management.close()
        if self._hurried is not None:
            self._hurried.close()


def _row_of(queue: Queue | None, kind: str | None) -> str:
    # where the broker does not say of which type it is, the address is believed
    if queue is None or queue.type is None:
        return STREAM if kind == "stream" else CLASSIC_QUEUE
    return queue.resource
