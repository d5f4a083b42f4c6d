"""How many replicas a partition has in sync, and how many its topic wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def short_of_replicas(partitions: Mapping[int, Any], minimum: int) -> list[int]:
    """Return the partitions that take no confirmed message, in order: fewer replicas are in sync than `minimum`.

    No more are wanted than there are: since Kafka 3.7 (KAFKA-15583); a broker before it refuses each message itself.
    """
    return [number for number, partition in sorted(partitions.items()) if len(partition.isrs) < min(minimum, len(partition.replicas))]
