"""What a context may say about a NATS connection beside its keys. Importing this loads no client."""

from __future__ import annotations

from brokercli.backends.options import ClientOptions

OPTIONS = ClientOptions(allowed=frozenset({"inbox_prefix", "domain", "js_api_prefix", "give_up_after"}), numbers=frozenset({"give_up_after"}))
