"""How many messages are ready in a queue at this moment, and how many consume it, as the queue itself says."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from brokercli.backends.rabbitmq.link import Step

_LEADER_SECONDS = 0.25
_PATIENCE = 3.0


def counting(queue: str) -> Step:
    """Return the question: a passive declare, whose answer has both counts.

    For the leader of a quorum queue that has not answered after a quarter of a second RabbitMQ answers, and says that there is
    nothing (verified on 4.3.6; rabbit_quorum_queue: stat). So zeros that come so late are asked for again, until the leader
    has answered, or for three seconds; then they are told as they are.
    """
    def step(channel: Any, answered: Callable[[Any], None]) -> None:
        began = monotonic()
        ways: list[float] = []
        """How long an answer took that the broker has at once: on a long way every answer is late."""

        def ask() -> None:
            asked = monotonic()
            channel.queue_declare(queue, passive=True, callback=lambda answer: judge(answer, monotonic() - asked))

        def judge(answer: Any, seconds: float) -> None:
            counted = answer.method.message_count or answer.method.consumer_count
            if counted or seconds - min(ways, default=0.0) < _LEADER_SECONDS / 2 or monotonic() > began + _PATIENCE:
                answered(answer)
            else:
                measure()

        def measure() -> None:
            asked = monotonic()

            def measured(method: Any) -> None:
                ways.append(monotonic() - asked)
                # one alone may have been held up
                (measure if len(ways) % 2 else ask)()

            channel.basic_qos(prefetch_count=0, callback=measured)

        ask()

    return step
