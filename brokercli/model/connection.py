"""How to reach one broker: the answer of `settings/`, the question of every backend."""

from __future__ import annotations

from dataclasses import dataclass, field


class Secret:
    """A value that no print, log or traceback shows; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; hand it to a client and to nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "****"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return "****"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def spell_place(host: str, port: int | None = None) -> str:
    """Write a host, and its port where there is one, as URLs do: an IPv6 address in brackets."""
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return name if port is None else f"{name}:{port}"


@dataclass(frozen=True, slots=True)
class TLS:
    """How to trust the broker and who we are to it; paths of PEM files."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: Secret | None = None
    server_name: str | None = None
    insecure: bool = False
    """Accept any certificate: said aloud, never a default."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One broker, as settings resolved it. No client library has been asked anything yet."""

    scheme: str
    """As written: kafka, kafkas, nats, tls, amqp, amqps, or a plugin's."""
    hosts: tuple[tuple[str, int | None], ...]
    """(host, port) in the order given; a missing port is the broker's usual one."""
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    credentials: str | None = None
    """Path of a NATS .creds file, or of one with the seed of an NKEY."""
    mechanism: str | None = None
    """SASL mechanism; without it PLAIN where there is a password."""
    virtual_host: str = "/"
    tls: TLS | None = None
    """None: no TLS. A scheme that means TLS always comes with one."""
    management: str | None = None
    """Address of RabbitMQ's management API; without it the usual port of the first host is tried."""
    options: dict[str, str] = field(default_factory=dict)
    """A client's own settings, as allowed by settings/."""
    connect_timeout: float = 5.0
    """Seconds until an attempt to connect has failed."""

    def __str__(self) -> str:
        return f"{self.scheme}://" + ",".join(spell_place(host, port) for host, port in self.hosts)

    @property
    def whereabouts(self) -> str:
        """Which broker this leads to and as whom, which on NATS may decide on the account; nothing secret. Two that differ may lead to
        different messages."""
        who = self.user or self.credentials
        host = self.virtual_host if self.virtual_host.startswith("/") else f"/{self.virtual_host}"
        return f"{self}{'' if host == '/' else host}{f' as {who}' if who else ''}"
