"""What a name stands for: passive declares, and of which type it is, by the management API or by how the broker answers.

A declare that contradicts what exists is refused with what exists in the text, and one that could not be made is refused
before anything is made (verified on 4.0.5 and 4.3.6): a queue of a type that there is not, an exchange whose alternate
exchange is a number. So asking creates nothing, whatever happens meanwhile. It takes the permission to configure; where that is
missing, a consumer with an argument for streams is refused by every other type with its name in the text, and by a stream
because it asks for no prefetch (from 4.0 on, which is why older brokers are not asked so). The broker logs each refusal as an
error of the channel; where the context says where the management API is, that is asked instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeVar

from pika.exceptions import ChannelClosedByBroker

from brokercli.backends.rabbitmq import CLASSIC_QUEUE, EXCHANGE, QUORUM_QUEUE, STREAM
from brokercli.backends.rabbitmq.answering import require_answer
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.failures import NO_ANSWER, FailedItself, says_absent, translate
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.backends.rabbitmq.opening import Step
from brokercli.model.errors import Unreachable

_Found = TypeVar("_Found")
ROW_OF = {"classic": CLASSIC_QUEUE, "quorum": QUORUM_QUEUE, "stream": STREAM}
_FOR_A_HINT = 1000
_NO_SUCH_TYPE = "brokercli-asks"
_CURRENT = re.compile(r"inequivalent arg '([\w-]+)' for .*but current is '?([\w-]+)'?", re.DOTALL)
_OF_TYPE = re.compile(r"of queue type rabbit_(\w+)_queue")
_NO_PREFETCH = "prefetch count is not set"
_NO_PERMISSION, _LOCKED, _REFUSED = 403, 405, 406
_REFUSES_CONSUMERS = 4
# the other types are always durable and stay when nobody uses them
_CLASSIC_ONLY = ("durable", "auto_delete", "exclusive")
_BUILT_IN = {"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
             "amq.rabbitmq.trace": "topic"}


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue or stream that exists."""

    name: str
    type: str | None
    """classic, quorum, stream; None where it cannot be found out."""
    messages: int | None = None
    """How many are ready; None where that cannot be found out, as while its leader does not answer."""
    consumers: int | None = None
    auto_delete: bool | None = None
    """Whether it is deleted with its last consumer; None where the question for its type did not say it."""
    exclusive: bool = False
    """Whether another connection has it for itself; it tells nobody else how much lies in it."""
    said: Facts | None = field(default=None, compare=False, repr=False)
    """What the management API said of it just now (`queue_now`), where it was asked."""

    @property
    def resource(self) -> str:
        """Its row of the support table. A type that is not known is taken for the one that can do least."""
        return ROW_OF.get(self.type or "", CLASSIC_QUEUE)

    @property
    def kind(self) -> str:
        """Its kind of address."""
        return "stream" if self.type == "stream" else "queue"


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange that exists."""

    name: str
    type: str | None
    """direct, fanout, topic, headers or a plugin's; None where it cannot be found out."""

    resource = EXCHANGE
    kind = "exchange"


class Existing:
    """Finds out what there is. Raises NotAuthorised and Unreachable; what does not exist is None."""

    def __init__(self, link: Link, management: Management) -> None:
        self._link = link
        self._management = management

    def find(self, name: str) -> tuple[Queue | None, Exchange | None]:
        """Ask for both at once: a queue and an exchange may have the same name."""
        asked_queue = self._look(counting(name))
        asked_exchange = self._look(_exchange_named(name)) if name else None
        queue = self._queue(name, asked_queue)
        return queue, None if asked_exchange is None else self._exchange(name, asked_exchange)

    def queue(self, name: str) -> Queue | None:
        """Ask for a queue or stream."""
        return self._once_more(lambda: self._queue(name, self._look(counting(name))))

    def exchange(self, name: str) -> Exchange | None:
        """Ask for an exchange. The default exchange cannot be asked for, and always exists."""
        if not name:
            return Exchange("", "direct")
        return self._once_more(lambda: self._exchange(name, self._look(_exchange_named(name))))

    def _once_more(self, ask: Callable[[], _Found]) -> _Found:
        try:
            return ask()
        except FailedItself:
            # over a letter that was being handed over on this connection, perhaps: on the next one it is another question
            require_answer(self._link)
            return ask()

    def names(self, kind: str | None = None) -> list[str]:
        """Return names there are, those of a kind or of all, for a hint, not all where there are thousands; none where they cannot be had."""
        try:
            found = chain(() if kind == "exchange" else islice(self._management.queues(), _FOR_A_HINT),
                          () if kind in ("queue", "stream") else islice(self._management.exchanges(), _FOR_A_HINT))
            # a queue and an exchange may have the same
            return list(dict.fromkeys(str(facts["name"]) for facts in found if facts.get("name")))
        except Away:
            return []

    def _queue(self, name: str, asked: Future[Any]) -> Queue | None:
        doing = f"looking at the queue {name}"
        answer = self._answer(asked, doing)
        if says_absent(answer):
            return None
        if isinstance(answer, ChannelClosedByBroker):
            if answer.reply_code == _LOCKED:
                # only classic queues can be exclusive
                return Queue(name, "classic", exclusive=True)
            facts = self._facts(self._management.queue, name) if answer.reply_code == _NO_PERMISSION else None
            if facts is None:
                raise translate(answer, doing, self._link.where)
            return Queue(name, facts.get("type"), facts.get("messages"), facts.get("consumers"), facts.get("auto_delete"))
        kind, goes, said = self._type_of_queue(name)
        if kind is None and self._gone(self._look(counting(name)), doing):
            return None
        messages, consumers = (answer.messages, answer.consumers) if answer.certain else (None, None)
        return Queue(name, kind, messages, consumers, goes, said=said)

    def _exchange(self, name: str, asked: Future[Any]) -> Exchange | None:
        doing = f"looking at the exchange {name}"
        answer = self._answer(asked, doing)
        if says_absent(answer):
            return None
        if isinstance(answer, ChannelClosedByBroker):
            facts = self._facts(self._management.exchange, name) if answer.reply_code == _NO_PERMISSION else None
            if facts is None:
                raise translate(answer, doing, self._link.where)
            return Exchange(name, facts.get("type"))
        kind = self._type_of_exchange(name)
        if kind is None and self._gone(self._look(_exchange_named(name)), doing):
            return None
        return Exchange(name, kind)

    def _gone(self, asked: Future[Any], doing: str) -> bool:
        """Whether what was there a moment ago has been deleted since: then nothing tells its type, whatever a login may ask."""
        return says_absent(self._answer(asked, doing))

    def goes_with_its_last_consumer(self, queue: Queue) -> bool | None:
        """Whether a queue is an auto-delete queue, asked over AMQP where that is not known; None where it cannot be found out."""
        if queue.type != "classic" or queue.auto_delete is not None:
            return False if queue.type in ("quorum", "stream") else queue.auto_delete
        # that it is not durable is what hid the answer to the question for its type
        return _goes(_contradiction(self._ask_type(queue.name, durable=False)))

    def _ask_type(self, name: str, *, durable: bool) -> Any:
        return self._answer(self._ask(lambda channel, done: channel.queue_declare(
            name, durable=durable, arguments={"x-queue-type": _NO_SUCH_TYPE}, callback=done)), f"looking at the queue {name}")

    def _type_of_queue(self, name: str) -> tuple[str | None, bool | None, Facts | None]:
        """Return its type, whether it goes with its last consumer where the same answer tells, and that answer where it is the management API's."""
        if self._management.preferred and (facts := self._facts(self._management.queue_now, name)):
            return facts.get("type"), facts.get("auto_delete"), facts
        doing = f"looking at the queue {name}"
        found = _contradiction(self._ask_type(name, durable=True))
        goes = _goes(found)
        if found is not None and found[0] == "x-queue-type":
            return found[1], goes, None
        if found is not None and found[0] in _CLASSIC_ONLY:
            return "classic", goes, None
        # otherwise it has an argument that is compared before the type (x-max-length-bytes, x-dead-letter-exchange, …)
        if self._version() >= _REFUSES_CONSUMERS:
            answer = self._answer(self._ask(lambda channel, done: channel.basic_consume(
                name, _never, arguments={"x-stream-offset": "next"}, callback=done)), doing)
            if not isinstance(answer, ChannelClosedByBroker) or _NO_PREFETCH in answer.reply_text:
                return "stream", goes, None
            if match := _OF_TYPE.search(answer.reply_text):
                return match[1], goes, None
        facts = self._facts(self._management.queue_now, name)
        return (None, goes, None) if facts is None else (facts.get("type"), facts.get("auto_delete"), facts)

    def _type_of_exchange(self, name: str) -> str | None:
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        if self._management.preferred and (facts := self._facts(self._management.exchange, name)):
            return facts.get("type")
        answer = self._answer(self._ask(lambda channel, done: channel.exchange_declare(
            name, exchange_type="topic", durable=True, arguments={"alternate-exchange": 0}, callback=done)), f"looking at the exchange {name}")
        if found := _contradiction(answer):
            return found[1] if found[0] == "type" else "topic"
        facts = self._facts(self._management.exchange, name)
        return None if facts is None else facts.get("type")

    def _facts(self, ask: Callable[[str], Facts | None], name: str) -> Facts | None:
        try:
            return ask(name)
        except Away:
            return None

    def _version(self) -> int:
        found = re.match(r"\d+", str(self._link.server_properties.get("version", "")))
        return int(found[0]) if found else 0

    def _ask(self, step: Step) -> Future[Any]:
        asked: Future[Any] = Future()

        def done(channel: Any, answers: list[Any]) -> None:
            channel.close()
            asked.set_result(answers[0])

        self._link.post(lambda: self._link.open_channel(None, [step], done, asked.set_exception))
        return asked

    def _look(self, step: Step) -> Future[Any]:
        """Ask passively."""
        asked: Future[Any] = Future()

        def look() -> None:
            try:
                self._link.question([step], lambda answers: asked.set_result(answers[0]), asked.set_exception)
            except Exception as problem:  # noqa: BLE001  goes to whoever asked
                asked.set_exception(problem)

        self._link.post(look)
        return asked

    def _answer(self, asked: Future[Any], doing: str) -> Any:
        """Wait for the answer; a refusal is returned, a lost connection raised."""
        try:
            return asked.result(self._link.where.connect_timeout * 2)
        except ChannelClosedByBroker as refusal:
            return refusal
        except FutureTimeout:
            raise Unreachable(f"{self._link.where} did not answer while {doing}.", hint=NO_ANSWER) from None
        except Exception as problem:  # noqa: BLE001  whatever pika raises has a translation
            raise translate(problem, doing, self._link.where) from None


def _contradiction(answer: Any) -> tuple[str, str] | None:
    if not isinstance(answer, ChannelClosedByBroker) or answer.reply_code != _REFUSED:
        return None
    match = _CURRENT.search(answer.reply_text)
    return (match[1], match[2]) if match else None


def _goes(found: tuple[str, str] | None) -> bool | None:
    """Whether a queue is an auto-delete queue, by what contradicts a declare of one that is not."""
    if found is None or not found[0].startswith(("auto_delete", "x-")):
        return None
    return found[0] == "auto_delete"


def _exchange_named(name: str) -> Step:
    return lambda channel, done: channel.exchange_declare(name, passive=True, callback=done)


def _never(*arguments: Any) -> None:
    """What pika wants to call for deliveries; there are none."""
