"""What a letter was before RabbitMQ dead-lettered it once more, out of the queue of letters that it was returned to too often.

RabbitMQ writes that death in front of the others in x-death and over x-last-death-*, and its counts over x-delivery-count and
x-acquired-count. All of it can be told from what the letter is now, as long as the broker itself wrote the deaths before: of a
letter that was published with an x-death it shows only its own (seen on 4.0.5 and 4.3.6). So a letter that is put back carries its
deaths a second time in a header of ours, for the case that it is returned too often again.
"""

from __future__ import annotations

from typing import NamedTuple

from brokercli.backends.rabbitmq.amqp_table import decode_table, encode_table
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.exact_properties import decode_properties, encode_properties, split_headers
from brokercli.model.dead_letter import KEPT_DEATHS
from brokercli.model.message import Header, HeaderValue, Typed

OVER_THE_LIMIT = b"delivery_limit"
_DEATHS = "x-death"
_FIRST, _LAST = "x-first-death-", "x-last-death-"
_COUNTS = frozenset({"x-delivery-count", "x-acquired-count"})
_ROUTES = "CC"


class Restored(NamedTuple):
    """A letter as it was."""

    reason: bytes
    """Why it left its queue, as the broker calls it: delivery_limit, expired, rejected, maxlen."""
    properties: bytes
    """Encoded, headers among them. Without CC, which would be routed again, and without the user_id of another."""


def as_it_was(delivery: Delivery, queue: str, user: str | None, largest: int) -> Restored | None:
    """Return what a letter was in a queue that the broker dead-lettered it out of last; None where that was another queue, or
    nothing says so. `user` is the login that is going to publish it. Where properties of more than `largest` bytes would come
    of it, its deaths are not on it a second time."""
    encoded, table = split_headers(delivery.properties)
    headers = decode_table(table)[0] if table else ()
    deaths = _array(dict(headers).get(_DEATHS))
    left = _table(deaths[0]) if deaths else {}
    reason = left.get("reason")
    if left.get("queue") != queue.encode(errors="surrogateescape") or not isinstance(reason, bytes):
        return None
    properties = decode_properties(encoded)
    if properties.get("user_id") != (None if user is None else user.encode()):
        properties.pop("user_id", None)
    expiration = left.get("original-expiration")
    if isinstance(expiration, bytes):
        properties["expiration"] = expiration
    restored = _headers(headers, deaths[1:])
    whole = encode_properties(properties, encode_table(restored) if restored else b"")
    if len(whole) > largest:
        whole = encode_properties(properties, encode_table(tuple([header for header in restored if header[0] != KEPT_DEATHS])))
    return Restored(reason, whole)


def _headers(headers: tuple[Header, ...], deaths: tuple[HeaderValue, ...]) -> tuple[Header, ...]:
    """Return a letter's headers; `deaths` are those before the last."""
    kept = dict(headers).get(KEPT_DEATHS)
    others = tuple((name, value) for name, value in headers
                   if name not in _COUNTS and name not in (_DEATHS, _ROUTES, KEPT_DEATHS) and not name.startswith((_FIRST, _LAST)))
    if deaths:
        newest = _table(deaths[0])
        first = tuple(header for header in headers if header[0].startswith(_FIRST))
        last = tuple((_LAST + field, newest[field]) for field in ("exchange", "queue", "reason") if field in newest)
        died: tuple[Header, ...] = ((_DEATHS, Typed("array", deaths)), *first, *last)
    elif isinstance(kept, Typed) and isinstance(kept.value, tuple):
        died = kept.value
    else:
        return others
    # as the broker has them in a letter of its own
    return tuple(sorted((*others, *died, (KEPT_DEATHS, Typed("table", died))), key=lambda header: header[0]))


def _array(value: HeaderValue) -> tuple[HeaderValue, ...]:
    return value.value if isinstance(value, Typed) and value.kind == "array" and isinstance(value.value, tuple) else ()


def _table(value: HeaderValue) -> dict[str, HeaderValue]:
    return dict(value.value) if isinstance(value, Typed) and value.kind == "table" and isinstance(value.value, tuple) else {}
