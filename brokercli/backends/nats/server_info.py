"""What a server says of itself in an INFO line, before it knows us and after: read so that nothing in it can trip whoever uses it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit


def read_info(text: bytes) -> dict[str, Any]:
    """Return what is behind INFO. Other servers that it names and that are no addresses are left out. Raises ValueError for what no NATS
    server says."""
    try:
        info = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(info, dict):
        raise ValueError("not an object")
    if "connect_urls" in info:
        named = info["connect_urls"]
        info["connect_urls"] = [url for url in named if _is_address(url)] if isinstance(named, list) else []
    return info


def _is_address(url: object) -> bool:
    try:
        place = urlsplit(f"nats://{url}")
        # nats-py takes a host called none for no host
        return isinstance(url, str) and place.port is not None and place.hostname not in (None, "none")
    except ValueError:
        return False
