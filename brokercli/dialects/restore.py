"""From a dead letter to the message that is put back: what the producer sent, less what others added."""

from __future__ import annotations

from functools import lru_cache

from brokercli.dialects.broker_headers import added_by_broker, properties_to_strip
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.redrive_headers import OWN, count_redrives
from brokercli.model.address import Address
from brokercli.model.dead_letter import Confidence, DeadLetter, Home
from brokercli.model.errors import Failed
from brokercli.model.message import Header, Message, Record
from brokercli.model.remembered import Remembered

# Servers of a cluster agree about the time to well below that. On Kafka the time of a record is its producer's own unless the topic has
# message.timestamp.type=LogAppendTime, and that of a letter is its broker's: a producer whose clock is ahead by more than this and the time
# it took the message to die makes it look like one that came after. Such a letter stays where it is, and the message is still stored; with
# much more allowed, whatever a topic that was made anew got within that time would go home for what died, and count as that.
_CLOCKS_APART = 2_000_000_000
_LEFT: Remembered[tuple[tuple[str, ...], tuple[Header, ...]]] = Remembered()


def note_additions(letter: DeadLetter, dialect: Dialect | None, reserved: tuple[Dialect, ...] = ()) -> None:
    """Enter into the letter what will be stripped, and how often brokercli has put it back. `reserved` are the dialects
    whose names are stripped whoever wrote the letter; an original that was fetched has none of either."""
    message = letter.unwrapped or letter.record.message
    letter.stripped = _additions(dialect, reserved, letter.record.broker, tuple([name for name, _ in message.headers]))
    letter.stripped_properties = properties_to_strip(message.properties)
    letter.redrives = count_redrives(message.headers)
    if letter.redrives is None:
        letter.remarks += ("the count of redrives it carries cannot be believed",)


@lru_cache(maxsize=2048)
def _additions(dialect: Dialect | None, reserved: tuple[Dialect, ...], broker: str, names: tuple[str, ...]) -> tuple[str, ...]:
    writers = reserved if dialect is None else (dialect, *reserved)
    return tuple(name for name in dict.fromkeys(names)
                 if name in OWN or added_by_broker(broker, name) or any(writer.added(name) for writer in writers))


def to_message(letter: DeadLetter) -> Message:
    """Return what to put back: body, key and headers bit-exact and in order, less what `letter.stripped` names.

    Its `route` is the name of the best home (topic, subject, queue, or an exchange's routing key), for a destination
    that leaves the routing open. Id, time and partition are left to whoever publishes: the old id would be taken for a
    duplicate, an old time makes it eligible for deletion at once, and only the operation knows whether the topic still
    has as many partitions. Raises Failed for a pointer whose original has not been fetched.
    """
    if not letter.complete:
        where = ", ".join(f"{name} {value}" for name, value in (letter.pointer or {}).items())
        raise Failed(f"This letter only points at its original ({where}), which has not been fetched.")
    message, home = letter.unwrapped or letter.record.message, letter.home
    route = None if home is None else home.address.route if home.address.kind == "exchange" else home.address.name
    return Message(
        body=message.body, key=message.key, headers=_without(message.headers, letter.stripped) if letter.stripped else message.headers, route=route,
        properties={name: value for name, value in message.properties.items() if name not in letter.stripped_properties}
        if letter.stripped_properties else message.properties.copy(),
        origin=letter.record.broker)


def _without(headers: tuple[Header, ...], stripped: tuple[str, ...]) -> tuple[Header, ...]:
    known = _LEFT.get(headers)
    if known is not None and known[0] is stripped:
        return known[1]
    names = frozenset(stripped)
    return _LEFT.put(headers, (stripped, tuple([header for header in headers if header[0] not in names])))[1]


def attach_original(letter: DeadLetter, original: Record) -> DeadLetter:
    """Complete a pointer with the record it points at, in place, and return it.

    A JetStream advisory knows no subject: the original's becomes the home. Raises Failed when the record lies elsewhere
    than the pointer says, or is another that has come to lie there, so that a message is never put back in another's place, and for
    a pointer that says too little.
    """
    if not any(isinstance((letter.pointer or {}).get(number), int) for number in ("offset", "sequence")):
        raise Failed("This letter does not say which message it points at.")
    for name, value in (letter.pointer or {}).items():
        if original.place.get(name) != value:
            raise Failed(f"The letter points at {name} {value}; what was fetched lies at {name} {original.place.get(name)}.")
    if why := _is_another(letter, original):
        raise Failed(why)
    letter.original = original
    letter.fetched, letter.unwrapped, letter.original_time = True, original.message, original.time
    subject = original.place.get("subject")
    if isinstance(subject, str):
        letter.homes = (Home(Address(subject, "subject"), "the subject of the original", Confidence.CERTAIN, dict(letter.pointer or {})),)
    note_additions(letter, None)
    return letter


def _is_another(letter: DeadLetter, original: Record) -> str:
    """Say why the record where a letter points is not the one that died; empty where it is, or nothing tells.

    A topic or stream that was deleted and made anew numbers from the start again. A share group's letter names the topic without its id
    (KIP-1191, verified on 4.4.0), so that only its time and, where it carries one, its copy of key and body tell. A copy that is the
    same is stronger than what a producer's clock says.
    """
    copy, kafka = letter.record.message, letter.record.broker == "kafka"
    if kafka and (copy.body is not None or copy.key is not None):
        if (copy.body, copy.key) == (original.message.body, original.message.key):
            return ""
        return "What lies where the letter points has another key or body than the letter's copy of it: the topic was made anew, and it is another message."
    if letter.last_death is None or original.time is None or original.time <= letter.last_death + _CLOCKS_APART:
        return ""
    if kafka:
        return ("What lies where the letter points is younger than the letter, by its time: the topic was made anew and it is another message, or the clock "
                "of its producer is ahead.")
    return "What lies where the letter points was stored after the death: the stream was made anew, and it is another message."


def original_is_unread(letter: DeadLetter, why: str) -> DeadLetter:
    """Enter that the original a pointer points at may be stored, and cannot be read now, and return the letter. Nothing goes back meanwhile, no copy
    of its key and body either: that lacks the headers, which are not lost."""
    letter.unread = why
    letter.remarks += (f"the original it points at cannot be read now: {why}",)
    return letter


def original_is_gone(letter: DeadLetter) -> DeadLetter:
    """Enter that the original a pointer points at is no longer stored, or that another message lies there, and return the letter.

    Where the record carries a copy of key and body, that copy goes back then: `complete` becomes true, and `lost` says
    what the copy lacks. Where it does not, nothing can go back.
    """
    message = letter.record.message
    letter.remarks += ("the original it points at is no longer stored",)
    if letter.record.broker == "kafka" and (message.body is not None or message.key is not None):
        letter.fetched, letter.unwrapped = True, Message(body=message.body, key=message.key, origin=message.origin)
        letter.lost += ("the original's headers: the broker copies key and body only",)
    return letter
