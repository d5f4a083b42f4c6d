"""Publishing bodies in parts: the verdicts and what is stored are those of publishing one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.kafka import bulk_producer
from brokercli.backends.kafka import publish as publish_module
from brokercli.backends.kafka.bulk_producer import PART, BulkProducer, Failed
from brokercli.backends.kafka.connect import create
from brokercli.backends.kafka.failures import REFUSED
from brokercli.backends.kafka.neighbours import Neighbours
from brokercli.backends.kafka.never_sent import never_sent
from brokercli.backends.kafka.publish import KafkaPublisher
from brokercli.backends.kafka.publish_bodies import KafkaBodyPublisher
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.address import Address
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Message
from brokercli.model.receipt import Verdict
from tests.backends.kafka_topics import Topics, bodies, of_verdict, publish
from tests.brokers.kafka import Kafka


def publisher_of(topics: Topics, topic: Address, **policy: Any) -> KafkaBodyPublisher:
    publisher = topics.publisher(topic, bodies_only=True, **policy)
    assert isinstance(publisher, KafkaBodyPublisher)
    return publisher


def test_what_is_confirmed_is_stored_in_order_and_nothing_else_is(topics: Topics) -> None:
    topic = topics.make()
    sent = [b"%d" % number for number in range(5000)]
    receipts = publish(publisher_of(topics, topic), sent)
    assert (receipts.confirmed, receipts.refused, receipts.unknown, receipts.problems) == (5000, 0, 0, [])
    assert bodies(topics.read(topic)) == sent


def test_the_order_is_kept_between_parts_that_are_full_and_parts_that_are_not(topics: Topics) -> None:
    topic = topics.make()
    publisher = publisher_of(topics, topic)
    sent: list[bytes] = []
    for length in (1, PART, 3, PART + 5, 2 * PART, 7, PART):
        fresh = [b"%d" % number for number in range(len(sent), len(sent) + length)]
        assert publisher.send_bodies(fresh) == length
        sent += fresh
    assert publisher.finish(30).confirmed == len(sent)
    assert bodies(topics.read(topic)) == sent


def test_full_parts_spread_over_the_partitions_of_a_topic_that_has_several(topics: Topics) -> None:
    topic = topics.make(partitions=5)
    publisher = publisher_of(topics, topic)
    for _ in range(15):
        publisher.send_bodies([b"x"] * PART)
        # librdkafka stays with its choice for 10 ms (sticky.partitioning.linger.ms)
        time.sleep(0.015)
    assert publisher.finish(30).confirmed == 15 * PART
    assert len({record.position.partition(":")[0] for record in topics.read(topic)}) > 1


def test_full_parts_spread_over_partitions_that_a_topic_got_long_ago(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.make()
    monkeypatch.setattr(bulk_producer, "_NOTICED_SECONDS", -1.0)
    backend = topics.backend()
    metadata = backend._topic
    monkeypatch.setattr(backend, "_topic", lambda name: SimpleNamespace(partitions={0: metadata(name).partitions[0]}))
    topics.add_partitions(topic, 5)
    publisher = backend.publisher(topic, PublishPolicy(bodies_only=True))
    for _ in range(15):
        publisher.send_bodies([b"x"] * PART)
        time.sleep(0.015)
    assert publisher.finish(30).confirmed == 15 * PART
    publisher.close()
    assert len({record.position.partition(":")[0] for record in topics.read(topic)}) > 1


def test_of_long_bodies_no_more_wait_than_two_requests_take(private_kafka: Kafka) -> None:
    topics = Topics(private_kafka.address)
    topic = topics.make()
    publisher = publisher_of(topics, topic)
    sent = [b"%d" % number * 50_000 for number in range(10, 50)]
    private_kafka.pause()
    try:
        assert publisher.send_bodies(sent[:15]) == 15
        assert publisher.send_bodies(sent[15:30]) == 0
        # the figures that librdkafka tells twice a second wait with them until somebody collects: on a busy machine, two before this line
        publisher.collect(0)
        assert publisher.send_bodies(sent[15:17]) == 2
        assert publisher.send_bodies(sent[17:]) == 0
    finally:
        private_kafka.resume()
    receipts = publish(publisher, sent[17:])
    assert receipts.confirmed == len(sent)
    assert bodies(topics.read(topic)) == sent
    topics.close()


def test_a_body_may_be_anything(topics: Topics) -> None:
    topic = topics.make()
    sent = [b"", bytes(range(256)), b"", b"\0", "ü".encode(), b"x" * 500_000, b""]
    assert publish(publisher_of(topics, topic), sent).confirmed == len(sent)
    assert bodies(topics.read(topic)) == sent
    alone = topics.make()
    assert publish(publisher_of(topics, alone), [b""]).confirmed == 1
    assert bodies(topics.read(alone)) == [b""]


@pytest.mark.parametrize("key", [b"k", b"", b"\0\xff" * 50])
def test_all_have_the_key_and_the_partition_of_the_template(topics: Topics, key: bytes) -> None:
    topic = topics.make(partitions=3)
    assert publish(publisher_of(topics, topic, template=Message(key=key, partition=2)), [b"a", b"b"]).confirmed == 2
    assert [(record.message.key, record.position, record.message.body) for record in topics.read(topic)] == [(key, "2:0", b"a"), (key, "2:1", b"b")]


def test_a_key_decides_the_partition_as_where_each_is_given_for_itself(topics: Topics) -> None:
    topic = topics.make(partitions=7)
    for number in range(20):
        template = Message(key=b"key-%d" % number)
        publish(publisher_of(topics, topic, template=template), [b"in parts"])
        single = topics.publisher(topic, template=template)
        single.send_bodies([b"for itself"])
        assert single.finish(30).confirmed == 1
    places: dict[bytes | None, set[str]] = {}
    for record in topics.read(topic):
        places.setdefault(record.message.key, set()).add(record.position.partition(":")[0])
    assert len(places) == 20
    assert all(len(partitions) == 1 for partitions in places.values())


@pytest.mark.parametrize("limit", [None, 20_000], ids=["of the broker", "of the topic"])
def test_an_oversized_body_is_refused_alone_and_its_neighbours_arrive(topics: Topics, limit: int | None) -> None:
    topic = topics.make(max_message_bytes=str(limit)) if limit else topics.make()
    sent = [b"%d" % number for number in range(100)]
    sent[50] = b"x" * (limit or 1_048_588)
    receipts = publish(publisher_of(topics, topic), sent)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (99, 1, 0)
    assert of_verdict(receipts, Verdict.REFUSED) == [50]
    assert "max.message.bytes" in receipts.problems[0].reason
    assert bodies(topics.read(topic)) == [body for number, body in enumerate(sent) if number != 50]


def test_a_body_larger_than_any_request_is_refused_before_it_is_sent(topics: Topics) -> None:
    topic = topics.make()
    receipts = publish(publisher_of(topics, topic), [b"before", bytes(100_000_001), b"after"])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (2, [1])
    assert bodies(topics.read(topic)) == [b"before", b"after"]


def test_a_partition_that_is_not_there_refuses_every_one(topics: Topics) -> None:
    topic = topics.make(partitions=2)
    receipts = publish(publisher_of(topics, topic, template=Message(partition=5)), [b"a", b"b"])
    assert (receipts.confirmed, receipts.refused) == (0, 2)
    assert {problem.reason for problem in receipts.problems} == {"the topic has no such partition"}


def test_a_full_window_takes_no_more_until_verdicts_are_collected(topics: Topics) -> None:
    topic = topics.make()
    publisher = publisher_of(topics, topic, maximum_in_flight=10)
    sent = [b"%d" % number for number in range(100)]
    assert publisher.send_bodies(sent) == 10
    assert publisher.in_flight == 10
    assert publish(publisher, sent[10:]).confirmed == 100
    assert bodies(topics.read(topic)) == sent


@pytest.mark.parametrize(("policy", "settings"), [
    ({"template": Message(headers=(("a", b"1"),))}, {}), ({"template": Message(id="m-1")}, {}), ({"positions": True}, {}),
    ({"template": Message(time=1_700_000_000_000_000_000)}, {"retention_ms": "-1"}), ({}, {"cleanup_policy": "compact"}), ({"bodies_only": False}, {}),
], ids=["headers", "an id", "positions", "a time", "a key that is wanted", "messages may come"])
def test_what_a_part_cannot_have_goes_one_by_one(topics: Topics, policy: dict[str, Any], settings: dict[str, str]) -> None:
    publisher = topics.publisher(topics.make(**settings), **{"bodies_only": True, **policy})
    assert type(publisher) is KafkaPublisher
    receipts = publish(publisher, [b"a", b"b"])
    assert len(receipts) == 2
    assert receipts.confirmed == (0 if settings.get("cleanup_policy") else 2)


class _StopNow(BaseException):
    pass


@pytest.mark.parametrize("handed_over", [True, False])
def test_a_part_that_was_cut_off_is_in_doubt_and_what_was_handed_over_before_is_not(topics: Topics, monkeypatch: pytest.MonkeyPatch,
                                                                                    handed_over: bool) -> None:
    topic = topics.make()
    publisher = publisher_of(topics, topic)
    produce = BulkProducer.produce_bodies

    def cut_off(self: BulkProducer, part: Sequence[bytes], first: int) -> Any:
        done = produce(self, part, first) if first < 1000 or handed_over else None
        if first >= 1000:
            raise _StopNow
        return done

    monkeypatch.setattr(BulkProducer, "produce_bodies", cut_off)
    with pytest.raises(_StopNow):
        publisher.send_bodies([b"%d" % number for number in range(3000)])
    total = publisher.finish(20)
    assert (total.confirmed, total.refused, of_verdict(total, Verdict.UNKNOWN)) == (1000, 0, list(range(1000, 2000)))
    assert publisher.in_flight == 0
    assert len(topics.read(topic)) == (2000 if handed_over else 1000)


def test_a_failure_of_which_nobody_tells_is_unknown_and_ends(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = publisher_of(topics, topics.make())
    monkeypatch.setattr(publish_module, "_GIVING_UP_SECONDS", 0.2)
    monkeypatch.setattr(BulkProducer, "purge", lambda self: None)
    monkeypatch.setattr(BulkProducer, "__len__", lambda self: 3)
    publisher.send_bodies([b"a", b"b", b"c"])
    total = publisher.finish(0)
    assert (total.confirmed, total.refused, total.unknown) == (0, 0, 3)
    assert publisher.in_flight == 0


def test_a_reader_of_failures_that_is_cut_off_loses_none_of_the_others(private_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(private_kafka.address)
    publisher = publisher_of(topics, topics.make())
    tell, told = BulkProducer._tell, iter(range(1000))

    def cut_off(self: BulkProducer, message: Any) -> None:
        if next(told) == 2:
            raise _StopNow
        tell(self, message)

    monkeypatch.setattr(BulkProducer, "_tell", cut_off)
    private_kafka.pause()
    try:
        publisher.send_bodies([b"%d" % number for number in range(5)])
        with pytest.raises(_StopNow):
            publisher.finish(0)
        total = publisher.finish(0)
    finally:
        private_kafka.resume()
    assert (total.confirmed, len(total)) == (0, 5)
    assert publisher.in_flight == 0
    topics.close()


def test_a_neighbour_of_an_invalid_one_is_sent_again(topics: Topics) -> None:
    topic = topics.make()
    publisher = publisher_of(topics, topic)
    publisher.send_bodies([b"again"])
    publisher._report(0, KafkaError(KafkaError._INVALID_DIFFERENT_RECORD), Failed(0, b"again"))
    assert publisher.finish(30).confirmed == 1
    assert bodies(topics.read(topic)) == [b"again", b"again"]


@pytest.mark.parametrize("kind", [KafkaPublisher, partial(KafkaBodyPublisher, partitions=1)], ids=["one by one", "in parts"])
def test_a_topic_that_does_not_tell_how_little_it_takes_at_once_is_given_less(topics: Topics, kind: Callable[..., KafkaPublisher]) -> None:
    topic = topics.make(max_message_bytes="20000")
    with kind(topics.connection, topic.name, PublishPolicy(), TopicSettings()) as publisher:
        receipts = publish(publisher, [b"%0100d" % number for number in range(1000)] + [b"x" * 30_000])
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (1000, 1, 0)
        assert [note.partition(" than ")[0] for note in publisher.notes] == ["the broker takes smaller batches only"]
    assert sorted(int(body or b"") for body in bodies(topics.read(topic))) == list(range(1000))


def test_what_is_given_up_meanwhile_is_refused_and_not_sent_again() -> None:
    notes: list[str] = []
    neighbours = Neighbours(TopicSettings(), notes)
    judged = partial(neighbours.judge, 0, KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), 0, Failed(0, b"small"))
    assert (judged(), neighbours.too_many, len(neighbours.again), len(notes)) == (None, True, 1, 1)
    neighbours.give_up()
    assert judged() == (Verdict.REFUSED, REFUSED[KafkaError.MSG_SIZE_TOO_LARGE])
    assert (neighbours.too_many, len(neighbours.again)) == (False, 0)
    neighbours.batch_bytes()
    assert (judged(), neighbours.batch_bytes(), len(notes)) == (None, 250_000, 1)


@pytest.mark.parametrize("make", [lambda: {"no.such.setting": 1}, lambda: {"batch.size": "many"}], ids=["a name", "a value"])
def test_settings_that_the_library_refuses_are_a_usage_problem(topics: Topics, make: Callable[[], dict[str, Any]]) -> None:
    def producer(settings: dict[str, Any], logger: object) -> BulkProducer:
        return BulkProducer(settings, logger, topic="any", key=None, partition=-1, alone=False, report=lambda *told: None)

    with pytest.raises(UsageProblem, match=r"no\.such\.setting|batch\.size"):
        create(producer, {"error_cb": print, "stats_cb": print, **make()}, topics.connection)


@pytest.mark.parametrize("first", [0, 1, 65_536 - 500, 65_536 - PART, 3 * 65_536 - 1, 5_000_000_000])
def test_what_fails_is_told_with_the_number_and_the_content_of_its_body(first: int) -> None:
    told: dict[int, bytes] = {}
    producer = BulkProducer({"bootstrap.servers": "127.0.0.1:9", "error_cb": lambda error: None, "stats_cb": lambda text: None}, None, topic="any", key=b"k",
                            partition=0, alone=False, report=lambda number, error, message: told.update({number: message.value()}))
    given = [b"%d" % number for number in range(2 * PART)]
    assert producer.produce_bodies(given[:PART], first) == (PART, [])
    assert producer.produce_bodies(given[PART:], first + PART) == (PART, [])
    producer.purge()
    assert producer.flush(20) == 0
    producer.close()
    assert told == dict(enumerate(given, first))


def test_a_producer_that_is_closed_has_nothing_and_says_nothing(topics: Topics) -> None:
    publisher = publisher_of(topics, topics.make())
    publisher.send_bodies([b"a"])
    publisher.close()
    producer = publisher._producer
    assert (len(producer), producer.poll(0), producer.flush(0)) == (0, 0, 0)
    producer.purge()
    publisher.close()


@pytest.mark.parametrize("cut_off", ["sending", "verdict"])
def test_what_was_cut_off_is_not_counted_as_another_one_that_never_left(topics: Topics, cut_off: str) -> None:
    publisher = publisher_of(topics, topics.make())
    given_up = KafkaError(KafkaError._PURGE_QUEUE)
    # 0 has left and waits to be sent again, 1 has not
    publisher._report(0, given_up, Failed(0, b"0"))
    if cut_off == "sending":
        publisher._doubt(1)
        publisher._report(1, given_up, Failed(0, b"1"))
    else:
        def stop(timeout: float) -> int:
            raise _StopNow

        with pytest.raises(_StopNow):
            publisher._dispatch(stop, 0)
    statistics = '{"topics": {"one": {"partitions": {"0": {"msgs": 2, "txmsgs": 1}}}}}'
    asked: Any = SimpleNamespace(poll=lambda seconds: publisher._sent.note(statistics))
    assert [verdict for _, verdict, _ in never_sent(publisher._sent, asked, "no broker")] == [Verdict.UNKNOWN]
