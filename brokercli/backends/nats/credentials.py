"""Files that a login lies in: a user's JWT and the seed of its NKEY (.creds), or that seed alone (.nk)."""

from __future__ import annotations

import base64
import binascii
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from brokercli.model.errors import BrokercliError, Failed, UsageProblem

if TYPE_CHECKING:
    from nats.aio.client import Client

_HINT = "it is the .creds file that nsc or your NATS provider wrote, or one with an NKEY seed alone (SU…)"
_JWT = re.compile(r"-BEGIN NATS USER JWT-+\s+(\S+)")
_DECORATED = re.compile(r"-BEGIN USER NKEY SEED-+\s+(\S+)")
# as nats.go reads it (nkeys.ParseDecoratedNKey): the line that begins like one, and there may be others
_ALONE = re.compile(r"^\s*(S[OAU]\S+)\s*$", re.MULTILINE)
_SEED_PREFIX = 18 << 3
_USER_PREFIX = 20 << 3
_SEED_BYTES = 36


class Credentials(NamedTuple):
    """What such a file holds."""

    jwt: str | None
    """None: the server knows the NKEY itself."""
    seed: str


def read_credentials(path: str) -> Credentials:
    """Read a file. Raises UsageProblem for what cannot be read or holds no login; no part of it is ever quoted."""
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        raise UsageProblem(f"There is no credentials file {path}.", hint=_HINT) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageProblem(f"The credentials file {path} cannot be read: {getattr(problem, 'strerror', None) or 'it is not text'}.", hint=_HINT) from None
    jwt = _JWT.search(text)
    seed = _DECORATED.search(text) or (_ALONE.search(text) if jwt is None else None)
    if seed is None:
        raise UsageProblem(f"The file {path} is no NATS credentials file: it needs a user JWT and an NKEY seed, or the seed of an NKEY that the server knows.",
                           hint=_HINT)
    raw = _raw_seed(seed[1])
    if raw is None:
        raise UsageProblem(f"The NKEY seed in the credentials file {path} is damaged.", hint=_HINT)
    if (raw[0] & 0x07) << 5 | raw[1] >> 3 != _USER_PREFIX:
        raise UsageProblem(f"The NKEY seed in the credentials file {path} is none of a user: accounts and operators do not log in.", hint=_HINT)
    return Credentials(jwt[1] if jwt else None, seed[1])


def _raw_seed(text: str) -> bytes | None:
    """Decode the seed of an NKEY (github.com/nats-io/nkeys): base32 of two bytes that say of what, 32 of the key and a checksum; None for what is none."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return None
    whole = len(raw) == _SEED_BYTES and raw[0] & 0xF8 == _SEED_PREFIX and binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")
    return raw if whole else None


def sign_in(client: Client, path: str) -> dict[str, Any]:
    """Return how nats-py logs in with such a file, which is read at each login: one that is renewed meanwhile counts.

    nats-py's own reader takes no file with CRLF line ends, and no seed with anything beside it.
    """
    first = read_credentials(path)
    pair, inner = _pair_of(first), cast("Any", client)
    inner._auth_configured = True
    if first.jwt is None:
        inner._public_nkey = pair.public_key.decode()
    signature = {"signature_cb": lambda nonce: base64.b64encode(_pair_of(_again(path)).sign(nonce.encode()))}
    return signature if first.jwt is None else signature | {"user_jwt_cb": lambda: (_again(path).jwt or "").encode()}


def _again(path: str) -> Credentials:
    try:
        return read_credentials(path)
    except BrokercliError as problem:
        raise ConnectionError(str(problem).rstrip(".")) from None  # what nats-py tries again after


def _pair_of(credentials: Credentials) -> Any:
    try:
        nkeys = import_module("nkeys")  # nats-py needs it for these files only and does not bring it
    except ModuleNotFoundError:
        raise Failed("NATS credentials files need the Python package nkeys, which is not installed.", hint="pip install 'brokercli[credentials]'") from None
    return nkeys.from_seed(bytearray(credentials.seed.encode()))
