"""What of a letter goes with it when it is put back: never what would route it elsewhere, be refused or end it."""

from __future__ import annotations

from dataclasses import replace

from brokercli.model.message import Message

_ROUTES = ("CC", "BCC")


def harmless(message: Message, user: str | None) -> tuple[Message, tuple[str, ...]]:
    """Return what may go, and the names of what does not go along: CC and BCC, an expiration, a direct reply address, and a user_id
    other than `user`, the login that publishes."""
    headers, properties = message.headers, message.properties
    routes = [name for name in _ROUTES if any(name == header[0] for header in headers)]
    if routes:
        headers = tuple(header for header in headers if header[0] not in _ROUTES)
    own = None if user is None else user.encode()
    unwanted = [name for name, value in properties.items()
                if name == "expiration" or (name == "user_id" and value != own)
                or (name == "reply_to" and isinstance(value, bytes) and value.startswith(b"amq.rabbitmq.reply-to"))]
    if unwanted:
        properties = {name: value for name, value in properties.items() if name not in unwanted}
    if not (left_out := (*routes, *unwanted)):
        return message, ()
    return replace(message, headers=headers, properties=properties), left_out
