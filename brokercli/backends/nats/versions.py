"""What the server we are connected to is old enough not to have."""

from __future__ import annotations

import re

from brokercli.backends.nats.link import Link
from brokercli.model.errors import Unsupported

PAUSE = (2, 11)
RESET = (2, 14)


def require(link: Link, version: tuple[int, int], what: str) -> None:
    """Raise Unsupported where the server is older than `version`; one that does not say its version is taken at its word later."""
    said = str(link.server.get("version", ""))
    match = re.match(r"v?(\d+)\.(\d+)", said)
    if match is not None and (int(match[1]), int(match[2])) < version:
        raise Unsupported(f"This server ({said}) {what}: nats-server {version[0]}.{version[1]} and later can.")
