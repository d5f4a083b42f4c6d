"""Every letter that a real framework made says what it should, and gives back what was sent."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from brokercli.dialects import attach_original, recognise, to_message
from brokercli.model.dead_letter import Confidence
from brokercli.model.message import Message, Record, Typed
from tests.dialects.real_letters import NAMES, read_letter, read_original

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY
DATA, SERIAL = "org.apache.kafka.connect.errors.DataException", "org.apache.kafka.common.errors.SerializationException"
STATE, ARGUMENT = "java.lang.IllegalStateException", "java.lang.IllegalArgumentException"
RECORD = "org.apache.kafka.common.errors.RecordDeserializationException"

# name: dialect, home and its confidence, then whatever else the letter must say
EXPECTED: dict[str, tuple[str, str | None, Confidence | None, dict[str, Any]]] = {
    "celery": ("celery", "queue:dialects-celery", CERTAIN, {"consumer": "celery_app.charge", "attempts": 2, "reason": "rejected"}),
    "celery_expires": ("celery", "queue:cel.c", CERTAIN, {"consumer": "shop.plain", "attempts": 1, "reason": "rejected"}),
    "celery_native_delay": ("celery", "queue:cel.q", CERTAIN, {"consumer": "shop.quorum", "attempts": 2, "reason": "rejected"}),
    "confluent_rules_read": ("confluent rules", "topic:dialects-rules2-read", CERTAIN,
                             {"reason": "rule on read", "consumer": "has-state", "exception_message": "Rule expr failed: message.state != ''"}),
    "confluent_rules_write": ("confluent rules", None, None, {"reason": "rule on write", "consumer": "has-state"}),
    "dramatiq": ("dramatiq", "queue:dialects-dramatiq", CERTAIN,
                 {"consumer": "charge", "attempts": 2, "exception": "ValueError", "exception_message": "no such order: o-1"}),
    "helidon": ("helidon", "topic:dialects-helidon", CERTAIN, {"exception": STATE, "exception_message": "no such order"}),
    "jetstream_max_deliveries": ("jetstream advisory", None, None, {"reason": "max deliveries", "consumer": "billing", "attempts": 1,
                                                                    "pointer": {"stream": "dialects-orders", "sequence": 1}}),
    "jetstream_naked": ("jetstream advisory", None, None, {"reason": "nak", "pointer": {"stream": "dialects-orders", "sequence": 3}}),
    "jetstream_terminated": ("jetstream advisory", None, None, {"reason": "terminated", "exception_message": "no such order",
                                                                "pointer": {"stream": "dialects-orders", "sequence": 2}}),
    "kafka_connect_converter": ("kafka connect", "topic:dialects-connect", CERTAIN,
                                {"reason": "value converter", "exception": DATA, "connector": "dialects-headers"}),
    "kafka_connect_task_put": ("kafka connect", "topic:kc.hdr", CERTAIN, {"reason": "task put", "exception": DATA, "connector": "hdr"}),
    "kafka_connect_transform": ("kafka connect", "topic:dialects-connect", CERTAIN, {"reason": "transformation", "exception": DATA}),
    "kafka_connect_without_headers": ("unknown", None, None, {}),
    "kafka_streams_after_output": ("kafka streams", "topic:dialects-streams-c", CERTAIN,
                                   {"exception": STATE, "pointer": {"topic": "dialects-streams-c", "partition": 1, "offset": 0}}),
    "kafka_streams_deserialisation": ("kafka streams", "topic:dialects-streams-b", CERTAIN, {"exception": SERIAL}),
    "kafka_streams_processing": ("kafka streams", "topic:dialects-streams-a", CERTAIN, {"exception": STATE, "exception_message": "outer"}),
    "kafka_streams_production": ("kafka streams", "topic:st.prod", CERTAIN,
                                 {"exception": "org.apache.kafka.common.errors.RecordTooLargeException", "pointer": None}),
    "moleculer_kafka": ("moleculer", "topic:mol.orders", CERTAIN, {"group": "billing", "attempts": 2, "reason": "exception"}),
    "moleculer_nats": ("moleculer", "subject:mol.orders", CERTAIN, {"group": "billing", "attempts": None}),
    "moleculer_rabbitmq": ("moleculer", "queue:billing.mol.orders", CERTAIN, {"group": "billing", "attempts": None}),
    "nestjs_nacked": ("rabbitmq", "queue:nest.orders", CERTAIN, {"reason": "rejected", "attempts": 1, "redrives": 2}),
    "rabbitmq_delay_lane_then_rejected": ("rabbitmq", "queue:dialects-lane.work", CERTAIN, {"reason": "rejected", "attempts": 1}),
    "rabbitmq_delivery_limit": ("rabbitmq", "queue:dialects-limit", CERTAIN, {"reason": "delivery_limit", "attempts": 3}),
    "rabbitmq_expired": ("rabbitmq", "queue:dialects-slow", LIKELY, {"reason": "expired", "attempts": None}),
    "rabbitmq_maxlen": ("rabbitmq", "queue:dialects-full", LIKELY, {"reason": "maxlen", "attempts": None}),
    "rabbitmq_parked_after_retry_loop": ("rabbitmq", "queue:dialects-loop", CERTAIN, {"reason": "rejected", "attempts": 2}),
    "rabbitmq_rejected_with_cc": ("rabbitmq", "queue:dialects-orders", CERTAIN, {"reason": "rejected", "attempts": 1}),
    "rabbitmq_stream": ("rabbitmq", "queue:dialects-streamed", CERTAIN, {"reason": "rejected", "attempts": 1}),
    "rascal_forwarded": ("rascal", "queue:ras.ship", CERTAIN, {"attempts": 3, "exception_message": "no stock\nfor it", "reason": "failed"}),
    "rascal_immediate_nack": ("rascal", "queue:ras.now", CERTAIN, {"attempts": 1, "reason": "rejected"}),
    "rascal_rejected": ("rascal", "queue:ras.orders", CERTAIN, {"attempts": 3, "exception_message": "no stock\nfor it", "reason": "rejected"}),
    "share_group_copy": ("share group", "topic:dialects-shared", CERTAIN, {"group": "dialects-share-copy", "attempts": 1}),
    "share_group_pointer": ("share group", "topic:dialects-shared", CERTAIN,
                            {"group": "dialects-share", "pointer": {"topic": "dialects-shared", "partition": 1, "offset": 0}}),
    "smallrye_kafka": ("smallrye kafka", "topic:dialects-orders", CERTAIN, {"exception": ARGUMENT, "exception_message": "no such order orders"}),
    "smallrye_kafka_dead_then_retried": ("smallrye kafka", "topic:dialects-orders", CERTAIN,
                                         {"exception_message": "no such order mixed", "attempts": 3, "original_time": None}),
    "smallrye_kafka_delayed_retries": ("smallrye kafka", "topic:dialects-retried", CERTAIN, {"attempts": 3, "original_time": 1_795_726_265_380_000_000}),
    "smallrye_kafka_deserialisation": ("smallrye kafka", "topic:dialects-numbers", CERTAIN, {"reason": "value deserialisation", "exception": RECORD}),
    "smallrye_kafka_deserialisation_retried": ("smallrye kafka", "topic:dialects-wrongnumbers", CERTAIN, {"reason": "exception", "attempts": 3}),
    "smallrye_kafka_deserialisation_then_dead": ("smallrye kafka", "topic:dialects-numbers", LIKELY, {"exception_message": "no such order deadnumbers"}),
    "smallrye_kafka_key_deserialisation": ("smallrye kafka", None, None, {"reason": "key deserialisation", "exception": RECORD}),
    "smallrye_kafka_retried_then_dead": ("smallrye kafka", "topic:dialects-retried", CERTAIN, {"exception_message": "no such order after", "attempts": 3}),
    "smallrye_kafka_two_deaths": ("smallrye kafka", "topic:dialects-orders", LIKELY, {"exception_message": "no such order again"}),
    "smallrye_kafka_two_deaths_without_cause": ("smallrye kafka", "topic:dialects-orders", LIKELY, {"exception": STATE, "exception_message": "still no"}),
    "smallrye_rabbitmq_rejected": ("rabbitmq", "queue:sr.orders.billing", CERTAIN, {"reason": "rejected", "attempts": 1, "redrives": 2}),
    "sneakers_retry_info": ("sneakers", "queue:ship.header", CERTAIN,
                            {"reason": "exception", "exception": "ArgumentError", "exception_message": "no stock left", "attempts": 3}),
    "sneakers_wrapped": ("sneakers", "queue:ship.properties", LIKELY, {"exception": "ArgumentError", "attempts": 3}),
    "sneakers_wrapped_without_properties": ("sneakers", "queue:ship.payload", LIKELY, {"exception": "ArgumentError", "attempts": 3}),
    "spring_amqp": ("spring amqp", "queue:dialects-amqp", LIKELY, {"exception": ARGUMENT, "exception_message": "no such order amqp"}),
    "spring_amqp_default_exchange": ("spring amqp", "queue:dialects-amqp", CERTAIN, {"exception_message": "no such order amqp"}),
    "spring_cloud_stream_rabbitmq": ("spring cloud stream", "queue:dialects-scs.billing", LIKELY,
                                     {"exception": ARGUMENT, "exception_message": "no such order republished"}),
    "spring_cloud_stream_rabbitmq_5": ("spring cloud stream", "queue:dialects-scs.billing", LIKELY, {"exception_message": "no such order republished"}),
    "spring_cloud_stream_rabbitmq_binary_text": ("spring cloud stream", "queue:dialects-scs.billing", LIKELY, {"exception": ARGUMENT}),
    "spring_cloud_stream_rabbitmq_rejected": ("rabbitmq", "queue:dialects-scs-rejected.billing", CERTAIN, {"reason": "rejected", "attempts": 1}),
    "spring_cloud_stream_kafka": ("spring cloud stream", "topic:dialects-scs", CERTAIN,
                                  {"group": "billing", "exception": "java.lang.IllegalArgumentException"}),
    "spring_kafka": ("spring kafka", "topic:dialects-a", CERTAIN, {"group": "dialects-billing", "exception": STATE, "reason": "exception"}),
    "spring_kafka_delivery_attempts": ("spring kafka", "topic:dialects-b", CERTAIN, {"attempts": 3}),
    "spring_kafka_key_deserialisation": ("spring kafka", "topic:dialects-k", CERTAIN, {"reason": "key deserialisation", "exception": SERIAL}),
    "spring_kafka_other_settings_two_hops": ("spring kafka", "topic:dialects-c", CERTAIN, {"exception": STATE}),
    "spring_kafka_two_hops": ("spring kafka", "topic:dialects-a", LIKELY, {"group": "dialects-reviver", "exception": STATE}),
    "spring_kafka_value_deserialisation": ("spring kafka", "topic:dialects-v", CERTAIN, {"reason": "value deserialisation", "exception": SERIAL}),
    "spring_retry_topic": ("spring retry topic", "topic:dialects-r", CERTAIN, {"attempts": 3, "exception": STATE, "group": "dialects-billing-r"}),
    "spring_retry_topic_waiting": ("spring retry topic", "topic:dialects-r", CERTAIN, {"attempts": 2}),
    "symfony_messenger": ("symfony messenger", "queue:sym.orders", LIKELY,
                          {"attempts": 3, "exception": "DomainException", "exception_message": "no such order 1", "consumer": "async",
                           "last_death": 1_795_801_424_000_000_000}),
    "symfony_messenger_php": ("symfony messenger", None, None, {"exception": "DomainException", "exception_message": "no such order 1", "consumer": "async"}),
    "watermill_amqp": ("watermill", "queue:dialects-wm", CERTAIN, {"exception_message": "no such order", "consumer": "charge-amqp (amqp.Subscriber)"}),
    "watermill_kafka": ("watermill", "topic:dialects-wm", CERTAIN, {"reason": "poisoned", "exception_message": "no such order"}),
    "watermill_nats": ("watermill", "subject:dialects-wm", CERTAIN, {"exception_message": "no such order"}),
}


def test_every_letter_in_the_folder_is_expected_to_say_something() -> None:
    assert set(EXPECTED) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_real_letter_says_what_happened_and_where_it_came_from(name: str) -> None:
    dialect, home, confidence, facts = EXPECTED[name]
    letter = recognise(read_letter(name))
    assert letter.dialect == dialect
    assert (None if letter.home is None else str(letter.home.address)) == home
    assert (None if letter.home is None else letter.home.confidence) == confidence
    assert {fact: getattr(letter, fact) for fact in facts} == facts


ALTERED = {"confluent_rules_read", "rabbitmq_stream", "smallrye_kafka_key_deserialisation",
           "spring_cloud_stream_rabbitmq_5", "spring_cloud_stream_rabbitmq_binary_text"}
"""What they were made of cannot be had from them any more; each says what is not as it was."""


@pytest.mark.parametrize("name", [name for name in NAMES if read_original(name) is not None and name not in ALTERED])
def test_a_real_letter_gives_back_the_message_that_was_sent(name: str) -> None:
    original = read_original(name)
    assert original is not None
    letter = recognise(read_letter(name))
    if not letter.complete:
        attach_original(letter, original)
    message = to_message(letter)
    expected = tuple(header for header in original.message.headers if header[0] != "Nats-Msg-Id")
    assert (message.body, message.key, message.headers, message.properties) == (original.message.body, original.message.key, expected,
                                                                               original.message.properties)


def test_what_goes_back_of_a_letter_without_its_original_is_all_but_what_was_added() -> None:
    for name in ("dramatiq", "spring_amqp", "spring_amqp_default_exchange", "watermill_amqp"):
        record = read_letter(name)
        letter = recognise(record)
        kept = tuple(header for header in record.message.headers if header[0] not in letter.stripped)
        assert to_message(letter).headers == kept
        assert to_message(letter).body == record.message.body
        assert all(header[0].startswith(("x-death", "x-first-death-", "x-last-death-", "x-exception-", "x-original-")) or "poisoned" in header[0]
                   for header in record.message.headers if header not in kept), name


@pytest.mark.parametrize("name", ["celery", "celery_expires", "celery_native_delay"])
def test_a_task_of_celery_goes_back_as_one_that_was_never_tried_and_does_not_expire(name: str) -> None:
    record = read_letter(name)
    letter = recognise(record)
    left_out = {header for header, _ in record.message.headers} - {header for header, _ in to_message(letter).headers}
    assert {header for header in left_out if not header.startswith("x-")} == {"retries", "expires"}
    assert ("discard it unrun" in "".join(letter.remarks)) == (name == "celery_expires")
    assert to_message(letter).body == record.message.body


@pytest.mark.parametrize("name", ["rascal_forwarded", "rascal_immediate_nack", "rascal_rejected"])
def test_a_letter_of_rascal_goes_back_without_the_counts_of_its_recovery_unless_its_body_is_encrypted(name: str) -> None:
    record = read_letter(name)
    assert [header for header, _ in to_message(recognise(record)).headers] == ["n", "trace"]
    table = dict(record.message.headers)["rascal"]
    assert isinstance(table, Typed)
    assert isinstance(table.value, tuple)
    sealed = Typed("table", (*table.value, ("encryption", Typed("table", (("name", b"aes"), ("iv", b"00"))))))
    headers = tuple((header, sealed if header == "rascal" else value) for header, value in record.message.headers)
    letter = recognise(replace(record, message=replace(record.message, headers=headers)))
    assert (letter.dialect, letter.homes) == ("rascal", recognise(record).homes)
    assert dict(to_message(letter).headers)["rascal"] == sealed
    assert "how to decrypt its body" in letter.remarks[-1]


def test_what_goes_back_to_symfony_may_fail_for_good_once_more_and_what_says_in_its_body_that_it_did_goes_nowhere_by_itself() -> None:
    record = read_letter("symfony_messenger")
    kept = ("X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\BusNameStamp", b'[{"busName":"messenger.bus.default"}]')
    letter = recognise(replace(record, message=replace(record.message, headers=(kept, *record.message.headers))))
    assert to_message(letter).headers == (kept, ("type", b"OrderCreated"))
    serialised = read_letter("symfony_messenger_php")
    body = serialised.message.body or b""
    encoded = recognise(replace(serialised, message=replace(serialised.message, body=b64encode(body))))
    assert (encoded.exception_message, encoded.homes) == ("no such order 1", ())
    assert encoded.lost[0].startswith("that it was among the failed already is in its body")
    for other in (body.replace(b"SentToFailureTransportStamp", b"AnyOtherStamp"), b64encode(body)[:-1], b"TzozNjpcI\xff"):
        assert recognise(replace(serialised, message=replace(serialised.message, body=other))).dialect == "rabbitmq"
    sent = next(header for header in record.message.headers if header[0].endswith("SentToFailureTransportStamp"))
    for value in (b"", b"[", b"{}", b"[1]", None):
        died = recognise(replace(record, message=replace(record.message, headers=((sent[0], value),))))
        assert died.dialect == "unknown"


def test_what_rascal_only_encrypted_is_no_letter() -> None:
    sealed = Typed("table", (("encryption", Typed("table", ())),))
    for table in (sealed, Typed("table", ()), Typed("table", (("recovery", b""),)), b"rascal", None):
        assert recognise(Record("rabbitmq", {"queue": "orders"}, "", None, Message(headers=(("rascal", table),)))).dialect == "unknown"


def test_a_letter_from_a_stream_says_what_the_stream_lost() -> None:
    letter, original = recognise(read_letter("rabbitmq_stream")), read_original("rabbitmq_stream")
    assert original is not None
    assert "byte arrays" in letter.lost[0]
    assert to_message(letter).headers != original.message.headers
    assert [name for name, _ in to_message(letter).headers] == [name for name, _ in original.message.headers]


def test_what_a_framework_altered_is_said_to_be_lost() -> None:
    rule, key, newer, text = (recognise(read_letter(name)) for name in sorted(ALTERED - {"rabbitmq_stream"}))
    assert rule.lost[0].startswith("the original's key")
    assert (to_message(rule).body, [name for name, _ in to_message(rule).headers]) == (b"\0\0\0\0\x01\x02\0", ["trace", "sig", "trace", "none"])
    assert "as JSON" in recognise(read_letter("confluent_rules_write")).lost[0]
    assert "the original's body" in key.lost[0]
    assert "it cannot go there" in key.remarks[0]
    assert (newer.lost[0].startswith("content type, priority"), to_message(newer).properties.get("priority")) == (True, 0)
    assert "text in headers that was not UTF-8" in text.lost[0]
    assert text.lost[1].startswith("retry-count as the producer wrote it")
    original = read_original("spring_cloud_stream_rabbitmq_binary_text")
    assert original is not None
    assert [name for name, _ in to_message(text).headers] == [name for name, _ in original.message.headers if name != "retry-count"]


def test_the_stations_of_a_letter_that_died_among_letters_and_was_retried_there_are_in_order() -> None:
    assert [hop.where for hop in recognise(read_letter("smallrye_kafka_dead_then_retried")).journey] == [
        "dialects-orders", "dialects-dead-letter-topic-orders", "dialects-mixed_retry_100", "dialects-mixed_retry_200"]


def test_the_second_hop_of_a_spring_letter_is_in_its_journey_but_not_its_home() -> None:
    letter = recognise(read_letter("spring_kafka_two_hops"))
    assert [hop.where for hop in letter.journey] == ["dialects-a", "dialects-a-dlt"]
    assert letter.home is not None
    assert letter.home.place == {"partition": 1, "offset": 1}
    assert (letter.homes[1].confidence, letter.homes[1].place) == (Confidence.GUESS, {"partition": 1, "offset": 0})


def test_cc_is_stripped_though_the_broker_left_it_on_the_letter() -> None:
    record = read_letter("rabbitmq_rejected_with_cc")
    assert any(name == "CC" for name, _ in record.message.headers)
    letter = recognise(record)
    assert "CC" in letter.stripped
    assert "user_id" in letter.stripped_properties
    assert any("600000 ms" in remark for remark in letter.remarks)
