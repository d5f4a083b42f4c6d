"""NATS's client, loaded without its JetStream, and the backend made of it.

nats-py imports a class for each question and answer of JetStream's API, which nobody here makes: it is asked over the core
connection, in JSON. That is a third of what its import takes, and every command on NATS pays it.
"""

from __future__ import annotations

from brokercli.backends.later import put_off

with put_off("nats.js"):
    from brokercli.backends.nats.backend import NatsBackend

__all__ = ["NatsBackend"]
