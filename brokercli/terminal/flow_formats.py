"""The flow of messages for programs that draw: Graphviz's DOT and Mermaid. Names are other people's: nothing in them is syntax."""

from __future__ import annotations

from brokercli.model.flow import Flow, Node
from brokercli.terminal.escape import visible

_DOT_SHAPES = {"queue": "box", "stream": "cylinder", "topic": "cylinder", "exchange": "diamond", "consumer": "ellipse", "dead letters": "octagon"}
_MERMAID_SHAPES = {"stream": ("[(", ")]"), "topic": ("[(", ")]"), "exchange": ("{", "}"), "consumer": ("([", "])"), "dead letters": ("{{", "}}")}
_PLAIN = frozenset(" .,_/:-")


def dot(flow: Flow) -> str:
    """Write a directed graph for `dot -Tsvg`."""
    numbers = _numbers(flow)
    lines = ["digraph flow {", "  rankdir=LR;", "  node [shape=box];"]
    for id, number in numbers.items():
        node = flow.nodes.get(id, Node(id, ""))
        label = "\\n".join(_dot_text(text) for text in (node.id, *node.notes))
        strong = ", penwidth=2" if id == flow.start else ""
        lines.append(f'  n{number} [label="{label}", shape={_DOT_SHAPES.get(_form(node), "box")}{strong}];')
    for edge in flow.edges:
        label = f' [label="{_dot_text(edge.why)}"]' if edge.why else ""
        lines.append(f"  n{numbers[edge.source]} -> n{numbers[edge.target]}{label};")
    return "\n".join([*lines, "}", ""])


def mermaid(flow: Flow) -> str:
    """Write a flowchart as GitHub and others draw it."""
    numbers = _numbers(flow)
    lines = ["flowchart LR"]
    for id, number in numbers.items():
        node = flow.nodes.get(id, Node(id, ""))
        left, right = _MERMAID_SHAPES.get(_form(node), ("[", "]"))
        label = "<br/>".join(_mermaid_text(text) for text in (node.id, *node.notes))
        lines.append(f'  n{number}{left}"{label}"{right}')
    for edge in flow.edges:
        label = f'|"{_mermaid_text(edge.why)}"|' if edge.why else ""
        lines.append(f"  n{numbers[edge.source]} -->{label} n{numbers[edge.target]}")
    if flow.start in numbers:
        lines.append(f"  style n{numbers[flow.start]} stroke-width:3px")
    return "\n".join([*lines, ""])


def _form(node: Node) -> str:
    """Return what a node is drawn as: whatever takes messages out as a consumer, whatever kind of group it is."""
    return "consumer" if node.id.startswith("consumer ") else node.kind


def _numbers(flow: Flow) -> dict[str, int]:
    ids = dict.fromkeys([*flow.nodes, *(id for edge in flow.edges for id in (edge.source, edge.target))])
    return {id: number for number, id in enumerate(ids)}


def _dot_text(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def _mermaid_text(text: str) -> str:
    # everything but letters, digits and what is plain is written as its number: quotes, brackets, #, &, <, backticks
    return "".join(character if character.isalnum() or character in _PLAIN else f"#{ord(character)};" for character in visible(text))
