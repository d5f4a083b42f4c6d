"""Publishing to Kafka: each message gets the verdict it deserves."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.kafka import publish as publish_module
from brokercli.backends.kafka.publish import KafkaPublisher
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.address import Address, parse_address
from brokercli.model.errors import Failed, NotFound, Unsupported, UsageProblem
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts, Verdict
from tests.backends.kafka_topics import Topics, bodies, of_verdict, publish


def test_what_is_confirmed_is_stored_in_order_and_nothing_else_is(topics: Topics) -> None:
    topic = topics.make()
    sent = [b"%d" % number for number in range(5000)]
    receipts = publish(topics.publisher(topic), [Message(body) for body in sent])
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (5000, 0, 0)
    assert receipts.problems == []
    assert bodies(topics.read(topic)) == sent


def test_bodies_share_the_template(topics: Topics) -> None:
    topic = topics.make(partitions=2, retention_ms="-1")
    template = Message(key=b"k", headers=(("a", b"1"), ("a", None)), id="m-1", time=1_700_000_000_123_456_789, partition=1)
    publisher = topics.publisher(topic, template=template)
    assert publisher.send_bodies([b"one", b"", b"three"]) == 3
    assert publisher.finish(20).confirmed == 3
    records = topics.read(topic)
    assert [(record.position, record.message.body) for record in records] == [("1:0", b"one"), ("1:1", b""), ("1:2", b"three")]
    for record in records:
        assert (record.message.key, record.message.headers) == (b"k", (("a", b"1"), ("a", None), ("x-message-id", b"m-1")))
        assert record.time == 1_700_000_000_123_000_000


def test_a_null_body_is_not_an_empty_one(topics: Topics) -> None:
    topic = topics.make()
    assert publish(topics.publisher(topic), [Message(None, key=b"k"), Message(b"", key=b"")]).confirmed == 2
    assert [(record.message.body, record.message.key) for record in topics.read(topic)] == [(None, b"k"), (b"", b"")]


def test_keys_land_where_a_java_producer_puts_them(topics: Topics) -> None:
    topic = topics.make(partitions=4)
    # what Java's murmur2 makes of these keys with four partitions
    homes = {b"order-42": 0, b"user:7": 0, b"a": 0, b"k1": 1}
    publish(topics.publisher(topic), [Message(b"", key=key) for key in homes])
    assert {record.message.key: record.place["partition"] for record in topics.read(topic)} == homes


def test_positions_say_where_each_message_lies(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    receipts = publish(topics.publisher(topic, positions=True), [Message(b"%d" % number, partition=number % 2) for number in range(6)])
    assert {receipt.index: receipt.position for receipt in receipts.confirmations} == {0: "0:0", 1: "1:0", 2: "0:1", 3: "1:1", 4: "0:2", 5: "1:2"}
    assert receipts.confirmed == len(receipts.confirmations) == 6


@pytest.mark.parametrize("limit", [None, 20_000], ids=["of the broker", "of the topic"])
def test_an_oversized_message_is_refused_alone_and_its_neighbours_arrive(topics: Topics, limit: int | None) -> None:
    topic = topics.make(max_message_bytes=str(limit)) if limit else topics.make()
    sent = [Message(b"%d" % number) for number in range(100)]
    sent[50] = Message(b"x" * (limit or 1_048_588))
    receipts = publish(topics.publisher(topic), sent)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (99, 1, 0)
    assert [(receipt.index, receipt.verdict) for receipt in receipts.problems] == [(50, Verdict.REFUSED)]
    assert "max.message.bytes" in receipts.problems[0].reason
    assert bodies(topics.read(topic)) == [message.body for number, message in enumerate(sent) if number != 50]


class _Nowhere:
    """A message as the client tells of it when the broker called it a duplicate."""

    def offset(self) -> None:
        return None


def test_a_message_that_is_said_to_be_a_repetition_of_one_that_lies_nowhere_is_unknown(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    report = KafkaPublisher._report
    monkeypatch.setattr(KafkaPublisher, "_report", lambda self, index, error, message: report(self, index, error, _Nowhere() if index == 1 else message))
    receipts = publish(topics.publisher(topics.make(), positions=True), [Message(b"a"), Message(b"b"), Message(b"c")])
    assert (receipts.confirmed, receipts.unknown, of_verdict(receipts, Verdict.UNKNOWN)) == (2, 1, [1])
    assert [confirmation.position for confirmation in receipts.confirmations] == ["0:0", "0:2"]


def test_many_small_messages_fit_a_topic_that_takes_only_small_batches(topics: Topics) -> None:
    topic = topics.make(max_message_bytes="2000")
    receipts = publish(topics.publisher(topic), [Message(b"%0500d" % number) for number in range(200)])
    assert (receipts.confirmed, receipts.refused) == (200, 0)


def test_a_message_just_below_the_limit_arrives(topics: Topics) -> None:
    topic = topics.make()
    receipts = publish(topics.publisher(topic), [Message(b"x" * 1_048_000), Message(b"y" * 1_000_000), Message(b"z")])
    assert (receipts.confirmed, receipts.refused) == (3, 0)
    assert [len(body or b"") for body in bodies(topics.read(topic))] == [1_048_000, 1_000_000, 1]


def test_a_message_larger_than_any_request_is_refused_before_it_is_sent(topics: Topics) -> None:
    topic = topics.make()
    receipts = publish(topics.publisher(topic), [Message(b"a"), Message(bytes(100_000_001)), Message(b"b")])
    assert of_verdict(receipts, Verdict.REFUSED) == [1]
    assert bodies(topics.read(topic)) == [b"a", b"b"]


def test_a_compacted_topic_refuses_only_the_messages_without_a_key(topics: Topics) -> None:
    topic = topics.make(cleanup_policy="compact")
    sent = [Message(b"%d" % number, key=None if number % 10 == 3 else b"k%d" % number) for number in range(50)]
    receipts = publish(topics.publisher(topic), sent)
    assert of_verdict(receipts, Verdict.REFUSED) == [3, 13, 23, 33, 43]
    assert receipts.confirmed == 45
    assert "key" in receipts.problems[0].reason
    assert len(topics.read(topic)) == 45


def test_bare_bodies_without_a_key_are_refused_by_a_compacted_topic(topics: Topics) -> None:
    publisher = topics.publisher(topics.make(cleanup_policy="compact"))
    assert publisher.send_bodies([b"a", b"b"]) == 2
    receipts = publisher.finish(20)
    assert (receipts.confirmed, receipts.refused) == (0, 2)


def test_a_time_the_topic_does_not_take_is_refused_and_the_rest_of_its_batch_arrives(topics: Topics) -> None:
    topic = topics.make(message_timestamp_before_max_ms="3600000")
    old = (int(time.time()) - 7200) * 1_000_000_000
    sent = [Message(b"%d" % number, time=old if number in (2, 7) else None) for number in range(10)]
    receipts = publish(topics.publisher(topic), sent)
    assert of_verdict(receipts, Verdict.REFUSED) == [2, 7]
    assert receipts.confirmed == 8
    assert sorted(body or b"" for body in bodies(topics.read(topic))) == [b"0", b"1", b"3", b"4", b"5", b"6", b"8", b"9"]


@pytest.mark.parametrize("bad", [(0,), (4,), (0, 4)])
@pytest.mark.parametrize("what", ["time", "key"])
def test_what_is_wrong_with_one_message_is_said_of_no_other(topics: Topics, what: str, bad: tuple[int, ...]) -> None:
    topic = topics.make(cleanup_policy="compact") if what == "key" else topics.make()
    # by the defaults: who may write need not be permitted to read what the topic is configured with
    publisher = KafkaPublisher(topics.connection, topic.name, PublishPolicy(), TopicSettings())
    now = int(time.time()) * 1_000_000_000
    with publisher:
        receipts = publish(publisher, [Message(b"%d" % number, key=None if what == "key" and number in bad else b"k%d" % number,
                                               time=now + (7200 * 1_000_000_000 if what == "time" and number in bad else number)) for number in range(5)])
    assert (of_verdict(receipts, Verdict.REFUSED), receipts.confirmed) == ([*bad], 5 - len(bad))
    assert all(what in receipt.reason for receipt in receipts.problems)
    assert [note for note in publisher.notes if "come after some that were published later" in note] == [*publisher.notes]
    # in their order, each with the time that it was given
    assert [(record.message.body, record.time) for record in topics.read(topic)] == [(b"%d" % number, now) for number in range(5) if number not in bad]


def test_what_kafka_cannot_carry_is_refused_alone(topics: Topics) -> None:
    topic = topics.make()
    receipts = publish(topics.publisher(topic), [
        Message(b"0"), Message(b"1", headers=(("\udcff", b""),)), Message(b"2", time=0), Message(b"3", partition=7), Message(b"4")])
    assert of_verdict(receipts, Verdict.REFUSED) == [1, 2, 3]
    assert bodies(topics.read(topic)) == [b"0", b"4"]
    reasons = {receipt.index: receipt.reason for receipt in receipts.problems}
    assert "UTF-8" in reasons[1]
    assert "1970" in reasons[2]
    assert "partition" in reasons[3]


def test_a_full_window_takes_no_more_until_verdicts_are_collected(topics: Topics) -> None:
    topic = topics.make()
    publisher = topics.publisher(topic, maximum_in_flight=10)
    sent = [Message(b"%d" % number) for number in range(100)]
    accepted = publisher.send(sent)
    assert accepted == 10
    assert publisher.in_flight == 10
    receipts = publish(publisher, sent[accepted:])
    assert receipts.confirmed == 100
    assert publisher.in_flight == 0
    assert bodies(topics.read(topic)) == [message.body for message in sent]


def test_large_headers_fill_the_window_as_well(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "_HEADER_BYTES", 300_000)
    topic = topics.make()
    publisher = topics.publisher(topic)
    sent = [Message(b"%d" % number, headers=(("trace", bytes(100_000)),)) for number in range(10)]
    accepted = publisher.send(sent)
    assert accepted == 3
    assert publish(publisher, sent[accepted:]).confirmed == 10
    assert bodies(topics.read(topic)) == [message.body for message in sent]


def test_collecting_returns_each_verdict_once(topics: Topics) -> None:
    publisher = topics.publisher(topics.make())
    publisher.send([Message(b"a")])
    first = publisher.collect(20)
    assert (first.confirmed, publisher.in_flight) == (1, 0)
    assert len(publisher.collect(0)) == 0
    assert len(publisher.finish(1)) == 0
    publisher.send([Message(b"b")])
    assert publisher.finish(20).confirmed == 1


class Interrupted(BaseException):
    """What a second Ctrl-C raises."""


class CutShort(Receipts):
    """Verdicts that are interrupted right after they were counted."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "confirmed" and value:
            raise Interrupted


def test_what_was_confirmed_when_it_was_interrupted_is_not_counted_twice(topics: Topics) -> None:
    publisher = topics.publisher(topics.make())
    publisher.send([Message(b"a"), Message(b"b"), Message(b"c")])
    publisher._news = news = CutShort()
    with pytest.raises(Interrupted):
        publisher.collect(20)
    publisher._news = Receipts()
    assert news.confirmed + publisher.finish(20).confirmed == 3


def test_old_times_are_noted_where_the_topic_would_delete_them(topics: Topics) -> None:
    publisher = topics.publisher(topics.make(retention_ms="3600000"))
    publish(publisher, [Message(b"new", time=time.time_ns())])
    assert publisher.notes == []
    publish(publisher, [Message(b"old", time=time.time_ns() - 7200 * 10**9)])
    assert len(publisher.notes) == 1
    assert "retention.ms" in publisher.notes[0]


def test_a_topic_that_stamps_its_own_time_is_noted(topics: Topics) -> None:
    topic = topics.make(message_timestamp_type="LogAppendTime")
    publisher = topics.publisher(topic, template=Message(time=1_700_000_000_000_000_000))
    assert "LogAppendTime" in publisher.notes[0]
    publisher.send_bodies([b"a"])
    publisher.finish(20)
    (record,) = topics.read(topic)
    assert record.time is not None
    assert record.time > 1_700_000_000_000_000_000


@pytest.mark.parametrize("given", [True, False])
def test_times_that_messages_bring_along_and_a_topic_does_not_keep_are_noted_once(topics: Topics, given: bool) -> None:
    publisher = topics.publisher(topics.make(message_timestamp_type="LogAppendTime"))
    assert publish(publisher, [Message(b"a", time=1_700_000_000_000_000_000 if given else None) for _ in range(3)]).confirmed == 3
    assert ["LogAppendTime" in note for note in publisher.notes] == [True] * given


def test_a_topic_that_wants_more_replicas_than_it_has_takes_messages_since_kafka_wants_no_more_than_there_are(topics: Topics) -> None:
    topic = topics.make(min_insync_replicas="2")
    receipts = publish(topics.publisher(topic), [b"a"])
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (1, 0, 0)


@pytest.mark.parametrize(("in_sync", "notes"), [([[1], [1]], None), ([[1], [1, 2]], 1), ([[1, 2], [2, 3]], 0)])
def test_a_topic_without_enough_replicas_in_sync_is_refused_at_once(topics: Topics, in_sync: list[list[int]], notes: int | None) -> None:
    # the tests' cluster is one broker
    partitions = {number: SimpleNamespace(replicas=[1, 2, 3], isrs=isrs) for number, isrs in enumerate(in_sync)}
    settings = TopicSettings(minimum_in_sync=2)
    if notes is None:
        with pytest.raises(Failed, match=r"1 of its replicas are in sync and min\.insync\.replicas wants 2"):
            topics.backend()._check_replicas("orders", partitions, settings)
    else:
        assert len(topics.backend()._check_replicas("orders", partitions, settings)) == notes


def test_publishing_does_not_create_a_topic(topics: Topics, unique: Callable[[str], str]) -> None:
    name = unique("absent")
    backend = topics.backend()
    with pytest.raises(NotFound):
        backend.resolve(parse_address(name), "publish")
    with pytest.raises(NotFound):
        backend.publisher(Address(name, "topic"), PublishPolicy())
    assert name not in topics.admin.list_topics(timeout=10).topics


def test_a_topic_that_is_nearly_right_is_suggested(topics: Topics) -> None:
    topic = topics.make()
    with pytest.raises(NotFound) as caught:
        topics.backend().resolve(parse_address(topic.name + "s"), "look")
    assert topic.name in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["queue:orders", "subject:orders", "stream:orders", "exchange:orders/key", "topic:or ders", "topic:a/b", "topic:..",
                                  "topic:" + "x" * 250])
def test_what_cannot_be_a_topic_is_a_usage_problem(topics: Topics, text: str) -> None:
    with pytest.raises(UsageProblem):
        topics.backend().resolve(parse_address(text), "publish")


def test_fire_and_forget_is_declined_with_the_reason_of_the_table(topics: Topics) -> None:
    with pytest.raises(Unsupported, match="stores every message"):
        topics.publisher(topics.make(), fire_and_forget=True)
