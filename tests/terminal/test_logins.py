"""A password in a URL is never said, whatever the URL stands in."""

from __future__ import annotations

import pytest

from brokercli.terminal.logins import without_logins


@pytest.mark.parametrize(("text", "said"), [
    ("nats://u:s3cretpw@h:4222/x cannot be read", "nats://u:****@h:4222/x cannot be read"), ("'kafka://:s3cretpw@h'", "'kafka://:****@h'"),
    ("nats://s3cretpw@h, and tls://s3cretpw@h", "nats://****@h, and tls://****@h"), ("amqp://u@h is away", "amqp://u@h is away"),
    ("amqp://u:s3/cret@pw@h/shop", "amqp://u:****@h/shop"), ("kafka://a:9092,b:9092/x", "kafka://a:9092,b:9092/x"),
    ("nats://u:****@h", "nats://u:****@h"), ("queue:a@b and @c/d", "queue:a@b and @c/d"), ("(https://u:s3cretpw@h:15672)", "(https://u:****@h:15672)"),
])
def test_password_and_token_are_hidden_and_nothing_else(text: str, said: str) -> None:
    assert without_logins(text) == said
