"""Whether the coordinators of groups are there, asked before what the groups have committed is.

librdkafka (2.16.1) follows a null pointer where a coordinator answers its administrative client's question for committed offsets with
"not coordinator", as one does that moves or has just begun, and the process dies (its issue 5040; 12 of 12 that were the first to ask a
Kafka 4.4.0 that had just started). Describing the group asks the same coordinator, and gives that answer as an error.

A consumer of the group is never told so when it asks. But it needs a connection of its own for each group, and of a group that it may not ask
about, or whose offsets an open transaction holds back, it says only that time is over, once it is (2.16.1, seen on 4.4.0).
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future, wait
from time import monotonic, sleep
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.failures import COMING_BACK_SECONDS, is_coming_back

_SILENT_SECONDS = 1.0
"""A coordinator that has not answered by then is asked for the offsets all the same: that question has its own patience."""


def described(admin: AdminClient, groups: Collection[str], seconds: float) -> dict[str, Future[Any]]:
    """Have groups described, and return the answers once they are there, or it has taken a moment."""
    answers: dict[str, Future[Any]] = admin.describe_consumer_groups(list(groups), request_timeout=seconds) if groups else {}
    wait(answers.values(), min(_SILENT_SECONDS, seconds))
    return answers


def comes_back(answer: Future[Any]) -> bool:
    """Whether a coordinator answered that it moves, or has just begun."""
    problem = answer.exception() if answer.done() else None
    return isinstance(problem, KafkaException) and is_coming_back(problem.args[0])


def await_coordinators(admin: AdminClient, groups: Collection[str], seconds: float) -> None:
    """Wait until no coordinator of these groups is coming back, for up to so many seconds. What else they say the next question is told as well."""
    deadline = monotonic() + seconds
    while groups := [name for name, answer in described(admin, groups, seconds).items() if comes_back(answer)]:
        if monotonic() >= deadline:
            return
        sleep(COMING_BACK_SECONDS)
