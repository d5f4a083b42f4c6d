"""Everything worth knowing about one topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigSource

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.dead_letter_names import by_name
from brokercli.backends.kafka.ends import held, led, offsets_in
from brokercli.backends.kafka.family import Family, delay_of, family_of
from brokercli.backends.kafka.groups import Place
from brokercli.backends.kafka.handled_group import limits_of
from brokercli.backends.kafka.held_back import held_back, summed_up
from brokercli.backends.kafka.listing import is_internal
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import total
from brokercli.backends.kafka.readers import Readers, kind_of, readers_of
from brokercli.backends.kafka.risks import risks_of
from brokercli.backends.kafka.span import Range
from brokercli.backends.kafka.topic_settings import own_values, request_settings
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.description import Description, Section, Value

_SHOWN = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas", "message.timestamp.type")
_OF_THE_BROKERS = (ConfigSource.DYNAMIC_BROKER_CONFIG.value, ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG.value, ConfigSource.STATIC_BROKER_CONFIG.value)
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))


def describe_topic(name: str, metadata: Any, admin: AdminClient, seconds: float) -> Description:
    """Describe a topic from the cluster's metadata and what its leaders, its configuration and the group coordinators say.

    What may not be asked, or does not answer within `seconds`, is in `missing`.
    """
    topic = metadata.topics[name]
    configuration = request_settings(admin, name, seconds)
    family = family_of(name, [other for other, about in metadata.topics.items() if about.error is None and not is_internal(other)])
    places = led(metadata, (name, *family.retries, *family.dead_letters))
    patience = Patience(seconds)
    ranges = patience.ask(lambda seconds: held(admin, places, seconds))
    description = Description("topic", name, "topic")
    _partitions(description, topic, {number: there for (of, number), there in ranges.items() if of == name})
    if open_ := patience.ask(lambda seconds: held_back(admin, [place for place in ranges if place[0] == name], seconds)):
        description.facts["not counted"] = summed_up(open_)
    settings = _settings(description, configuration, seconds)
    readers = readers_of([name], metadata, admin, patience)
    _groups(description, name, readers)
    _relations(description, name, family, metadata, ranges, bool(readers.foreign))
    is_dead_letters = name in family.dead_letters or by_name(name, ()) is not None
    risks = list(risks_of(topic.partitions, settings, dead_letters=is_dead_letters, readers=readers.of(name)))
    if is_dead_letters:
        limits = patience.ask(lambda seconds: limits_of(admin, min(metadata.brokers, default=None), seconds))
        risks += _forgotten(settings, limits.retention_minutes * 60_000)
    if risks:
        description.sections.insert(0, Section("risks", [{"risk": risk} for risk in risks]))
    description.missing += readers.missing
    return description


def _partitions(description: Description, topic: Any, ranges: Mapping[int, Range]) -> None:
    led_by = [number for number, partition in topic.partitions.items() if partition.leader >= 0]
    if len(led_by) < len(topic.partitions):
        description.missing.append(f"offsets of {amount(len(topic.partitions) - len(led_by), 'partition: it has', 'partitions: they have')} no leader")
    if silent := len(led_by) - len(ranges):
        description.missing.append(f"offsets of {amount(silent, 'partition: its leader', 'partitions: their leaders')} did not answer")
    facts = description.facts
    facts["partitions"] = len(topic.partitions)
    facts["replicas"] = max((len(partition.replicas) for partition in topic.partitions.values()), default=0)
    if len(ranges) == len(topic.partitions):
        # an upper bound: markers of transactions and what compaction removed have offsets too
        facts["offsets held"] = sum(there.high - there.low for there in ranges.values())
    description.sections.append(Section("partitions", [_partition(number, partition, ranges.get(number))
                                                       for number, partition in sorted(topic.partitions.items())]))


def _partition(number: int, partition: Any, there: Range | None) -> dict[str, Value]:
    return {"partition": number, "leader": partition.leader if partition.leader >= 0 else None,
            "in sync": ",".join(map(str, sorted(partition.isrs))), "replicas": ",".join(map(str, sorted(partition.replicas))),
            "low": there.low if there else None, "high": there.high if there else None}


def _settings(description: Description, configuration: Any, seconds: float) -> dict[str, str]:
    """Enter what the topic is configured with; return it by name."""
    try:
        entries = configuration.result(seconds + 1)
    except (KafkaException, TimeoutError) as problem:
        description.missing.append(f"configuration: {_reason(problem)}")
        return {}
    values = {name: entry.value for name, entry in entries.items() if entry.value is not None}
    description.facts["messages stay"] = _stay(values)
    description.facts.update({name: _number(values[name]) for name in _SHOWN if name in values})
    if own := own_values(entries):
        description.sections.append(Section("set on the topic", [{"setting": name, "value": value} for name, value in own.items()]))
    of_the_brokers = {name: entry.value for name, entry in sorted(entries.items()) if entry.source in _OF_THE_BROKERS and not entry.is_sensitive}
    if of_the_brokers:
        description.sections.append(Section("set on the brokers", [{"setting": name, "value": value} for name, value in of_the_brokers.items()]))
    return values


def _stay(settings: Mapping[str, str]) -> str:
    """Say how long messages are kept: `for 7d; at most 1,073,741,824 bytes a partition`."""
    policies = settings.get("cleanup.policy", "delete").split(",")
    age, size = int(settings.get("retention.ms", -1)), int(settings.get("retention.bytes", -1))
    kept = [f"for {written(age)}" if age >= 0 else "for ever"] if "delete" in policies else []
    if "delete" in policies and size >= 0:
        kept.append(f"at most {amount(size, 'byte')} a partition")
    if "compact" in policies:
        kept.append("the newest of each key" + ("" if "delete" in policies else " for ever"))
    return "; ".join(kept) or "for ever"


def written(milliseconds: int) -> str:
    """Write a duration in the largest unit that fits it: `7d`, `90s`."""
    size, unit = next((size, unit) for size, unit in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def _forgotten(settings: Mapping[str, str], milliseconds: int) -> list[str]:
    """Say that handled letters outlive what is known of them: `milliseconds` is how long a broker keeps the offsets of a group."""
    stay = int(settings.get("retention.ms", 0))
    if 0 <= stay <= milliseconds:
        return []
    return [f"letters stay {written(stay) if stay >= 0 else 'for ever'}, and which of them were put back is forgotten {written(milliseconds)} after the last "
            "redrive (offsets.retention.minutes of the brokers): then they count as pending again"]


def _groups(description: Description, name: str, readers: Readers) -> None:
    rows: list[dict[str, Value]] = [
        {"group": group.name, "kind": kind_of(group), "state": group.state or None, "members": None if group.foreign else len(group.members),
         "partitions": sum(lag.position is not None for lag in lags), "lag": total(lags)} for group, lags in readers.of(name)]
    if rows:
        description.sections.append(Section("consumer groups", rows))
    if readers.foreign:
        description.facts["perhaps read by"] = f"{some_of(list(readers.foreign), 5)} (share and streams groups: what they read is not told to this client)"


def _relations(description: Description, name: str, family: Family, metadata: Any, ranges: Mapping[Place, Range], foreign: bool) -> None:
    """Enter where what fails goes, as far as names say it."""
    facts = description.facts
    if name in family.dead_letters:
        facts["dead letters of"] = str(Address(family.root, "topic"))
    elif name in family.retries:
        facts["retries of"] = str(Address(family.root, "topic"))
    else:
        facts["dead letters"] = ", ".join(str(Address(dead, "topic")) for dead in family.dead_letters) or "none known by name"
    # of classic and consumer groups Kafka redelivers and counts nothing, so nothing in it caps retries or loses a letter
    of_share_groups = "; of share groups by the broker (brokercli consumers describe GROUP)" if foreign else ""
    facts["retries"] = f"by its consumers, who count them and write the dead letters themselves{of_share_groups}"
    rows: list[dict[str, Value]] = [{"topic": topic, "role": role, "after": delay_of(topic) if role == "retry" else None,
                                     "offsets held": offsets_in(topic, metadata, ranges)}
                                    for role, topics in (("retry", family.retries), ("dead letters", family.dead_letters)) for topic in topics]
    if rows:
        description.sections.append(Section("retries and dead letters", rows))


def _number(value: str) -> Value:
    return int(value) if value.removeprefix("-").isdigit() else value


def _reason(problem: BaseException) -> str:
    if isinstance(problem, KafkaException) and problem.args:
        error = problem.args[0]
        return str(error.str()) if hasattr(error, "str") else str(error)
    return "no answer in time"
