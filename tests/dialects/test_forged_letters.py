"""What a letter says is never trusted: no forged origin becomes a home, no absurd number is believed."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from brokercli.dialects import recognise, stamp, to_message
from brokercli.dialects.names import shown
from brokercli.model.dead_letter import Confidence, Hop
from brokercli.model.message import Header, HeaderValue, Message, Record, Typed
from tests.dialects.frameworks import spring_cloud_stream, spring_kafka, x_death


def _kafka(*headers: Header, topic: str = "orders-dlt", key: bytes | None = None) -> Record:
    return Record("kafka", {"topic": topic, "partition": 0, "offset": 1}, "0:1", None, Message(headers=headers, key=key, origin="kafka"))


def _nats(*headers: Header) -> Record:
    return Record("nats", {"subject": "dlq.orders", "stream": "DLQ", "sequence": 1}, "1", None, Message(headers=headers, origin="nats"))


@pytest.mark.parametrize("origin", [b"", b"orders-dlt", b"orders\x1b[2J", b"a" * 250, b"..", b"orders created", b"__consumer_offsets", b"\xff\xfe", None])
def test_an_origin_no_topic_can_have_is_no_home_and_is_remarked_on(origin: HeaderValue) -> None:
    letter = recognise(_kafka(("kafka_dlt-original-topic", origin), ("kafka_dlt-exception-fqcn", b"E")))
    assert letter.dialect == "spring kafka"
    assert letter.homes == ()
    assert "it cannot go there" in letter.remarks[0]
    assert letter.remarks[0].isprintable()


@pytest.mark.parametrize("origin", [b"$JS.API.STREAM.DELETE.ORDERS", b"orders.*", b"orders.>", b"orders..x", b"_INBOX.x", b"a b", b"dlq.orders", b"x" * 5000])
def test_an_origin_that_would_command_the_server_or_match_nothing_is_no_home(origin: bytes) -> None:
    letter = recognise(_nats(("X-Original-Subject", origin)))
    assert letter.homes == ()
    assert letter.remarks


@pytest.mark.parametrize("count", [b"1e30", b"9" * 30, b"-1", b"\xff\x00", b"", 10**30, 10**5000, 1_000_001, 2.5, True, Typed("double", 1)],
                         ids=lambda value: type(value).__name__)
def test_a_counter_that_cannot_be_true_is_ignored_and_said(count: HeaderValue) -> None:
    letter = recognise(_nats(("X-Original-Subject", b"orders"), ("X-Delivery-Count", count)))
    assert letter.attempts is None
    assert any("no believable count" in remark for remark in letter.remarks)
    assert letter.home is not None


@pytest.mark.parametrize(("partition", "offset"), [(b"\xff\xff\xff\xff", b"\x80" + b"\x00" * 7), (b"three", b"\x00"), (b"", b"")])
def test_coordinates_no_broker_counts_are_left_out_and_the_home_stays(partition: bytes, offset: bytes) -> None:
    letter = recognise(_kafka(("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-partition", partition), ("kafka_dlt-original-offset", offset)))
    assert letter.home is not None
    assert letter.home.place == {}
    assert len(letter.remarks) == 2


def test_the_name_of_a_header_decides_how_its_number_is_read() -> None:
    record = _kafka(("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-partition", b"1234"), ("kafka_dlt-original-offset", b"12345"))
    home = recognise(record).home
    assert home is not None
    assert home.place == {"partition": struct.unpack(">i", b"1234")[0], "offset": 12345}


def test_binary_under_a_name_nobody_owns_is_read_but_said() -> None:
    letter = recognise(_kafka(("X-Original-Topic", b"orders"), ("X-Original-Partition", b"\x00\x00\x00\x03")))
    assert letter.home is not None
    assert letter.home.place == {"partition": 3}
    assert "binary" in letter.remarks[0]


@pytest.mark.parametrize(("counts", "believed"), [((), 0), ((b"2",), 2), ((b"1", b"3"), 3), ((b"1" * 31,), None), ((b"2", b"x"), None), ((-1,), None),
                                                  ((None,), None), ((Typed("int32", 2),), 2)])
def test_the_count_of_redrives_is_bounded_and_a_forged_one_is_no_zero(counts: tuple[HeaderValue, ...], believed: int | None) -> None:
    letter = recognise(_kafka(*(("x-brokercli-redriven-count", count) for count in counts)))
    assert letter.redrives == believed
    assert bool(letter.remarks) == (believed is None)


def test_a_stamp_replaces_older_ones_and_counts_on() -> None:
    letter = recognise(_kafka(("a", b"1"), ("x-brokercli-redriven-count", b"2"), ("x-brokercli-redriven-from", b"old"), ("b", b"2")))
    assert stamp(to_message(letter), letter, 1_795_474_000_000_000_000).headers == (
        ("a", b"1"), ("b", b"2"), ("x-brokercli-redriven-from", b"topic:orders-dlt 0:1"), ("x-brokercli-redriven-at", b"2026-11-23T22:46:40.000Z"),
        ("x-brokercli-redriven-count", b"3"))


def test_headers_that_steer_the_server_do_not_go_back_to_it() -> None:
    steering = [(name, b"x") for name in ("Nats-Msg-Id", "Nats-Rollup", "Nats-Expected-Stream", "Nats-Batch-Id", "Nats-TTL", "Nats-Schedule-Target",
                                          "Nats-Sequence", "Nats-Trace-Only")]
    letter = recognise(_nats(("a", b"1"), *steering, ("X-Original-Subject", b"orders"), ("traceparent", b"t"), ("nats-like", b"kept")))
    assert to_message(letter).headers == (("a", b"1"), ("traceparent", b"t"), ("nats-like", b"kept"))
    assert set(letter.stripped) == {name for name, _ in steering} | {"X-Original-Subject"}


def test_reserved_names_of_earlier_deaths_are_stripped_whoever_wrote_last() -> None:
    died_twice = spring_kafka(Message(headers=(("a", b"1"), ("__connect.errors.topic", b"orders"), ("__streams.errors.topic", b"orders"))))
    assert to_message(recognise(died_twice)).headers == (("a", b"1"),)


@pytest.mark.parametrize("prefix", ["__connect.errors.", "__streams.errors."])
def test_of_several_deaths_that_were_left_on_it_the_latest_is_home_and_the_others_may_be(prefix: str) -> None:
    deaths = tuple((f"{prefix}{name}", value) for topic in (b"orders", b"orders-dead") for name, value in (
        ("topic", topic), ("partition", b"3"), ("offset", b"7")))
    letter = recognise(_kafka(*deaths, topic="dead-again"))
    assert [(str(home.address), home.confidence) for home in letter.homes] == [("topic:orders-dead", Confidence.LIKELY), ("topic:orders", Confidence.GUESS)]
    assert [hop.where for hop in letter.journey] == ["orders", "orders-dead"]
    assert [str(home.address) for home in recognise(_kafka(*deaths, topic="orders-dead")).homes] == ["topic:orders"]


def test_a_letter_of_spring_cloud_stream_that_died_among_letters_goes_where_it_was_published() -> None:
    first = spring_cloud_stream(Message(body=b"{}", headers=(("a", b"1"),)))
    second = tuple((name, b"error.orders.billing" if name == "x-original-topic" else value) for name, value in first.message.headers[1:])
    letter = recognise(_kafka(*first.message.headers, *second, topic="error.error.orders.billing.audit"))
    assert [(str(home.address), home.confidence) for home in letter.homes] == [
        ("topic:orders", Confidence.LIKELY), ("topic:error.orders.billing", Confidence.GUESS)]
    assert (letter.group, letter.original_time, len(letter.journey)) == ("audit", 1_795_474_000_123_000_000, 2)
    assert to_message(letter).headers == (("a", b"1"),)


@pytest.mark.parametrize(("headers", "dialect"), [
    ((("x-original-timestamp-type", b"CreateTime"),), "spring cloud stream"), ((("x-original-partition", b"\0\0\0\x03"),), "spring cloud stream"),
    ((("x-original-partition", b"3"), ("x-original-offset", b"\0\0\0\0\0\0\0\x07")), "spring cloud stream"),
    ((("x-original-partition", b"3"), ("x-original-offset", b"12345678")), "generic"), ((("x-exception-fqcn", b"E"),), "generic")])
def test_spring_cloud_stream_is_told_by_its_binary_numbers_or_the_type_of_a_time(headers: tuple[Header, ...], dialect: str) -> None:
    letter = recognise(_kafka(("x-original-topic", b"orders"), *headers, topic="error.orders.billing"))
    assert (letter.dialect, str(letter.home and letter.home.address)) == (dialect, "topic:orders")
    assert recognise(_kafka(*headers, topic="error.orders.billing")).dialect != "spring cloud stream"


def test_the_group_of_spring_cloud_stream_is_in_the_name_of_its_topic() -> None:
    letter = spring_cloud_stream(Message(body=b"{}"))
    for topic, group in (("error.orders.billing", "billing"), ("error.orders.", ""), ("orders-dead", ""), ("error.invoices.billing", "")):
        assert recognise(replace(letter, place={**letter.place, "topic": topic})).group == group
    empty = replace(letter, place={**letter.place, "topic": "error..billing"}, message=replace(letter.message, headers=tuple(
        (name, b"" if name == "x-original-topic" else value) for name, value in letter.message.headers)))
    assert recognise(empty).group == ""


def test_a_letter_of_spring_cloud_stream_without_the_body_that_could_not_be_read_has_no_home() -> None:
    unread = ("springDeserializerExceptionValue", b"\xac\xed\x00\x05sr")
    record = spring_cloud_stream(Message(body=None, key=b"k", headers=(unread,)))
    letter = recognise(record)
    assert letter.homes == ()
    assert "the original's body" in letter.lost[0]
    assert "orders" in letter.remarks[0]
    assert "3:7" in letter.remarks[0]
    assert recognise(replace(record, message=replace(record.message, body=b"{}"))).home is not None


@pytest.mark.parametrize(("mode", "key", "body", "home", "lost"), [
    (b"READ", b"k", b"{}", "topic:orders", ()), (b"read", b"k", b"{}", "topic:orders", ()), (b"WRITE", b"k", b"{}", "None", ("body",)),
    (None, b"k", b"{}", "None", ("body",)), (b"READ", b"k", None, "None", ("body",)), (b"READ", None, b"{}", "topic:orders", ("key",))])
def test_what_a_rule_left_goes_home_only_where_it_is_what_was_read(mode: bytes | None, key: bytes | None, body: bytes | None, home: str,
                                                                  lost: tuple[str, ...]) -> None:
    headers = (("__rule.name", b"r"), ("__rule.mode", mode), ("__rule.topic", b"orders"), ("__rule.exception", b"no"))
    letter = recognise(Record("kafka", {"topic": "dead", "partition": 0, "offset": 1}, "0:1", None, Message(body=body, key=key, headers=headers)))
    assert str(letter.home and letter.home.address) == home
    assert [what in said for what, said in zip(lost, letter.lost, strict=True)] == [True] * len(lost)
    assert to_message(letter).headers == ()


@pytest.mark.parametrize(("topic", "home"), [
    ("orders.retry.30s", "topic:orders"), ("orders.dlq", "topic:orders"), ("orders.retry.5m.dlq", "topic:orders"), ("orders-retry-DLQ", "topic:orders"),
    ("orders.v2.retry.5s", "topic:orders.v2"), ("retry.dlq", "topic:retry"), ("orders.retrying", "None"), ("dlq", "None")])
def test_the_name_of_a_tier_is_no_origin_but_what_stands_before_all_of_it(topic: str, home: str) -> None:
    letter = recognise(_kafka(("x-attempts", b"2"), topic=topic))
    assert str(letter.home and letter.home.address) == home


def test_a_header_called_topic_is_helidons_only_where_helidon_writes_over_it() -> None:
    origin: tuple[Header, ...] = (("dlq-orig-topic", b"orders"), ("dlq-orig-partition", b"3"), ("dlq-orig-offset", b"7"),
                                  ("dlq-orig-timestamp", b"1795474000123"))
    channel = recognise(_kafka(("topic", b"mine"), *origin))
    assert (to_message(channel).headers, channel.original_time, channel.lost) == ((("topic", b"mine"),), 1_795_474_000_123_000_000, ())
    nacked = recognise(_kafka(("topic", b"orders-dlt"), ("dlq-error", b"E"), *origin))
    assert (to_message(nacked).headers, "header topic" in nacked.lost[0]) == ((), True)
    assert recognise(_kafka(("topic", b"mine"), ("dlq-error", b"E"), ("x-original-topic", b"orders"))).dialect == "generic"


def test_a_record_nobody_wrote_on_is_unknown_has_no_home_and_goes_back_whole() -> None:
    record = _kafka(("trace", b"1"), ("trace", b"2"), key=b"k")
    letter = recognise(record)
    assert (letter.dialect, letter.homes, letter.stripped) == ("unknown", (), ())
    assert to_message(letter) == Message(body=b"", key=b"k", headers=record.message.headers, origin="kafka")


@pytest.mark.parametrize(("key", "homes"), [
    (b"created", ["exchange:dead/created"]), (b"", ["exchange:dead/"]), (b"a" * 255, [f"exchange:dead/{'a' * 255}"]), (b"a\x1b[2J", []), (b"a" * 256, [])])
def test_an_exchange_may_be_called_as_the_queue_of_letters_and_its_routing_key_is_looked_at_too(key: bytes, homes: list[str]) -> None:
    letter = recognise(Record("rabbitmq", {"exchange": "", "routing_key": "dead", "queue": "dead"}, "", None, Message(headers=(
        ("x-original-exchange", b"dead"), ("x-original-routing-key", key)))))
    assert [str(home.address) for home in letter.homes] == homes
    assert any("it cannot go there" in remark for remark in letter.remarks) is not bool(homes)


@pytest.mark.parametrize(("name", "text"), [
    ("orders", "orders"), ("a\x1b[2J\u202e\udcff", "a\\x1b[2J\\u202e\\udcff"), ("é" * 60, "é" * 60), ("é" * 61, f"{'é' * 60}…")])
def test_a_name_is_shown_short_and_steers_nothing(name: str, text: str) -> None:
    assert shown(name) == text


def test_headers_that_speak_for_themselves_are_all_read() -> None:
    letter = recognise(_nats(
        ("X-Original-Subject", b"orders.created"), ("X-Original-Stream", b"ORDERS"), ("X-Original-Sequence", b"7"), ("X-DLQ-Reason", b"late"),
        ("X-Exception-Class", b"E"), ("X-Error-Message", b"no"), ("X-Stacktrace", b"at x"), ("X-Delivery-Count", b"4"), ("X-Failed-Consumer", b"billing"),
        ("X-Consumer-Group", b"g"), ("X-Failed-At", b"1795474000"), ("X-Original-Timestamp", b"1795473000")))
    assert letter.homes[0].place == {"stream": "ORDERS", "sequence": 7}
    assert (str(letter.homes[0].address), letter.reason, letter.exception, letter.exception_message, letter.stack_trace, letter.attempts) == (
        "subject:orders.created", "late", "E", "no", "at x", 4)
    assert (letter.consumer, letter.group, letter.last_death, letter.original_time) == ("billing", "g", 1_795_474_000 * 10**9, 1_795_473_000 * 10**9)
    assert letter.journey == (Hop("orders.created", "late", {"stream": "ORDERS", "sequence": 7}, 1_795_474_000 * 10**9, 4),)
    assert recognise(_nats(("X-DLQ-Reason", b"late"))).journey == ()


@pytest.mark.parametrize(("broker", "headers", "homes"), [
    ("kafka", (("x-original-topic", b"orders"), ("x-original-queue", b"work")), [("topic:orders", Confidence.LIKELY), ("topic:work", Confidence.GUESS)]),
    ("rabbitmq", (("x-original-exchange", b""), ("x-original-routing-key", b"work")), [("queue:work", Confidence.LIKELY)]),
    ("rabbitmq", (("x-original-exchange", b"shop"), ("x-original-routing-key", b"created")), [("exchange:shop/created", Confidence.GUESS)]),
    ("rabbitmq", (("x-original-exchange", b"shop"), ("x-original-queue", b"work")), [("queue:work", Confidence.LIKELY), ("exchange:shop/", Confidence.GUESS)]),
    ("kafka", (("x-original-exchange", b"shop"), ("x-original-routing-key", b"created")), [])])
def test_a_home_of_the_brokers_own_kind_is_likely_and_any_other_a_guess(broker: str, headers: tuple[Header, ...], homes: list[tuple[str, Confidence]]) -> None:
    letter = recognise(Record(broker, {"topic": "dead"} if broker == "kafka" else {"queue": "dead"}, "", None, Message(headers=headers)))
    assert [(str(home.address), home.confidence) for home in letter.homes] == homes


def test_an_origin_that_is_written_twice_is_one_home() -> None:
    letter = recognise(_kafka(("x-original-topic", b"orders"), ("x-source-topic", b"orders"), ("source_topic", b"returns"), ("x-dlq-source-topic", b"returns")))
    assert [str(home.address) for home in letter.homes] == ["topic:orders", "topic:returns"]


@pytest.mark.parametrize(("partition", "offset"), [(b"12345", b"123456789"), (struct.pack(">i", 12345), struct.pack(">q", 123456789))])
def test_bytes_of_no_number_of_java_are_taken_for_digits(partition: bytes, offset: bytes) -> None:
    letter = recognise(_kafka(("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-partition", partition), ("kafka_dlt-original-offset", offset)))
    assert letter.home is not None
    assert letter.home.place == {"partition": 12345, "offset": 123456789}


@pytest.mark.parametrize("key", [b"c-7", b"\x12\x06orders", b"\x08\x01\x12\x06orders\x18\x03", b"\x12\x06orders\x28\x01", b"\x12\xff\xff\xff\xff\x0f",
                                 b"\x0a" * 30, b"\x12\x07ord ers\x28" + b"\x80" * 8 + b"\x01"])
def test_a_key_that_is_not_exactly_the_metadata_is_somebodys_key(key: bytes) -> None:
    assert recognise(_kafka(key=key)).dialect == "unknown"


def test_a_task_that_did_not_die_is_no_letter() -> None:
    body = b'{"queue_name":"orders","actor_name":"charge","message_id":"m","options":{}}'
    for headers in ((), (("task", b"shop.charge"), ("id", b"1"))):
        record = Record("rabbitmq", {"exchange": "", "routing_key": "orders", "queue": "orders"}, "", None, Message(body=body, headers=headers))
        assert recognise(record).dialect == "unknown"


@pytest.mark.parametrize(("queue", "deaths", "stations"), [
    ("orders.XQ", None, []), ("dead", x_death(("orders.DQ", "expired", 2), ("orders", "rejected", 1)), ["orders", "orders.DQ"])])
def test_a_message_of_dramatiq_goes_back_to_the_queue_in_its_body(queue: str, deaths: HeaderValue, stations: list[str]) -> None:
    body = (b'{"queue_name":"orders.DQ","actor_name":"charge","message_id":"m",'
            b'"options":{"retries":2,"traceback":"Traceback (most recent call last):\\n  x\\nshop.Closed: at noon: no"}}')
    letter = recognise(Record("rabbitmq", {"queue": queue}, "", None, Message(body=body, headers=() if deaths is None else (("x-death", deaths),))))
    assert [(str(home.address), home.confidence) for home in letter.homes] == [("queue:orders", Confidence.CERTAIN)]
    assert (letter.dialect, letter.consumer, letter.attempts, letter.exception) == ("dramatiq", "charge", 3, "shop.Closed")
    assert letter.stack_trace.startswith("Traceback")
    assert [hop.where for hop in letter.journey] == stations
    assert "retried 2 times already" in letter.remarks[-1]


def test_a_thousand_deaths_are_read_in_bounds() -> None:
    deaths = x_death(*((f"q{number}", "expired", 1) for number in range(1000)))
    record = Record("rabbitmq", {"exchange": "", "routing_key": "dead", "queue": "dead"}, "", None, Message(headers=(("x-death", deaths),)))
    letter = recognise(record)
    assert len(letter.journey) == 100
    assert len(letter.homes) <= 100
