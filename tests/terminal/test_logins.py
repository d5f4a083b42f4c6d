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


@pytest.mark.parametrize(("words", "text", "said"), [
    (("nats://u:my s3cretpw@h/x",), "'nats://u:my s3cretpw@h/x' is no position", "'nats://u:****@h/x' is no position"),
    (("nats://my s3cretpw@h/x",), "nats://my s3cretpw@h/x cannot be read", "nats://****@h/x cannot be read"),
    (("amqp://u:a@b s3c@h",), "amqp://u:a@b s3c@h cannot be read", "amqp://u:****@h cannot be read"),
    (("nats://u:it's \\s3cretpw\n@h",), f"{'nats://u:it' + chr(39) + 's ' + chr(92) + 's3cretpw' + chr(10) + '@h'!r} is no time",
     "\"nats://u:****@h\" is no time"),
    (("--from=nats://u:my s3cretpw@h",), "'nats://u:my s3cretpw@h'", "'nats://u:****@h'"),
    (("-cnats:/u:s3cretpw@h",), "'nats:/u:s3cretpw@h'", "'nats:/u:****@h'"),
    (("nats:/s3cretpw@h",), "no context 'nats:/s3cretpw@h'", "no context 'nats:/****@h'"), (("u:s3cretpw@h/x",), "u:s3cretpw@h/x?", "u:****@h/x?"),
    (("tail", "nats://u:my", "s3cretpw@h/x"), "extra argument(s) (s3cretpw@h/x)", "extra argument(s) (****@h/x)"),
    (("nats://u:a", "b", "c@h/x"), "extra (b c@h/x)", "extra (****@h/x)"), (("nats://u:a", "b", "c@h/x"), "extra (c@h/x)", "extra (****@h/x)"),
    (("queue:a@b", "topic:c"), "queue:a@b and topic:c", "queue:a@b and topic:c"), (("nats://h:4222/x", "a@b"), "extra (a@b)", "extra (a@b)"),
    (("kafka://a:1,b:2/x", "a@b"), "a@b", "a@b"), (("nats://h/x", "--to", "@staging/x"), "@staging/x", "@staging/x"), (("amqp://u@h",), "amqp://u@h", "amqp://u@h"),
])
def test_in_what_was_written_a_login_is_known_also_where_it_makes_no_url(words: tuple[str, ...], text: str, said: str) -> None:
    assert without_logins(text, words) == said
