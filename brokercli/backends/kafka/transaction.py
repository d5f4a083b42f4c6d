"""One transaction at a time: copies of letters and the mark that they were handled become visible together, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from time import monotonic
from types import MethodType
from typing import Any, Literal, NamedTuple, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from brokercli.backends.kafka.connect import Troubles, client_configuration, open_handle
from brokercli.backends.kafka.convert import Native
from brokercli.backends.kafka.failures import judge, no_answer, translate
from brokercli.backends.kafka.publish import LARGEST_MESSAGE, ONE_AT_A_TIME
from brokercli.model.connection import Connection
from brokercli.model.errors import Failed

LONGEST_TIMEOUT = 890.0
"""Seconds that a transaction may last at most; a broker with its default transaction.max.timeout.ms takes 900."""
_SPARE_SECONDS = 15.0
_GRACE_SECONDS = 0.5
_COORDINATOR_SECONDS = 10.0
_USUAL_SECONDS = 2.0
# librdkafka looks once a second for messages whose time is over
_SCAN_SECONDS = 2.0
_SERVE_EVERY = 1024
# what a message gets that was given up because of another one
_COLLATERAL = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._INVALID_DIFFERENT_RECORD)
_NO_TRANSACTIONS = (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError._UNSUPPORTED_FEATURE,
                    KafkaError.UNSUPPORTED_VERSION)
# what a client says that has lost its brokers, be it only for itself
_OUT_OF_TOUCH = (KafkaError._MSG_TIMED_OUT, KafkaError._DESTROY_BROKER)
_TAKEN_OVER = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


class Copy(NamedTuple):
    """A message to store in a topic."""

    topic: str
    native: Native


class NoTransactions(Exception):
    """The cluster does not let us have transactions; the text says why."""


@dataclass(slots=True)
class Ending:
    """How a transaction ended."""

    outcome: Literal["committed", "aborted", "in doubt"]
    why: str = ""
    code: int = 0
    """librdkafka's or the broker's, of what ended it."""
    culprits: dict[int, str] = field(default_factory=dict)
    """Which messages could not be stored, and why; the others were given up with them."""
    stored: bool = False
    """Whether every message had been stored, so that the offsets are what failed."""

    @property
    def taken_over(self) -> bool:
        """Whether another producer has our transactional id now (or the broker ended a transaction that lasted too long)."""
        return self.code in _TAKEN_OVER


class Transactions:
    """A transactional producer. Making one ends whatever a producer with the same id has left open, and fences that one."""

    def __init__(self, connection: Connection, identity: str, delivery_timeout: float, batch_bytes: int, waiting: Callable[[str], None],
                 longest: float = LONGEST_TIMEOUT) -> None:
        """Raises NoTransactions, Unreachable or NotAuthorised. Waits until the transaction of a producer before us is over. `waiting` is
        told of whom an answer is waited for where it takes long. `longest` is how many seconds the brokers let one last."""
        longest = min(longest, LONGEST_TIMEOUT)
        spare = min(_SPARE_SECONDS, longest / 2)
        self._timeout = min(delivery_timeout, longest - spare)
        self._longest = max(self._timeout, connection.connect_timeout)
        self._errors: dict[int, KafkaError] = {}
        self._spent = False
        self._stuck = False
        self._waiting = waiting
        self._identity = identity
        self._all_given = False
        self._patience = LONGEST_TIMEOUT
        self._troubles = Troubles()
        milliseconds = max(1000, int(self._timeout * 1000))
        self._producer: Any = open_handle(Producer, connection, {
            "partitioner": "murmur2_random", "linger.ms": 5, "queue.buffering.max.kbytes": 262_144, "batch.size": batch_bytes,
            "socket.timeout.ms": max(1000, min(15_000, milliseconds // 2)),
            **client_configuration(connection),
            "transactional.id": identity, "max.in.flight": ONE_AT_A_TIME, "message.timeout.ms": milliseconds,
            "transaction.timeout.ms": milliseconds + int(spare * 1000),
            "delivery.report.only.error": True, "message.max.bytes": LARGEST_MESSAGE, "error_cb": self._troubles.note,
            "throttle_cb": lambda event: self._troubles.throttle(event.broker_id, event.throttle_time)}, self._troubles)
        try:
            self._until(monotonic() + self._longest, self._producer.init_transactions)
        except KafkaException as problem:
            error = problem.args[0]
            self.close()
            if error.code() in _NO_TRANSACTIONS:
                raise NoTransactions(error.str()) from None
            if error.code() == KafkaError.CONCURRENT_TRANSACTIONS:
                raise Failed(f"The transaction before this one of {identity} is not over: a partition that it wrote to has no leader, or too few replicas in "
                             "sync.", hint="brokercli doctor names the partitions; when they are back, the same command goes on") from None
            if error.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT:
                raise Failed(f"The brokers let no transaction last for the {self._timeout + spare:g} s that one of {identity} may take "
                             "(their transaction.max.timeout.ms).", hint=f"a --delivery-timeout of less than {self._timeout:g} s makes it shorter") from None
            if error.code() == KafkaError._TIMED_OUT:
                raise no_answer("starting transactions for", identity, self._longest) from None
            raise translate(error, "starting transactions for", identity) from None

    @property
    def usable(self) -> bool:
        """Whether another transaction can begin; not after one that is in doubt or was taken over."""
        return not self._spent

    def run(self, copies: Sequence[Copy], offsets: Sequence[TopicPartition], group: Any, patience: float = LONGEST_TIMEOUT) -> Ending:
        """Store all copies and commit the offsets for the group, or do neither. Waits for the end, twice the delivery timeout at most.

        After so many seconds of `patience` in which nothing moves the producer is given up, so that another may be tried: librdkafka
        2.16 can lose every broker it knew for ever, when it asks for metadata while the broker leaves itself out of them (verified).
        """
        self._errors = {}
        self._patience = patience
        # the client's own verdict on each message comes first: a topic that nobody leads is not the others' fault
        deadline, stored = monotonic() + self._timeout + _SCAN_SECONDS, False
        try:
            self._producer.begin_transaction()
            self._produce(copies, deadline)
            blamed = [error for error in self._errors.values() if error.code() not in _COLLATERAL]
            if blamed:
                return self._abort(blamed[0])
            if not self._errors and len(self._producer):
                return self._abort(KafkaError(KafkaError._MSG_TIMED_OUT))
            stored = self._all_given and not self._errors
            # where messages were only given up with the transaction, this says why it failed
            # looked up now: who is told twice to stop has let go of the producer by the time a thread calls it
            send = self._producer.send_offsets_to_transaction
            self._until(monotonic() + _COORDINATOR_SECONDS, lambda seconds: send(list(offsets), group, seconds))
            if self._errors:
                return self._abort(next(iter(self._errors.values())))
        except (KafkaException, SystemError) as problem:
            ending = self._abort(_error_of(problem))
            ending.stored = stored
            return ending
        try:
            # from here on the broker may have committed, whatever we hear of it
            self._until(monotonic() + min(self._timeout, 2 * patience), self._producer.commit_transaction)
        except (KafkaException, SystemError) as problem:
            error = _error_of(problem)
            if error.txn_requires_abort():
                ending = self._abort(error)
                return Ending("in doubt", ending.why, ending.code) if self._spent else ending
            self._spent = True
            return Ending("in doubt", error.str(), error.code())
        return Ending("committed")

    def _produce(self, copies: Sequence[Copy], deadline: float) -> None:
        self._give(copies, deadline)
        left, since = len(self._producer), monotonic()
        while len(self._producer) and not self._errors and monotonic() < deadline:
            self._producer.flush(min(0.1, max(0.0, deadline - monotonic())))
            if len(self._producer) < left:
                left, since = len(self._producer), monotonic()
            elif monotonic() - since > self._patience:
                self._give_up("nothing was stored")
            elif monotonic() - since > _USUAL_SECONDS:
                self._waiting(self._troubles.throttled or f"waiting for the leaders of the topics that letters go to, {self._timeout:g} s at most")

    def _give(self, copies: Sequence[Copy], deadline: float) -> None:
        """Give the client all messages, or as many as it takes before it says that the transaction has failed; why it has is not said here."""
        self._all_given = False
        produce, report, poll = self._producer.produce, self._report, self._producer.poll
        for index, (topic, (value, key, headers, partition, timestamp)) in enumerate(copies):
            while True:
                try:
                    produce(topic, value, key, partition, MethodType(report, index), None, timestamp, headers)
                except BufferError:
                    poll(0.05)
                    if monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from None
                    continue
                except KafkaException as problem:
                    if problem.args[0].code() in (KafkaError._STATE, KafkaError._FATAL) or problem.args[0].fatal():
                        # something before it has ended the transaction, and those before it are given up: the client will say so
                        return
                    self._errors[index] = problem.args[0]
                break
            if not index % _SERVE_EVERY:
                poll(0)
                if self._errors:
                    return
        self._all_given = True

    def _report(self, index: int, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            # of a batch with one invalid message the client says it of all (`neighbours`); copies have no time but their own
            innocent = error.code() == KafkaError.INVALID_RECORD and message.key() is not None
            self._errors.setdefault(index, KafkaError(KafkaError._INVALID_DIFFERENT_RECORD) if innocent else error)

    def _abort(self, error: KafkaError) -> Ending:
        """End the transaction without it. Nothing of it is ever visible, even if the broker has to find that out by itself."""
        if error.fatal() or error.code() in _OUT_OF_TOUCH:
            self._spent = True
        elif not self._stuck:
            try:
                self._until(monotonic() + min(self._timeout, self._patience), self._producer.abort_transaction)
            except (KafkaException, SystemError) as problem:
                self._spent = True
                trouble = _error_of(problem)
                error = trouble if trouble.code() in _TAKEN_OVER else error
        if not self._stuck:
            self._serve()
        culprits = {index: judge(failure)[1] for index, failure in self._errors.items() if failure.code() not in _COLLATERAL and not failure.fatal()}
        return Ending("aborted", error.str(), error.code(), culprits)

    def _serve(self) -> None:
        try:
            self._producer.poll(0)
        except (KafkaException, SystemError) as problem:
            _error_of(problem)

    def _until(self, deadline: float, call: Callable[[float], object]) -> None:
        """Call again what the client says can be called again, until a moment."""
        while True:
            try:
                self._within(max(0.1, min(self._patience, deadline - monotonic())), call)
                return
            except KafkaException as problem:
                if not problem.args[0].retriable() or monotonic() >= deadline:
                    raise
                self._producer.poll(0.05)

    def _within(self, seconds: float, call: Callable[[float], object]) -> None:
        """Call, and give the producer up when the call does not come back.

        When the connection breaks under it, or metadata leave out a broker that restarts, librdkafka 2.16 loses the group's coordinator
        and send_offsets_to_transaction() waits for ever, whatever its timeout (verified).
        """
        ends: list[KafkaException | SystemError | None] = []

        def work() -> None:
            try:
                call(seconds)
            except (KafkaException, SystemError) as problem:
                ends.append(problem)
            else:
                ends.append(None)

        thread = Thread(target=work, name="brokercli transaction", daemon=True)
        thread.start()
        thread.join(min(_USUAL_SECONDS, seconds))
        if thread.is_alive():
            self._waiting(self._troubles.throttled or f"waiting for the broker that coordinates the transactions of {self._identity}, "
                                                      f"{self._longest:g} s at most")
            thread.join(max(0.0, seconds - _USUAL_SECONDS) + _GRACE_SECONDS)
        if thread.is_alive():
            self._give_up("the transaction's coordinator did not answer in time")
        # anything else that was raised there is a bug, and shows as one here
        (problem,) = ends
        if problem is not None:
            raise problem

    def _give_up(self, why: str) -> NoReturn:
        self._spent = self._stuck = True
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, why))

    def close(self) -> None:
        """Let go without waiting. Nothing can be asked of it afterwards."""
        self._spent = True
        producer, self._producer = self._producer, None
        if producer is not None:
            # the last reference goes there: destroying a producer waits for its threads, and some may wait for a broker
            Thread(target=_destroy, args=([producer],), name="brokercli lets go", daemon=True).start()


def _destroy(producers: list[Any]) -> None:
    producers.pop().purge()


def _error_of(problem: BaseException) -> KafkaError:
    # the client raises a fatal error into whatever runs next, as the cause of a SystemError
    cause = problem if isinstance(problem, KafkaException) else problem.__cause__
    if isinstance(cause, KafkaException):
        error: KafkaError = cause.args[0]
        return error
    raise problem
