"""The flow of messages as a tree for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from brokercli.model.flow import Edge, Flow, Node
from brokercli.terminal.cells import folded, width_of
from brokercli.terminal.escape import visible
from brokercli.terminal.flow_formats import dot, mermaid
from brokercli.terminal.streams import STYLES, Streams
from brokercli.terminal.tables import print_json

_NARROWEST = 20


def draw(streams: Streams, flow: Flow, form: str = "auto") -> None:
    """Print a flow as `text`, `dot`, `mermaid` or `json`; `auto` is text on a terminal and Mermaid elsewhere. What could not be
    found out goes to standard error.

    Text is a tree from where messages come in to where they end up. What was drawn already is not drawn again: `↺` leads back
    up to something on this very way (a circle, as retries make one), `↑` to something that is drawn above. The thing that was
    asked for is marked with `◀`.
    """
    match form:
        case "json":
            print_json(streams, [{"start": flow.start, "nodes": [asdict(node) for node in flow.nodes.values()],
                                  "edges": [asdict(edge) for edge in flow.edges], "missing": flow.missing}])
            return
        case "dot":
            streams.write(dot(flow).encode())
        case "mermaid":
            streams.write(mermaid(flow).encode())
        case "auto" if not streams.stdout_is_terminal:
            streams.write(mermaid(flow).encode())
        case _:
            streams.write("".join(f"{line}\n" for line in flow_lines(streams, flow)).encode())
    for reason in flow.missing:
        streams.say(f"not known: {reason}")


def flow_lines(streams: Streams, flow: Flow) -> list[str]:
    """Return the lines of the tree."""
    drawing = _Drawing(streams, flow)
    for root in roots(flow):
        drawing.tree(root)
    return drawing.lines


def roots(flow: Flow) -> list[str]:
    """Return the nodes to begin with, so that every node is reached: those nothing leads to, then one of each circle that
    nothing leads into, the one that was asked for if it can be."""
    leaving = flow.leaving()
    led_to = {edge.target for edge in flow.edges if edge.source != edge.target}
    begins = [id for id in flow.nodes if id not in led_to]
    reached: set[str] = set()
    for id in begins:
        _reach(leaving, id, reached)
    for id in (flow.start, *flow.nodes):
        if id in flow.nodes and id not in reached:
            begins.append(id)
            _reach(leaving, id, reached)
    return begins


def _reach(leaving: Mapping[str, Sequence[Edge]], begin: str, reached: set[str]) -> None:
    waiting = [begin]
    while waiting:
        id = waiting.pop()
        if id not in reached:
            reached.add(id)
            waiting += [edge.target for edge in leaving.get(id, ())]


class _Drawing:
    def __init__(self, streams: Streams, flow: Flow) -> None:
        self._flow = flow
        self._leaving = flow.leaving()
        self._colour = streams.colour
        self._width = streams.width if streams.stdout_is_terminal else None
        self._drawn: set[str] = set()
        self.lines: list[str] = []

    def tree(self, root: str) -> None:
        """Draw one tree, deep ones too: by hand, not by recursion."""
        self._line("", "", "", self._flow.nodes[root])
        self._drawn.add(root)
        waiting = self._branches(root, "", (root,))
        while waiting:
            edge, last, margin, way = waiting.pop()
            stem, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            why = f"{edge.why} " if edge.why else ""
            node = self._flow.nodes.get(edge.target, Node(edge.target, ""))
            if edge.target in way:
                self._line(margin + stem, margin + below, f"{why}↺ ", node, again=True)
            elif edge.target in self._drawn:
                self._line(margin + stem, margin + below, f"{why}↑ ", node, again=True)
            else:
                self._drawn.add(edge.target)
                self._line(margin + stem, margin + below, f"{why}→ ", node)
                waiting += self._branches(edge.target, margin + below, (*way, edge.target))

    def _branches(self, id: str, margin: str, way: tuple[str, ...]) -> list[tuple[Edge, bool, str, tuple[str, ...]]]:
        return [(edge, index == 0, margin, way) for index, edge in enumerate(reversed(self._leaving.get(id, ())))]

    def _line(self, first: str, following: str, lead: str, node: Node, *, again: bool = False) -> None:
        words = [visible(node.id)]
        if not again:
            words += [f"({visible(node.kind)})"] if node.kind and not node.id.startswith((f"{node.kind}:", f"{node.kind} ")) else []
            words += [", ".join(map(visible, node.notes))] if node.notes else []
            words += ["◀"] if node.id == self._flow.start else []
        text = visible(lead) + "  ".join(words)
        lines = [text] if self._width is None else folded(text, max(self._width - max(width_of(first), width_of(following)) - 1, _NARROWEST))
        for index, line in enumerate(lines):
            strong = node.id == self._flow.start and not again
            shown = f"\x1b[{STYLES['bold']}m{line}\x1b[0m" if strong and self._colour else line
            margin = first if not index else following + ("│  " if node.id in self._leaving and not again else "   ")
            self.lines.append(f"{self._dim(margin)}{shown}")

    def _dim(self, margin: str) -> str:
        return f"\x1b[{STYLES['dim']}m{margin}\x1b[0m" if margin and self._colour else margin
