"""Where a broker will forget, or may have forgotten, which letters were handled, and still stores them."""

from __future__ import annotations

from collections.abc import Mapping
from time import time

from brokercli.backends.kafka.handled_group import GroupLimits, HandledLetters
from brokercli.backends.kafka.span import Offsets, Range
from brokercli.backends.kafka.topic_settings import TopicSettings

_MINUTE = 60_000
_DAY_MINUTES = 1440


def forgetting(limits: GroupLimits, settings: TopicSettings) -> list[str]:
    """Say so where the broker may forget what was handled while the letters are still stored.

    A letter is deleted with its segment, which may be as old as the topic's retention when its last record is written.
    """
    retention = settings.retention_milliseconds
    if settings.known and retention is not None and 2 * retention <= limits.retention_minutes * _MINUTE:
        return []
    days = limits.retention_minutes / _DAY_MINUTES
    return [f"{days:g} days after the last redrive of this topic the broker forgets which letters were handled (its offsets.retention.minutes); "
            "those it still stores then count as pending again"]


def forgotten(handled: HandledLetters, offsets: Offsets, ranges: Mapping[int, Range], limits: GroupLimits) -> list[str]:
    """Say so where nothing is known of a redrive, and letters are old enough that one may have been forgotten since."""
    if handled.known:
        return []
    stored = [partition for partition, held in ranges.items() if held.high > held.low]
    kept_since = int(time() * 1000) - limits.retention_minutes * _MINUTE
    newer = offsets.at_time(stored, kept_since) if stored else {}
    if all(0 <= offset <= ranges[partition].low for partition, offset in newer.items()):
        return []
    return [f"the broker knows of no redrive of these letters, which it would forget {limits.retention_minutes / _DAY_MINUTES:g} days later "
            "(its offsets.retention.minutes); letters older than that may have been put back before, and count as pending"]
