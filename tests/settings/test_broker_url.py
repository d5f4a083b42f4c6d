"""Broker URLs: every password works when it is percent-encoded, and no error ever shows a part of one."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.connection import Secret
from brokercli.model.errors import UsageProblem
from brokercli.settings.broker_url import parse_broker_url

SECRET = "Sésame@#/:%?&+ 100%"


@given(user=st.text(min_size=1), password=st.text(min_size=1))
def test_any_user_and_password_survive_percent_encoding(user: str, password: str) -> None:
    try:
        encoded = f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@host:5672/shop"
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, so nobody can write it in a URL
        return
    url = parse_broker_url(encoded, "the URL")
    assert (url.user, url.password, url.hosts, url.virtual_host) == (user, Secret(password), (("host", 5672),), "shop")


def test_a_password_with_an_at_sign_that_is_not_encoded_still_ends_at_the_last_one() -> None:
    url = parse_broker_url("kafka://app:a@b@broker:9092", "the URL")
    assert (url.password, url.hosts) == (Secret("a@b"), (("broker", 9092),))


@pytest.mark.parametrize(("text", "hosts"), [
    ("kafka://a", (("a", None),)),
    ("kafka://a:1,b:2,c", (("a", 1), ("b", 2), ("c", None))),
    ("nats://[::1]:4222", (("::1", 4222),)),
    ("nats://[fe80::1%25eth0],h:5", (("fe80::1%25eth0", None), ("h", 5))),
    ("amqp://höst:5672/", (("höst", 5672),)),
    ("nats://a:1,nats://b:2", (("a", 1), ("b", 2))),
    ("tls://u:p@a:1,tls://u:p@b:2,tls://[::1]", (("a", 1), ("b", 2), ("::1", None))),
    ("nats://a:1,nats://u:p@b:2/", (("a", 1), ("b", 2))),
    ("amqp://a,amqp://b:2/shop", (("a", None), ("b", 2))),
])
def test_hosts_are_names_or_addresses_with_or_without_a_port(text: str, hosts: tuple[tuple[str, int | None], ...]) -> None:
    assert parse_broker_url(text, "the URL").hosts == hosts


def test_the_servers_of_a_url_have_one_login_and_one_scheme_however_often_they_are_said() -> None:
    url = parse_broker_url("nats://app:hunter2@a:1,nats://b,nats://app:hunter2@c", "the URL")
    assert (url.user, url.password, str(url)) == ("app", Secret("hunter2"), "nats://app:****@a:1,b,c")
    for text in ("nats://app:hunter2@a,nats://app:other@b", "nats://a:hunter2@a,tls://b", "nats://hunter2@a,nats://other@b"):
        with pytest.raises(UsageProblem, match="one scheme and one login") as refused:
            parse_broker_url(text, "the URL")
        assert "hunter2" not in f"{refused.value} {refused.value.hint}"


def test_nats_writes_a_token_where_others_write_a_user() -> None:
    assert parse_broker_url("nats://s3cr%3Aet@host", "the URL").token == Secret("s3cr:et")
    assert parse_broker_url("amqp://guest@host", "the URL").user == "guest"


def test_a_scheme_is_written_in_either_case() -> None:
    assert parse_broker_url("NATS://s3cret@h", "the URL") == parse_broker_url("nats://s3cret@h", "the URL")
    assert parse_broker_url("Amqps://h/Shop", "the URL") == parse_broker_url("amqps://h/Shop", "the URL")


@pytest.mark.parametrize(("text", "virtual_host"), [
    ("amqp://h", None), ("amqp://h/", None), ("amqp://h/%2F", "/"), ("amqps://h/a%2Fb", "a/b"), ("amqp://h/shop", "shop"),
])
def test_a_rabbitmq_url_names_its_virtual_host(text: str, virtual_host: str | None) -> None:
    assert parse_broker_url(text, "the URL").virtual_host == virtual_host


@pytest.mark.parametrize(("text", "why"), [
    (f"amqp://app:{SECRET}@host", "a query or a fragment"),
    (f"amqp://app:{SECRET}@host:x", "a query or a fragment"),
    ("nats://app:hunter2", "a port that is no number"),
    ("nats://app:hunter2@", "no usable host"),
    ("nats://app:hunter2@:4222", "no usable host"),
    ("kafka://app:hunter2@a,,b", "no usable host"),
    ("kafka://app:hunter2@host:99999", "a port that is no number"),
    ("kafka://app:hunter2@host:65536", "a port that is no number"),
    ("kafka://app:hunter2@host:0", "a port that is no number"),
    ("kafka://app:hunter2@host:9092/orders", "names more than a broker"),
    ("kafka://app:hunter2@host?timeout=hunter2", "a query or a fragment"),
    ("amqp://app:hunter2@host/shop?timeout=hunter2", "a query or a fragment"),
    ("amqp://app:hunter2@host/shop#hunter2", "a query or a fragment"),
    ("amqp://app:hunter2@host/a/hunter2", "more than a broker and its virtual host"),
    ("amqp://app:hunter2%FF@host", "not UTF-8"),
    ("nats://app:hun/ter2@host:4222", "ends the host part before the @"),
    # or else a virtual host of the host `app` would be named by the password
    ("amqp://app:12/hunter2@host", "ends the host part before the @"),
    ("app:hunter2@host", "is no URL"),
    ("hunter2", "is no URL"),
    ("NATS//app:hunter2@host", "is no URL"),
    ("amqp://app:hunter2@[::1", "no usable host"),
    ("amqp://app:hunter2@ho st", "no usable host"),
])
def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it(text: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why) as refused:
        parse_broker_url(text, "The URL in the address")
    told = f"{refused.value} {refused.value.hint}"
    assert "The URL in the address" in told
    for part in ("hunter2", "hun", "ter2", "Sésame", "100%"):
        assert part not in told
    assert refused.value.__cause__ is None


def test_a_url_spells_itself_without_its_secrets() -> None:
    url = parse_broker_url("amqp://app:hunter2@a:1,b/shop%2Feu", "the URL")
    assert str(url) == "amqp://app:****@a:1,b/shop%2Feu"
    assert url.without_secrets() == "amqp://a:1,b/shop%2Feu"
    assert "hunter2" not in repr(url)


@pytest.mark.parametrize(("text", "shown", "bare"), [
    ("nats://hunter2@a", "nats://****@a", "nats://a"), ("amqp://app@a/", "amqp://app@a", "amqp://a"), ("amqp://a/%2F", "amqp://a", "amqp://a"),
    ("kafka://a", "kafka://a", "kafka://a"), ("amqp://:hunter2@a", "amqp://:****@a", "amqp://a")])
def test_what_a_url_does_not_have_is_not_spelled(text: str, shown: str, bare: str) -> None:
    url = parse_broker_url(text, "the URL")
    assert (str(url), url.without_secrets()) == (shown, bare)
    assert url.user != ""
