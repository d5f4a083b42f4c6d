"""How many messages are ready in a queue at this moment, and how many consume it, as the queue itself says."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from brokercli.backends.rabbitmq.management import Facts
from brokercli.backends.rabbitmq.opening import Step

_LEADER_SECONDS = 0.25
_WAYS = 4
"""So often the way is measured before an answer may be late for its sake: all of these would have to be held up to make a short one long."""
_PATIENCE = 3.0


class Count(NamedTuple):
    """What a queue said of itself."""

    messages: int
    consumers: int
    certain: bool = True
    """False where RabbitMQ answered for a leader that did not, and said that there is nothing. For one whose node is away it says so at
    once; only the management API tells that (`is_down`)."""


def out_of_sight(facts: Facts) -> int | None:
    """Return how many messages a queue had that were neither ready nor in anybody's hands, when it last counted itself, as the management API says
    it: what a quorum queue holds back for another try (delayed retry, from 4.3 on), or until its dead letters are taken (at least once). None where
    that is not said. Over AMQP it is in no count."""
    if facts.get("type") == "classic":
        return 0
    messages, ready, in_hand = (facts.get(name) for name in ("messages", "messages_ready", "messages_unacknowledged"))
    if not isinstance(messages, int) or not isinstance(ready, int) or not isinstance(in_hand, int):
        return None
    return max(0, messages - ready - in_hand)


def counting(queue: str) -> Step:
    """Return the question: a passive declare, whose answer is a Count.

    For the leader of a quorum queue that has not answered after a quarter of a second RabbitMQ answers, and says that there is
    nothing (verified on 4.3.6; rabbit_quorum_queue: stat). So zeros that come so late are asked for again, until the leader
    has answered, or for three seconds; then they are told, as not certain.
    """
    def step(channel: Any, answered: Callable[[Count], None]) -> None:
        began = monotonic()
        ways: list[float] = []
        """How long an answer took that the broker has at once: on a long way every answer is late."""

        def ask() -> None:
            asked = monotonic()
            channel.queue_declare(queue, passive=True, callback=lambda answer: judge(answer, monotonic() - asked))

        def judge(answer: Any, seconds: float) -> None:
            messages, consumers = answer.method.message_count, answer.method.consumer_count
            in_time = seconds < _LEADER_SECONDS or (len(ways) >= _WAYS and seconds - min(ways) < _LEADER_SECONDS / 2)
            if messages or consumers or in_time:
                answered(Count(messages, consumers))
            elif monotonic() > began + _PATIENCE:
                answered(Count(0, 0, certain=False))
            else:
                measure()

        def measure() -> None:
            asked = monotonic()

            def measured(method: Any) -> None:
                ways.append(monotonic() - asked)
                (ask if len(ways) >= _WAYS else measure)()

            channel.basic_qos(prefetch_count=0, callback=measured)

        ask()

    return step
