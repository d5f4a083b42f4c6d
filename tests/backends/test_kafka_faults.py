"""Kafka killed, frozen and gone: nothing confirmed is lost, nothing refused is stored, and every message has one verdict."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from confluent_kafka import KafkaException

from brokercli.backends.contract import Publisher
from brokercli.backends.kafka import look as look_module
from brokercli.backends.kafka import publish as publish_module
from brokercli.backends.kafka.look import KafkaReader
from brokercli.backends.kafka.never_sent import Sent
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from tests.backends.kafka_topics import IN_PARTS, Topics, of_verdict
from tests.brokers.kafka import Kafka
from tests.brokers.server import wait_until


@pytest.fixture
def broken(private_kafka: Kafka) -> Iterator[Topics]:
    """Topics on a Kafka that the test may break; whatever it did, the Kafka is whole again for cleaning up."""
    topics = Topics(private_kafka.address)
    yield topics
    private_kafka.resume()
    if not private_kafka.running:
        private_kafka.start()
    topics.close()


def send(publisher: Publisher, first: int, last: int, total: Receipts) -> int:
    """Send the bodies `first` to `last` by their number, as far as there is room. Returns the next one's number. They are long enough
    that a window of them does not fit a request."""
    while first < last:
        accepted = publisher.send_bodies([b"%0300d" % number for number in range(first, min(first + 500, last))])
        total.add(publisher.collect(0))
        if not accepted:
            break
        first += accepted
    return first


def check(topics: Topics, topic: Address, total: Receipts, sent: int) -> None:
    """Hold what is stored against every verdict."""
    stored = [int(record.message.body or b"") for record in topics.read(topic)]
    refused, unknown = set(of_verdict(total, Verdict.REFUSED)), set(of_verdict(total, Verdict.UNKNOWN))
    confirmed = set(range(sent)) - refused - unknown
    assert len(total) == sent, "each message has one verdict"
    assert (len(refused), len(unknown), len(confirmed)) == (total.refused, total.unknown, total.confirmed)
    assert len(stored) == len(set(stored)), "idempotence keeps repeats out"
    assert confirmed <= set(stored), "confirmed and not stored"
    assert not refused & set(stored), "refused and stored"


@IN_PARTS
def test_a_broker_killed_in_the_middle_and_back_costs_nothing(private_kafka: Kafka, broken: Topics, in_parts: bool) -> None:
    topic = broken.make(partitions=3)
    publisher = broken.publisher(topic, bodies_only=in_parts)
    total = Receipts()
    sent = send(publisher, 0, 20_000, total)
    private_kafka.kill()
    sent = send(publisher, sent, 40_000, total)
    private_kafka.start()
    deadline = monotonic() + 60
    while sent < 60_000 and monotonic() < deadline:
        sent = send(publisher, sent, 60_000, total)
        total.add(publisher.collect(0.1))
    total.add(publisher.finish(60))
    assert (sent, total.confirmed, total.refused, total.unknown) == (60_000, 60_000, 0, 0)
    check(broken, topic, total, 60_000)


@IN_PARTS
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_giving_up_on_a_broker_tells_what_never_left_from_what_is_in_doubt(private_kafka: Kafka, broken: Topics, how: str, in_parts: bool) -> None:
    topic = broken.make(partitions=3)
    publisher = broken.publisher(topic, bodies_only=in_parts)
    total = Receipts()
    sent = send(publisher, 0, 20_000, total)
    if how == "killed":
        private_kafka.kill()
    else:
        private_kafka.pause()
    before, sent = sent, send(publisher, sent, 60_000, total)
    total.add(publisher.finish(1))
    assert publisher.in_flight == 0
    assert total.unknown + total.refused >= sent - before
    assert total.refused > 0, "most of it waited here and cannot have been stored"
    if how == "killed":
        private_kafka.start()
    else:
        private_kafka.resume()
    # sending may go on, with a new producer; and the thawed broker has answered everything it had when it answers this
    assert publisher.send_bodies([b"%d" % sent]) == 1
    total.add(publisher.finish(60))
    check(broken, topic, total, sent + 1)


@IN_PARTS
def test_messages_that_time_out_on_a_frozen_broker_are_unknown_and_a_silent_broker_is_given_up(private_kafka: Kafka, broken: Topics,
                                                                                               in_parts: bool) -> None:
    topic = broken.make()
    publisher = broken.publisher(topic, delivery_timeout=4.0, bodies_only=in_parts)
    total = Receipts()
    send(publisher, 0, 100, total)
    total.add(publisher.finish(20))
    assert total.confirmed == 100
    private_kafka.pause()
    error: BrokercliError | None = None
    sent = 100
    while error is None:
        try:
            sent += publisher.send_bodies([b"%d" % sent])
            total.add(publisher.collect(0.2))
        except BrokercliError as problem:
            error = problem
    assert isinstance(error, Unreachable)
    assert "confirmed nothing for 4 s" in str(error)
    total.add(publisher.finish(1))
    assert total.confirmed == 100
    assert total.unknown > 0
    private_kafka.resume()
    assert publisher.send_bodies([b"%d" % sent]) == 1
    total.add(publisher.finish(30))
    check(broken, topic, total, sent + 1)


@IN_PARTS
def test_one_request_at_a_time_is_on_its_way_to_a_broker(private_kafka: Kafka, broken: Topics, monkeypatch: pytest.MonkeyPatch, in_parts: bool) -> None:
    """With several, what librdkafka reports as delivered to a topic that was just made may be stored nowhere."""
    statistics: list[dict[str, Any]] = []
    monkeypatch.setattr(Sent, "note", lambda self, text: statistics.append(json.loads(text)))
    publisher = broken.publisher(broken.make(partitions=5), delivery_timeout=60.0, bodies_only=in_parts)
    assert publisher.send_bodies([b"before"]) == 1
    publisher.finish(30)
    private_kafka.pause()
    statistics.clear()
    assert publisher.send_bodies([bytes(400_000)] * 20) == 20
    wait_until(lambda: publisher.collect(0.1).confirmed or len(statistics) >= 3, 60, "the client's statistics")
    unanswered = [broker["waitresp_cnt"] for one in statistics for broker in one["brokers"].values() if broker["nodeid"] == 1]
    assert max(unanswered) == 1, unanswered
    private_kafka.resume()
    assert publisher.finish(60).confirmed == 20


def test_an_exception_in_the_middle_leaves_an_honest_account(private_kafka: Kafka, broken: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    class StopNow(BaseException):
        pass

    topic = broken.make()
    publisher = broken.publisher(topic)
    convert = publish_module.to_kafka
    calls = 0

    def interrupted(message: Message) -> object:
        nonlocal calls
        calls += 1
        if calls == 700:
            raise StopNow
        return convert(message)

    monkeypatch.setattr(publish_module, "to_kafka", interrupted)
    with pytest.raises(StopNow):
        publisher.send([Message(b"%d" % number) for number in range(1000)])
    total = publisher.finish(20)
    assert (total.confirmed, total.unknown) == (699, 1)
    assert of_verdict(total, Verdict.UNKNOWN) == [699]
    check(broken, topic, total, 700)


def test_a_replay_goes_on_when_its_broker_comes_back(private_kafka: Kafka, broken: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    # a busy machine may need longer than that to start it
    monkeypatch.setattr(look_module, "LOST_SECONDS", 100.0)
    topic = broken.make(segment_bytes="1048576")
    # more than is fetched ahead
    broken.fill(topic, [b"%d" % number + bytes(10_000) for number in range(5_000)])
    reader = broken.look(topic)
    first = reader.read(20)
    assert first is not None
    private_kafka.kill()
    back = threading.Thread(target=private_kafka.start)
    back.start()
    seen = len(first)
    while not reader.finished:
        batch = reader.read(1)
        seen += len(batch) if batch is not None else 0
    back.join()
    assert seen == 5_000


def test_a_tail_without_a_broker_ends_as_unreachable(private_kafka: Kafka, broken: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "LOST_SECONDS", 2.0)
    topic = broken.make()
    reader = broken.look(topic, follow=True)
    assert reader.read(0) is None
    private_kafka.kill()
    with pytest.raises(Unreachable, match="No broker"):
        reader.read(60)


def test_an_idle_tail_survives_a_restart(private_kafka: Kafka, broken: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "LOST_SECONDS", 2.0)
    topic = broken.make()
    reader = broken.look(topic, follow=True)
    assert reader.read(0) is None
    private_kafka.kill()
    assert reader.read(1) is None
    private_kafka.start()
    assert isinstance(reader, KafkaReader)
    # it tries to connect again about once a second; it has missed the broker for longer than is waited all the same
    wait_until(lambda: _is_reached(reader), 60, "a connection")
    assert reader.read(3) is None
    broken.fill(topic, [b"after"])
    batch = reader.read(30)
    assert batch is not None
    assert batch.bodies() == [b"after"]


def _is_reached(reader: KafkaReader) -> bool:
    try:
        return bool(reader._consumer.list_topics(timeout=5).brokers)
    except KafkaException:
        return False


@pytest.mark.parametrize(("lie", "caught"), [
    (Receipts(confirmed=3), "confirmed and not stored"),
    (Receipts(confirmed=1, refused=2, problems=[Receipt(1, Verdict.REFUSED), Receipt(2, Verdict.REFUSED)]), "refused and stored"),
    (Receipts(confirmed=2), "each message has one verdict"),
], ids=["a loss", "a refusal that arrived", "a verdict too few"])
def test_the_check_sees_a_lie(topics: Topics, lie: Receipts, caught: str) -> None:
    topic = topics.make()
    topics.fill(topic, [b"0", b"1"])
    with pytest.raises(AssertionError, match=caught):
        check(topics, topic, lie, 3)
