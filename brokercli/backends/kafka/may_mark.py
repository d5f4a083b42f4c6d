"""Whether this login may mark letters, asked before anything is done that a mark is to follow. It changes nothing."""

from __future__ import annotations

from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.failures import AUTHORISATION
from brokercli.backends.kafka.handled_group import group_of
from brokercli.model.errors import NotAuthorised

_NO_PARTITION = 2**31 - 1


def check_may_mark(admin: AdminClient, topic: str, seconds: float) -> None:
    """Raise NotAuthorised where the broker takes no marks from us. Who may only describe the group sees them all, and without transactions what is
    stored at its destination is stored first.

    It is asked to commit an offset of a partition that there is not: it looks for the permissions first, and stores nothing, nor makes the
    group (KafkaApis.handleOffsetCommitRequest; verified on 4.4.0). Another answer than a denial is left to what is asked next.
    """
    group = group_of(topic)
    request = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, _NO_PARTITION, 0)])
    try:
        answer: Any = admin.alter_consumer_group_offsets([request], request_timeout=seconds)[group].result(seconds + 1)
    except (KafkaException, TimeoutError) as problem:
        errors = [problem.args[0]] if isinstance(problem, KafkaException) else []
    else:
        errors = [place.error for place in answer.topic_partitions if place.error is not None]
    for error in errors:
        if error.code() in AUTHORISATION:
            raise NotAuthorised(f"No permission to mark letters of {topic} as handled: {error.str()}.",
                                hint=f"ask for READ on the group {group} and on the topic; without it what is put back would go again with every run")
