"""Where the streams lie that others are copied from: in another JetStream domain, or another account, they are not the streams that have their names here."""

from __future__ import annotations

import re

from brokercli.backends.nats.streams import Json

_DOMAIN = re.compile(r"\$JS\.([^.]+)\.API")


def named(origin: Json) -> str:
    """Return the name of a stream that another is copied from, with where it lies unless that is here."""
    return f"{origin.get('name')}{place_of(origin)}"


def place_of(origin: Json) -> str:
    """Return what to say behind the name of a stream that another is copied from, ` of …`; empty where it lies in the same domain and account."""
    api = _api(origin)
    if not api:
        return ""
    domain = _DOMAIN.fullmatch(api)
    return f" of the JetStream domain {domain[1]}" if domain else f" of the account whose API is imported under {api}"


def way_to(origin: Json) -> str:
    """Return what to name to reach such a stream."""
    api, address = _api(origin), f"stream:{origin.get('name')}"
    domain = _DOMAIN.fullmatch(api)
    if not api:
        return f"name {address}"
    return f"name {address} in a context with the option {f'domain={domain[1]}' if domain else f'js_api_prefix={api}'}"


def _api(origin: Json) -> str:
    return str((origin.get("external") or {}).get("api") or "")
