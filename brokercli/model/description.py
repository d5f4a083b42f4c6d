"""What `ls` and `describe` say about a resource."""

from __future__ import annotations

from dataclasses import dataclass, field

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of `ls`. A number the broker does not say is None."""

    kind: str
    """Kind of address: topic, subject, stream, queue, exchange."""
    name: str
    resource: str
    """Row of the support table: `quorum queue`, `work-queue stream`, …"""
    messages: int | None = None
    bytes: int | None = None
    facts: dict[str, Value] = field(default_factory=dict)
    """A few more, in the broker's words: partitions, consumers, subjects."""


@dataclass(slots=True)
class Section:
    """A titled table inside a description: the same columns in every row."""

    title: str
    rows: list[dict[str, Value]]


@dataclass(slots=True)
class Description:
    """Everything worth knowing about one address, in the order it should be read."""

    kind: str
    name: str
    resource: str
    facts: dict[str, Value] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be found out, and why (no management API, no permission)."""
