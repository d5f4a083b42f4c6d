"""What lies among letters and is none: what the server itself wrote, and what it has yet to publish."""

from __future__ import annotations

from brokercli.backends.nats.records import Row
from brokercli.backends.nats.streams import Json
from brokercli.model.message import Record

_MARKER = "Nats-Marker-Reason"
"""The header of a message without a body that the server wrote itself where a subject's last one went by age (ADR-43, seen on 2.15.1)."""
_SCHEDULE = "Nats-Schedule"
"""The header of a message that is to be published later, as the server writes it: it looks for no other spelling."""
_MARKER_LINE, _SCHEDULE_LINE = (b"\r\n%b:" % name.encode() for name in (_MARKER, _SCHEDULE))
_WAITS = ("message {} of stream {} is not dead: it waits to be published later (Nats-Schedule), and taken out it would never be; dlq drop takes out the "
          "record of its death only")
_MARKS = ("message {} of stream {} is a marker of what went by age (subject_delete_marker_ttl), and would be put back as an empty message; dlq drop takes out "
          "the record of its death")


def leaves_markers(config: Json) -> bool:
    """Whether a stream writes markers among its messages, which are counted with them."""
    return bool(config.get("subject_delete_marker_ttl"))


def publishes_later(config: Json) -> bool:
    """Whether messages can wait in a stream to be published later (ADR-51). One waits for as long as it is stored: a consumer that gave it up changes
    nothing, and where a message behind it on its subject has ended it, it goes on once its server is started again (seen on 2.15.1)."""
    return bool(config.get("allow_msg_schedules"))


def may_hold_others(config: Json) -> bool:
    """Whether there may be messages in a stream that are no letters wherever they lie."""
    return leaves_markers(config) or publishes_later(config)


def is_no_letter(row: Row, *, later: bool) -> bool:
    """Whether a message is no letter wherever it lies; `later` is whether its stream `publishes_later`."""
    return (not row.body and _MARKER_LINE in row.block) or (later and is_schedule(row))


def is_schedule(row: Row) -> bool:
    """Whether a message of a stream that `publishes_later` waits to be published."""
    return _SCHEDULE_LINE in row.block


def why_no_letter(original: Record, *, later: bool) -> str:
    """Return why a message whose death was recorded is none to put back; empty where it is one. `later` as for `is_no_letter`."""
    names = {name for name, _ in original.message.headers}
    words = _MARKS if _MARKER in names and not original.message.body else _WAITS if later and _SCHEDULE in names else ""
    return words.format(original.position, original.place["stream"])


def notes_of_look(config: Json) -> list[str]:
    """Say what a look at the letters of a stream leaves out."""
    return [*(["markers of what went by age (subject_delete_marker_ttl) are no letters, and stay"] if leaves_markers(config) else []),
            *(["what waits to be published later (Nats-Schedule) is no letter, and stays"] if publishes_later(config) else [])]


def remarks_on_count(config: Json) -> list[str]:
    """Say what is counted with the letters of a stream."""
    return [*(["markers of what went by age count as well (subject_delete_marker_ttl), and are no letters"] if leaves_markers(config) else []),
            *(["what waits to be published later counts as well (Nats-Schedule), and is no letter"] if publishes_later(config) else [])]
