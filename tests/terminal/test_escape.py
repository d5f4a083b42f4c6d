"""Nothing that a message, a name or a broker says can steer a terminal."""

from __future__ import annotations

import tomllib
import unicodedata

import orjson
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from brokercli.terminal.escape import json_of, visible, visible_bytes, visible_json, visible_toml

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


def test_every_format_character_is_written_out_but_those_that_are_seen() -> None:
    # where they all are; to ask every code point of Unicode takes a second
    places = (range(0x3000), range(0xD800, 0x11000), range(0x1BCA0, 0x1BCB0), range(0x1D170, 0x1D180), range(0xE0000, 0xE1000))
    formats = [chr(code) for place in places for code in place if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    # signs above numbers in Arabic and Syriac
    seen = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
    assert {character for character in formats if character in visible(character)} == seen & set(formats)
    assert set("".join(formats)) > HIDDEN


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
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=8,
    )
)
def test_json_for_a_terminal_says_the_same_and_is_harmless(value: object) -> None:
    line = orjson.dumps(value)
    shown = visible_json(line)
    assert orjson.loads(shown) == value
    assert not [character for character in shown.decode() if dangerous(character)]


@pytest.mark.parametrize(("line", "shown"), [
    (b'{"a":"\x7f"}', b'{"a":"\\u007f"}'), ('{"a":"\x9bé"}'.encode(), '{"a":"\\u009bé"}'.encode()), ('"\U000e0041🎉"'.encode(), '"\\udb40\\udc41🎉"'.encode()),
    (b'{"a":"\\u001b"}', b'{"a":"\\u001b"}')])
def test_each_kind_of_danger_in_json_is_what_json_reads_back(line: bytes, shown: bytes) -> None:
    assert visible_json(line) == shown


@pytest.mark.parametrize(("text", "shown"), [
    ('a = "\x7f"\n', 'a = "\\u007f"\n'), ('a = "\x9bé"', 'a = "\\u009bé"'), ('a = "\U000e0041\ufeff"', 'a = "\\U000e0041\\ufeff"')])
def test_each_kind_of_danger_in_toml_is_what_toml_reads_back(text: str, shown: str) -> None:
    assert visible_toml(text) == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        (b"\x9b31m", r"\x9b31m"),
        ("\x9b31m".encode(), r"\u009b31m"),
        (b"\x7f\x80\xc2\x80\xff", r"\x7f\x80\u0080\xff"),
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


@given(ANY_TEXT)
def test_text_that_is_utf8_is_in_json_as_it_is_and_any_other_as_something_that_can_be_read(text: str) -> None:
    found = orjson.loads(json_of({text: [text, (text,)], "count": 1}))
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert found == {text: [text, [text]], "count": 1}
    assert found["count"] == 1


def test_bytes_that_are_not_utf8_are_in_json_as_they_are_in_words() -> None:
    assert json_of(["orders\udcff", "\ud800"]) == b'["orders\\\\xff","\\\\ud800"]'
