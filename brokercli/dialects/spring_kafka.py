"""Spring for Apache Kafka: DeadLetterPublishingRecoverer, `<topic>-dlt` (`.DLT` before 3.0), same partition by default.

`kafka_dlt-exception-fqcn` is nearly always the wrapper (ListenerExecutionFailedException); the cause header names the
root cause. A letter whose key could not be deserialised has `kafka_dlt-key-exception-*` instead (verified).
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.spring_headers import CONTAINER_HEADERS, read_attempts, read_exception, read_origin
from brokercli.model.dead_letter import DeadLetter

_PREFIX = "kafka_dlt-"


def read(reading: Reading) -> DeadLetter | None:
    """Read the `kafka_dlt-` headers."""
    homes, journey, original_time = read_origin(reading, _PREFIX)
    letter = reading.letter(dialect.name, homes)
    read_exception(reading, letter, _PREFIX)
    letter.group = reading.text(f"{_PREFIX}original-consumer-group")
    letter.attempts = read_attempts(reading)
    letter.journey, letter.original_time = journey, original_time
    return letter


dialect = Dialect("spring kafka", read, frozenset({"kafka"}), sign_prefixes=(_PREFIX,), adds=CONTAINER_HEADERS, adds_prefixes=(_PREFIX,),
                  reserved=True)
