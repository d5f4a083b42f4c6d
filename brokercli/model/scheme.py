"""What the scheme of a URL says about the rest of it; read where URLs are parsed, spelled and hidden."""

TLS_ALWAYS = ("kafkas", "tls", "amqps")
"""Speak TLS without being told to."""
WITH_TOKEN = ("nats", "tls")
"""Have a token where others have a user: nats://TOKEN@HOST."""
WITH_VIRTUAL_HOST = ("amqp", "amqps")
"""Have a virtual host behind the host."""
