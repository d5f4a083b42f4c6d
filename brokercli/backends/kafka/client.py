"""Kafka's client, loaded without asyncio, and the backend made of it.

confluent-kafka (2.16.0 on, 2.15.0 not) imports asyncio for clients that nobody here makes; that is a third of what its import takes, and every
command on Kafka pays it.
"""

from __future__ import annotations

from brokercli.backends.later import put_off

with put_off("asyncio"):
    from brokercli.backends.kafka.backend import KafkaBackend

__all__ = ["KafkaBackend"]
