"""Random originals, and soups of every header name any dialect reads."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from brokercli.dialects import DIALECTS
from brokercli.model.message import Header, Message, Record, Typed

_KEEP = st.text(st.characters(categories=("Ll", "Nd"), max_codepoint=127), min_size=1, max_size=8).map(lambda name: f"app-{name}")
_NUMBERS = st.integers(-(2**63), 2**63 - 1)


def _typed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (st.builds(lambda items: Typed("array", tuple(items)), st.lists(values, max_size=3))
            | st.builds(lambda items: Typed("table", tuple(items)), st.lists(st.tuples(_KEEP, values), max_size=3)))


_PLAIN = st.none() | st.booleans() | st.binary(max_size=12) | _NUMBERS | st.floats(allow_nan=False)
_TYPED = (st.integers(-128, 127).map(lambda number: Typed("int8", number)) | st.integers(0, 2**64 - 1).map(lambda number: Typed("timestamp", number))
          | st.binary(max_size=4).map(lambda value: Typed("bytes", value)))
AMQP_VALUES = st.recursive(_PLAIN | _TYPED, _typed, max_leaves=6)
_JSON_VALUES = st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4)


def originals(broker: str, only: str) -> st.SearchStrategy[Message]:
    """Messages a producer may send on that broker; `only` as in `frameworks.Framework`."""
    if only == "bare":
        return st.builds(Message, body=st.binary(max_size=40), key=st.none() | st.binary(min_size=1, max_size=20))
    if only in ("text", "json"):
        bodies = st.text(max_size=30) if only == "text" else _JSON_VALUES.map(json.dumps)
        headers = st.dictionaries(_KEEP, st.text(max_size=12).map(str.encode), max_size=4).map(lambda found: tuple(found.items()))
        # a text that is itself base64 cannot be told from a wrapped one, which the letter remarks on
        plain = bodies.filter(lambda body: only == "json" or len(body) % 4 != 0 or not body.isascii())
        return st.builds(lambda body, found: Message(body=body.encode(), headers=found), plain, headers)
    values: st.SearchStrategy[Any] = AMQP_VALUES if broker == "rabbitmq" else st.binary(max_size=12)
    values = values | st.none() if broker == "kafka" else values
    headers = st.lists(st.tuples(_KEEP, values), max_size=5, unique_by=(lambda header: header[0]) if broker == "rabbitmq" else None).map(tuple)
    body = st.none() | st.binary(max_size=40) if broker == "kafka" else st.binary(max_size=40)
    key = st.none() | st.binary(max_size=12) if broker == "kafka" else st.none()
    return st.builds(lambda body, key, headers: Message(body=body, key=key, headers=headers), body, key, headers)


_COMMON = ("x-brokercli-redriven-count", "x-brokercli-redriven-from", "CC", "BCC", "Nats-Msg-Id", "Nats-Rollup", "task", "id", "retries", "", "a\x00b",
           "\udcff")
_RESTS = ("topic", "original-topic", "original-partition", "original-offset", "partition", "offset", "exception-fqcn", "key-exception-fqcn", "delivery.count",
          "message", "InputAddress", "RetryCount", "attempts", "")
_NAMES = {dialect: sorted(dialect.signs | dialect.adds | {prefix + rest for prefix in (*dialect.sign_prefixes, *dialect.adds_prefixes) for rest in _RESTS})
          for dialect in DIALECTS}
_FORGED = st.sampled_from([b"", b"orders", b"\x00", b"-1", b"9" * 40, b"1e30", b"\xff\xfe", b"orders\r\n\x1b[2J", b"$JS.API.STREAM.DELETE.x", b"a" * 5000,
                           b"__consumer_offsets", b"orders.dlq", b"\x00\x00\x00\x01", b"1234", b"\x80" + b"\x00" * 7, b"12345678"])
_DEATHS = st.lists(st.lists(st.tuples(st.sampled_from(["queue", "reason", "count", "time", "exchange", "routing-keys", "original-expiration", "?"]),
                                      AMQP_VALUES | _FORGED), max_size=6).map(lambda fields: Typed("table", tuple(fields))) | AMQP_VALUES, max_size=4)
_SOUP_VALUES = _FORGED | AMQP_VALUES | _DEATHS.map(lambda deaths: Typed("array", tuple(deaths)))
_JSON = st.recursive(st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=8),
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6)
_FIELDS = ["type", "stream", "consumer", "stream_seq", "deliveries", "timestamp", "reason", "RoutingKey", "Exchange", "Queue", "Message", "Exception",
           "BasicProperties", "DateTime", "queue_name", "actor_name", "message_id", "options"]
_WRAPPINGS: list[dict[str, Any]] = [
    {"type": "io.nats.jetstream.advisory.v1.max_deliver", "stream": "orders", "stream_seq": 7, "deliveries": 5, "consumer": "billing"},
    {"RoutingKey": "orders", "Exchange": "shop", "Queue": "orders", "Message": "{}", "Exception": "E: e", "BasicProperties": {"Headers": {"a": "AA=="}}},
    {"queue_name": "orders", "actor_name": "charge", "message_id": "m", "options": {"retries": 3, "traceback": "T\nE: e"}}]


@st.composite
def _wrappings(draw: st.DrawFn) -> bytes:
    fields = dict(draw(st.sampled_from(_WRAPPINGS)))
    for name in draw(st.lists(st.sampled_from(_FIELDS), max_size=2)):
        fields[name] = draw(_JSON)
    return json.dumps(fields).encode()


_BODIES = st.binary(max_size=60) | st.none() | _wrappings()
_PLACES = {"kafka": ("topic", "partition", "offset"), "nats": ("subject", "stream", "sequence"), "rabbitmq": ("exchange", "routing_key", "queue", "offset")}


# made once: a strategy is looked at before it is drawn from, which takes longer than the drawing
_BOOLEANS = st.booleans()
_DIALECT = st.sampled_from(DIALECTS)
_BROKER = {dialect: st.sampled_from(sorted(dialect.brokers)) | st.sampled_from(["kafka", "nats", "rabbitmq", "memory"]) for dialect in DIALECTS}
_PLACE = st.sampled_from(["orders", "orders.dlq", "x.XQ", "", "a__dlq", "q_error"]) | st.none() | st.integers()
_HEADERS = {dialect: st.lists(st.tuples(
    st.sampled_from(_NAMES[dialect] or list(_COMMON)) | st.sampled_from(_COMMON) | st.sampled_from(_NAMES[DIALECTS[-1]]),
    st.just(b"orders") | _SOUP_VALUES), max_size=8) for dialect in DIALECTS}
_KEYS = st.none() | st.binary(max_size=40)
_PROPERTIES = st.dictionaries(st.sampled_from(["expiration", "user_id", "reply_to", "type", "message_id"]), AMQP_VALUES, max_size=3)
_IDS = st.text(max_size=4)
_TIMES = st.none() | st.integers()


@st.composite
def soups(draw: st.DrawFn) -> Record:
    """Records no honest program would write: known names with any bytes, any body, any key, any place."""
    dialect = draw(_DIALECT)
    broker = draw(_BROKER[dialect])
    place = {name: draw(_PLACE) for name in _PLACES.get(broker, ()) if draw(_BOOLEANS)}
    headers: tuple[Header, ...] = tuple(draw(_HEADERS[dialect]))
    if draw(_BOOLEANS) and broker == "rabbitmq":
        headers += (("x-death", Typed("array", tuple(draw(_DEATHS)))),)
    message = Message(body=draw(_BODIES), key=draw(_KEYS), headers=headers, properties=draw(_PROPERTIES))
    return Record(broker, place, draw(_IDS), draw(_TIMES), message)
