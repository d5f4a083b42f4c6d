"""Messages that were published to RabbitMQ over AMQP 1.0, as AMQP 0-9-1 shows them (verified on 4.3.6).

Most of them nothing tells from others: body, application properties (as headers) and most properties have the same form. What tells are annotations
(`x-opt-…`, as headers), ids that are bytes (headers as well), and a body that is no plain data: that one comes as it is encoded, of the type
`amqp-1.0`, and becomes what it was again for a consumer of AMQP 1.0.
"""

from __future__ import annotations

from brokercli.model.message import Message, Typed

_ENCODED = b"amqp-1.0"
_IDS = ("x-message-id", "x-correlation-id")
_LOST = ("what AMQP 0-9-1 does not show of a message that was published over AMQP 1.0: subject, to, group-sequence, absolute-expiry-time and footer, ids"
         " that were numbers or bytes as such, milliseconds in times",)


def body_is_encoded(message: Message) -> bool:
    """Whether the body is an AMQP 1.0 value or sequence as it is encoded."""
    return message.properties.get("type") == _ENCODED


def lost_from_amqp_1_0(message: Message) -> tuple[str, ...]:
    """Return what of a message nobody who speaks AMQP 0-9-1 can put back; empty where nothing tells that it was published over AMQP 1.0."""
    told = body_is_encoded(message) or any(
        name.startswith("x-opt-") or (name in _IDS and isinstance(value, Typed) and value.kind == "bytes") for name, value in message.headers)
    return _LOST if told else ()
