"""A private broker for the torture of each, made once; whoever needs it runs on one worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.torture.arena import Arena, open_arena
from tests.torture.running import run_trial
from tests.torture.trial import Result, Trial


@pytest.fixture(scope="session")
def kafka_arena() -> Iterator[Arena]:
    """A Kafka to be killed, behind a proxy."""
    with open_arena("kafka") as arena:
        yield arena


@pytest.fixture(scope="session")
def nats_arena() -> Iterator[Arena]:
    """A NATS to be killed, behind a proxy."""
    with open_arena("nats") as arena:
        yield arena


@pytest.fixture(scope="session")
def rabbitmq_arena() -> Iterator[Arena]:
    """A RabbitMQ to be killed, behind a proxy."""
    with open_arena("rabbitmq") as arena:
        yield arena


@pytest.fixture
def hold(tmp_path: Path) -> Callable[[Arena, Trial], Result]:
    """Run a trial and see that every promise held."""

    def run(arena: Arena, trial: Trial) -> Result:
        result = run_trial(arena, trial, tmp_path)
        broken = "\n".join(str(violation)[:1000] for violation in result.violations[:10])
        assert not result.violations, f"{trial!r}\n{broken}\nwhat it left behind is in {tmp_path}"
        return result
    return run
