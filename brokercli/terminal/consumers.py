"""Consumers as tables and as JSON: the list, how far they are, a planned seek."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

from brokercli.model.consumption import Consumption, Lag, Seek
from brokercli.model.position import format_time
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import print_json, print_table


class Measurement(Protocol):
    """One consumer at one moment; see `operations/lagging.py`."""

    @property
    def name(self) -> str: ...
    @property
    def time(self) -> int: ...
    @property
    def lags(self) -> tuple[Lag, ...]: ...
    @property
    def lag(self) -> int | None: ...
    @property
    def in_hand(self) -> int | None: ...
    @property
    def unknown(self) -> list[Lag]: ...


def print_consumers(streams: Streams, found: Sequence[Consumption], output: str) -> None:
    """Print the table of `consumers ls`."""
    if output == "json":
        print_json(streams, [asdict(one) for one in found])
        return
    facts = dict.fromkeys(name for one in found for name, value in one.facts.items() if value is not None)
    print_table(streams, without_empty([{
        "name": one.name, "kind": one.kind, "state": one.state or None, "members": one.members, "lag": one.lag, "in hand": one.in_hand,
        "reads": ", ".join(one.reads) or None, **{name: one.facts.get(name) for name in facts},
    } for one in found]), output=output)


def print_lag(streams: Streams, measured: Sequence[Measurement], output: str) -> None:
    """Print how far each is, a line for each source and partition; one JSON object a consumer."""
    if output == "json":
        print_json(streams, [lag_object(one) for one in measured])
    else:
        print_table(streams, lag_rows(measured), output=output)


def lag_object(measured: Measurement) -> dict[str, object]:
    """Return what one consumer is as JSON."""
    return {"time": format_time(measured.time), "name": measured.name, "lag": measured.lag, "in_hand": measured.in_hand,
            "sources": [asdict(lag) for lag in measured.lags]}


def lag_rows(measured: Sequence[Measurement], change: Mapping[tuple[str, str, int | None], float] | None = None) -> list[Mapping[str, object]]:
    """Return the rows of the table; a consumer of several lines has one more with the total. `change` is by how much a lag grows
    in a second, for consumer, source and partition."""
    rows: list[Mapping[str, object]] = []
    for one in measured:
        for lag in one.lags:
            rows.append({"consumer": one.name, "source": lag.source, "partition": lag.partition, "position": lag.position, "end": lag.end, "lag": lag.lag,
                         "in hand": lag.in_hand, "per second": _rounded(change, (one.name, lag.source, lag.partition)), "member": lag.member or None})
        if len(one.lags) != 1:
            known = "in all, as far as known" if one.unknown else "in all"
            rows.append({"consumer": one.name, "source": known, "lag": one.lag, "in hand": one.in_hand,
                         "per second": _rounded(change, (one.name, "", None))})
    return without_empty(rows)


def print_seek(streams: Streams, planned: Seek, output: str) -> None:
    """Print where a seek goes, and what that skips or reads again."""
    if output == "json":
        print_json(streams, [{"name": planned.name, "active": planned.active, "remarks": planned.remarks, "steps": [asdict(step) for step in planned.steps]}])
        return
    print_table(streams, without_empty([{
        "source": step.source, "partition": step.partition, "have": "none" if step.have is None else step.have, "want": step.want,
        "skipped": step.skipped if step.skipped and step.skipped > 0 else None,
        "read again": -step.skipped if step.skipped and step.skipped < 0 else None,
    } for step in planned.steps]), output=output)


def without_empty(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Leave out the columns in which no row says anything."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    order = [name for name in dict.fromkeys(name for row in rows for name in row) if name in names]
    return [{name: row.get(name) for name in order} for row in rows]


def _rounded(change: Mapping[tuple[str, str, int | None], float] | None, key: tuple[str, str, int | None]) -> float | None:
    if change is None or key not in change:
        return None
    return round(change[key]) if abs(change[key]) >= 9.5 or not round(change[key], 1) else round(change[key], 1)
