"""What a context may say about an AMQP connection beside its keys. Importing this loads no client."""

from __future__ import annotations

from brokercli.backends.options import ClientOptions

_NUMBERS = frozenset({"heartbeat", "frame_max", "give_up_after"})
OPTIONS = ClientOptions(allowed=_NUMBERS | {"locale"}, numbers=_NUMBERS)
