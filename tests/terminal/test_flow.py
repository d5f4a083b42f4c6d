"""The graph as a tree, as DOT and as Mermaid; names in it are other people's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.flow import Flow
from brokercli.terminal.cells import width_of
from brokercli.terminal.flow import draw, roots
from brokercli.terminal.flow_formats import dot, mermaid

ESCAPE = '"];\x1b[31m\u202e`x`<script>&#{}|\\'


@pytest.fixture
def retries() -> Flow:
    """A queue with a wait queue that leads back to it, and a dead-letter queue."""
    flow = Flow("queue:orders")
    flow.node("queue:orders", "queue", "1,200 messages")
    flow.node("exchange:in", "exchange")
    flow.node("queue:orders.wait", "queue")
    flow.node("queue:orders.dlq", "dead letters", "3 messages")
    flow.node("consumer billing", "consumer", "lag 3", "2 in hand")
    flow.edge("exchange:in", "queue:orders", "orders.*")
    flow.edge("queue:orders", "consumer billing", "delivered")
    flow.edge("queue:orders", "queue:orders.wait", "rejected")
    flow.edge("queue:orders.wait", "queue:orders", "after 5s")
    flow.edge("queue:orders.wait", "queue:orders.dlq", "full")
    flow.edge("queue:orders", "queue:orders.dlq", "rejected 20 times")
    return flow


def text(captured: Any, flow: Flow) -> str:
    """Return the tree."""
    draw(captured.streams, flow, "text")
    shown: str = captured.out.decode()
    return shown


def test_a_tree_leads_from_where_messages_come_in_and_circles_are_references(capture: Callable[..., Any], retries: Flow) -> None:
    assert text(capture(), retries) == """\
exchange:in
└─ orders.* → queue:orders  1,200 messages  ◀
   ├─ delivered → consumer billing  lag 3, 2 in hand
   ├─ rejected → queue:orders.wait
   │  ├─ after 5s ↺ queue:orders
   │  └─ full → queue:orders.dlq  (dead letters)  3 messages
   └─ rejected 20 times ↑ queue:orders.dlq
"""


def test_a_circle_that_nothing_leads_into_begins_with_what_was_asked_for(capture: Callable[..., Any]) -> None:
    flow = Flow("topic:b")
    for name in "abc":
        flow.node(f"topic:{name}", "topic")
    for source, target in ("ab", "bc", "ca"):
        flow.edge(f"topic:{source}", f"topic:{target}")
    assert roots(flow) == ["topic:b"]
    assert text(capture(), flow) == "topic:b  ◀\n└─ → topic:c\n   └─ → topic:a\n      └─ ↺ topic:b\n"


def test_several_ways_in_are_trees_of_their_own(capture: Callable[..., Any]) -> None:
    flow = Flow("queue:q")
    for id, kind in (("queue:q", "queue"), ("exchange:a", "exchange"), ("exchange:b", "exchange")):
        flow.node(id, kind)
    flow.edge("exchange:a", "queue:q", "k")
    flow.edge("exchange:b", "queue:q")
    assert text(capture(), flow) == "exchange:a\n└─ k → queue:q  ◀\nexchange:b\n└─ ↑ queue:q\n"


def test_a_chain_of_any_length_is_drawn(capture: Callable[..., Any]) -> None:
    flow = Flow("n0")
    for number in range(3000):
        flow.node(f"n{number}", "exchange")
        if number:
            flow.edge(f"n{number - 1}", f"n{number}")
    assert len(text(capture(), flow).splitlines()) == 3000


def test_on_a_narrow_terminal_lines_fold_inside_the_tree(capture: Callable[..., Any], retries: Flow) -> None:
    lines = text(capture(stdout_is_terminal=True, width=34), retries).splitlines()
    assert max(map(width_of, lines)) <= 34
    assert [line[:3] for line in lines[1:]] == ["└─ ", *["   "] * (len(lines) - 2)]


def test_what_could_not_be_found_out_is_said_on_standard_error(capture: Callable[..., Any], retries: Flow) -> None:
    retries.missing.append("bindings: no management API")
    captured = capture()
    assert "not known" not in text(captured, retries)
    assert captured.err == "not known: bindings: no management API\n"


def test_in_a_pipe_it_is_mermaid_and_as_json_it_is_the_graph_itself(capture: Callable[..., Any], retries: Flow) -> None:
    captured = capture()
    draw(captured.streams, retries)
    assert captured.out.decode() == mermaid(retries)
    captured = capture()
    draw(captured.streams, retries, "json")
    told = orjson.loads(captured.out)
    assert told["start"] == "queue:orders"
    assert [node["id"] for node in told["nodes"]] == list(retries.nodes)
    assert len(told["edges"]) == 6


def test_mermaid_and_dot_name_every_node_and_edge(retries: Flow) -> None:
    drawn = mermaid(retries)
    assert drawn.startswith('flowchart LR\n  n0["queue:orders<br/>1,200 messages"]\n  n1{"exchange:in"}\n')
    assert '  n1 -->|"orders.#42;"| n0\n' in drawn
    drawn = dot(retries)
    assert '  n0 [label="queue:orders\\n1,200 messages", shape=box, penwidth=2];\n' in drawn
    assert '  n1 -> n0 [label="orders.*"];\n' in drawn
    assert drawn.count(" -> ") == 6


def hostile(name: str) -> Flow:
    """A graph in which everything is called so."""
    flow = Flow(name)
    flow.node(name, "queue", name)
    # no kind that has a shape of its own
    flow.node(f"{name}2", f"a {name}")
    flow.edge(name, f"{name}2", name)
    return flow


# what is called a consumer has a shape of its own
@given(st.text(min_size=1).filter(lambda name: not name.startswith("consumer ")) | st.just(ESCAPE))
def test_no_name_ends_a_string_or_steers_in_mermaid_or_dot(name: str) -> None:
    for line in mermaid(hostile(name)).splitlines():
        assert re.fullmatch(r'flowchart LR|  n\d(?:\["[^"`<>]*(?:<br/>[^"`<>]*)*"\]| -->(?:\|"[^"`<>]*"\|)? n\d)|  style n0 stroke-width:3px', line), line
        assert line.isprintable() or not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)
    for line in dot(hostile(name)).splitlines():
        assert re.fullmatch(r'digraph flow \{|  rankdir=LR;|  node \[shape=box\];|\}|  n\d(?: -> n\d)?(?: \[label="(?:[^"\\]|\\.)*"[^"]*\])?;', line), line
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)


@given(st.text(min_size=1) | st.just(ESCAPE))
def test_no_name_steers_the_terminal_or_makes_a_line_of_its_own(name: str) -> None:
    from brokercli.terminal.flow import flow_lines
    from brokercli.terminal.streams import Streams

    streams = Streams(None, 1, False, False, False, False, 80)
    lines = flow_lines(streams, hostile(name))
    assert len(lines) == 2
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(lines))
