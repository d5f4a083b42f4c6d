"""Messages made from a seed: all sizes, empty and binary bodies, repeated and binary headers, keys, several origins."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

IDENTITY = "torture-id"
GROUP = "torture-group"
NEEDLE = b"needle in a body"


@dataclass(frozen=True, slots=True)
class Seed:
    """One message before a broker knows it. `home` counts the places it may come from; -1: one that is gone."""

    identity: str
    body: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    home: int
    chosen: bool
    """Whether it is one of those that a selective command asks for."""

    @property
    def size(self) -> int:
        """Bytes that it takes at least."""
        return len(self.body or b"") + len(self.key or b"") + sum(len(name) + len(value or b"") for name, value in self.headers)


def make_seeds(chance: random.Random, count: int, *, homes: int, gone: float, chosen: float, largest: int, run: str) -> list[Seed]:
    """Make `count` of them; the shares `gone` have a home that is gone, `chosen` are in the group that is selected."""
    seeds = []
    for number in range(count):
        identity = f"{run}-{number:05d}"
        mine = chance.random() < chosen
        headers = [(IDENTITY, identity.encode()), (GROUP, b"a" if mine else b"b"), *_headers(chance)]
        body = _body(chance, largest)
        if mine:
            body = NEEDLE + (body or b"") if chosen < 1 else body
        seeds.append(Seed(identity, body, chance.choice((None, b"", b"customer-%d" % chance.randrange(20), chance.randbytes(8))), tuple(headers),
                          -1 if chance.random() < gone else chance.randrange(homes), mine))
    return seeds


def sizes(seeds: Sequence[Seed]) -> int:
    """Return how many bytes they are together, roughly as a wire has them."""
    return sum(seed.size + 120 for seed in seeds)


def _body(chance: random.Random, largest: int) -> bytes | None:
    what = chance.random()
    if what < 0.1:
        return b""
    if what < 0.14:
        return None
    if what < 0.3:
        return chance.randbytes(chance.randrange(1, 300))
    if what < 0.95:
        return b'{"order":%d,"note":"%b"}' % (chance.randrange(10**6), b"x" * chance.randrange(300))
    return chance.randbytes(int(1000 * (largest / 1000) ** chance.random()))


def _headers(chance: random.Random) -> list[tuple[str, bytes | None]]:
    found: list[tuple[str, bytes | None]] = []
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        name = chance.choice(("tenant", "tag", "signature", "trace", "Tag"))
        value = chance.choice((b"", b"shop", b"a b", bytes(byte for byte in chance.randbytes(12) if byte not in b"\r\n \t\0"), "zürich".encode()))
        found.append((name, value))
        if chance.random() < 0.3:
            found.append((name, b"again"))
    if chance.random() < 0.05:
        found.append(("none", None))
    return found
