"""Celery (kombu) on RabbitMQ: it has no dead letters of its own; its queues are given a dead-letter exchange, and a task
that is rejected without requeue ends there.

The name of the task is the sender's own header and stays. Two do not, and a worker does as well without them (verified on
5.7.0): `retries`, which it counts on from, so that the next failure would be the last; and `expires`, after which it
acknowledges the task and does not run it. Native delayed delivery passes through the wait queues `celery_delayed_0` to
`celery_delayed_27`, which are never where a task failed.
"""

from __future__ import annotations

import re

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.names import shown
from brokercli.dialects.rabbitmq_x_death import fill_in, read_deaths
from brokercli.dialects.reading import Decides, Reading
from brokercli.model.dead_letter import DeadLetter

_WAIT_QUEUE = re.compile(r"celery_delayed_\d{1,3}", re.ASCII)


def read(reading: Reading) -> DeadLetter | None:
    """Read a task that died; None for a message that died and is no task, or a task that did not die."""
    deaths = read_deaths(reading)
    if not deaths or not all(reading.all(name, decides=Decides.NOTHING) for name in ("task", "id")):
        return None
    letter = reading.letter(dialect.name)
    fill_in(reading, letter, deaths, frozenset(death.queue for death in deaths if _WAIT_QUEUE.fullmatch(death.queue)))
    letter.consumer = reading.text("task", decides=Decides.GROUP)
    retries = reading.count("the header retries", reading.last("retries", decides=Decides.GROUP))
    letter.attempts = letter.attempts if retries is None else retries + 1
    if expires := reading.text("expires", decides=Decides.NOTHING):
        reading.remarks.append(f"its header expires, which names {shown(expires)}, is not put back: after that Celery's workers discard it unrun")
    return letter


dialect = Dialect("celery", read, frozenset({"rabbitmq"}), signs=frozenset({"task"}), adds=frozenset({"retries", "expires"}))
