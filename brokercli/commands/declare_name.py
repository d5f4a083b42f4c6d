"""How the thing to declare is named on a command line: by its name, with its context, or by a whole URL."""

from __future__ import annotations

import re

from brokercli.model.address import KINDS, URL, Address, check_text, parse_address, read_exchange, spell_exchange
from brokercli.model.declaration import Declaration, SettingValue, binding
from brokercli.model.errors import UsageProblem

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ALSO = {"binding": ("exchange",), "consumer": ("stream",), "retry": ("topic", "subject", "stream", "queue")}
"""Kinds that may stand before the name of a kind beside its own."""
_EXAMPLES = {"consumer": "ORDERS/worker", "binding": "orders/created queue:billing"}


def parse_name(kind: str, text: str) -> Address:
    """Read the name of a `kind`: `orders`, `topic:orders`, `@staging/orders`, a URL. A consumer's is STREAM/NAME.

    Raises UsageProblem for an empty one, one with control characters, and one that says another kind.
    """
    check_text(text)
    if URL.match(text):
        address = parse_address(text)
        name = spell_exchange(address.name) if kind == "binding" else address.name
        name = name if address.route is None else f"{name}/{address.route}"
        said = address.kind
    else:
        context, rest = None, text
        if text.startswith("@"):
            context, slash, rest = text[1:].partition("/")
            if not slash or not context:
                raise UsageProblem("A name in another context is written @CONTEXT/NAME.", hint=f"for example: @staging/{_EXAMPLES.get(kind, 'orders')}")
        prefix, colon, after = rest.partition(":")
        said, name = (prefix, after) if colon and prefix in (*KINDS, kind) else (None, rest)
        name = read_exchange(name) if kind == said == "exchange" else name
        address = Address(name, None, None, context)
    if said not in (None, kind, *_ALSO.get(kind, ())):
        raise UsageProblem(f"{said}:{name} is no {kind}.", hint=f"a name that holds a colon needs its kind said: {kind}:{said}:{name}")
    if not name or _CONTROL.search(name):
        raise UsageProblem(f"{_CONTROL.sub('?', name)!r} cannot be a name.", hint=f"for example: brokercli declare {kind} {_EXAMPLES.get(kind, 'orders')}")
    if kind == "consumer" and not all(name.partition("/")):
        raise UsageProblem(f"{name!r} is no consumer: a stream and a name are.", hint="for example: ORDERS/worker")
    return Address(name, None, None, address.context, address.url)


def parse_binding(source: str, destination: str | None, settings: dict[str, SettingValue]) -> Declaration:
    """Read `EXCHANGE/KEY` and `queue:NAME` or `exchange:NAME` (a bare name is a queue), or both in one as plans write it:
    `EXCHANGE/KEY -> queue:NAME`."""
    if destination is None:
        source, arrow, destination = source.partition(" -> ")
        if not arrow:
            raise UsageProblem("A binding goes from an exchange to a queue or another exchange; only one of them is said.",
                               hint="for example: brokercli declare binding orders/created queue:billing")
    exchange, _, key = parse_name("binding", source).name.partition("/")
    kind, colon, name = destination.partition(":")
    if not colon or kind not in ("queue", "exchange"):
        kind, name = "queue", destination.removeprefix("stream:")
    if not name or not exchange:
        raise UsageProblem("The default exchange reaches every queue by its name; nothing can be bound to it." if name else "The destination has no name.")
    arguments = settings.get("arguments")
    if twice := [name for name in ("source", "destination", "routing_key" if key else "") if name in settings]:
        raise UsageProblem(f"The {twice[0]} of the binding is said twice.", hint=f"leave --set {twice[0]} out")
    told = settings.get("routing_key", key)
    return binding(read_exchange(exchange), f"{kind}:{name}", str(told), arguments if isinstance(arguments, dict) else None)
