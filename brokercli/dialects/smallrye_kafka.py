"""SmallRye Reactive Messaging on Kafka, which Quarkus uses: `dead-letter-topic-<channel>`, and delayed retries.

All values are text. Each death is a run of headers, from its class to its offset, put before those the record had, so that the first
is the latest (KafkaDeadLetterQueue; verified on 4.36.0). With delayed retries each failure is one more run, through
`<channel>_retry_<milliseconds>`, and the count is added behind (KafkaDelayedRetryTopic). A letter may have runs of both kinds. A cause is
written only where there is one, so it counts within its run only.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.values import integer_of, milliseconds_of, text_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import HeaderValue

_DEAD, _RETRIED, _UNREAD = "dead-letter-", "delayed-retry-", "deserialization-failure-"
_CLASS, _CAUSE_CLASS = "exception-class-name", "cause-class-name"
_WRITTEN = {_CLASS: Decides.GROUP, "reason": Decides.NOTHING, _CAUSE_CLASS: Decides.GROUP, "cause": Decides.NOTHING, "topic": Decides.HOME,
            "partition": Decides.NOTHING, "offset": Decides.NOTHING}
"""The names of a run, and what each decides."""
_UNREADABLE = "org.apache.kafka.common.errors.RecordDeserializationException"
_PARTS = {f"{prefix}{name}": (prefix, name) for prefix in (_DEAD, _RETRIED) for name in _WRITTEN}
_DECIDING = {header: _WRITTEN[name] for header, (_, name) in _PARTS.items()}

_Death = tuple[str, dict[str, HeaderValue]]
"""Which kind it is, and its headers by their names without that."""


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter; None without the topic, partition and offset it came from."""
    deaths = _deaths(reading)
    if not deaths:
        return None
    kind, latest = deaths[0]
    letter = reading.letter(dialect.name, _homes(reading, deaths))
    letter.reason = "exception"
    letter.exception = text_of(latest.get(_CAUSE_CLASS)) or text_of(latest.get(_CLASS))
    letter.exception_message = text_of(latest.get("cause")) or text_of(latest.get("reason"))
    if letter.exception == _UNREADABLE and reading.all(f"{_UNREAD}deserializer"):
        letter.reason = "key deserialisation" if reading.all(f"{_UNREAD}key") else "value deserialisation"
    if reading.all(f"{_RETRIED}count"):
        retries = reading.count(f"{_RETRIED}count", reading.last(f"{_RETRIED}count"))
        letter.attempts = None if retries is None else retries + 1
    if deaths[-1][0] == _RETRIED:
        letter.original_time = milliseconds_of(integer_of(reading.last(f"{_RETRIED}original-timestamp", decides=Decides.NOTHING)))
    letter.journey = tuple(Hop(text_of(death["topic"])) for _, death in reversed(deaths))
    if _key_for_body(reading):
        letter.homes = ()
        origin = Hop(text_of(latest["topic"]), place={number: text_of(latest[number]) for number in ("partition", "offset")})
        reading.without_body(f"{kind}topic", origin, "where a key cannot be deserialised SmallRye writes the key in place of the body")
    return letter


def _key_for_body(reading: Reading) -> bool:
    return bool(reading.all(f"{_UNREAD}key") and reading.all(f"{_UNREAD}data")) and not reading.all(f"{_UNREAD}value-data")


def _deaths(reading: Reading) -> list[_Death]:
    """Return the deaths that are whole, the latest first."""
    deaths: list[_Death] = []
    kind, run = "", dict[str, HeaderValue]()
    for header, value in reading.in_order(_DECIDING):
        prefix, name = _PARTS[header]
        if prefix != kind or name in run or name == _CLASS:
            kind, run = prefix, {}
        run[name] = value
        if name == "offset" and "topic" in run and "partition" in run:
            deaths.append((kind, run))
            run = {}
    return deaths


def _homes(reading: Reading, deaths: list[_Death]) -> list[Home | None]:
    """Return the topic of the first death; that of a later one is a guess: there the record lay among letters. Topics of retries are none."""
    first = deaths[-1][1]["topic"]
    again = any(kind == _DEAD and death["topic"] != first for kind, death in deaths[:-1]) and deaths[-1][0] == _DEAD
    homes = [_home(reading, deaths[-1], Confidence.LIKELY if again else Confidence.CERTAIN)]
    return homes + [_home(reading, death, Confidence.GUESS) for death in reversed(deaths[:-1]) if death[0] == _DEAD and deaths[-1][0] == _DEAD]


def _home(reading: Reading, death: _Death, confidence: Confidence) -> Home | None:
    kind, run = death
    place = {"partition": reading.partition(f"{kind}partition", run["partition"]), "offset": reading.offset(f"{kind}offset", run["offset"])}
    return reading.home(text_of(run["topic"]), f"{kind}topic", confidence, place=dict(place))


dialect = Dialect("smallrye kafka", read, frozenset({"kafka"}), signs=frozenset({f"{_DEAD}topic", f"{_RETRIED}topic"}),
                  adds=frozenset(f"{_DEAD}{name}" for name in _WRITTEN), adds_prefixes=(_RETRIED, _UNREAD))
