"""`-f FORMAT`: the verbs that users of kcl and kcat know."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message, Record, Typed
from brokercli.terminal.format import VERBS, Format

TIME = 1_795_428_000_123_456_789  # 2026-11-23T10:00:00.123456789Z
RECORD = Record(
    "kafka",
    {"topic": "orders", "partition": 3, "offset": 1200},
    "3:1200",
    TIME,
    Message(b"b\xc3\xa9\x1b", b"k", (("a", b"1"), ("n", None), ("t", Typed("int32", 5)), ("f", True))),
)
EMPTY = Record("rabbitmq", {"exchange": "", "routing_key": "q"}, "", None, Message(None))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("%t[%p]@%o", b"orders[3]@1200"),
        (r"%k %v\n", b"k b\xc3\xa9\x1b\n"),
        ("%s", b"b\xc3\xa9\x1b"),
        ("%K %V %S %H", b"1 4 4 4"),
        ("%h", b"a=1,n=NULL,t=5,f=true"),
        ("%h{%k=%v;}", b"a=1;n=;t=5;f=true;"),
        ("%h{%K{big16}%k%V{byte}%v}", b"\x00\x01a\x011\x00\x01n\x00\x00\x01t\x015\x00\x01f\x04true"),
        ("%T", b"1795428000123"),
        ("%d", b"2026-11-23T10:00:00.123456789Z"),
        ("%d{s} %d{ms} %d{us} %d{ns}", b"1795428000 1795428000123 1795428000123456 1795428000123456789"),
        ("%d{strftime[%F %T]}", b"2026-11-23 10:00:00"),
        ("%d{strftime##%H:%M [%f]##}", b"10:00 [123456]"),
        ("%d{strftime{%F}}", b"2026-11-23"),
        ("%d{strftime[%s %%s]}", b"1795428000 %s"),
        ("%v{hex} %v{base64} %k{base64raw}", b"62c3a91b YsOpGw== aw"),
        (r"%v{json}", b'"b\xc3\xa9\\u001b"'),
        ("%o{big64}%o{little32}%p{byte}%o{hex}", b"\x00\x00\x00\x00\x00\x00\x04\xb0\xb0\x04\x00\x00\x034b0"),
        (r"%%%{%}\t\r\0\\\x41\xff", b"%{}\t\r\0\\A\xff"),
        ("grüße", "grüße".encode()),
        ("%r", b""),
        ("", b""),
    ],
)
def test_each_verb_prints_what_it_stands_for(text: str, printed: bytes) -> None:
    assert Format(text).render(RECORD) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("%t|%r|%p|%o|%k|%v|%T|%d", b"|q||||||"),
        ("%K %V", b"-1 -1"),
        ("%K{big32}%V{byte}", b"\0\0\0\0\0"),
        ("%k{json}", b"null"),
        ("%d{ms}", b""),
    ],
)
def test_what_a_record_does_not_have_is_empty_and_null_counts_less_than_nothing(text: str, printed: bytes) -> None:
    assert Format(text).render(EMPTY) == printed


def test_headers_of_every_type_are_printed_as_what_they_mean() -> None:
    headers = (("whole", 2.0), ("single", Typed("float32", 0x3FC00000)), ("endless", Typed("double", 0x7FF0000000000000)), ("price", Typed("decimal", (2, 5))),
               ("raw", Typed("bytes", b"\xff")), ("table", Typed("table", (("a", b"\xff"), ("b", Typed("int8", 1))))))
    assert Format("%h{%k=%v }").render(Record("rabbitmq", {}, "", None, Message(b"", headers=headers))) == (
        b'whole=2.0 single=1.5 endless=inf price=0.05 raw=\xff table=[{"name":"a","value":{"base64":"/w=="}},{"name":"b","value":{"int8":1}}] ')


def test_names_come_from_whatever_the_broker_calls_its_addresses() -> None:
    nats = Record("nats", {"subject": "orders.eu", "stream": "ORDERS", "sequence": 87}, "87", None, Message(b""))
    assert Format("%t %o %r").render(nats) == b"orders.eu 87 orders.eu"
    queue = Record("rabbitmq", {"queue": "orders", "offset": 5}, "5", None, Message(b""))
    assert Format("%t %o").render(queue) == b"orders 5"


def test_records_are_counted_from_one() -> None:
    counting = Format(r"%i ")
    assert b"".join(counting.render(RECORD) for _ in range(3)) == b"1 2 3 "


def test_a_time_that_no_calendar_has_is_still_printed() -> None:
    assert Format("%d{strftime[%F]}").render(Record("x", {}, "", 2**80, Message())) == b"%dns" % 2**80


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("%q", "%q at character 1"),
        ("abc %", "character 5"),
        ("%v{rot13}", "{rot13} at character 1"),
        ("%o{big128}", "{big128}"),
        ("%d{go[2006]}", "{go[2006]}"),
        ("%d{strftime[%F}", "strftime"),
        ("%h{%t}", "%t at character 4"),
        (r"\q", r"\q at character 1"),
        (r"\x4", r"\x"),
        ("%v{hex", "never closes"),
        ("%d{strftime}", "strftime"),
    ],
)
def test_a_format_that_means_nothing_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        Format(text)
    assert place in str(caught.value)


def test_on_a_terminal_fields_are_made_visible_and_the_format_is_left_alone() -> None:
    record = Record("kafka", {"topic": "t"}, "", None, Message(b"\x1b[2J\n", b"\xff", (("h\x07", b"\x9b"),)))
    assert Format(r"%k\t%v\n%h", terminal=True).render(record) == b"\\xff\t\\x1b[2J\\n\nh\\x07=\\x9b"


@given(st.text(st.sampled_from("%{}[]\\" + string.ascii_letters + "0é #"), max_size=20))
def test_any_text_either_formats_or_is_refused(text: str) -> None:
    try:
        compiled = Format(text)
    except UsageProblem:
        return
    assert isinstance(compiled.render(RECORD), bytes)
    assert isinstance(compiled.render(EMPTY), bytes)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_help_lists_is_one(verb: str) -> None:
    assert isinstance(Format(f"%{verb}").render(RECORD), bytes)


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=4))
def test_records_framed_by_sizes_can_be_taken_apart_again(pairs: list[tuple[bytes, bytes]]) -> None:
    framed = b"".join(Format("%K{big32}%k%V{big32}%v").render(Record("x", {}, "", None, Message(body, key))) for key, body in pairs)
    parts = []
    while framed:
        size = int.from_bytes(framed[:4], "big")
        parts.append(framed[4 : 4 + size])
        framed = framed[4 + size :]
    assert parts == [part for pair in pairs for part in pair]
