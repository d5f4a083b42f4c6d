"""Bodies straight from the brokers: the same as through the client, which takes over wherever something else comes up."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from confluent_kafka import TopicPartition

from brokercli.backends.contract import Reader
from brokercli.backends.kafka import look as look_module
from brokercli.backends.kafka import look_bodies as module
from brokercli.backends.kafka import straight
from brokercli.backends.kafka.look import KafkaReader
from brokercli.backends.kafka.look_bodies import KafkaBodyReader
from brokercli.backends.kafka.straight import is_plain
from brokercli.model.address import Address
from brokercli.model.connection import TLS, Connection, Secret
from brokercli.model.errors import Failed, NotFound, OutOfRange
from brokercli.model.position import End, Last, Number, PerPartition, Span, Start
from tests.backends.kafka_topics import PATIENCE, Topics
from tests.brokers.kafka import Kafka
from tests.faults.proxy import Proxy, listening

EVERYTHING = Span(Start(), End())


@pytest.fixture(autouse=True)
def _any_number_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "MANY", 1)


@pytest.fixture
def proxy(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands between us and the broker, and between the client and the broker does not."""
    host, _, port = topics.address.rpartition(":")
    made = Proxy((host, int(port)))
    monkeypatch.setattr(module, "leaders_of", lambda metadata, topic, partitions: {made.address: list(partitions)})
    yield made
    made.close()


def look(topics: Topics, topic: Address, span: Span = EVERYTHING) -> Reader:
    reader = topics.backend().look_bodies(topic, span)
    topics._opened.append(reader)
    return reader


def read(reader: Reader) -> list[bytes]:
    found: list[bytes] = []
    while not reader.finished:
        batch = reader.read(PATIENCE)
        assert batch is not None or reader.finished, "nothing came"
        found += batch.bodies() if batch is not None else []
    return found


def first_of(reader: Reader) -> list[bytes]:
    batch = reader.read(PATIENCE)
    assert batch is not None
    return batch.bodies()


def fill(topics: Topics, topic: Address, batches: int, size: int) -> list[bytes]:
    """Store so many batches of so many bodies of 100 bytes, and return all of them."""
    producer = topics.producer()
    for batch in range(batches):
        for body in numbered(batch * size, (batch + 1) * size, 100):
            producer.produce(topic.name, body, partition=0)
        assert producer.flush(60) == 0
    return numbered(0, batches * size, 100)


def fill_compressed(topics: Topics, topic: Address, codec: str) -> None:
    """Store the bodies 100 to 999 of 200 bytes."""
    producer = topics.producer(compression_type=codec)
    for body in numbered(100, 1000, 200):
        producer.produce(topic.name, body, partition=0)
    assert producer.flush(60) == 0


def by_client(reader: Reader) -> bool:
    """Whether the client had to take over."""
    assert isinstance(reader, KafkaBodyReader)
    return reader._client is not None


def numbered(first: int, last: int, size: int = 0) -> list[bytes]:
    return [b"%0*d" % (size, number) for number in range(first, last)]


def test_keys_headers_and_null_bodies_are_passed_over_or_empty_and_the_order_of_each_partition_is_kept(topics: Topics) -> None:
    topic, producer = topics.make(partitions=3), topics.producer()
    expected: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for number in range(3000):
        partition, body = number * 7 % 3, (None if number % 11 == 0 else b"" if number % 13 == 0 else b"%d:%d" % (number * 7 % 3, number))
        producer.produce(topic.name, body, key=None if number % 2 else b"k%d" % number, partition=partition,
                         headers=[("trace", b"t%d" % number), ("none", None)][:number % 3])
        expected[partition].append(body or b"")
    assert producer.flush(60) == 0
    reader = look(topics, topic)
    found = read(reader)
    assert not by_client(reader)
    assert reader.expected == 3000
    assert sorted(found) == sorted(chain.from_iterable(expected.values()))
    for partition in range(3):
        mine = [body for body in expected[partition] if body]
        assert [body for body in found if body.startswith(b"%d:" % partition)] == mine


@pytest.mark.parametrize(("span", "wanted"), [
    (Span(Number(130), End()), range(130, 300)), (Span(Start(), Number(170)), range(0, 170)), (Span(Number(130), Number(131)), range(130, 131)),
    (Span(Last(20), End()), range(280, 300)), (Span(PerPartition(((0, 99),)), PerPartition(((0, 201),))), range(99, 201))],
    ids=["from", "until", "one", "last", "per partition"])
def test_a_span_begins_and_ends_within_batches(topics: Topics, span: Span, wanted: range) -> None:
    topic = topics.make()
    fill(topics, topic, 3, 100)
    reader = look(topics, topic, span)
    assert [int(body) for body in read(reader)] == list(wanted)
    assert not by_client(reader)
    assert reader.bounds == topics.look(topic, span.start, span.end).bounds


def test_what_comes_later_is_not_waited_for_nor_read(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 50))
    reader = look(topics, topic)
    topics.fill(topic, numbered(50, 90))
    assert read(reader) == numbered(0, 50)
    assert not by_client(reader)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_is_compressed_goes_through_the_client_from_where_it_begins(topics: Topics, codec: str) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 100))
    fill_compressed(topics, topic, codec)
    reader = look(topics, topic)
    assert read(reader) == numbered(0, 100) + numbered(100, 1000, 200)
    assert by_client(reader)


def test_of_transactions_only_what_is_committed_comes_out(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 10))
    producer = topics.producer(transactional_id=f"t-{topic.name}")
    producer.init_transactions(60)
    for kept, bodies in ((True, numbered(10, 20)), (False, numbered(20, 30)), (True, numbered(30, 40))):
        producer.begin_transaction()
        for body in bodies:
            producer.produce(topic.name, body, partition=0)
        (producer.commit_transaction if kept else producer.abort_transaction)(60)
    topics.fill(topic, numbered(40, 50))
    topics.wait_closed(topic)
    reader = look(topics, topic)
    assert read(reader) == numbered(0, 20) + numbered(30, 50)
    assert by_client(reader)


@pytest.mark.parametrize("stored", [0, 10])
def test_an_open_transaction_is_told_of_in_the_same_words_as_elsewhere(topics: Topics, stored: int) -> None:
    topic = topics.make(partitions=2)
    topics.fill(topic, numbered(0, 10), partition=0)
    topics.fill(topic, numbered(0, stored), partition=1)
    producer = topics.producer(transactional_id=f"t-{topic.name}")
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic.name, b"pending", partition=1)
    assert producer.flush(60) == 0
    reader, other = look(topics, topic), topics.look(topic)
    assert len(read(reader)) == 10 + stored
    while not other.finished:
        other.read(PATIENCE)
    assert reader.notes == other.notes == [f"partition 1: a transaction that is still open holds back 1 offsets from {stored} on"]
    assert not by_client(reader)
    producer.abort_transaction(60)


def test_a_record_that_is_larger_than_what_is_asked_for_comes_whole_among_its_neighbours(topics: Topics) -> None:
    topic = topics.make(max_message_bytes="30000000")
    bodies, producer = [b"small", b"x" * 9_000_000, b"after", b"", b"y" * 100], topics.producer()
    for body in bodies:
        producer.produce(topic.name, body, partition=0)
        assert producer.flush(60) == 0
    reader = look(topics, topic)
    assert read(reader) == bodies
    assert not by_client(reader)


def test_records_that_are_deleted_while_they_are_read_are_missed_as_by_the_client(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES", 2000)
    monkeypatch.setattr(module, "_LEAST_BYTES", 2000)
    topic = topics.make()
    fill(topics, topic, 10, 10)
    reader = look(topics, topic)
    assert first_of(reader) == numbered(0, 10, 100)
    topics.delete_before(topic, 95)
    with pytest.raises(OutOfRange, match="0:95 to 0:100"):
        read(reader)


def test_a_topic_that_is_deleted_while_it_is_read_is_not_found(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "NEW_PARTITIONS_SECONDS", 0.1)
    reader = begun(topics, monkeypatch, topic := topics.make())
    topics.delete(topic)
    with pytest.raises(NotFound):
        read(reader)


def test_a_topic_that_is_made_anew_is_not_taken_for_the_rest_of_the_old_one(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.make()
    reader = begun(topics, monkeypatch, topic)
    topics.delete(topic)
    topics.make(called=topic.name)
    topics.fill(topic, numbered(1000, 1200, 100))
    with pytest.raises(Failed, match="made anew while it was being read"):
        read(reader)


def test_a_topic_that_was_made_anew_while_nobody_read_on_is_not_left_to_the_client_as_the_same(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 1)
    monkeypatch.setattr(module, "IDENTITY_SECONDS", 0.0)
    topic = topics.make()
    topics.fill(topic, numbered(0, 100))
    fill_compressed(topics, topic, "lz4")
    reader = look(topics, topic)
    assert first_of(reader) == numbered(0, 100)
    topics.delete(topic)
    topics.make(called=topic.name)
    topics.fill(topic, numbered(0, 2000))
    with pytest.raises(Failed, match="made anew while it was being read"):
        read(reader)


def begun(topics: Topics, monkeypatch: pytest.MonkeyPatch, topic: Address) -> Reader:
    """Return a reader of 100 records that has handed out some of them, and was sent few of the others."""
    monkeypatch.setattr(module, "_BYTES", 2000)
    monkeypatch.setattr(module, "_LEAST_BYTES", 2000)
    fill(topics, topic, 10, 10)
    reader = look(topics, topic)
    assert first_of(reader)
    assert not by_client(reader)
    return reader


@pytest.mark.parametrize("break_it", [Proxy.swallow, Proxy.hold, Proxy.hang_up, Proxy.reset, lambda proxy: proxy.cut_after(3000, "to client")],
                         ids=["swallowed", "held", "hung up", "reset", "cut within an answer"])
def test_whatever_happens_on_the_way_each_record_comes_once_and_in_order(
        topics: Topics, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[Proxy], None]) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    topic = topics.make()
    monkeypatch.setattr(module, "_BYTES", 5000)
    monkeypatch.setattr(module, "_LEAST_BYTES", 5000)
    stored = fill(topics, topic, 15, 20)
    reader = look(topics, topic)
    found = first_of(reader)
    assert not by_client(reader)
    break_it(proxy)
    assert found + read(reader) == stored
    assert by_client(reader)


def test_a_slow_way_is_no_reason_to_begin_anew(topics: Topics, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 1.0)
    topic = topics.make()
    topics.fill(topic, numbered(0, 1000, 100))
    proxy.throttle(60_000)
    reader = look(topics, topic)
    assert read(reader) == numbered(0, 1000, 100)
    assert not by_client(reader)


def test_a_broker_that_is_killed_and_comes_back_is_waited_for_and_each_record_comes_once(private_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(private_kafka.address)
    try:
        reader = begun(topics, monkeypatch, topics.make())
        private_kafka.kill()
        private_kafka.start()
        found = read(reader)
        assert by_client(reader)
        assert found == numbered(100 - len(found), 100, 100)
    finally:
        topics.close()


def test_what_the_broker_lost_while_it_was_read_is_missed_although_others_lie_there_now(private_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(private_kafka.address)
    try:
        reader = begun(topics, monkeypatch, topic := topics.make())
        for _ in range(2):
            assert first_of(reader)
        private_kafka.kill()
        # as after a crash of the machine, or the election of a leader that was not in sync: two batches of ten are left of ten
        folder = private_kafka.directory / "data" / f"{topic.name}-0"
        (log,) = folder.glob("*.log")
        content = log.read_bytes()
        log.write_bytes(content[:end_of(content, 2)])
        for index in (*folder.glob("*.index"), *folder.glob("*.timeindex")):
            index.unlink()
        private_kafka.start()
        topics.wait_led(topic, 1)
        topics.fill(topic, numbered(1000, 1200, 100))
        with pytest.raises(OutOfRange, match="the broker lost them"):
            read(reader)
    finally:
        topics.close()


def end_of(log: bytes, batches: int) -> int:
    """Return where the first so many batches of a log end."""
    at = 0
    for _ in range(batches):
        at += 12 + struct.unpack_from(">i", log, at + 8)[0]
    return at


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\4\0\0\0\1", b"\0\0\0\x10" + b"\0\0\0\1" + b"\xff" * 12, b"\x7f\xff\xff\xff",
                                    b"HTTP/1.1 400 Bad Request\r\n\r\n",
                                    struct.pack(">ii", 20, 99) + bytes(16)],
                         ids=["nothing", "cut off", "garbage", "too large", "another protocol", "to another question"])
def test_a_broker_that_answers_something_else_is_left_to_the_client(topics: Topics, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    def talk(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(answer)

    topic = topics.make()
    topics.fill(topic, numbered(0, 10))
    with listening(talk) as port:
        monkeypatch.setattr(module, "leaders_of", lambda *asked: {("127.0.0.1", port): [0]})
        reader = look(topics, topic)
    assert by_client(reader)
    assert read(reader) == numbered(0, 10)


def test_nobody_who_listens_and_no_leader_are_left_to_the_client(topics: Topics, monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 10))
    topics.connection = Connection("kafka", topics.connection.hosts, connect_timeout=1)
    for leaders in ({}, {("127.0.0.1", 1): [0]}, {("127.0.0.1", silent_port): [0]}):
        monkeypatch.setattr(module, "leaders_of", lambda *asked, leaders=leaders: leaders)
        reader = look(topics, topic)
        assert by_client(reader)
        assert read(reader) == numbered(0, 10)


def test_what_is_closed_in_the_middle_leaves_the_connection_to_the_next(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 100))
    backend = topics.backend()
    with backend.look_bodies(topic, EVERYTHING) as reader:
        assert first_of(reader)[0] == b"0"
        reader.close()
    assert not backend._lent
    with backend.look_bodies(topic, EVERYTHING) as reader:
        assert read(reader) == numbered(0, 100)


def test_few_records_and_a_look_that_goes_on_are_the_clients(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 10))
    monkeypatch.setattr(straight, "MANY", 11)
    assert isinstance(look(topics, topic), KafkaReader)
    monkeypatch.setattr(straight, "MANY", 10)
    assert isinstance(look(topics, topic), KafkaBodyReader)
    assert isinstance(look(topics, topic, Span(Start(), None)), KafkaReader)


@pytest.mark.parametrize("said", [{"user": "u"}, {"password": Secret("p")}, {"tls": TLS()}, {"mechanism": "PLAIN"}, {"token": Secret("t")},
                                  {"options": {"isolation.level": "read_uncommitted"}}], ids=lambda said: next(iter(said)))
def test_with_a_login_tls_or_options_the_client_reads(said: dict[str, object]) -> None:
    assert is_plain(Connection("kafka", (("h", 1),)))
    assert not is_plain(Connection("kafka", (("h", 1),), **said))  # type: ignore[arg-type]


def test_other_views_than_bodies_are_not_there(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 10))
    batch = look(topics, topic).read(PATIENCE)
    assert batch is not None
    assert (len(batch), batch.lines(), batch.select([1, 3]).bodies()) == (10, b"".join(body + b"\n" for body in numbered(0, 10)), [b"1", b"3"])
    for view in (batch.envelopes, batch.records):
        with pytest.raises(TypeError):
            view()


def test_looking_leaves_no_group_behind(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(0, 10))
    read(look(topics, topic))
    groups = topics.admin.list_consumer_groups(request_timeout=PATIENCE).result().valid
    committed = topics.consumer(topic).committed([TopicPartition(topic.name, 0)], timeout=PATIENCE)
    assert (not [group for group in groups if group.group_id == "brokercli-look"], committed[0].offset) == (True, -1001)
