"""What a queue does with what it takes besides keeping it. RabbitMQ confirms a message that was stored, also where the next one pushes it
out, or its time is over in a moment: so whoever publishes is told beforehand what the queue is set to do.

A stream is left out: that its oldest segments go is what it is for, and what was just stored is in the newest.
"""

from __future__ import annotations

from typing import Any

from brokercli.backends.rabbitmq.keeping import CLASSIC, STREAM, effective
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.backends.rabbitmq.telling import fate_of_the_dead, told
from brokercli.backends.rabbitmq.topology import Routes
from brokercli.model.amount import amount

_MQTT = "mqtt-subscription-"
"""How the names of the queues begin that RabbitMQ makes for MQTT clients: to those the routing key is the topic (seen on 4.3.6)."""
ROOM, ROOM_BYTES = 10_000, 64 * 1024 * 1024
"""A queue that has room for fewer is said to be limited before anything is sent; otherwise it is said once more is given."""
_SOON = 60_000
"""Milliseconds. Whoever sets a longer time means it for messages that nobody wants any more; a shorter one ends those that wait for a
consumer which is only being restarted."""


class Fate:
    """What would become of messages in one queue, as the management API says it: arguments and policies, up to five seconds old."""

    def __init__(self, name: str, facts: Facts, management: Management | None = None) -> None:
        """`management` tells whether what dies in the queue leads anywhere, which is asked only where messages die soon."""
        self._name = name
        self._management = management
        self._arguments = facts.get("arguments") or {}
        # a policy that defines nothing is told as an empty list or text
        policy = facts.get("effective_policy_definition")
        self._policy = policy if isinstance(policy, dict) else {}
        self.full = ""
        """What is to be said once more is given than there is room for; empty where there is no limit, or publishers are just refused."""
        self.notes: list[str] = []
        """What is to be said in any case."""
        self.copies = ""
        """What becomes of a copy of each message that it refuses because it is full; empty where it just refuses them."""
        self._messages = self._bytes = 0
        self._room: int | None = None
        self._room_bytes: int | None = None
        if name.startswith(_MQTT):
            self.notes.append(f"queue:{name} is an MQTT client's, to which what is put into it by name comes with the topic {name}, and not with the one it"
                              " had; exchange:amq.topic/TOPIC, with dots for its slashes, reaches all who subscribe to that one")
        if facts.get("type") != STREAM:
            if facts.get("exclusive"):
                self.notes.append(f"queue:{name} is the exclusive queue of another connection, and deleted with its messages when that ends")
            self._note_times(facts)
            self._note_limits(facts)

    def of(self, messages: int) -> list[str]:
        """Say what becomes of so many that are given to it."""
        return [*self.notes, *([self.full] if self.exceeded(messages, ROOM_BYTES) else [])]

    def exceeded(self, messages: int, size: int) -> bool:
        """Whether so many messages, or bytes in their bodies, are more than there is room for."""
        return (self._room is not None and messages > self._room) or (self._room_bytes is not None and size > self._room_bytes)

    def give(self, messages: int, size: int) -> bool:
        """Count what is given to the queue; whether it is now more than there was room for."""
        self._messages += messages
        self._bytes += size
        return self.exceeded(self._messages, self._bytes)

    def _holds(self, setting: str) -> Any:
        return effective(setting, self._arguments, self._policy)

    def _note_times(self, facts: Facts) -> None:
        ttl, unused = self._holds("message-ttl"), self._holds("expires")
        if isinstance(ttl, int) and ttl < _SOON:
            exchange, expire = self._holds("dead-letter-exchange"), f"messages in queue:{self._name} expire after {told(ttl)} (message-ttl)"
            if exchange is None:
                self.notes.append(f"{expire} and are deleted")
            elif self._holds("dead-letter-strategy") != "at-least-once":
                key = self._holds("dead-letter-routing-key") or self._name
                if self._leads_nowhere(exchange, key):
                    self.notes.append(f"{expire}, and are lost: they would be {fate_of_the_dead(exchange, key)}, which leads nowhere")
        if isinstance(unused, int) and unused < _SOON and not facts.get("consumers"):
            self.notes.append(f"nobody consumes queue:{self._name}, and it is deleted with its messages after {told(unused)} without consumers (expires)")

    def _leads_nowhere(self, exchange: str, key: str) -> bool:
        """Whether what dies here reaches no queue, as far as the management API tells. It came through the default exchange, by the queue's name."""
        if self._management is None:
            return False
        try:
            return not Routes(self._management).of(exchange, key) if exchange else self._management.queue_now(key) is None
        except Away:
            return False

    def _note_limits(self, facts: Facts) -> None:
        overflow, exchange = self._holds("overflow") or "drop-head", self._holds("dead-letter-exchange")
        copying = overflow == "reject-publish-dlx" and facts.get("type") == CLASSIC and exchange is not None
        if overflow != "drop-head" and not copying:
            return
        most, most_bytes = self._holds("max-length"), self._holds("max-length-bytes")
        limits = []
        # what consumers hold does not count
        if isinstance(most, int):
            self._room = max(0, most - _number(facts.get("messages_ready")))
            limits.append(f"{amount(most, 'message')} (max-length)")
        if isinstance(most_bytes, int):
            self._room_bytes = max(0, most_bytes - _number(facts.get("message_bytes_ready")))
            limits.append(f"{amount(most_bytes, 'byte')} (max-length-bytes)")
        if limits:
            beyond = fate_of_the_dead(exchange, self._holds("dead-letter-routing-key"))
            self.copies = beyond if copying else ""
            what_then = "refuses what goes beyond, and a copy of that is" if copying else "drops the oldest: what goes beyond is"
            self.full = f"queue:{self._name} keeps {' and '.join(limits)} and {what_then} {beyond}"


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
