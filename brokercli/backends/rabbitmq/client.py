"""RabbitMQ's client, loaded without asyncio, and the backend made of it.

pika (1.4.4) imports asyncio for a kind of connection that nobody here makes; that is half of what its import takes, and every command on
RabbitMQ pays it.
"""

from __future__ import annotations

from brokercli.backends.later import put_off

with put_off("asyncio"):
    from brokercli.backends.rabbitmq.backend import RabbitMQBackend

__all__ = ["RabbitMQBackend"]
