"""Whether a login is shown everything: what it may not describe Kafka leaves out of its lists, without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from brokercli.model.errors import Unreachable

TOPICS = "topics that this login may not describe are not shown to it"
GROUPS = "groups that this login may not describe are not shown to it"
# names that nobody has, and that no permission for names with a common beginning is for
_NO_TOPIC = _NO_GROUP = "--nobody-s--"


def topics_not_shown(topic: Callable[[str], Any]) -> str:
    """Return why there may be more topics than are listed; empty where all are, and where no answer tells. `topic` returns the metadata of one:
    who may describe any name at all is told that there is no such topic."""
    try:
        error = topic(_NO_TOPIC).error
    except Unreachable:
        return ""
    return TOPICS if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED else ""


def groups_not_shown(admin: AdminClient, seconds: float) -> str:
    """Return why there may be more groups than are listed; empty where all are, and where no answer tells."""
    if "DESCRIBE" in allowed_on_cluster(admin, seconds):
        return ""
    try:
        admin.describe_consumer_groups([_NO_GROUP], request_timeout=seconds)[_NO_GROUP].result(seconds + 1)
    except KafkaException as problem:
        return GROUPS if problem.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED else ""
    except TimeoutError:
        pass
    return ""


def allowed_on_cluster(admin: AdminClient, seconds: float) -> set[str]:
    """Return what this login may do on the cluster; nothing where that is not told."""
    try:
        cluster: Any = admin.describe_cluster(include_authorized_operations=True, request_timeout=seconds).result(seconds + 1)
    except (KafkaException, TimeoutError):
        return set()
    return {operation.name for operation in cluster.authorized_operations or ()}
