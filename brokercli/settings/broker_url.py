"""Broker URLs, read by ourselves: the library's parsers quote parts of a password in their errors, and take one host only."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from brokercli.model.connection import Secret, spell_place
from brokercli.model.errors import UsageProblem
from brokercli.model.scheme import SCHEME, WITH_TOKEN, WITH_VIRTUAL_HOST, with_one_scheme

_HOST = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^\s:@\[\]\x00-\x1f\x7f]+)")
_ENCODE = "in a URL, user and password are percent-encoded: @ %40, : %3A, / %2F, # %23, ? %3F, % %25"


class BrokerURL(NamedTuple):
    """The parts of a URL that names a broker, decoded."""

    scheme: str
    hosts: tuple[tuple[str, int | None], ...]
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    virtual_host: str | None = None

    def __str__(self) -> str:
        """Spell it without secrets."""
        hosts = ",".join(spell_place(host, port) for host, port in self.hosts)
        login = "****@" if self.token else f"{self.user or ''}:****@" if self.password else f"{self.user}@" if self.user else ""
        path = f"/{self.virtual_host.replace('/', '%2F')}" if self.virtual_host not in (None, "/") else ""
        return f"{self.scheme}://{login}{hosts}{path}"

    def without_secrets(self) -> str:
        """Spell it so that it parses back, less password and token."""
        from urllib.parse import quote

        hosts = ",".join(spell_place(host, port) for host, port in self.hosts)
        path = f"/{quote(self.virtual_host, safe='')}" if self.virtual_host and self.virtual_host != "/" else ""
        return f"{self.scheme}://{hosts}{path}"


def parse_broker_url(text: str, where: str) -> BrokerURL:
    """Read `kafka://a:9092,b:9092`, `nats://user:password@host`, `nats://token@host`, `amqp://host/vhost`.

    `where` says in errors whose URL it is; no part of the URL behind its scheme is ever quoted, it may be a password.
    """
    scheme, separator, rest = with_one_scheme(text).partition("://")
    if not separator or not re.fullmatch(SCHEME, scheme):
        raise UsageProblem(f"{where} is no URL.", hint="for example: nats://localhost:4222, kafka://a:9092,b:9092, amqp://localhost/vhost")
    scheme = scheme.lower()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    remainder = rest[len(authority):]
    if "@" in remainder and "@" not in authority:
        raise UsageProblem(f"{where} holds a character that ends the host part before the @.", hint=_ENCODE)
    if "?" in remainder or "#" in remainder:
        raise UsageProblem(f"{where} carries a query or a fragment, which broker URLs do not have.",
                           hint=f"put settings into a context (brokercli help contexts); {_ENCODE}")
    login, at, hosts_text = authority.rpartition("@")
    user, password, token = _parse_login(scheme, login, where) if at else (None, None, None)
    hosts = tuple(_parse_host(host, where) for host in hosts_text.split(","))
    return BrokerURL(scheme, hosts, user, password, token, _parse_path(scheme, remainder, where))


def _parse_login(scheme: str, login: str, where: str) -> tuple[str | None, Secret | None, Secret | None]:
    user, colon, password = login.partition(":")
    if not colon and scheme in WITH_TOKEN:
        return None, None, Secret(_decode(user, where))  # NATS writes a token where others write a user
    return _decode(user, where) or None, Secret(_decode(password, where)) if colon else None, None


def _parse_host(text: str, where: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"(\[[^\]]*\])(?::(.*))?", text)
    host, port = (bracketed[1], bracketed[2]) if bracketed else (text.partition(":")[0], text.partition(":")[2] or None)
    match = _HOST.fullmatch(host)
    if match is None:
        raise UsageProblem(f"{where} names no usable host.", hint=f"hosts: name, name:port, [IPv6]:port, several with commas; {_ENCODE}")
    if port is not None and not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and 0 < int(port) < 65536):
        raise UsageProblem(f"{where} has a port that is no number from 1 to 65535.", hint=_ENCODE)
    return match[1] or match[2], int(port) if port else None


def _parse_path(scheme: str, path: str, where: str) -> str | None:
    if path in ("", "/"):
        return None
    if scheme not in WITH_VIRTUAL_HOST:
        raise UsageProblem(f"{where} names more than a broker: there is a path behind the host.",
                           hint="a broker is scheme://host:port; an address on it goes where the command takes an address")
    name = path[1:]
    if "/" in name:
        raise UsageProblem(f"{where} names more than a broker and its virtual host.", hint="a / inside a virtual host is written %2F")
    return _decode(name, where)


def _decode(text: str, where: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise UsageProblem(f"{where} holds percent-escapes that are not UTF-8.", hint=_ENCODE) from None
