"""NKEYs, and the JWTs that operators, accounts and users are made of: what nsc would write (nats-io/jwt, version 2)."""

from __future__ import annotations

import base64
import os
import time
from dataclasses import dataclass, field
from typing import Any

import nkeys
import orjson

OPERATOR, ACCOUNT, USER = nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER
_UNLIMITED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"), -1)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True)
class Identity:
    """One key."""

    seed: str
    name: str = field(init=False)
    """The public key."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self._pair().public_key.decode())

    def _pair(self) -> Any:
        return nkeys.from_seed(bytearray(self.seed.encode()))

    def sign(self, subject: Identity, claims: dict[str, object], expires: int | None = None) -> str:
        """Return a JWT about somebody."""
        whole = {"jti": subject.name, "iat": int(time.time()), "iss": self.name, "sub": subject.name, "name": "tests", "nats": {**claims, "version": 2}}
        head = _text(b'{"typ":"JWT","alg":"ed25519-nkey"}') + "." + _text(orjson.dumps(whole if expires is None else whole | {"exp": expires}))
        return f"{head}.{_text(self._pair().sign(head.encode()))}"


def identity(kind: int, key: bytes | None = None) -> Identity:
    return Identity(nkeys.encode_seed(key or os.urandom(32), kind).decode().rstrip("="))


class Accounts:
    """An operator with one account, for the configuration of a server."""

    def __init__(self, connections: int = -1) -> None:
        """`connections`: how many the account may have."""
        self._connections = connections
        self._operator, self._account, self._system = identity(OPERATOR), identity(ACCOUNT), identity(ACCOUNT)

    @property
    def settings(self) -> dict[str, str]:
        limits = {"type": "account", "limits": {**_UNLIMITED, "wildcards": True, "conn": self._connections}}
        quiet = {"type": "account", "limits": {**_UNLIMITED, "wildcards": True, "mem_storage": 0, "disk_storage": 0}}
        accounts = {self._account.name: self._operator.sign(self._account, limits), self._system.name: self._operator.sign(self._system, quiet)}
        return {"operator": self._operator.sign(self._operator, {"type": "operator"}), "system_account": self._system.name, "resolver": "MEMORY",
                "resolver_preload": "{" + ", ".join(f"{name}: {jwt}" for name, jwt in accounts.items()) + "}"}

    def credentials(self, user: Identity, expires: int | None = None, *, payload: int = -1) -> str:
        """Return what nsc writes into a .creds file; `payload` is how large its messages may be."""
        jwt = self._account.sign(user, {"type": "user", "subs": -1, "data": -1, "payload": payload}, expires)
        return (f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n************************* IMPORTANT *************************\n"
                f"NKEY Seed printed below can be used to sign and prove identity.\n\n"
                f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n\n****\n")
