"""How addresses are spelled: what is printed can be typed back, whatever is in a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.commands.declare_name import parse_binding, parse_name
from brokercli.model.address import Address, parse_address, split_broker
from brokercli.model.declaration import binding
from brokercli.model.errors import UsageProblem

NAMES = st.text(st.sampled_from("a/%25Ff@: é.\"'->"), min_size=1, max_size=12)


@pytest.mark.parametrize(("text", "name", "route"), [
    ("exchange:orders/created", "orders", "created"), ("exchange:orders", "orders", None), ("exchange:orders/a/b", "orders", "a/b"),
    ("exchange:shop%2Feu/created", "shop/eu", "created"), ("exchange:shop%2feu", "shop/eu", None), ("exchange:shop%252Feu/a%2Fb", "shop%2Feu", "a%2Fb"),
    ("exchange:50%/a", "50%", "a"), ("exchange:a%20b", "a%20b", None), ("exchange:/q", "", "q"),
    ("@ctx/exchange:shop%2Feu/k", "shop/eu", "k"),
    ("amqp://h/v/exchange:shop%2Feu/a", "shop/eu", "a"), ("amqp://h/exchange:shop%2Feu/a%20b", "shop/eu", "a b"),
    ("amqp://h/v/exchange:a%252Fb", "a%2Fb", None)])
def test_a_slash_in_the_name_of_an_exchange_is_escaped_and_nothing_else_need_be(text: str, name: str, route: str | None) -> None:
    address = parse_address(text)
    assert (address.kind, address.name, address.route) == ("exchange", name, route)


@pytest.mark.parametrize(("text", "name"), [
    ("amqp://h/v/queue:a%2Fb", "a/b"), ("amqp://h/queue:a%2Fb", "a/b"), ("amqp://h/%2F/queue:a%20b", "a b"), ("amqp://h/v/queue:a/b", "a/b"),
    ("queue:a%2Fb", "a%2Fb"), ("queue:@a/b:c d", "@a/b:c d"), ("queue://a", "//a"), ("@ctx/queue://a", "//a")])
def test_the_name_of_a_queue_is_escaped_in_a_url_and_nowhere_else(text: str, name: str) -> None:
    assert parse_address(text).name == name


@pytest.mark.parametrize(("text", "url", "name"), [
    ("nats://u:p@h:4222/orders.created", "nats://u:p@h:4222", "orders.created"), ("kafka://a:1,b:2/orders", "kafka://a:1,b:2", "orders"),
    ("amqp://u:p@h/v/queue:q", "amqp://u:p@h/v", "queue:q"), ("amqp://h/queue:q", "amqp://h", "queue:q"), ("amqp://h/queue:v/q", "amqp://h", "queue:v/q"),
    ("amqp://h/q", "amqp://h", "q"), ("amqps://h/%2F/q", "amqps://h/%2F", "q"), ("nats://h/a/b", "nats://h", "a/b"),
    # RFC 3986: a scheme is written in either case
    ("NATS://u:P@H/Orders", "nats://u:P@H", "Orders"), ("Amqp://h/V/queue:q", "amqp://h/V", "queue:q"),
    ("nats://a:1,nats://b:2/orders.created", "nats://a:1,b:2", "orders.created"), ("nats://u:p@a,nats://u:p@b/stream:A", "nats://u:p@a,b", "stream:A"),
    ("queue://a,queue://b/c", None, "queue://a,queue://b/c"), ("nats://h/a,nats://b", "nats://h", "a,nats://b")])
def test_a_url_is_its_broker_and_what_is_on_it(text: str, url: str | None, name: str) -> None:
    assert split_broker(text) == (None, url, name)


@pytest.mark.parametrize("text", ["nats://", "nats:///orders", "nats://u:s3cret@h", "nats://u:s3cret@h/", "amqp://u:s3cret@h"])
def test_a_url_that_lacks_its_host_or_its_name_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(UsageProblem, match="names a host and what is on it") as refused:
        parse_address(text)
    assert ("VHOST" in str(refused.value.hint)) == text.startswith("amqp")
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(("text", "why"), [
    ("", "cannot be empty"), ("queue:", "cannot be empty"), ("@ctx/", "cannot be empty"), ("exchange:", "needs a routing key"), ("foo:bar", "foo: is no kind"),
    ("@ctx", "@CONTEXT/ADDRESS"), ("@/orders", "@CONTEXT/ADDRESS"), ("@a b/orders", "@CONTEXT/ADDRESS"), ("a\udcffb", "not UTF-8"),
    ("@\udcff/b", "not UTF-8"), ("nats://u:s3cret\udcff@h/b", "not UTF-8"),
    ("a\x1b[31mb", r"a\\x1b\[31mb holds control"), ("exchange:a/b\x9b", r"exchange:a/b\\x9b holds control"),
    ("nats://u:s3cret@h/a%0Ab", r"a\\x0ab holds control")])
def test_what_names_nothing_is_refused_and_shown_without_its_control_characters_and_passwords(text: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why) as refused:
        parse_address(text)
    said = f"{refused.value} {refused.value.hint}"
    assert "s3cret" not in said
    assert said.isprintable()


@given(NAMES, st.sampled_from(["queue", "stream", "exchange", "topic"]), st.none() | NAMES, st.none() | st.just("ctx"))
def test_what_is_printed_is_read_back(name: str, kind: str, route: str | None, context: str | None) -> None:
    address = Address(name, kind, route if kind == "exchange" else None, context)
    assert parse_address(str(address)) == address


@given(st.text("a/%25Ff é.", min_size=1, max_size=12), st.text("a/%25F.", max_size=8))
def test_a_binding_is_declared_as_plans_write_it(source: str, key: str) -> None:
    declared = binding(source, "queue:q", key)
    assert parse_binding(declared.name, None, {}) == declared


@given(NAMES)
def test_an_exchange_is_declared_by_its_address_as_well(name: str) -> None:
    assert parse_name("exchange", str(Address(name, "exchange"))).name == name
