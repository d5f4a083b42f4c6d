"""Dead letters as frameworks and brokers write them down: pure functions, record → dead letter → message to put back.

One module for each dialect. No module here talks to a broker; what a letter says is never trusted, and nothing that a
record can hold makes `recognise` raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from brokercli.dialects import (
    celery,
    confluent_rules,
    dramatiq,
    easynetq,
    generic,
    helidon,
    jetstream_advisory,
    jetstream_community,
    kafka_connect,
    kafka_streams,
    karafka,
    laravel_kafka,
    masstransit,
    moleculer,
    nservicebus,
    rabbitmq_x_death,
    rascal,
    rebus,
    share_group,
    smallrye_kafka,
    sneakers,
    spring_amqp,
    spring_cloud_stream_kafka,
    spring_kafka,
    spring_retry_topic,
    symfony_messenger,
    tiered,
    uber,
    watermill,
)
from brokercli.dialects.amqp_1_0 import body_is_encoded, lost_from_amqp_1_0
from brokercli.dialects.at_home import died_at_home
from brokercli.dialects.broker_headers import properties_to_strip
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.facts import NO_FACTS, Facts
from brokercli.dialects.reading import KIND_OF, Reading, lies_in
from brokercli.dialects.redrive_headers import stamp
from brokercli.dialects.restore import attach_original, note_additions, original_is_gone, original_is_unread, to_message
from brokercli.dialects.user import UserDialect, parse_user_dialect
from brokercli.model.dead_letter import UNKNOWN, DeadLetter
from brokercli.model.message import Record
from brokercli.model.remembered import Remembered

__all__ = [
    "DIALECTS", "Facts", "UserDialect", "attach_original", "died_at_home", "holds_another", "original_is_gone", "original_is_unread", "parse_user_dialect",
    "recognise", "stamp", "to_message"]

DIALECTS: tuple[Dialect, ...] = (
    # Letters the broker writes itself, and ones that are nothing but a pointer or a wrapping: no other dialect's headers are theirs.
    share_group.dialect, jetstream_advisory.dialect, easynetq.dialect, kafka_streams.emptied,
    # Frameworks whose header names are their own. What runs as a consumer of its own (Connect, Streams) before what may
    # have passed the record on to it; retry topics before the plain recoverer, whose names they also use.
    kafka_connect.dialect, kafka_streams.dialect, spring_retry_topic.dialect, spring_kafka.dialect,
    smallrye_kafka.dialect, karafka.dialect, watermill.dialect, moleculer.dialect, confluent_rules.dialect,
    helidon.nacked, helidon.dialect, laravel_kafka.dialect,
    # RabbitMQ frameworks before x-death: their delayed retries pass through dead-lettering queues, so that x-death is
    # full of stations that are not where the message failed.
    nservicebus.dialect, masstransit.dialect, rebus.dialect, spring_amqp.binder, spring_amqp.dialect,
    symfony_messenger.dialect, symfony_messenger.serialised, sneakers.dialect, sneakers.wrapped,
    # These died by x-death, or may have, and know more about it.
    dramatiq.dialect, celery.dialect, rascal.encrypted, rascal.dialect, rabbitmq_x_death.dialect,
    # Names that several conventions share: those told by binary values and by their own counters first.
    spring_cloud_stream_kafka.dialect, tiered.dialect, jetstream_community.dialect,
    # Told by the look of its key only, so after everything that says what it is; and last, whatever speaks for itself.
    uber.dialect, generic.dialect,
)
"""In the order they are tried. A dialect of the user's comes before all of them: whoever writes one down means it."""

_HOLDING_ANOTHER = (share_group.dialect, jetstream_advisory.dialect, easynetq.dialect, kafka_streams.emptied, karafka.dialect, uber.dialect, sneakers.dialect,
                    sneakers.wrapped)
_RESERVED = {broker: tuple(dialect for dialect in DIALECTS if dialect.reserved and broker in dialect.brokers) for broker in KIND_OF}


_but_record = attrgetter(*(field.name for field in fields(DeadLetter) if field.name != "record"))
_CANDIDATES: Remembered[tuple[str, tuple[Dialect, ...]]] = Remembered()
_ALIKE: Remembered[tuple[Dialect, Facts, str, str, tuple[Any, ...]]] = Remembered()


def recognise(record: Record, *, extra: Sequence[UserDialect] = (), facts: Facts = NO_FACTS, make_reading: Callable[[Record, Facts], Reading] = Reading,
              tried: list[Dialect] | None = None) -> DeadLetter:
    """Return what the record says about its death: by the first dialect that reads it, else an unknown one without home.
    The dialects that were tried are added to `tried`.

    Never raises, whatever the record holds.
    """
    headers, body = record.message.headers, record.message.body
    candidates = _CANDIDATES.get(headers)
    if candidates is None or candidates[0] != record.broker:
        candidates = _CANDIDATES.put(headers, (record.broker, _candidates(record.broker, tuple([name for name, _ in headers]))))
    dialects = candidates[1]
    if extra:
        names = tuple([name for name, _ in headers])
        dialects = (*(user.dialect for user in extra if user.dialect.may_be(names)), *dialects)
    for dialect in dialects:
        if tried is not None:
            tried.append(dialect)
        if dialect.may_hold is not None and not dialect.may_hold(record.message.key, body):
            continue
        if dialect.body_sign and (not body or dialect.body_sign not in body):
            continue
        if dialect.by_headers and make_reading is Reading and (alike := _alike(record, dialect, facts)) is not None:
            return alike
        reading = make_reading(record, facts)
        letter = dialect.read(reading)
        if letter is not None:
            letter.lost += tuple(reading.lost) + _lost_on_the_way(record)
            letter.remarks += tuple(dict.fromkeys(reading.remarks)) + _remarks_on_the_body(record)
            note_additions(letter, dialect, _RESERVED.get(record.broker, ()))
            if dialect.by_headers and _told_by_headers(record):
                _ALIKE.put(headers, (dialect, facts, record.broker, reading.lies_in, _but_record(letter)))
            return letter
    letter = DeadLetter(record, UNKNOWN, lost=_lost_on_the_way(record), remarks=_remarks_on_the_body(record))
    note_additions(letter, None, _RESERVED.get(record.broker, ()))
    return letter


def holds_another(record: Record) -> bool:
    """Whether a record may be only a pointer to, or a wrapping of, the message that died, or have another key than it."""
    candidates = _candidates(record.broker, tuple([name for name, _ in record.message.headers]))
    key, body = record.message.key, record.message.body
    return any(dialect in _HOLDING_ANOTHER and (dialect.may_hold is None or dialect.may_hold(key, body)) for dialect in candidates)


def _alike(record: Record, dialect: Dialect, facts: Facts) -> DeadLetter | None:
    """Return the letter of a record of which everything that says what it is was read before, on another record."""
    known = _ALIKE.get(record.message.headers)
    if known is None or known[0] is not dialect or known[1] is not facts or known[2] != record.broker or known[3] != lies_in(record):
        return None
    if not _told_by_headers(record):
        return None
    letter = DeadLetter(record, *known[4])
    letter.stripped_properties = properties_to_strip(record.message.properties)
    return letter


@lru_cache(maxsize=2048)
def _candidates(broker: str, names: tuple[str, ...]) -> tuple[Dialect, ...]:
    """Return the dialects worth trying. Letters of one kind have headers of the same names."""
    return tuple(dialect for dialect in DIALECTS if broker in dialect.brokers and dialect.may_be(names))


def _told_by_headers(record: Record) -> bool:
    """Whether all that is said of a letter follows from its headers: not of a stream's, which has lost something on the way, nor where its type says
    what the body is."""
    return "offset" not in record.place and not body_is_encoded(record.message)


def _remarks_on_the_body(record: Record) -> tuple[str, ...]:
    encoded = record.broker == "rabbitmq" and body_is_encoded(record.message)
    return ("its body is an AMQP 1.0 value or sequence, shown and kept as it is encoded (type amqp-1.0)",) if encoded else ()


def _lost_on_the_way(record: Record) -> tuple[str, ...]:
    if record.broker != "rabbitmq":
        return ()
    return _lost_in_a_stream(record) + lost_from_amqp_1_0(record.message)


def _lost_in_a_stream(record: Record) -> tuple[str, ...]:
    if record.place.get("offset") is not None:
        # verified on 4.3.6
        return ("what a RabbitMQ stream does not keep: headers that were tables or arrays, the type of byte arrays, an unset delivery mode",)
    return ()
