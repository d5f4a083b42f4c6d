"""What a message is when it goes back: its own, under an id of ours, without instructions to the server."""

from __future__ import annotations

from functools import lru_cache

from brokercli.backends.nats.convert import is_control
from brokercli.backends.nats.streams import Json
from brokercli.model.message import Message
from brokercli.model.position import parse_time

# what workers write by convention on letters of their own; every other Nats- header steers the server, or was written by it
_HARMLESS = ("nats-original-", "nats-failure-", "nats-num-delivered")


def as_copy(message: Message, identity: str, subject: str | None) -> Message:
    """Return the message to publish. Its own `Nats-Msg-Id` would be taken for a duplicate of the first one and swallowed,
    `Nats-Rollup` would purge, `Nats-Expected-…` refuse, `Nats-Batch-…` store nothing (seen on 2.15.1): only ours goes along."""
    headers = message.headers
    if message.origin in (None, "nats"):
        for name, _ in headers:
            if _steers(name):
                headers = tuple([header for header in headers if not _steers(header[0])])
                break
    return Message(message.body, message.key, headers, identity, message.time, message.partition, message.route if subject is None else subject,
                   message.properties, message.origin)


@lru_cache(maxsize=1024)
def _steers(name: str) -> bool:
    return is_control(name) and not name.strip().lower().startswith(_HARMLESS)


def identity_prefix(info: Json) -> str:
    """Return what the ids of copies of one stream's messages begin with. When it was created is in it: a stream of the same
    name that was deleted and made anew numbers other messages the same, and their copies must not pass for repeats."""
    return f"brokercli:{info['config']['name']}:{parse_time(str(info['created'])):x}:"
