"""Dramatiq on RabbitMQ: `<queue>.XQ`, reached by the broker's own dead-lettering from `<queue>` or its delay queue `<queue>.DQ`.

The letter has no headers but x-death; actor, retries and the last traceback are in its JSON body, as options.
"""

from __future__ import annotations

from typing import Any

import orjson

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.rabbitmq_x_death import fill_in, read_deaths
from brokercli.dialects.reading import Reading
from brokercli.dialects.stack_traces import failure_of
from brokercli.model.amount import amount
from brokercli.model.dead_letter import Confidence, DeadLetter

_DEAD, _DELAYED = ".XQ", ".DQ"
_LARGEST_BODY = 16 << 20


def read(reading: Reading) -> DeadLetter | None:
    """Read a message of Dramatiq that died; None for any other body, and for one that only waits."""
    deaths = read_deaths(reading)
    message = _message_of(reading.record.message.body) if deaths or reading.lies_in.endswith(_DEAD) else None
    if message is None:
        return None
    options = message["options"]
    queue = message["queue_name"].removesuffix(_DELAYED)
    home = reading.home(queue, "queue_name in the body", Confidence.CERTAIN)
    letter = reading.letter(dialect.name)
    if deaths:
        fill_in(reading, letter, deaths, frozenset({f"{queue}{_DELAYED}"}))
    letter.homes = (home,) if home is not None else ()
    letter.consumer = message["actor_name"]
    traceback = options.get("traceback")
    if isinstance(traceback, str):
        letter.stack_trace = traceback
        letter.exception, letter.exception_message = failure_of(traceback)
    retries = options.get("retries")
    # it was tried once more than it was retried
    counted = reading.count("options.retries in the body", retries) if retries is not None else 0
    letter.attempts = None if counted is None else counted + 1
    if counted:
        reading.remarks.append(f"its body says that it was retried {amount(counted, 'time')} already: put back as it is, its next failure counts on from there")
    return letter


def _message_of(body: bytes | None) -> dict[str, Any] | None:
    if not body or body[:1] != b"{" or len(body) > _LARGEST_BODY or b'"actor_name"' not in body:
        return None
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    texts = isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("queue_name", "actor_name", "message_id"))
    return message if texts and isinstance(message.get("options"), dict) else None


dialect = Dialect("dramatiq", read, frozenset({"rabbitmq"}), body_sign=b'"actor_name"')
