"""What a planned seek changes, and the seek that takes it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from brokercli.model.consumption import Lag, Seek, SeekStep


def changes(planned: Seek) -> list[SeekStep]:
    """Return the steps that go somewhere else than where the consumer is."""
    return [step for step in planned.steps if step.have != step.want]


def undo(planned: Seek) -> list[tuple[str, str]]:
    """Return (position, source) of each seek that leads back to where the consumer is now. A partition that had no position
    yet cannot be led back to that; `without_position` counts those."""
    return list(_positions([(step.source, step.partition, step.have) for step in changes(planned)]))


def without_position(planned: Seek) -> int:
    """Return in how many partitions the consumer had no position before."""
    return sum(step.have is None for step in changes(planned))


def positions(lags: Sequence[Lag]) -> list[tuple[str, str]]:
    """Return (position, source) of the seeks that lead to where a consumer is."""
    return list(_positions([(lag.source, lag.partition, lag.position) for lag in lags]))


def _positions(places: Sequence[tuple[str, int | None, int | None]]) -> Iterator[tuple[str, str]]:
    for source in dict.fromkeys(source for source, _, _ in places):
        numbers = [(partition, number) for named, partition, number in places if named == source and number is not None]
        partitioned = [f"{partition}:{number}" for partition, number in numbers if partition is not None]
        if partitioned:
            yield ",".join(partitioned), source
        elif numbers:
            yield str(numbers[0][1]), source
