"""Where messages live or go, as a user spells it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from brokercli.model.errors import UsageProblem
from brokercli.model.scheme import SCHEME, WITH_VIRTUAL_HOST, with_one_scheme

KINDS = ("topic", "subject", "stream", "queue", "exchange")

URL = re.compile(rf"(?!(?:{'|'.join(KINDS)}):)({SCHEME})://(.*)", re.DOTALL)
"""A one-off address. A kind is no scheme: `queue://a` is the queue `//a`."""
_KIND = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(.*)", re.DOTALL)
_CONTEXT = re.compile(r"@([^/\s]+)/(.*)", re.DOTALL)
_SLASH, _ESCAPED, _MISLEADING = "%2F", re.compile(r"%(2F|25)", re.IGNORECASE), re.compile(r"%(?=2[Ff]|25)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. What a bare name means (`kind` is None) only its broker can say: `Backend.resolve`."""

    name: str
    kind: str | None = None
    route: str | None = None
    """The routing key of `exchange:NAME/ROUTING.KEY`; None leaves it to each message."""
    context: str | None = None
    url: str | None = None
    """The broker of a one-off address (`nats://host:4222/subject`), without the address itself."""

    def of_kind(self, kind: str) -> Address:
        """Return this address with its kind said."""
        return replace(self, kind=kind)

    def __str__(self) -> str:
        """Spell it so that it parses back to itself; the connection is left out, it may hold a password."""
        name = spell_exchange(self.name) if self.kind == "exchange" else self.name
        text = name if self.kind is None else f"{self.kind}:{name}"
        if self.route is not None:
            text += f"/{self.route}"
        return f"@{self.context}/{text}" if self.context else text


def spell_exchange(name: str) -> str:
    """Spell an exchange so that its routing key can follow: a slash in its name is `%2F`, and a percent sign `%25` only where it would be read
    as part of one of the two."""
    return _MISLEADING.sub("%25", name).replace("/", _SLASH)


def read_exchange(text: str) -> str:
    """Return the name of an exchange that is spelled so."""
    return _ESCAPED.sub(lambda match: "%" if match[1] == "25" else "/", text)


def parse_address(text: str) -> Address:
    """Read `orders.created`, `queue:orders`, `exchange:x/key`, `@staging/…` or `amqp://host/vhost/queue:orders`.

    Raises UsageProblem for anything else. Asks no broker.
    """
    context, url, rest = split_broker(text)
    return _parse_plain(rest, context=context, url=url)


def split_broker(text: str) -> tuple[str | None, str | None, str]:
    """Split what is in front of a name, `@CONTEXT/` or a broker's URL, from the name; return context, URL and name.

    Raises UsageProblem where there is a broker and no name, and for bytes of a command line that are no text.
    """
    check_text(text)
    if URL.fullmatch(text) and (match := URL.fullmatch(with_one_scheme(text))):
        return (None, *_split_url(match[1].lower(), match[2]))
    if not text.startswith("@"):
        return None, None, text
    match = _CONTEXT.fullmatch(text)
    if match is None:
        raise UsageProblem("An address in another context is written @CONTEXT/ADDRESS.", hint="for example: @staging/orders.created")
    return match[1], None, match[2]


def check_text(text: str) -> None:
    """Raise UsageProblem for a name made of bytes that are not UTF-8: what is read of a command line then holds lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # it may hold a password: it is not quoted
        raise UsageProblem("A name holds bytes that are not UTF-8.", hint="names are text on every broker; bodies may be any bytes") from None


def _split_url(scheme: str, rest: str) -> tuple[str, str]:
    # the text may hold a password: it is never quoted in an error
    authority, slash, path = rest.partition("/")
    if not authority or not slash or not path:
        raise UsageProblem(f"A one-off address names a host and what is on it: {scheme}://HOST/ADDRESS.",
                           hint="amqp://HOST/VHOST/queue:NAME; the default vhost is %2F" if scheme in WITH_VIRTUAL_HOST else f"for example: {scheme}://localhost/orders")
    url = f"{scheme}://{authority}"
    if scheme in WITH_VIRTUAL_HOST:
        vhost, slash, rest_of_path = path.partition("/")
        if slash and not _KIND.match(vhost):
            url, path = f"{url}/{vhost}", rest_of_path
    if path.startswith("exchange:"):
        name, slash, key = path.removeprefix("exchange:").partition("/")
        return url, f"exchange:{spell_exchange(unquote(name))}{slash}{unquote(key)}"
    return url, unquote(path)


def _parse_plain(text: str, *, context: str | None, url: str | None) -> Address:
    if match := _KIND.fullmatch(text):
        kind, name = match[1], match[2]
        if kind not in KINDS:
            raise UsageProblem(f"{kind}: is no kind of address; the kinds are {', '.join(f'{known}:' for known in KINDS)}.",
                               # user:password@host is no name, and is not quoted
                               hint=f"a name that holds a colon needs its kind said: queue:{'NAME' if '@' in text else _shown(text)}")
    else:
        kind, name = None, text
    route = None
    if kind == "exchange":
        name, slash, key = name.partition("/")
        name = read_exchange(name)
        route = key if slash else None
        if not name and route is None:
            raise UsageProblem("The default exchange needs a routing key: exchange:/QUEUE.")
    elif not name:
        raise UsageProblem("An address cannot be empty.", hint="for example: orders.created, queue:orders, exchange:orders/created")
    if _CONTROL.search(name) or (route and _CONTROL.search(route)):
        raise UsageProblem(f"The address {_shown(text)} holds control characters.")
    return Address(name, kind, route, context, url)


def _shown(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
