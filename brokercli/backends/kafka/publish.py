"""Confirmed publishing: idempotent, acks=all, Java's partitioner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from types import MethodType
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.kafka.connect import Troubles, client_configuration, open_handle, sent_elsewhere
from brokercli.backends.kafka.convert import CannotCarry, to_kafka
from brokercli.backends.kafka.failures import judge, lost_for_good, not_permitted_to_write, translate
from brokercli.backends.kafka.neighbours import Neighbours
from brokercli.backends.kafka.never_sent import Sent, never_sent
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, NotFound, UsageProblem
from brokercli.model.message import Message, bytes_in
from brokercli.model.receipt import Receipt, Receipts, Verdict

LINGER_MILLISECONDS = 5
"""How long a message waits for company; librdkafka refuses a delivery timeout that is not longer."""
ONE_AT_A_TIME = 1
"""Requests on their way to a broker. With several, the first for a partition that was just made may be turned away while the next is taken: the
broker, which has nothing of this producer yet, takes any number for the first (4.4), then calls the repeated one a duplicate, and librdkafka
(2.16) reports messages as delivered that are stored nowhere. Seen in 20 of 2,044 new topics, from a producer that had been used before;
a million lines take as long as with five."""
# a broker hangs up on a request larger than socket.request.max.bytes, 100 MiB; below that it is the broker that decides
LARGEST_MESSAGE = 100_000_000
_CUT_OFF = Receipt(-1, Verdict.UNKNOWN, reason="interrupted while its verdict came")
_SERVE_EVERY = 1024
_HEADER_BYTES = 32 << 20
"""So much of headers may have no verdict. The client bounds what keys and bodies take, and has no bound for headers."""
_GIVING_UP_SECONDS = 10.0
"""So long the client may take to tell of everything that is given up, which needs no broker."""
_NEARLY = 0.9
"""Of the delivery timeout: after it the client gives messages up by itself, and nothing tells any more which of them never left."""
_SOON_SECONDS = 1.0


class KafkaPublisher(Publisher):
    """One idempotent producer for one topic.

    Each message carries its index in its own delivery callback, which the client runs for failures only (for every
    message when positions are asked for). A confirmed message costs no Python: confirmed = accepted - failed - queued,
    where `len()` counts as queued what has no report yet, and the reports not yet served.
    """

    window = 100_000
    """How many messages may have no verdict."""

    def __init__(self, connection: Connection, topic: str, policy: PublishPolicy, settings: TopicSettings) -> None:
        """Connect; raises Unreachable or NotAuthorised, and UsageProblem for a template that Kafka cannot carry."""
        self._connection = connection
        self._topic = topic
        self._policy = policy
        self._settings = settings
        self.find_topic: Callable[[], object] = lambda: None
        """Raises NotFound once the topic is deleted: the client goes on trying, and says nothing of it."""
        self.withheld: dict[str, int] = {}
        self.notes: list[str] = []
        try:
            self._template = to_kafka(policy.template)
        except CannotCarry as problem:
            raise UsageProblem(f"Kafka cannot carry these messages: {problem}.") from None
        self._oldest_kept = settings.oldest_kept
        if settings.own_time and policy.template.time is not None:
            self._note_times()
        self._news = Receipts()
        self._accepted = 0
        self._withheld = 0
        """Accepted messages that were never produced, or may not have been; they had their verdict at once."""
        self._doubtful: set[int] = set()
        self._neighbours = Neighbours(settings, self.notes)
        self._again = self._neighbours.again
        self._header_bytes = 0
        """Of all messages since there was none without a verdict."""
        self._progress = monotonic()
        self._timed_out = False
        self._denied = False
        self._closed = False
        self._told_of_quota = False
        self._stored = False
        """Whether any message was ever confirmed."""
        self._start()

    def _start(self) -> None:
        """Make a producer; what the one before it knew of its messages has been counted."""
        self._troubles = Troubles()
        self._sent = Sent()
        self._renew = False
        """Whether this producer is spent, and the next message needs a new one."""
        self._produced = 0
        """Messages given to this producer."""
        self._failed = 0
        self._reported = 0
        """How many of them were counted as confirmed."""
        timeout = max(LINGER_MILLISECONDS + 1, int(self._policy.delivery_timeout * 1000))
        self._producer = self._open({
            "partitioner": "murmur2_random", "linger.ms": LINGER_MILLISECONDS, "queue.buffering.max.kbytes": 65536,
            "batch.size": self._neighbours.batch_bytes(),
            # a request without an answer is repeated on a new connection in time to get one
            "socket.timeout.ms": max(1000, min(15_000, timeout // 2)),
            **client_configuration(self._connection),
            "enable.idempotence": True, "max.in.flight": ONE_AT_A_TIME, "acks": "all", "delivery.report.only.error": not self._policy.positions,
            "message.timeout.ms": timeout, "message.max.bytes": LARGEST_MESSAGE,
            "queue.buffering.max.messages": max(1, min(self._policy.maximum_in_flight or self.window, self.window)),
            "statistics.interval.ms": Sent.INTERVAL_MILLISECONDS, "stats_cb": self._take_statistics,
            "error_cb": self._troubles.note})
        # the second answer makes librdkafka ask for its producer id now; it would get round to it after 500 ms
        try:
            self._producer.list_topics(self._topic, timeout=self._connection.connect_timeout)
        except KafkaException as problem:
            raise translate(problem.args[0], "asking for", self._topic) from None

    def _open(self, settings: dict[str, Any]) -> Any:
        return open_handle(Producer, self._connection, settings, self._troubles, self._topic)

    def _take_statistics(self, statistics: str) -> None:
        self._sent.note(statistics)
        # whoever gives bodies in parts has no other word of it
        for broker in orjson.loads(statistics)["brokers"].values():
            self._troubles.throttle(broker["nodeid"], broker["throttle"]["max"] / 1000)
        if (throttled := self._troubles.throttled) and not self._told_of_quota:
            self._told_of_quota = True
            self.notes.append(throttled)

    def send(self, messages: Sequence[Message]) -> int:
        produce, report, timed, topic = self._ready().produce, self._report, self._report_timed, self._topic
        index = first = self._accepted
        withheld = self._withheld
        try:
            for message in messages:
                if self._header_bytes >= _HEADER_BYTES or self._neighbours.too_many:
                    break
                try:
                    value, key, headers, partition, timestamp = to_kafka(message)
                    if key is None and self._settings.needs_key:
                        raise CannotCarry("the topic is compacted and takes no message without a key")
                    told = MethodType(timed, (index, timestamp)) if timestamp else MethodType(report, index)
                    produce(topic, value, key, partition, told, None, timestamp, headers)
                    if headers:
                        self._header_bytes += bytes_in(headers)
                    if 0 < timestamp < self._oldest_kept:
                        self._note_times()
                except BufferError:
                    break
                except CannotCarry as problem:
                    self._withhold(index, Verdict.REFUSED, str(problem))
                except KafkaException as problem:
                    if problem.args[0].code() == KafkaError._FATAL:
                        break
                    self._withhold(index, Verdict.REFUSED, judge(problem.args[0])[1])
                index += 1
                if not index % _SERVE_EVERY:
                    self._dispatch(self._producer.poll, 0)
        except BaseException:
            self._doubt(index)
            index += 1
            raise
        finally:
            self._accepted = index
            self._produced += index - first - (self._withheld - withheld)
        return index - first

    def _note_times(self) -> None:
        self._oldest_kept = 0
        self.notes.append(f"{self._topic} {self._settings.does_to_times}")

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        _, key, headers, partition, timestamp = self._template
        if (key is None and self._settings.needs_key) or 0 < timestamp < self._oldest_kept:
            return self.send([replace(self._policy.template, body=body) for body in bodies])
        produce, report, timed, topic = self._ready().produce, self._report, self._report_timed, self._topic
        index = first = self._accepted
        withheld = self._withheld
        try:
            for body in () if self._neighbours.too_many else bodies:
                try:
                    told = MethodType(timed, (index, timestamp)) if timestamp else MethodType(report, index)
                    produce(topic, body, key, partition, told, None, timestamp, headers)
                except BufferError:
                    break
                except KafkaException as problem:
                    if problem.args[0].code() == KafkaError._FATAL:
                        break
                    self._withhold(index, Verdict.REFUSED, judge(problem.args[0])[1])
                index += 1
                if not index % _SERVE_EVERY:
                    self._dispatch(self._producer.poll, 0)
        except BaseException:
            self._doubt(index)
            index += 1
            raise
        finally:
            self._accepted = index
            self._produced += index - first - (self._withheld - withheld)
        return index - first

    def _withhold(self, index: int, verdict: Verdict, reason: str) -> None:
        """Give its verdict to a message that is accepted and not among those produced."""
        self._withheld += 1
        self._news.count(Receipt(index, verdict, reason=reason))

    def _doubt(self, index: int) -> None:
        """Take in that we were stopped (a second Ctrl-C) while sending a message: it may or may not be on its way."""
        self._doubtful.add(index)
        self._withhold(index, Verdict.UNKNOWN, "interrupted while it was being sent")

    def _ready(self) -> Any:
        if self._renew:
            self._start()
        if not self.in_flight:
            self._progress = monotonic()
            self._header_bytes = 0
        return self._producer

    def _report_timed(self, sent: tuple[int, int], error: KafkaError | None, message: Any) -> None:
        self._report(sent[0], error, message, sent[1])

    def _report(self, index: int, error: KafkaError | None, message: Any, time: int = 0) -> None:
        """Take in what became of a message; `time` is the one that it was given."""
        if index in self._doubtful:
            if error is not None:
                # one that may have been among those that never left
                self._sent.failed(message.partition())
            return
        if error is None:
            self._report_stored(index, message)
            return
        try:
            code = error.code()
        except SystemError as problem:
            # the client raises a fatal error into whatever runs next, which is this; what is done here must be done
            self._note_fatal(problem)
            code = error.code()
        self._failed += 1
        if code == KafkaError._PURGE_QUEUE:
            self._sent.given_up(index, message.partition())
            return
        if (judged := self._neighbours.judge(index, error, time, message)) is None:
            return
        self._sent.failed(message.partition())
        self._timed_out = self._timed_out or code == KafkaError._MSG_TIMED_OUT
        self._denied = self._denied or code == KafkaError.TOPIC_AUTHORIZATION_FAILED
        self._news.count(Receipt(index, judged[0], reason=judged[1]))

    def _report_stored(self, index: int, message: Any) -> None:
        if message.offset() is None:
            # what librdkafka makes of "duplicate sequence number", which may be said of a message that is stored nowhere; see ONE_AT_A_TIME
            self._failed += 1
            self._news.count(Receipt(index, Verdict.UNKNOWN, reason="the broker calls it a repetition, and does not say where the first is"))
        else:
            self._news.confirmations.append(Receipt(index, Verdict.CONFIRMED, f"{message.partition()}:{message.offset()}"))

    def _dispatch(self, call: Callable[[float], int], timeout: float) -> None:
        """Run the delivery callbacks that are due."""
        try:
            call(timeout)
        except (KafkaException, SystemError) as problem:
            self._note_fatal(problem)
        except BaseException:
            # a second Ctrl-C, perhaps at the start of a callback that then never said that its message failed
            self._failed += 1
            self._news.count(_CUT_OFF)
            self._sent.incomplete = True
            raise

    def _note_fatal(self, problem: BaseException) -> None:
        cause = problem if isinstance(problem, KafkaException) else problem.__cause__
        if isinstance(cause, KafkaException):
            self._troubles.fatal = cause.args[0]
        elif self._troubles.fatal is None:
            raise problem

    def _serve(self, timeout: float) -> None:
        self._dispatch(self._producer.poll, timeout)
        confirmed = self._produced - self._failed - len(self._producer)
        if confirmed > self._reported:
            fresh, self._reported = confirmed - self._reported, confirmed
            # in this order: a second Ctrl-C between the two has some forgotten, which are unknown then, and none counted twice
            self._news.confirmed += fresh
            self._stored = True
            self._progress = monotonic()
        if self._neighbours.too_many and not len(self._producer):
            self._start()
        while self._again and not self._neighbours.too_many:
            index, time, message = self._again[0]
            try:
                self._repeat(index, time, message)
            except BufferError:
                break
            except KafkaException as problem:
                self._news.count(Receipt(index, Verdict.REFUSED, reason=judge(problem.args[0])[1]))
            else:
                self._produced += 1
            self._sent.incomplete = True
            self._again.popleft()

    def _repeat(self, index: int, time: int, message: Any) -> None:
        self._producer.produce(self._topic, message.value(), message.key(), message.partition(), MethodType(self._report_timed, (index, time)), None,
                               time, message.headers())

    def collect(self, timeout: float) -> Receipts:
        self._serve(0)
        deadline = monotonic() + timeout
        while not len(self._news) and self.in_flight and (remaining := deadline - monotonic()) > 0:
            self._serve(min(remaining, 0.1))
        if self.in_flight and not self._stored:
            self._check_reached()
        if self._timed_out and self.in_flight and monotonic() - self._progress >= self._policy.delivery_timeout:
            raise self._why_nothing_is_confirmed()
        if self._troubles.fatal is not None:
            self._give_up()
            if self._troubles.fatal.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                raise lost_for_good(self._troubles.fatal, self._connection, 0)
        if self._denied and not len(self._news) and not self.in_flight:
            raise not_permitted_to_write(self._topic)
        return self._take()

    def _check_reached(self) -> None:
        """Say where a broker that nothing was stored by yet cannot be reached; raise Unreachable, and give up what never left, shortly before the client
        does. One that restarts, or whose partitions another one takes over, looks the same until then."""
        waited = monotonic() - self._progress
        elsewhere = sent_elsewhere(self._troubles.specific, self._connection) if waited >= _SOON_SECONDS else None
        if elsewhere is None:
            return
        if str(elsewhere) not in self.notes:
            self.notes.append(str(elsewhere))
        if waited >= _NEARLY * self._policy.delivery_timeout:
            self._give_up()
            raise elsewhere

    def _why_nothing_is_confirmed(self) -> BrokercliError:
        try:
            self.find_topic()
        except NotFound as gone:
            return gone
        return lost_for_good(self._troubles.specific, self._connection, self._policy.delivery_timeout, self._troubles.throttled)

    def _take(self) -> Receipts:
        news, self._news = self._news, Receipts()
        return news

    def finish(self, timeout: float) -> Receipts:
        deadline = monotonic() + timeout
        self._serve(0)
        while self.in_flight and self._troubles.fatal is None and (remaining := deadline - monotonic()) > 0:
            self._dispatch(self._producer.flush, min(remaining, 0.5))
            self._serve(0)
        # also where giving up was cut off before all of it was told
        if self.in_flight or self._sent.unjudged or self._troubles.fatal is not None:
            self._give_up()
        return self._take()

    def _give_up(self) -> None:
        """Take back what is queued: what certainly never left is refused, the rest is unknown.

        Nothing is sent by this producer any more: purged in mid-flight, or in a fatal error, it has lost its sequence.
        """
        self._renew = True
        for index, _, _ in self._again:
            self._news.count(Receipt(index, Verdict.REFUSED, reason="refused together with an invalid neighbour in its batch"))
        self._neighbours.give_up()
        self._producer.purge()
        deadline = monotonic() + _GIVING_UP_SECONDS
        while (len(self._producer) or self._again) and monotonic() < deadline:
            self._serve(0.05)
            self._producer.purge()
        self._take_back_cut_off()
        fatal = self._troubles.fatal
        for index, verdict, reason in never_sent(self._sent, self._producer, "there was no broker to send it to in time" if fatal is None else fatal.str()):
            self._news.count(Receipt(index, verdict, reason=reason))
        for _ in range(self.in_flight):
            # nobody told of it: a second Ctrl-C may have taken that from under its reader
            self._failed += 1
            self._news.count(_CUT_OFF)

    def _take_back_cut_off(self) -> None:
        """Correct the count once nothing is left in the producer and every verdict is in. One verdict too many means that an interrupt
        which was taken to have cut off a callback had cut off none."""
        while self._failed + self._reported > self._produced and _CUT_OFF in self._news.problems:
            self._failed -= 1
            self._news.unknown -= 1
            self._news.problems.remove(_CUT_OFF)

    @property
    def in_flight(self) -> int:
        return self._produced - self._failed - self._reported + len(self._again)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._producer.purge()
            self._producer.poll(0)
