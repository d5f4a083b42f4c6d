"""Spring for Apache Kafka: @RetryableTopic, `<topic>-retry-<n or delay>` and `<topic>-dlt`.

The headers of `spring_kafka` without `dlt-` (but for the consumer group), and `retry_topic-*`, written once more at
every hop: the last is current. Its times are minimal-length big-endian integers, its attempts four bytes (one in old
versions). Left on a message that goes home, they would make its next failure skip the tiers.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.spring_headers import CONTAINER_HEADERS, read_attempts, read_exception, read_origin
from brokercli.dialects.values import big_endian_of, milliseconds_of
from brokercli.model.dead_letter import DeadLetter

_PREFIX = "kafka_"
_ADDS = ("kafka_original-", "kafka_exception-", "kafka_key-exception-", "kafka_dlt-", "retry_topic-")


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers of a retry topic; None where `kafka_dlt-` headers alone say where it came from."""
    if not reading.all("kafka_original-topic") and reading.all("kafka_dlt-original-topic"):
        return None
    homes, journey, original_time = read_origin(reading, _PREFIX)
    letter = reading.letter(dialect.name, homes)
    read_exception(reading, letter, _PREFIX)
    letter.group = reading.text("kafka_dlt-original-consumer-group") or reading.text("kafka_original-consumer-group")
    attempts = reading.last("retry_topic-attempts")
    counted = reading.count("retry_topic-attempts", attempts, 1, 4)
    # it counts the attempt to come: 4 in the letter of three attempts (verified on 3.3.9)
    letter.attempts = read_attempts(reading) if attempts is None else counted - 1 if counted else counted
    first_sent = milliseconds_of(big_endian_of(reading.last("retry_topic-original-timestamp", decides=Decides.NOTHING), 1, 9))
    letter.journey, letter.original_time = journey, first_sent if first_sent is not None else original_time
    return letter


dialect = Dialect("spring retry topic", read, frozenset({"kafka"}),
                  signs=frozenset({"kafka_original-topic", "retry_topic-attempts", "retry_topic-original-timestamp", "kafka_exception-fqcn"}),
                  adds=CONTAINER_HEADERS, adds_prefixes=_ADDS, reserved=True)
