"""Fixtures for the tests of one backend each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.kafka_topics import Topics


@pytest.fixture
def topics(kafka_address: str) -> Iterator[Topics]:
    """Topics of one's own on the Kafka that all tests share."""
    made = Topics(kafka_address)
    yield made
    made.close()
