"""What is read from an envelope is what was written, to the last bit; one that nobody can have meant as it is is refused."""

from __future__ import annotations

import itertools
import re
from base64 import b64encode
from dataclasses import dataclass, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends import envelope, envelope_values
from brokercli.backends.envelope import decode_envelope, decode_original, decode_record, encode_record, encode_with_original
from brokercli.model.errors import InputRefused
from brokercli.model.message import HeaderValue, Message, Place, Record, Typed


@dataclass
class Pairs:
    """An object as it is written, whose names may be there twice."""

    pairs: list[tuple[str, object]]


@pytest.mark.parametrize(("line", "name"), [
    (b'{"key":"a","body":"1","key":"b"}', "key"),
    (b'{"body":"1","body":"2"}', "body"),
    (b'{ "body": "1", "headers": {"retry": "1", "trace": "t", "retry": "2"} }', "retry"),
    (b'{"body":"1","headers":[{"name":"n","value":{"table":{"a":1,"a":1}}}]}', "a"),
    (b'{"value":{"id":1,"lines":[{"sku":"x","sku":"y"}]}}', "sku"),
    (b'{"body":"1","k\\u0065y":"a","key":"b"}', "key"),
    (b'{"value": {"d\\\\": 1, "d\\\\": 2}}', "d\\"),
    (b'{"value": {"d" : "\\":", "d" : 2}}', "d"),
])
def test_a_name_that_is_there_twice_is_refused_because_one_of_its_values_would_be_lost(line: bytes, name: str) -> None:
    with pytest.raises(InputRefused, match=re.escape(f"line 7 has {name!r} twice in one object")):
        decode_envelope(line, 7)


@pytest.mark.parametrize("line", [
    b'{"body":"\\u00e9"}', b' { "body" : "\xc3\xa9" } ', b'{"headers":[{"name":"n","value":"1"},{"name":"n","value":"2"}],"body":"\xc3\xa9"}',
    b'{"body":"\xc3\xa9","headers":{"body":"x"}}',
])
def test_however_it_is_written_otherwise_it_says_the_same(line: bytes) -> None:
    assert decode_envelope(line, 1).body == b"\xc3\xa9"


@given(st.recursive(st.none() | st.integers(-9, 9) | st.sampled_from(["", '":', "a", ' : "a":', '{"a":1}']),
                    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(st.sampled_from(["a", "b", 'c"', "d\\", ""]), inner), max_size=3)
                    .map(Pairs), max_leaves=12),
       st.sampled_from([":", ": ", " :", "  :", "\t: "]))
def test_no_name_that_is_there_twice_goes_unseen_however_deep_it_is_and_whatever_is_between(value: object, colon: str) -> None:
    twice = False

    def written(part: object) -> str:
        nonlocal twice
        if isinstance(part, Pairs):
            twice = twice or len({name for name, _ in part.pairs}) < len(part.pairs)
            return "{" + ", ".join([f"{orjson.dumps(name).decode()}{colon}{written(one)}" for name, one in part.pairs]) + "}"
        return "[" + ",".join([written(one) for one in part]) + "]" if isinstance(part, list) else orjson.dumps(part).decode()

    line = f'{{"value": {written(value)}}}'.encode()
    if twice:
        with pytest.raises(InputRefused, match="twice in one object"):
            decode_envelope(line, 1)
    else:
        assert decode_envelope(line, 1).body is not None or value is None


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


@given(st.lists(st.none() | st.binary(max_size=9) | st.text(max_size=5).map(lambda text: text.encode(errors="ignore")), max_size=5), st.integers(1, 2))
def test_values_are_written_together_as_each_would_be_alone(values: list[bytes | None], times: int) -> None:
    def alone(value: bytes | None) -> object:
        try:
            return value if value is None else value.decode()
        except UnicodeDecodeError:
            return {"base64": b64encode(value or b"").decode()}

    assert [orjson.loads(text) for text in envelope.write_strings(values * times)] == [alone(value) for value in values * times]


_INTEGERS = [Typed(kind, number) for kind, (bits, signed) in envelope_values.INTEGER_BITS.items() if kind != "int64"
             for number in ((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1))]
_VALUES: list[HeaderValue] = [
    None, True, False, b"", b"1", "ä\n\x7f".encode(), b"\xff\xfe", 0, 1, -1, 2**53, -(2**53), 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 1.5, -1e300, float("inf"),
    float("-inf"), *_INTEGERS, *(Typed("float32", bits) for bits in (0, 0x80000000, 0x3FC00000, 0x3DCCCCCD, 0x7F800000, 0xFF800000, 0x7FC00001)),
    Typed("double", 0x7FF8000000000123),
    *(Typed("decimal", number) for number in ((0, 0), (0, -7), (2, 5), (2, -5), (2, -125), (12, 2**31 - 1), (1, -(2**31)))),
    Typed("bytes", b"\0\xff"), Typed("array", ()), Typed("table", ())]
_VALUES += [Typed("array", tuple(_VALUES)), Typed("table", (("a", Typed("table", (("a", 1), ("a", 2)))), ("\udcff", None)))]
_PLACES: list[tuple[Place, str, str, str | None]] = [
    ({"topic": "orders", "partition": 3, "offset": 0}, "kafka", "3:0", "orders"), ({"topic": "orders"}, "kafka", "", "orders"),
    ({"subject": "orders.new", "stream": "orders", "sequence": 7}, "nats", "7", "orders.new"), ({"subject": "ä"}, "nats", "", "ä"),
    ({"exchange": "", "routing_key": "\udcff", "queue": "q", "redelivered": True}, "rabbitmq", "", "\udcff"),
    ({"exchange": "x", "routing_key": "", "queue": "s", "offset": 12}, "rabbitmq", "12", "")]


@pytest.mark.parametrize("value", _VALUES, ids=lambda value: repr(value)[:30])
def test_every_value_of_a_header_or_property_is_read_as_it_was_written(value: HeaderValue) -> None:
    message = Message(headers=(("a", value), ("%b", b"1"), ("\udcff", value), ("a", value)), properties={"type": value}, origin="rabbitmq")
    # in text True is not 1, and -0.0 is not 0.0
    assert repr(decode_envelope(encode_record(Record("rabbitmq", {}, "", None, message)), 1)) == repr(message)


@pytest.mark.parametrize(("place", "broker", "position", "route"), _PLACES, ids=lambda part: str(part)[:20])
@pytest.mark.parametrize("body", [None, b"", b"{}", "ä\n\x7f".encode(), b"\xff\xfe"])
def test_a_record_is_read_as_it_lay_and_what_is_published_of_it_does_not_say_where_that_was(
        place: Place, broker: str, position: str, route: str | None, body: bytes | None) -> None:
    nameless = (1_795_000_000_123_456_789_000_000, -(10**20)) if position else ()
    for time, key in itertools.product((None, 0, 1_795_000_000_123_456_789, *nameless), (None, b"", b"c-7", b"\xff")):
        message = Message(body, key, (("a", b"1"),), route=route, origin=broker)
        published = replace(message, time=None if position else time)
        record = Record(broker, place, position, time, published)
        line = encode_record(record)
        assert b"\n" not in line
        assert decode_record(line, 1) == record
        assert decode_envelope(line, 1) == published


def test_a_time_in_a_year_without_a_name_is_none_that_can_be_asked_for() -> None:
    with pytest.raises(InputRefused, match="line 7: '9999999999999999999999ns' is no time"):
        decode_envelope(b'{"body":"1","time":"9999999999999999999999ns"}', 7)


def test_a_record_that_points_at_its_message_is_written_with_it_and_each_is_read_alone() -> None:
    letter = Record("nats", {"stream": "deaths", "sequence": 1}, "1", 5, Message(b'{"stream":"orders"}', origin="nats"))
    original = Record("nats", {"subject": "orders.new", "stream": "orders", "sequence": 7}, "7", 3, Message(b"\xff", route="orders.new", origin="nats"))
    line = encode_with_original(letter, original)
    assert (decode_record(line, 1), decode_original(line)) == (letter, original)
    assert decode_original(encode_record(letter)) is None


@pytest.mark.parametrize(("line", "message"), [
    (b'{"body":"1","time":"1970-01-01T00:00:01Z","partition":2,"id":"a"}', Message(b"1", time=10**9, partition=2, id="a")),
    (b'{"body":"1","time":"1970-01-01T00:00:01Z","partition":2,"offset":7}', Message(b"1")),
    (b'{"body":"1","time":"1970-01-01T00:00:01Z","sequence":7}', Message(b"1")),
    (b'{"body":"1","time":"1970-01-01T00:00:01Z","offset":null,"sequence":null}', Message(b"1", time=10**9)),
    (b'{"value":{"id":1}}', Message(b'{"id":1}')), (b'{"value":{"id":1},"body":"1"}', Message(b"1")), (b'{"body":null}', Message(None)),
    (b'{"body":"1","topic":"t"}', Message(b"1", route="t", origin="kafka")), (b'{"body":"1","stream":"s"}', Message(b"1", origin="nats")),
    (b'{"body":"1","exchange":"e","routing_key":"","queue":"q"}', Message(b"1", route="", origin="rabbitmq")),
    (b'{"body":"1","topic":"t","broker":"rabbitmq"}', Message(b"1", route="t", origin="rabbitmq")),
    (b'{"body":"1","headers":{"b":"2","a":null},"properties":null}', Message(b"1", headers=(("b", b"2"), ("a", None)))),
    (b'{"body":{"base64":"/w=="},"key":{"base64":""}}', Message(b"\xff", b"")),
    (b'{"body":"1","partition":2147483647}', Message(b"1", partition=2**31 - 1)),
])
def test_what_an_envelope_says_is_what_is_published(line: bytes, message: Message) -> None:
    assert decode_envelope(line, 1) == message


@pytest.mark.parametrize(("line", "why"), [
    (b"{x", "is not JSON: "), (b"{", "takes one line: jq -c"), (b"[\r", "takes one line: jq -c"),
    (b"[]", "but not an object"), (b'{"key":"a"}', "has no body"), (b'{"body":"1","v":2}', "version 2"),
    (b'{"body":"1","headres":[]}', "did you mean 'headers'?"), (b'{"body":"1","partition":-1}', "partition is '-1'"),
    (b'{"body":"1","partition":2147483648}', "partition is '2147483648'"), (b'{"body":"1","partition":true}', "partition is 'True'"),
    (b'{"body":"1","time":5}', "time is a string"), (b'{"body":"1","id":5}', "id is a string"), (b'{"body":"1","properties":[1]}', "properties is an object"),
    (b'{"body":5}', "body is neither"), (b'{"body":{"base64":"/w==","x":1}}', "body is neither"), (b'{"body":{"base64":"/w=!="}}', "body is no base64"),
    (b'{"body":"1","key":{"base64":"/w"}}', "key is no base64"),
    (b'{"body":"1","headers":[{"name":"a","value":{"base64":"/w"}}]}', "header 'a': value is no base64"),
    (b'{"body":"1","headers":"a"}', "headers is a list"), (b'{"body":"1","headers":[{"value":"1"}]}', "each header is"),
    (b'{"body":"1","headers":[{"name":"a","valeu":"1"}]}', "each header is"), (b'{"body":"1","headers":[{"name":null}]}', "name is null"),
    (b'{"body":"1","headers":{"a":9223372036854775808}}', "larger than 64 bits"),
    (b'{"body":"1","headers":[{"name":"a","value":{"int8":128}}]}', "header 'a': 128 does not fit into int8"),
    (b'{"body":"1","headers":{"a":{"int8":true}}}', "int8 is 'True'"), (b'{"body":"1","headers":{"a":{"uint8":-1}}}', "header 'a': -1 does not fit"),
    (b'{"body":"1","headers":{"a":{"decimal":"1.2.3"}}}', "no header value"),
    (b'{"body":"1","headers":{"a":{"decimal":"99999999999"}}}', "does not fit into decimal"),
    (b'{"body":"1","headers":{"a":{"double":true}}}', "double is 'True'"), (b'{"body":"1","headers":{"a":{"float32":{"bits":"1ffffffff"}}}}', "line 7"),
    (b'{"body":"1","headers":{"a":{"int8":1,"int16":1}}}', "no header value"), (b'{"body":"1","headers":{"a":{"complex":1}}}', "no header value"),
])
def test_what_an_envelope_cannot_mean_is_refused_with_its_line(line: bytes, why: str) -> None:
    with pytest.raises(InputRefused) as refused:
        decode_envelope(line, 7)
    assert str(refused.value).startswith("line 7")
    assert why in str(refused.value)


@pytest.mark.parametrize("line", [b"{", b"[]", b"5", b'{"id":1}', b'{"order":1}', b'{"topic":"t"}'])
def test_a_line_without_a_body_is_told_how_it_is_published_as_it_is(line: bytes) -> None:
    with pytest.raises(InputRefused) as refused:
        decode_envelope(line, 7)
    assert refused.value.hint == "--input lines takes each line as a body as it is"


@pytest.mark.parametrize(("body", "hint"), [(b'{"id":1}', True), (b"[1]", True), (b"5", True), (b"true", True), (b'{"base64":"/w==","x":1}', False)])
def test_a_body_that_is_json_is_told_where_json_goes(body: bytes, hint: bool) -> None:
    with pytest.raises(InputRefused, match="body is neither") as refused:
        decode_envelope(b'{"body":' + body + b"}", 7)
    assert refused.value.hint == ('JSON goes under "value" in place of "body"' if hint else None)
    if hint:
        assert decode_envelope(b'{"value":' + body + b"}", 7).body == body


def test_a_record_without_its_broker_is_none() -> None:
    with pytest.raises(InputRefused, match="line 7: it does not say which broker"):
        decode_record(b'{"body":"1","offset":3}', 7)


@pytest.mark.parametrize(("value", "written"), [
    (2**53, {"int64": "9007199254740992"}), (2**53 - 1, 2**53 - 1), (-(2**53), {"int64": "-9007199254740992"}), (True, True), (1.0, {"double": 1.0}),
    (1.5, 1.5), (float("-inf"), {"double": "-inf"}), (Typed("decimal", (2, -5)), {"decimal": "-0.05"}), (Typed("decimal", (0, 7)), {"decimal": "7"}),
    (Typed("timestamp", 2**53), {"timestamp": "9007199254740992"}), (Typed("int32", 5), {"int32": 5}), (Typed("bytes", b"a"), {"bytes": "YQ=="}),
    (b"\xff", {"base64": "/w=="}), (None, None)])
def test_values_that_json_has_no_word_for_are_written_so_that_no_digit_is_lost_on_the_way(value: HeaderValue, written: object) -> None:
    assert repr(envelope_values.encode_value(value)) == repr(written)
    assert repr(envelope_values.decode_value(orjson.loads(orjson.dumps(written)))) == repr(value)


@pytest.mark.parametrize(("kind", "least", "most"), [
    ("int8", -128, 127), ("uint8", 0, 255), ("int16", -32_768, 32_767), ("uint16", 0, 65_535), ("int32", -2_147_483_648, 2_147_483_647),
    ("uint32", 0, 4_294_967_295), ("int64", -(2**63), 2**63 - 1), ("timestamp", 0, 2**64 - 1)])
def test_a_number_has_as_many_bits_as_its_type_and_no_more(kind: str, least: int, most: int) -> None:
    for number in (least, most):
        for written in (number, str(number)):
            assert envelope_values.decode_value({kind: written}) == (number if kind == "int64" else Typed(kind, number))
    for number in (least - 1, most + 1):
        with pytest.raises(ValueError, match="does not fit into"):
            envelope_values.decode_value({kind: number})
    assert len(envelope_values.INTEGER_BITS) == 8
    # what has no tag is a number of 64 bits
    assert [envelope_values.decode_value(number) for number in (-(2**63), 2**63 - 1)] == [-(2**63), 2**63 - 1]


@pytest.mark.parametrize(("value", "why"), [
    ({"int8": 1.5}, "int8 is '1.5'"), ({"int8": None}, "int8 is 'None'"), ({"int64": "1" * 21}, "int64 is '1"), ({"decimal": 1.5}, "no header value"),
    ({"decimal": "1e5"}, "no header value"), ({"bytes": 5}, "no header value"), ({"bytes": "YQ=!="}, None), ({"base64": "YQ=!="}, None),
    ({"array": {}}, "no header value"), ({"table": 5}, "headers is a list"), ({"float32": [1]}, "float32 is"), ({"double": {"bits": "1" * 17}}, None),
    ({"double": {"bits": "1", "x": 1}}, "double is"),
    ({"complex": "1.5"}, "no header value"), ({"complex": [1]}, "no header value"), ({}, "is no header value"), ([1], "is no header value"),
    (2**63, "larger than 64 bits"), (-(2**63) - 1, "larger than 64 bits")])
def test_a_value_that_is_not_of_its_type_is_refused(value: object, why: str | None) -> None:
    with pytest.raises((ValueError, OverflowError), match=why):
        envelope_values.decode_value(value)
