"""Watermill for Go: the PoisonQueue middleware, on any of its brokers.

Its metadata is a map: repeated headers were lost, and their order, when the message was first received; a Kafka key
survives only where the publisher derives it from the message.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.model.dead_letter import DeadLetter, Hop


def read(reading: Reading) -> DeadLetter | None:
    """Read a poisoned message. `topic_poisoned` is the topic its handler subscribes to, in the broker's own spelling
    but for AMQP, where a queue may be named after it."""
    topic = reading.text("topic_poisoned")
    letter = reading.letter(dialect.name, [reading.home(topic, "topic_poisoned")] if topic else [])
    letter.reason = "poisoned"
    letter.exception_message = reading.text("reason_poisoned", decides=Decides.NOTHING)
    handler, subscriber = reading.text("handler_poisoned"), reading.text("subscriber_poisoned")
    letter.consumer = f"{handler} ({subscriber})" if handler and subscriber else handler or subscriber
    letter.attempts = reading.count("_watermill_requeuer_retries", reading.last("_watermill_requeuer_retries"))
    reading.lost.append("the order and repeats of the original's headers: Watermill keeps them in a map")
    if reading.broker == "kafka" and reading.record.message.key is None:
        reading.lost.append("the original's key, if it had one")
    letter.journey = (Hop(topic),) if topic else ()
    return letter


dialect = Dialect("watermill", read, frozenset({"kafka", "nats", "rabbitmq"}), signs=frozenset({"reason_poisoned"}),
                  adds=frozenset({"reason_poisoned", "topic_poisoned", "handler_poisoned", "subscriber_poisoned", "_watermill_requeuer_retries",
                                  "_watermill_delayed_until", "_watermill_delayed_for"}))
