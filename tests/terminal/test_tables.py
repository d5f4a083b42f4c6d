"""Lists and descriptions, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.description import Description, Section
from brokercli.model.errors import UsageProblem
from brokercli.terminal import cells
from brokercli.terminal.cells import folded, folded_words, padded, shortened, width_of
from brokercli.terminal.tables import print_description, print_table

ROWS = [{"name": "orders", "messages": 1234567, "bytes": 123456789, "first_offset": 1234567}, {"name": "日本", "messages": None, "durable": True}]


def table(captured: Any, rows: list[dict[str, Any]], *arguments: Any) -> str:
    print_table(captured.streams, rows, *arguments)
    result: str = captured.out.decode()
    return result


def test_in_a_pipe_columns_are_aligned_and_numbers_are_plain(capture: Callable[..., Any]) -> None:
    assert table(capture(), ROWS) == (
        "NAME    MESSAGES      BYTES  FIRST OFFSET  DURABLE\norders   1234567  123456789       1234567  -\n日本           -          -             -  yes\n"
    )


def test_on_a_terminal_counts_are_grouped_and_positions_stay_as_they_are_typed(capture: Callable[..., Any]) -> None:
    assert table(capture(stdout_is_terminal=True), ROWS) == (
        "NAME     MESSAGES    BYTES  FIRST OFFSET  DURABLE\norders  1,234,567  118 MiB       1234567  -\n日本            -        -             -  yes\n"
    )


def test_long_text_folds_at_the_terminals_width(capture: Callable[..., Any]) -> None:
    printed = table(capture(stdout_is_terminal=True, width=34), [{"name": "orders.created.v2.retry.attempt", "kind": "queue", "messages": 5}])
    assert printed == ("NAME               KIND   MESSAGES\norders.created.    queue         5\nv2.retry.attempt\n")


def test_where_columns_do_not_fit_each_row_is_a_block(capture: Callable[..., Any]) -> None:
    assert (
        table(capture(stdout_is_terminal=True, width=24), ROWS[:1])
        == "name          orders\nmessages      1,234,567\nbytes         118 MiB\nfirst offset  1234567\n"
    )


def test_json_has_the_values_as_they_are(capture: Callable[..., Any]) -> None:
    assert [orjson.loads(line) for line in table(capture(), ROWS, None, "json").splitlines()] == ROWS


def test_a_name_that_is_not_utf8_is_in_json_as_it_is_in_words(capture: Callable[..., Any]) -> None:
    assert table(capture(), [{"name": "orders\udcff"}], None, "json") == '{"name":"orders\\\\xff"}\n'


def test_columns_choose_and_order(capture: Callable[..., Any]) -> None:
    assert table(capture(), ROWS, ["messages", "name"]) == "MESSAGES  NAME\n 1234567  orders\n       -  日本\n"
    assert table(capture(), ROWS, ["name", "durable"], "json") == '{"name":"orders","durable":null}\n{"name":"日本","durable":true}\n'


def test_no_rows_print_nothing(capture: Callable[..., Any]) -> None:
    assert table(capture(), []) == ""
    assert table(capture(), [], None, "json") == ""


def test_cells_cannot_steer_the_terminal_and_are_no_markup(capture: Callable[..., Any]) -> None:
    printed = table(capture(stdout_is_terminal=True, colour=True), [{"na\x1bme": "[red]x\x1b[31m\n"}])
    assert printed == "\x1b[2mNA\\X1BME\x1b[0m\n[red]x\\x1b[31m\\n\n"


def test_an_unknown_form_of_output_is_refused(capture: Callable[..., Any]) -> None:
    with pytest.raises(UsageProblem, match="'yaml' is no form"):
        print_table(capture().streams, ROWS, None, "yaml")


DESCRIPTION = Description(
    "queue",
    "orders",
    "quorum queue",
    {"messages": 1500, "policy": None},
    [Section("Bindings", [{"source": "orders", "key": "#"}]), Section("Consumers", [])],
    ["Rates: the management API does not answer."],
)


def test_a_description_reads_from_top_to_bottom(capture: Callable[..., Any]) -> None:
    captured = capture(stdout_is_terminal=True)
    print_description(captured.streams, DESCRIPTION)
    assert captured.out.decode() == (
        "queue orders  quorum queue\n  messages  1,500\n  policy    -\n\n"
        "Bindings\n  SOURCE  KEY\n  orders  #\n\nConsumers\n  none\n\nNot known\n  Rates: the management API does not answer.\n"
    )


def test_a_description_as_json_is_one_object(capture: Callable[..., Any]) -> None:
    captured = capture()
    print_description(captured.streams, DESCRIPTION, "json")
    assert orjson.loads(captured.out) == {
        "kind": "queue",
        "name": "orders",
        "resource": "quorum queue",
        "facts": {"messages": 1500, "policy": None},
        "sections": [{"title": "Bindings", "rows": [{"source": "orders", "key": "#"}]}, {"title": "Consumers", "rows": []}],
        "missing": ["Rates: the management API does not answer."],
    }


@given(st.text(st.sampled_from("ab 日e\u0301-/"), max_size=50), st.integers(3, 20))
def test_folding_loses_nothing_but_spaces_and_keeps_to_the_width(text: str, width: int) -> None:
    lines = folded(text, width)
    assert all(width_of(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.text(st.sampled_from("ab日/"), min_size=1, max_size=12), min_size=1, max_size=12), st.integers(4, 20))
def test_folding_prose_keeps_every_word_whole(words: list[str], width: int) -> None:
    lines = folded_words(f"  {' '.join(words)}", width, width - 2)
    assert " ".join(lines).split() == words
    assert lines[0].startswith("  ")
    assert all(width_of(line) <= width or len(line.split()) == 1 for line in lines)


@given(st.text(st.sampled_from("ab日e\u0301"), max_size=30), st.integers(0, 20))
def test_shortening_keeps_to_the_width_and_says_that_it_cut(text: str, width: int) -> None:
    cut = shortened(text, width)
    assert width_of(cut) <= width
    assert cut == text or cut.endswith("…") or width == 0


def test_padding_counts_columns_not_characters() -> None:
    assert (padded("日", 4), padded("日", 4, right=True), padded("e\u0301", 2)) == ("日  ", "  日", "e\u0301 ")


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["name", "messages", "bytes", "note"]), st.text(max_size=30) | st.integers() | st.none() | st.booleans(), min_size=1),
        min_size=1,
        max_size=4,
    ),
    st.integers(20, 120),
)
def test_no_line_is_wider_than_the_terminal(rows: list[dict[str, object]], width: int) -> None:
    from brokercli.terminal.streams import Streams
    from brokercli.terminal.tables import _Layout

    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = _Layout(Streams(None, 1, False, True, False, False, width)).table(rows, names)
    assert max(width_of(line) for line in lines) <= max(width, 2 + 8 + 14)


@pytest.mark.parametrize("words", ["ä", "äb c.", "世"])
def test_a_long_text_is_measured_once_and_not_with_every_line(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    text, measured = words * 1000, []
    cell = cells._cell
    monkeypatch.setattr(cells, "_cell", lambda character: measured.append(character) or cell(character))  # type: ignore[func-returns-value]
    assert "".join(folded(text, 20)).replace(" ", "") == text.replace(" ", "")
    assert len(measured) <= 3 * len(text)
