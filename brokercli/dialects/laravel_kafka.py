"""Laravel Kafka for PHP (mateusjunges/laravel-kafka): what its consumer sends to a dead letter queue.

All values are text. It writes the exception down, in place of what a death before this one wrote, and not where the message came from. What
an exception adds of its own (`ContextAware`) has any names, and cannot be told from the message's headers.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.model.dead_letter import DeadLetter

_CLASS, _MESSAGE, _CODE = "kafka_throwable_class_name", "kafka_throwable_message", "kafka_throwable_code"


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter; it has no home."""
    letter = reading.letter(dialect.name)
    letter.reason = "exception"
    letter.exception = reading.text(_CLASS)
    letter.exception_message = reading.text(_MESSAGE, decides=Decides.NOTHING)
    letter.last_death = reading.record.time
    return letter


dialect = Dialect("laravel kafka", read, frozenset({"kafka"}), signs=frozenset({_CLASS}), adds=frozenset({_CLASS, _MESSAGE, _CODE}))
