"""Nothing that a message, a name or a broker says can steer a terminal."""

from __future__ import annotations

import tomllib
import unicodedata

import orjson
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from brokercli.terminal.escape import visible, visible_bytes, visible_json, visible_toml

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
HIDDEN = set("\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\u2066\ufeff\U000e0041")
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60) | st.text(
    "\x00\x07\x1b[31m\x7f\x9b\u202e\u2066\udc9b\ud800é日\n\t", max_size=40
)


def dangerous(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in BIDI or character in HIDDEN


@given(ANY_TEXT)
def test_no_dangerous_code_point_survives(text: str) -> None:
    assert not [character for character in visible(text) if dangerous(character)]


@given(ANY_TEXT)
def test_where_lines_are_allowed_only_line_feeds_and_tabs_survive(text: str) -> None:
    assert {character for character in visible(text, newlines=True) if dangerous(character)} <= {"\n", "\t"}


@given(st.binary(max_size=60))
def test_any_bytes_become_text_that_encodes_and_is_harmless(data: bytes) -> None:
    shown = visible_bytes(data)
    assert shown.encode().decode() == shown
    assert not [character for character in shown if dangerous(character)]


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\u115f\u1160\u3164\uffa0"), max_size=60))
def test_text_without_anything_dangerous_is_left_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert visible_bytes(text.encode()) == text


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.integers(-(2**53), 2**53),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    )
)
def test_json_for_a_terminal_says_the_same_and_is_harmless(value: object) -> None:
    line = orjson.dumps(value)
    shown = visible_json(line)
    assert orjson.loads(shown) == value
    assert not [character for character in shown.decode() if dangerous(character)]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        (b"\x9b31m", r"\x9b31m"),
        ("\x9b31m".encode(), r"\u009b31m"),
        ("a\u202eb".encode(), r"a\u202eb"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"a\nb\tc\r", r"a\nb\tc\r"),
        ("\U000e0041".encode(), r"\U000e0041"),
        ("grüße 日本 🎉".encode(), "grüße 日本 🎉"),
    ],
)
def test_each_kind_of_danger_has_its_own_spelling(data: bytes, shown: str) -> None:
    assert visible_bytes(data) == shown


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40) | st.just("\x7f\x9b31m\u202e\u200b\U000e0041\n"), max_size=3))
def test_toml_says_the_same_and_steers_nothing(names: dict[str, str]) -> None:
    document = tomlkit.dumps(names)
    shown = visible_toml(document)
    assert tomllib.loads(shown) == tomllib.loads(document)
    assert not [character for character in shown if dangerous(character) and character != "\n"]
