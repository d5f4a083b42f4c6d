"""Test-side writers: each takes an original message and writes the letter its framework's documentation says.

They share nothing with `brokercli.dialects`. A writer returns the record; what it was made of is known to the test.
"""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace

from brokercli.model.message import Header, Message, Record, Typed

TIME = 1_795_474_000_123


def _int32(number: int) -> bytes:
    return struct.pack(">i", number)


def _int64(number: int) -> bytes:
    return struct.pack(">q", number)


def _kafka(topic: str, message: Message, headers: tuple[Header, ...]) -> Record:
    return Record("kafka", {"topic": topic, "partition": 0, "offset": 9}, "0:9", TIME * 1_000_000, replace(message, headers=headers, origin="kafka"))


def _rabbitmq(queue: str, message: Message, headers: tuple[Header, ...]) -> Record:
    return Record("rabbitmq", {"exchange": "", "routing_key": queue, "queue": queue}, "", None, replace(message, headers=headers, origin="rabbitmq"))


def _nats(subject: str, message: Message, headers: tuple[Header, ...]) -> Record:
    return Record("nats", {"subject": subject, "stream": "DLQ", "sequence": 4}, "4", TIME * 1_000_000, replace(message, headers=headers, origin="nats"))


def x_death(*deaths: tuple[str, str, int], exchange: bytes = b"", key: bytes = b"") -> Typed:
    """Write an x-death array of (queue, reason, count), the latest first."""
    written = []
    for age, (queue, reason, count) in enumerate(deaths):
        written.append(Typed("table", (
            ("count", count), ("reason", reason.encode()), ("queue", queue.encode()), ("time", Typed("timestamp", 1_795_474_000 - age)),
            ("exchange", exchange), ("routing-keys", Typed("array", (key or queue.encode(),))))))
    return Typed("array", tuple(written))


def rabbitmq(message: Message) -> Record:
    return _rabbitmq("orders.dead", message, (*message.headers, ("x-death", x_death(("orders", "rejected", 1))), ("x-first-death-exchange", b""),
                                              ("x-first-death-queue", b"orders"), ("x-first-death-reason", b"rejected"), ("x-last-death-exchange", b""),
                                              ("x-last-death-queue", b"orders"), ("x-last-death-reason", b"rejected"), ("x-delivery-count", 3)))


def spring_kafka(message: Message) -> Record:
    return _kafka("orders-dlt", message, (
        *message.headers, ("kafka_dlt-exception-fqcn", b"w.Wrapper"), ("kafka_dlt-exception-cause-fqcn", b"w.Cause"), ("kafka_dlt-exception-message", b"no"),
        ("kafka_dlt-exception-stacktrace", b"w.Wrapper: no"), ("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-partition", _int32(3)),
        ("kafka_dlt-original-offset", _int64(7)), ("kafka_dlt-original-timestamp", _int64(TIME)), ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"billing")))


def spring_retry_topic(message: Message) -> Record:
    hop = (("retry_topic-original-timestamp", TIME.to_bytes(6, "big")), ("retry_topic-attempts", _int32(2)),
           ("retry_topic-backoff-timestamp", TIME.to_bytes(6, "big")))
    return _kafka("orders-dlt", message, (
        *message.headers, ("kafka_original-topic", b"orders"), ("kafka_original-partition", _int32(3)), ("kafka_original-offset", _int64(7)),
        ("kafka_original-timestamp", _int64(TIME)), ("kafka_original-timestamp-type", b"CreateTime"), ("kafka_dlt-original-consumer-group", b"billing"),
        *hop, ("kafka_exception-fqcn", b"w.Wrapper"), ("kafka_exception-message", b"no"), *hop))


def spring_cloud_stream(message: Message) -> Record:
    return _kafka("error.orders.billing", message, (
        *message.headers, ("x-original-topic", b"orders"), ("x-original-partition", _int32(3)), ("x-original-offset", _int64(7)),
        ("x-original-timestamp", _int64(TIME)), ("x-original-timestamp-type", b"CreateTime"), ("x-exception-fqcn", b"w.Wrapper"),
        ("x-exception-message", b"no"), ("x-exception-stacktrace", b"w.Wrapper: no\n\tat a\nCaused by: w.Cause: no\n")))


def kafka_connect(message: Message) -> Record:
    return _kafka("connect-dlq", message, (*message.headers, *((f"__connect.errors.{name}", value) for name, value in (
        ("topic", b"orders"), ("partition", b"3"), ("offset", b"7"), ("connector.name", b"sink"), ("task.id", b"0"), ("stage", b"TASK_PUT"),
        ("class.name", b"w.Sink"), ("exception.class.name", b"w.Cause"), ("exception.message", None), ("exception.stacktrace", b"w.Cause\n")))))


def kafka_streams(message: Message) -> Record:
    return _kafka("streams-dlq", message, (*message.headers, *((f"__streams.errors.{name}", value) for name, value in (
        ("exception", b"w.Cause"), ("message", None), ("stacktrace", b"w.Cause: no"), ("topic", b"orders"), ("partition", b"3"), ("offset", b"7")))))


def varint(number: int) -> bytes:
    """Return a number as Protobuf writes it."""
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def uber(message: Message) -> Record:
    key = b"\x08\x01" + b"\x12\x06orders" + b"\x18\x03" + b"\x20\x07" + b"\x28" + varint(TIME * 1_000_000)
    if message.key:
        key += b"\x32" + varint(len(message.key)) + message.key
    return _kafka("billing__orders__dlq", replace(message, key=key), ())


def smallrye(message: Message) -> Record:
    return _kafka("dead-letter-topic-orders", message, (
        ("dead-letter-exception-class-name", b"w.Wrapper"), ("dead-letter-reason", b"failed"), ("dead-letter-cause-class-name", b"w.Cause"),
        ("dead-letter-cause", b"no"), ("dead-letter-topic", b"orders"), ("dead-letter-partition", b"3"), ("dead-letter-offset", b"7"), *message.headers))


def smallrye_retries(message: Message) -> Record:
    def hop(topic: bytes) -> tuple[Header, ...]:
        return (("delayed-retry-exception-class-name", b"w.Cause"), ("delayed-retry-reason", b"no"), ("delayed-retry-topic", topic),
                ("delayed-retry-partition", b"3"), ("delayed-retry-offset", b"7"))

    return _kafka("orders-dead", message, (
        *hop(b"orders_retry_10000"), *hop(b"orders"), *message.headers, ("delayed-retry-original-timestamp", b"1795474000123"),
        ("delayed-retry-first-processing-timestamp", b"1795474000200"), ("delayed-retry-count", b"0"), ("delayed-retry-count", b"1")))


def helidon_channel(message: Message) -> Record:
    return _kafka("orders-dead", message, (
        *message.headers, ("helidon_messaging_dead_letter_source_channel", b"orders"), ("helidon_messaging_dead_letter_attempts", b"3"),
        ("dlq-orig-topic", b"orders"), ("dlq-orig-partition", b"3"), ("dlq-orig-offset", b"7"), ("dlq-orig-timestamp", b"1795474000123"),
        ("dlq-orig-timestamp-type", b"CREATE_TIME"), ("dlq-orig-leader-epoch", b"0")))


def karafka(message: Message) -> Record:
    return _kafka("dead_messages", message, (*message.headers, ("source_topic", b"orders"), ("source_partition", b"3"), ("source_offset", b"7"),
                                             ("source_consumer_group", b"billing"), ("source_attempts", b"3"), ("source_trace_id", b"4f1c")))


def karafka_before_2_5(message: Message) -> Record:
    return _kafka("dead_messages", replace(message, key=b"3"), (
        *message.headers, ("original_topic", b"orders"), ("original_partition", b"3"), ("original_offset", b"7"), ("original_consumer_group", b"billing"),
        ("original_key", message.key or b""), ("original_attempts", b"3")))


def moleculer(message: Message) -> Record:
    return _kafka("FAILED_MESSAGES", message, (
        *message.headers, ("x-redelivered-count", b"2"), ("x-original-channel", b"orders"), ("x-original-group", b"billing"), ("x-original-partition", b"3"),
        ("x-error-message", b"no"), ("x-error-name", b"Error"), ("x-error-stack", b64encode(b"Error: no")), ("x-error-timestamp", b"1795474000123")))


def masstransit(message: Message) -> Record:
    return _rabbitmq("orders_error", message, (
        *message.headers, ("MT-Reason", b"fault"), ("MT-Fault-ExceptionType", b"W.Cause"), ("MT-Fault-Message", b"no"), ("MT-Fault-StackTrace", b"at W"),
        ("MT-Fault-Timestamp", b"2026-11-23T10:00:00.1234567Z"), ("MT-Fault-InputAddress", b"rabbitmq://host/vhost/orders?temporary=true"),
        ("MT-Fault-ConsumerType", b"W.Consumer"), ("MT-Fault-RetryCount", 3), ("MT-Host-MachineName", b"m"), ("MT-Host-ProcessId", Typed("int32", 7))))


def nservicebus(message: Message) -> Record:
    return _rabbitmq("error", message, (
        *message.headers, ("NServiceBus.FailedQ", b"orders"), ("NServiceBus.TimeOfFailure", b"2026-11-23 10:00:00:123456 Z"),
        ("NServiceBus.ExceptionInfo.ExceptionType", b"W.Cause"), ("NServiceBus.ExceptionInfo.Message", b"no"),
        ("NServiceBus.ExceptionInfo.StackTrace", b"at W"), ("NServiceBus.ProcessingEndpoint", b"Orders"),
        ("x-death", x_death(("nsb.v2.delay-level-00", "expired", 2)))))


def rebus(message: Message) -> Record:
    return _rabbitmq("error", message, (
        *message.headers, ("rbs2-source-queue", b"orders"), ("rbs2-delivery-count", b"5"),
        ("rbs2-error-details", b"5 unhandled exceptions: 23/11/2026: System.InvalidOperationException: no such order\n   at W")))


def easynetq(message: Message, *, base64: bool = False, typed: bool = False) -> Record:
    body = message.body or b""

    def written(value: bytes) -> dict[str, object]:
        # by version 8: Newtonsoft's serializer, which is what it comes with, and SystemTextJsonV2
        text = b64encode(value).decode()
        return {"Type": 14, "Value": text} if typed else {"$type": "System.Byte[], System.Private.CoreLib", "$value": text}

    properties = {"ContentType": "application/json", "MessageId": "m-1", "DeliveryMode": 2,
                  "Headers": {name: written(value) for name, value in message.headers if isinstance(value, bytes)}}
    error = {"RoutingKey": "#", "Exchange": "shop", "Queue": "orders", "Exception": "System.Exception: no\n   at W",
             "Message": b64encode(body).decode() if base64 else body.decode(), "DateTime": "2026-11-23T10:00:00.1234567Z", "BasicProperties": properties}
    return _rabbitmq("EasyNetQ_Default_Error_Queue", Message(body=json.dumps(error).encode(), properties={"type": b"EasyNetQ.SystemMessages.Error, EasyNetQ"}),
                     ())


def easynetq_base64(message: Message) -> Record:
    return easynetq(message, base64=True)


def easynetq_typed(message: Message) -> Record:
    return easynetq(message, base64=True, typed=True)


def spring_amqp(message: Message) -> Record:
    return _rabbitmq("orders.dlq", message, (*message.headers, ("x-exception-message", None), ("x-original-exchange", b""),
                                             ("x-original-routingKey", b"orders")))


def watermill(message: Message) -> Record:
    return _nats("poison", message, (*message.headers, ("reason_poisoned", b"no"), ("topic_poisoned", b"orders"), ("handler_poisoned", b"charge"),
                                     ("subscriber_poisoned", b"nats.Subscriber")))


def tiered(message: Message) -> Record:
    return _kafka("orders.dlq", message, (*message.headers, ("x-attempts", b"4"), ("x-retry-after", b"1795474000"), ("x-original-topic", b"orders")))


def tiered_by_name(message: Message) -> Record:
    return _kafka("orders.retry.30s", message, (*message.headers, ("x-attempts", b"2"), ("x-retry-after", b"1795474000")))


def jetstream_headers(message: Message) -> Record:
    return _nats("dlq.orders", message, (*message.headers, ("X-Original-Subject", b"orders"), ("X-Original-Stream", b"ORDERS"), ("X-Original-Sequence", b"7"),
                                         ("X-Failure-Reason", b"no"), ("X-Delivery-Count", b"5"), ("Nats-Msg-Id", b"m-1")))


def jetstream_nats_headers(message: Message) -> Record:
    return _nats("dlq.orders", message, (*message.headers, ("Nats-Original-Subject", b"orders"), ("Nats-Original-Stream", b"ORDERS"),
                                         ("Nats-Original-Sequence", b"7"), ("Nats-Failure-Description", b"no"), ("Nats-Num-Delivered", b"5")))


def jetstream_x_nats_headers(message: Message) -> Record:
    return _nats("dlq.orders", message, (*message.headers, ("X-NATS-Original-Subject", b"orders"), ("X-NATS-Stream", b"ORDERS"),
                                         ("X-NATS-Stream-Sequence", b"7"), ("X-NATS-Num-Delivered", b"5"), ("X-NATS-DLQ-Reason", b"no"),
                                         ("X-NATS-Consumer", b"billing")))


def nestjs_jetstream(message: Message) -> Record:
    return _nats("dlq.orders", message, (*message.headers, ("x-dead-letter-reason", b"no"), ("x-original-subject", b"orders"), ("x-original-stream", b"ORDERS"),
                                         ("x-failed-at", b"2026-11-23T10:00:00.000Z"), ("x-delivery-count", b"5")))


def generic(message: Message) -> Record:
    return _kafka("dead", message, (*message.headers, ("X-Original-Topic", b"orders"), ("X-Original-Partition", b"3"), ("X-Original-Offset", b"7"),
                                    ("X-Exception-Message", b"no"), ("x_retry_count", b"4")))


def generic_source(message: Message) -> Record:
    return _kafka("dead", message, (*message.headers, ("x-source-topic", b"orders"), ("x-source-partition", b"3"), ("x-source-offset", b"7"),
                                    ("x-error-type", b"w.Cause"), ("x-error-message", b"no"), ("x-error-timestamp", b"2026-11-23T10:00:00Z")))


@dataclass(frozen=True)
class Framework:
    """A writer, the dialect its letters are in, and what of an original it keeps."""

    write: Callable[[Message], Record]
    dialect: str
    home: str
    attempts: int | None = None
    only: str = ""
    """What an original may be: any; `text`: text headers, each name once, and a text body; `json`: that, and the body is
    JSON; `bare`: no headers."""

    def __repr__(self) -> str:
        return self.write.__name__


FRAMEWORKS = [
    Framework(rabbitmq, "rabbitmq", "queue:orders", 1), Framework(spring_kafka, "spring kafka", "topic:orders"),
    Framework(spring_retry_topic, "spring retry topic", "topic:orders", 1), Framework(spring_cloud_stream, "spring cloud stream", "topic:orders"),
    Framework(kafka_connect, "kafka connect", "topic:orders"), Framework(kafka_streams, "kafka streams", "topic:orders"),
    Framework(uber, "uber kafka-client", "topic:orders", 1, only="bare"), Framework(masstransit, "masstransit", "queue:orders", 4),
    Framework(helidon_channel, "helidon", "topic:orders", 3), Framework(moleculer, "moleculer", "topic:orders", 3),
    Framework(karafka, "karafka", "topic:orders", 3), Framework(karafka_before_2_5, "karafka", "topic:orders", 3, only="bare"),
    Framework(smallrye, "smallrye kafka", "topic:orders"), Framework(smallrye_retries, "smallrye kafka", "topic:orders", 2),
    Framework(nservicebus, "nservicebus", "queue:orders"), Framework(rebus, "rebus", "queue:orders", 5),
    Framework(easynetq, "easynetq", "queue:orders", only="text"), Framework(easynetq_base64, "easynetq", "queue:orders", only="json"),
    Framework(easynetq_typed, "easynetq", "queue:orders", only="json"),
    Framework(spring_amqp, "spring amqp", "queue:orders"), Framework(watermill, "watermill", "subject:orders"),
    Framework(tiered, "tiered retries", "topic:orders", 4), Framework(tiered_by_name, "tiered retries", "topic:orders", 2),
    Framework(jetstream_headers, "jetstream convention", "subject:orders", 5),
    Framework(jetstream_nats_headers, "jetstream convention", "subject:orders", 5),
    Framework(jetstream_x_nats_headers, "jetstream convention", "subject:orders", 5),
    Framework(nestjs_jetstream, "jetstream convention", "subject:orders", 5), Framework(generic, "generic", "topic:orders", 4),
    Framework(generic_source, "generic", "topic:orders")]
