"""What librdkafka and the broker say went wrong, in our words: verdicts on messages and errors for people."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from time import monotonic, sleep
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable, UsageProblem
from brokercli.model.receipt import Verdict

Code = KafkaError
LOG_SAYS_WHY = "the broker's log says why; one reason is a remote storage of older segments (remote.storage.enable) that does not answer"
Answer = TypeVar("Answer")

REFUSED: dict[int, str] = {
    # refused here, before anything was sent
    Code._UNKNOWN_PARTITION: "the topic has no such partition",
    Code._UNKNOWN_TOPIC: "the topic does not exist",
    Code._INVALID_ARG: "the client cannot carry it",
    # refused by the leader while it validates a batch, which it does before it appends any of it (Kafka's ReplicaManager
    # and LogValidator); none of these is retried after an attempt that may have been stored
    Code.MSG_SIZE_TOO_LARGE: "it is larger than the broker takes (max.message.bytes of the topic)",
    Code.INVALID_MSG_SIZE: "the broker calls its size invalid",
    Code.RECORD_LIST_TOO_LARGE: "its batch is larger than a segment of the topic (segment.bytes)",
    Code.INVALID_TIMESTAMP: "its time lies outside what the topic takes (message.timestamp.before.max.ms, message.timestamp.after.max.ms)",
    Code.INVALID_RECORD: "the broker calls it invalid; on a compacted topic every message needs a key",
    Code.UNSUPPORTED_FOR_MESSAGE_FORMAT: "the topic's message format cannot hold it",
    Code.UNSUPPORTED_COMPRESSION_TYPE: "the broker does not know the compression",
    Code.TOPIC_AUTHORIZATION_FAILED: "no permission to write to the topic",
    Code.CLUSTER_AUTHORIZATION_FAILED: "no permission for idempotent writes on this cluster",
    Code.POLICY_VIOLATION: "a policy of the broker forbids it",
    Code.TOPIC_EXCEPTION: "the topic's name is invalid",
    Code.UNKNOWN_TOPIC_OR_PART: "the topic or partition does not exist (any more)",
    # checked against the in-sync replicas before the append; its twin ..._AFTER_APPEND is in doubt
    Code.NOT_ENOUGH_REPLICAS: "too few replicas are in sync (min.insync.replicas)",
}
"""Code → reason, where the message is certainly not stored. Everything that is not here is in doubt."""

UNKNOWN: dict[int, str] = {
    # verified on 4.4: 1,000 of 1,000 messages that timed out on a frozen broker were stored when it went on
    Code._MSG_TIMED_OUT: "no answer within the delivery timeout",
    Code.REQUEST_TIMED_OUT: "the leader stored it, but its replicas did not confirm in time",
    Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "the leader stored it, but too few replicas did (min.insync.replicas)",
    Code._TRANSPORT: "the connection broke before the answer",
    Code._PURGE_INFLIGHT: "given up while it was on its way",
    # also said of messages that wait for another attempt, so it does not mean never sent
    Code._PURGE_QUEUE: "given up before the broker confirmed it",
    Code._FATAL: "the producer lost its sequence before the answer",
    Code.KAFKA_STORAGE_ERROR: "the broker's disk failed while it was storing it",
}
"""Code → reason, where the message may be stored."""


def judge(error: KafkaError) -> tuple[Verdict, str]:
    """Return the verdict and reason for a message that was not confirmed. In doubt is in doubt: never refused by guess."""
    code = error.code()
    if code in REFUSED:
        return Verdict.REFUSED, REFUSED[code]
    return Verdict.UNKNOWN, UNKNOWN.get(code) or f"no verdict: {error.str()} ({error.name()})"


AUTHORISATION = {
    Code.TOPIC_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED, Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    Code.SASL_AUTHENTICATION_FAILED, Code._AUTHENTICATION, Code.SECURITY_DISABLED, Code.DELEGATION_TOKEN_AUTHORIZATION_FAILED}
# the last: the broker that was asked was not named by the cluster any more before it answered
_CONNECTION = {Code._TRANSPORT, Code._ALL_BROKERS_DOWN, Code._RESOLVE, Code._TIMED_OUT, Code._WAIT_COORD, Code.NETWORK_EXCEPTION,
               Code.BROKER_NOT_AVAILABLE, Code._TIMED_OUT_QUEUE, Code._DESTROY_BROKER}


NO_SUCH_GROUP = (Code.GROUP_ID_NOT_FOUND, Code.INVALID_GROUP_ID)
COMING_BACK_SECONDS = 0.1
"""How long to wait before a group's coordinator is asked again that `is_coming_back`."""


def is_coming_back(error: KafkaError) -> bool:
    """Whether the group's coordinator moves, or has just started: asking again helps."""
    return error.code() in (Code.NOT_COORDINATOR, Code.COORDINATOR_NOT_AVAILABLE, Code.COORDINATOR_LOAD_IN_PROGRESS)


def while_coming_back(ask: Callable[[], Answer], seconds: float) -> Answer:
    """Ask a coordinator again that `is_coming_back`, for up to so many seconds; raises what it answered last. It has done nothing then."""
    deadline = monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException as problem:
            if not is_coming_back(problem.args[0]) or monotonic() >= deadline:
                raise
        sleep(COMING_BACK_SECONDS)


def translate(error: KafkaError, doing: str, where: str) -> BrokercliError:
    """Return what to raise for an error that came while `doing` something at `where` (a topic or an address)."""
    code = error.code()
    if code in AUTHORISATION:
        return NotAuthorised(f"No permission for {doing} {where}: {_said(error)}.", hint="ask for the ACL, or use a context with another login")
    if code in _CONNECTION or is_coming_back(error):
        return Unreachable(f"Kafka did not answer while {doing} {where}: {error.str()}.", hint="brokercli doctor says what answers and what does not")
    if code in (Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC):
        return NotFound(f"The topic {where} does not exist (any more).", hint="brokercli ls")
    if code in (Code._INVALID_ARG, Code.TOPIC_EXCEPTION):
        return UsageProblem(f"Kafka's client refuses {doing} {where}: {error.str()}.")
    return Failed(f"Kafka failed while {doing} {where}: {error.str()} ({error.name()}).", hint=LOG_SAYS_WHY if code == Code.UNKNOWN else None)


def not_permitted_to_write(topic: str) -> NotAuthorised:
    """Return the failure of a login that may not publish to a topic."""
    return NotAuthorised(f"No permission to write to the topic {topic}.", hint="ask for the ACL, or use a context with another login")


def no_answer(doing: str, where: str, seconds: float) -> Unreachable:
    """Return what to raise when the client itself gave no answer in time: whether it was done is not known."""
    return Unreachable(f"Kafka did not answer within {seconds:g} s while {doing} {where}.", hint="brokercli doctor says what answers and what does not")


def nothing_came(topic: str, seconds: float, throttled: str) -> Unreachable:
    """Return what to raise when nothing of a topic came for so long; `throttled` says whether a quota is why."""
    if throttled:
        return Unreachable(f"Kafka sent nothing of {topic} for {seconds:g} s: {throttled}.", hint="ask for a higher quota, or try again later")
    return Unreachable(f"Kafka sent nothing of {topic} for {seconds:g} s.", hint="brokercli doctor says what answers and what does not")


def without_leader(topic: str, partitions: list[int]) -> Unreachable:
    """Return the error for partitions that nobody leads."""
    which = f"Partition {partitions[0]} of {topic} has no leader: the brokers that keep it are away"
    others = f", and {amount(len(partitions) - 1, 'more of its partitions has', 'more of its partitions have')} none" if len(partitions) > 1 else ""
    return Unreachable(f"{which}{others}.", hint="brokercli doctor says what answers and what does not")


def no_such_topic(name: str, names: list[str], *, wanted: bool = False) -> NotFound:
    """Return the error for a topic that does not exist, with the nearest names there are, and how it is made where it is `wanted`."""
    near = get_close_matches(name, names, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "brokercli ls shows the topics there are"
    return NotFound(f"There is no topic {name}.", hint=f"{hint}{'' if near else ';'} brokercli declare topic {name} makes it" if wanted else hint)


def lost_for_good(error: KafkaError | None, where: object, seconds: float, throttled: str = "") -> BrokercliError:
    """Return what to raise when nothing can be published any more: nothing was confirmed for `seconds`, or the reason is final. `throttled` says
    whether a quota is why."""
    if throttled:
        return Unreachable(f"{where} has confirmed nothing for {seconds:g} s: {throttled}.", hint="ask for a higher quota, or publish at a lower --rate")
    if error is not None and error.code() == Code.CLUSTER_AUTHORIZATION_FAILED:
        # who may write to any topic at all gets a producer since 2.8 (KIP-679), and the broker names the cluster all the same
        return NotAuthorised(f"This login may write to no topic of {where}: {_said(error)}.",
                             hint="ask for WRITE on the topic, which is enough; a broker before Kafka 2.8 wants IDEMPOTENT_WRITE on the cluster as well")
    if error is not None and error.code() in AUTHORISATION:
        return NotAuthorised(f"{where} takes no more messages: {error.str()}.", hint="ask for the ACL, or use a context with another login")
    why = f": {error.str()}" if error is not None else ""
    return Unreachable(f"{where} has confirmed nothing for {seconds:g} s{why}.", hint="when it is back, brokercli doctor says so")


def connection_lost(error: KafkaError, topic: str, seconds: float) -> BrokercliError:
    """Return what to raise when a look has been without a broker for too long."""
    kind = NotAuthorised if error.code() in AUTHORISATION else Unreachable
    return kind(f"No broker of {topic} has been reachable for {seconds:g} s: {error.str()}.", hint="brokercli doctor says what answers and what does not")


def _said(error: KafkaError) -> str:
    """Return what the client or the broker says, to stand within a sentence."""
    return error.str().rstrip(".")
