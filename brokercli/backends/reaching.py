"""Whether a port can be reached at all, before any protocol."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

Place = tuple[Any, ...]
"""One of a host's addresses, as `socket.getaddrinfo` has it."""


def obstacle(host: str, port: int, seconds: float) -> str | None:
    """Return why a TCP connection cannot be made within `seconds`, in a few words; None where it can. Of several addresses of the host
    each has its share of the time."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return "no such host"
    except (OSError, UnicodeError, OverflowError) as problem:
        return _in_words(problem)
    return obstacle_on_the_way(places, seconds)


def obstacle_on_the_way(places: Sequence[Place], seconds: float) -> str | None:
    """The same for a host whose addresses are known."""
    deadline = monotonic() + seconds
    reason: str | None = None
    for tried, (family, kind, protocol, _, place) in enumerate(places):
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(max(0.05, (deadline - monotonic()) / (len(places) - tried)))
                connection.connect(place)
                return None
        except TimeoutError:
            reason = f"no answer within {seconds:g} s"
        except (OSError, OverflowError) as problem:
            reason = reason or _in_words(problem)
    return reason


def _in_words(problem: Exception) -> str:
    return (getattr(problem, "strerror", None) or str(problem)).lower()


def obstacles(places: Iterable[tuple[str, int]], seconds: float) -> dict[tuple[str, int], str]:
    """Return those that cannot be reached, and why; all are tried at once."""
    wanted = list(dict.fromkeys(places))
    if not wanted:
        return {}
    with ThreadPoolExecutor(min(16, len(wanted))) as together:
        found = together.map(lambda place: obstacle(place[0], place[1], seconds), wanted)
        return {place: reason for place, reason in zip(wanted, found, strict=True) if reason is not None}
