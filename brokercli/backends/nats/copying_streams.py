"""What a server refuses of a stream for what it is copied, or filled, from: circles above all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from brokercli.backends.nats.streams import Json
from brokercli.backends.nats.subjects import overlap
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, Difference

Known = Callable[[str], Awaitable[Json | None]]
"""Tells the configuration that a stream has, or will have, None where there is none."""


async def of_copies(declaration: Declaration, full: Json, known: Known) -> list[Difference]:
    """Return what stands in the way; `full` is what the stream's configuration will be."""
    settings = declaration.settings
    setting = "mirror" if full.get("mirror") else "sources"
    found: list[Difference] = []
    circle = await _circle(declaration.name, full, known)
    if circle and setting in settings:
        found.append(Difference(setting, None, settings[setting], f"{circle} is filled from this stream, which would store its own messages again, for ever"))
    for origin in _origins(full):
        there = await known(str(origin.get("name")))
        if there is None:
            continue
        most, theirs = int(full.get("max_msg_size") or -1), int(there.get("max_msg_size") or -1)
        if 0 < most < theirs and "max_msg_size" in settings:
            found.append(Difference("max_msg_size", None, most, f"{origin['name']}, which it copies, takes messages of {amount(theirs, 'byte')}"))
        if setting == "mirror" and settings.get("mirror_direct") is not None and bool(settings["mirror_direct"]) != bool(there.get("allow_direct")):
            given = str(bool(there.get("allow_direct"))).lower()
            found.append(Difference("mirror_direct", None, settings["mirror_direct"],
                                    f"the server takes it from allow_direct of {origin['name']}, which is {given}"))
    return found


async def _circle(name: str, full: Json, known: Known) -> str | None:
    """Return which stream closes a circle, as the server looks for it (checkStreamCfg)."""
    visited: set[str] = set()
    to_visit = [(name, full)]
    while to_visit:
        here, config = to_visit.pop(0)
        visited.add(here)
        for origin in _origins(config):
            other, filter_subject = str(origin.get("name")), str(origin.get("filter_subject") or "")
            if other not in visited:
                if (there := await known(other)) is not None:
                    to_visit.append((other, there))
            elif origin is config.get("mirror") or not filter_subject or any(overlap(str(one), filter_subject) for one in config.get("subjects") or []):
                return here
    return None


def _origins(config: Json) -> list[Json]:
    mirror, sources = config.get("mirror"), config.get("sources")
    tables = [mirror, *(sources if isinstance(sources, list) else [])]
    return [table for table in tables if isinstance(table, dict) and table and not table.get("external")]
