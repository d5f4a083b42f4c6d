"""Dead letters as frameworks and brokers write them down: pure functions, record → dead letter → message to put back.

One module for each dialect. No module here talks to a broker; what a letter says is never trusted, and nothing that a
record can hold makes `recognise` raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from brokercli.dialects import (
    celery,
    dramatiq,
    easynetq,
    generic,
    jetstream_advisory,
    jetstream_community,
    kafka_connect,
    kafka_streams,
    masstransit,
    nservicebus,
    rabbitmq_x_death,
    rebus,
    share_group,
    spring_amqp,
    spring_cloud_stream_kafka,
    spring_kafka,
    spring_retry_topic,
    tiered,
    uber,
    watermill,
)
from brokercli.dialects.at_home import died_at_home
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.facts import NO_FACTS, Facts
from brokercli.dialects.reading import KIND_OF, Reading
from brokercli.dialects.redrive_headers import stamp
from brokercli.dialects.restore import attach_original, note_additions, original_is_gone, to_message
from brokercli.dialects.user import UserDialect, parse_user_dialect
from brokercli.model.dead_letter import UNKNOWN, DeadLetter
from brokercli.model.message import Record

__all__ = [
    "DIALECTS", "Facts", "UserDialect", "attach_original", "died_at_home", "holds_another", "original_is_gone", "parse_user_dialect", "recognise", "stamp",
    "to_message"]

DIALECTS: tuple[Dialect, ...] = (
    # Letters the broker writes itself, and ones that are nothing but a wrapping: no other dialect's headers are theirs.
    share_group.dialect, jetstream_advisory.dialect, easynetq.dialect,
    # Frameworks whose header names are their own. What runs as a consumer of its own (Connect, Streams) before what may
    # have passed the record on to it; retry topics before the plain recoverer, whose names they also use.
    kafka_connect.dialect, kafka_streams.dialect, spring_retry_topic.dialect, spring_kafka.dialect, watermill.dialect,
    # RabbitMQ frameworks before x-death: their delayed retries pass through dead-lettering queues, so that x-death is
    # full of stations that are not where the message failed.
    nservicebus.dialect, masstransit.dialect, rebus.dialect, spring_amqp.dialect,
    # These two died by x-death, and know more about it.
    dramatiq.dialect, celery.dialect, rabbitmq_x_death.dialect,
    # Names that several conventions share: those told by binary values and by their own counters first.
    spring_cloud_stream_kafka.dialect, tiered.dialect, jetstream_community.dialect,
    # Told by the look of its key only, so after everything that says what it is; and last, whatever speaks for itself.
    uber.dialect, generic.dialect,
)
"""In the order they are tried. A dialect of the user's comes before all of them: whoever writes one down means it."""

_HOLDING_ANOTHER = (share_group.dialect, jetstream_advisory.dialect, easynetq.dialect)
_RESERVED = {broker: tuple(dialect for dialect in DIALECTS if dialect.reserved and broker in dialect.brokers) for broker in KIND_OF}


def recognise(record: Record, *, extra: Sequence[UserDialect] = (), facts: Facts = NO_FACTS) -> DeadLetter:
    """Return what the record says about its death: by the first dialect that reads it, else an unknown one without home.

    Never raises, whatever the record holds.
    """
    names = tuple([name for name, _ in record.message.headers])
    candidates = _candidates(record.broker, names)
    if extra:
        candidates = (*(user.dialect for user in extra if user.dialect.may_be(names)), *candidates)
    for dialect in candidates:
        reading = Reading(record, facts)
        letter = dialect.read(reading)
        if letter is not None:
            letter.lost += tuple(reading.lost) + _lost_on_the_way(record)
            letter.remarks += tuple(dict.fromkeys(reading.remarks))
            note_additions(letter, dialect, _RESERVED.get(record.broker, ()))
            return letter
    letter = DeadLetter(record, UNKNOWN, lost=_lost_on_the_way(record))
    note_additions(letter, None, _RESERVED.get(record.broker, ()))
    return letter


def holds_another(record: Record) -> bool:
    """Whether a record may be nothing but a pointer to, or a wrapping of, the message that died."""
    names = tuple([name for name, _ in record.message.headers])
    return any(dialect in _HOLDING_ANOTHER for dialect in _candidates(record.broker, names))


@lru_cache(maxsize=2048)
def _candidates(broker: str, names: tuple[str, ...]) -> tuple[Dialect, ...]:
    """Return the dialects worth trying. Letters of one kind have headers of the same names."""
    return tuple(dialect for dialect in DIALECTS if broker in dialect.brokers and dialect.may_be(names))


def _lost_on_the_way(record: Record) -> tuple[str, ...]:
    if record.broker == "rabbitmq" and record.place.get("offset") is not None:
        # verified on 4.3.6
        return ("what a RabbitMQ stream does not keep: headers that were tables or arrays, the type of byte arrays, an unset delivery mode",)
    return ()
