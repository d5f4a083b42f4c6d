"""Everything worth knowing about one topic."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka._model import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.span import Offsets, Range
from brokercli.backends.kafka.topic_settings import own_values, request_settings
from brokercli.model.description import Description, Section, Value
from brokercli.model.errors import BrokercliError

_SHOWN = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas", "message.timestamp.type")
_MOST_GROUPS = 200
"""Groups whose offsets are asked for; with more of them the answer would take too long."""


def describe_topic(name: str, topic: Any, offsets: Offsets, admin: AdminClient, seconds: float) -> Description:
    """Describe a topic from its metadata and what its leaders, its configuration and the group coordinators say.

    What may not be asked, or does not answer within `seconds`, is in `missing`.
    """
    configuration = request_settings(admin, name, seconds)
    groups = admin.list_consumer_groups(request_timeout=seconds)
    description = Description("topic", name, "topic")
    ranges = _ranges(topic, offsets, description)
    facts = description.facts
    facts["partitions"] = len(topic.partitions)
    facts["replicas"] = max((len(partition.replicas) for partition in topic.partitions.values()), default=0)
    if len(ranges) == len(topic.partitions):
        # an upper bound: markers of transactions and what compaction removed have offsets too
        facts["offsets held"] = sum(held.high - held.low for held in ranges.values())
    own: dict[str, str] = {}
    try:
        entries = configuration.result(seconds)
        own = own_values(entries)
        facts.update({setting: _number(entries[setting].value) for setting in _SHOWN if setting in entries})
    except (KafkaException, TimeoutError) as problem:
        description.missing.append(f"configuration: {_reason(problem)}")
    rows = [_partition(number, topic.partitions[number], ranges.get(number)) for number in sorted(topic.partitions)]
    description.sections.append(Section("partitions", rows))
    if own:
        description.sections.append(Section("set on the topic", [{"setting": setting, "value": value} for setting, value in own.items()]))
    if consumers := _groups(name, groups, ranges, admin, seconds, description):
        description.sections.append(Section("consumer groups", consumers))
    return description


def _ranges(topic: Any, offsets: Offsets, description: Description) -> dict[int, Range]:
    led = sorted(number for number, partition in topic.partitions.items() if partition.leader >= 0)
    if len(led) < len(topic.partitions):
        description.missing.append(f"offsets of {len(topic.partitions) - len(led)} partitions: they have no leader")
    if not led:
        return {}
    try:
        return offsets.ranges(led)
    except BrokercliError as problem:
        description.missing.append(f"offsets: {problem}")
        return {}


def _partition(number: int, partition: Any, held: Range | None) -> dict[str, Value]:
    return {"partition": number, "leader": partition.leader if partition.leader >= 0 else None,
            "in sync": ",".join(map(str, sorted(partition.isrs))), "replicas": ",".join(map(str, sorted(partition.replicas))),
            "low": held.low if held else None, "high": held.high if held else None}


def _groups(name: str, listing: Any, ranges: dict[int, Range], admin: AdminClient, seconds: float, description: Description) -> list[dict[str, Value]]:
    """Return the groups that have committed offsets of this topic, with their lag."""
    try:
        listed = listing.result(seconds)
    except (KafkaException, TimeoutError) as problem:
        description.missing.append(f"consumer groups: {_reason(problem)}")
        return []
    states = {group.group_id: group.state.name.lower() for group in listed.valid}
    if listed.errors:
        description.missing.append(f"consumer groups of {len(listed.errors)} brokers: {_reason(listed.errors[0])}")
    if len(states) > _MOST_GROUPS:
        description.missing.append(f"consumer groups: the cluster has {len(states)}, more than are asked one by one")
        return []
    partitions = [TopicPartition(name, number) for number in sorted(ranges)]
    if not partitions:
        return []
    asked = {group: admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)], request_timeout=seconds)[group]
             for group in sorted(states)}
    rows: list[dict[str, Value]] = []
    refused: list[str] = []
    for group, answer in asked.items():
        try:
            committed = {place.partition: place.offset for place in answer.result(seconds).topic_partitions if place.error is None and place.offset >= 0}
        except (KafkaException, TimeoutError) as problem:
            refused.append(f"{group} ({_reason(problem)})")
            continue
        if committed:
            rows.append({"group": group, "state": states[group], "partitions": len(committed),
                         "lag": sum(max(0, ranges[number].high - max(offset, ranges[number].low)) for number, offset in committed.items())})
    if refused:
        description.missing.append(f"offsets of consumer groups: {', '.join(refused[:5])}")
    return rows


def _number(value: str | None) -> Value:
    return int(value) if value is not None and value.removeprefix("-").isdigit() else value


def _reason(problem: BaseException) -> str:
    if isinstance(problem, KafkaException) and problem.args:
        error = problem.args[0]
        return str(error.str()) if hasattr(error, "str") else str(error)
    return "no answer in time" if isinstance(problem, TimeoutError) else str(problem)
