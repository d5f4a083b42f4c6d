"""Whether a port can be reached at all, before any protocol."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor


def obstacle(host: str, port: int, seconds: float) -> str | None:
    """Return why a TCP connection cannot be made within `seconds`, in a few words; None where it can."""
    try:
        socket.create_connection((host, port), seconds).close()
    except socket.gaierror:
        return "no such host"
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except (OSError, UnicodeError, OverflowError) as problem:
        return (getattr(problem, "strerror", None) or str(problem)).lower()
    return None


def obstacles(places: Iterable[tuple[str, int]], seconds: float) -> dict[tuple[str, int], str]:
    """Return those that cannot be reached, and why; all are tried at once."""
    wanted = list(dict.fromkeys(places))
    if not wanted:
        return {}
    with ThreadPoolExecutor(min(16, len(wanted))) as together:
        found = together.map(lambda place: obstacle(place[0], place[1], seconds), wanted)
        return {place: reason for place, reason in zip(wanted, found, strict=True) if reason is not None}
