"""Envelopes that nobody can have meant as they are."""

from __future__ import annotations

from base64 import b64encode

import orjson
import pytest

from brokercli.backends import envelope
from brokercli.backends.envelope import decode_envelope
from brokercli.model.errors import InputRefused


@pytest.mark.parametrize(("line", "name"), [
    (b'{"key":"a","body":"1","key":"b"}', "key"),
    (b'{"body":"1","body":"2"}', "body"),
    (b'{ "body": "1", "headers": {"retry": "1", "trace": "t", "retry": "2"} }', "retry"),
    (b'{"body":"1","headers":[{"name":"n","value":{"table":{"a":1,"a":1}}}]}', "a"),
    (b'{"value":{"id":1,"lines":[{"sku":"x","sku":"y"}]}}', "sku"),
    (b'{"body":"1","k\\u0065y":"a","key":"b"}', "key"),
])
def test_a_name_that_is_there_twice_is_refused_because_one_of_its_values_would_be_lost(line: bytes, name: str) -> None:
    with pytest.raises(InputRefused, match=f"line 7 has {name!r} twice in one object"):
        decode_envelope(line, 7)


@pytest.mark.parametrize("line", [
    b'{"body":"\\u00e9"}', b' { "body" : "\xc3\xa9" } ', b'{"headers":[{"name":"n","value":"1"},{"name":"n","value":"2"}],"body":"\xc3\xa9"}',
    b'{"body":"\xc3\xa9","headers":{"body":"x"}}',
])
def test_however_it_is_written_otherwise_it_says_the_same(line: bytes) -> None:
    assert decode_envelope(line, 1).body == b"\xc3\xa9"


def test_what_is_nested_too_deep_to_look_into_is_refused_like_other_bad_input() -> None:
    with pytest.raises(InputRefused):
        decode_envelope(b'{"value":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 1)


def test_large_values_are_written_one_by_one_and_as_small_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [b"a" * 300_000, "ü\x7f\n".encode() * 30_000, b"", b'"\\', b"\xff" * 100_000]
    one_by_one: list[int] = []
    write = envelope._write_string
    monkeypatch.setattr(envelope, "_write_string", lambda value: one_by_one.append(len(value or b"")) or write(value))
    assert envelope.write_strings(values[:4]) == [orjson.dumps(value.decode()) for value in values[:4]]
    assert one_by_one == [len(value) for value in values[:4]]
    assert [orjson.loads(text) for text in envelope.write_strings(values)[3:]] == ['"\\', {"base64": b64encode(values[4]).decode()}]
