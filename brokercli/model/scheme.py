"""The scheme of a URL, and what it says about the rest of it; read where URLs are parsed, spelled and hidden."""

SCHEME = "[A-Za-z][A-Za-z0-9+.-]*"
"""How one is written. Its case says nothing (RFC 3986, 3.1): what reads a URL keeps it in small letters, as those below are."""
TLS_ALWAYS = ("kafkas", "tls", "amqps")
"""Speak TLS without being told to."""
WITH_TOKEN = ("nats", "tls")
"""Have a token where others have a user: nats://TOKEN@HOST."""
WITH_VIRTUAL_HOST = ("amqp", "amqps")
"""Have a virtual host behind the host."""
