"""Where messages flow: a graph of topics, exchanges, queues, streams and consumers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Node:
    """One thing messages pass through, lie in or are taken by."""

    id: str
    """Its address, or `consumer NAME`."""
    kind: str
    """topic, subject, stream, queue, exchange, consumer, dead letters, …"""
    notes: tuple[str, ...] = ()
    """A few words each: `1,200 messages`, `delivery-limit 20`, `lag 3`."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Messages go from one node to another: by `why` (`orders.*`, `rejected`, `after 5s`, `delivered`)."""

    source: str
    target: str
    why: str = ""


@dataclass(slots=True)
class Flow:
    """What can be reached from one address, both ways. Edges may form circles (retries do)."""

    start: str
    """The id of the node that was asked for."""
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be found out, and why."""
    _entered: set[Edge] = field(default_factory=set, repr=False, compare=False)

    def node(self, id: str, kind: str, *notes: str) -> str:
        """Enter a node unless it is there; return its id."""
        self.nodes.setdefault(id, Node(id, kind, notes))
        return id

    def edge(self, source: str, target: str, why: str = "") -> None:
        """Enter an edge once."""
        found = Edge(source, target, why)
        if found not in self._entered:
            self._entered.add(found)
            self.edges.append(found)

    def leaving(self) -> dict[str, list[Edge]]:
        """Return the edges by the node they begin at, in order; nodes that none leaves are left out."""
        leaving: dict[str, list[Edge]] = {}
        for edge in self.edges:
            leaving.setdefault(edge.source, []).append(edge)
        return leaving
