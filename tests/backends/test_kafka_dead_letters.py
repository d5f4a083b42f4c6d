"""Kafka's dead letters: found, looked at, with the state of each as the broker keeps it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka import dead_letters
from brokercli.backends.kafka.dead_letter_names import by_headers, by_name, feeds_of, waits
from brokercli.backends.kafka.handled_group import HandledLetters, group_of
from brokercli.backends.kafka.handled_set import HandledSet, Run
from brokercli.backends.kafka.span import Range
from brokercli.model.address import Address
from brokercli.model.message import Place
from tests.backends.kafka_redrive import committed, letters, numbered, redrive, repair, states, to
from tests.backends.kafka_topics import Topics, bodies, everything
from tests.native.kafka import listed_groups


def test_sources_are_found_by_name_and_by_headers_with_what_is_pending(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    # other tests have topics here too
    monkeypatch.setattr(dead_letters, "MANY_TOPICS", 10_000)
    home = groups.make()
    named = Address(f"{home.name}.dlq", "topic")
    retry = Address(f"{home.name}-retry-0", "topic")
    for address in (named, retry):
        groups.make(called=address.name, retention_ms="-1")
    headed, waiting, plain = groups.make(retention_ms="-1"), groups.make(retention_ms="-1"), groups.make()
    producer = groups.producer()
    due = ("retry_topic-backoff-timestamp", (1_700_000_060_000).to_bytes(6, "big"))
    producer.produce(waiting.name, b"0", headers=[("kafka_dlt-original-consumer-group", b"billing"), due], timestamp=1_700_000_000_000)
    for topic in (headed, retry):
        for number in range(3):
            producer.produce(topic.name, b"%d" % number, headers=[("kafka_dlt-original-topic", home.name.encode())], timestamp=1_700_000_000_000 + number)
    assert producer.flush(60) == 0
    groups.fill(plain, numbered(3))
    groups.fill(named, numbered(10), times=[1_700_000_000_000 + number for number in range(10)])
    run = repair(groups, named)
    found = letters(run)
    assert run.settle(to(home, found[:4])).confirmed == 4
    assert run.mark([found[8]], State.DROPPED).confirmed == 1
    # once the transactions are over: a look waits for that for a moment only
    committed(groups, named)
    sources = {source.address: source for source in groups.backend().dead_letter_sources()}
    assert not {home, retry, waiting, plain} & set(sources)
    assert (sources[named].depth, sources[named].pending, sources[named].oldest) == (10, 5, 1_700_000_000_004_000_000)
    assert sources[named].feeds == (str(home),)
    assert "*.dlq" in sources[named].found_by
    assert "4 redriven, 1 dropped so far" in sources[named].remarks
    assert (sources[headed].depth, sources[headed].pending, sources[headed].oldest) == (3, 3, 1_700_000_000_000_000_000)
    assert "kafka_dlt-original-topic" in sources[headed].found_by


def test_letters_behind_an_open_transaction_are_said_not_to_be_counted(topics: Topics) -> None:
    dlq = topics.make(called=f"{topics.name()}.dlq")
    producer = topics.producer(transactional_id=dlq.name)
    producer.init_transactions(60)
    producer.begin_transaction()
    for body in numbered(3):
        producer.produce(dlq.name, body)
    assert producer.flush(60) == 0
    (source,) = [source for source in topics.backend().dead_letter_sources() if source.address == dlq]
    assert (source.pending, source.remarks) == (0, ("not counted: 3 offsets behind open transactions, from 0:0 on",))
    assert topics.backend().describe(dlq).facts["not counted"] == "3 offsets behind open transactions, from 0:0 on"
    producer.abort_transaction(60)
    topics.wait_closed(dlq)
    assert "not counted" not in topics.backend().describe(dlq).facts


def test_topics_that_were_not_looked_into_are_counted(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, _ = groups.make(called=f"{groups.name()}.dlq"), groups.make()
    monkeypatch.setattr(dead_letters, "MANY_TOPICS", 1)
    unseen: list[str] = []
    assert dlq in {source.address for source in groups.backend().dead_letter_sources(unseen=unseen)}
    assert [reason for reason in unseen if "because there are many and their names say nothing" in reason]


def test_a_topic_that_is_deleted_while_its_records_are_asked_for_is_not_waited_for(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_PATIENCE", 600.0)
    gone, there = groups.make(), groups.make()
    for topic in (gone, there):
        groups.fill(topic, numbered(3))
    consumer = Consumer({"bootstrap.servers": groups.address, "group.id": "tests", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "enable.partition.eof": True, "log_level": 0})
    ranges = {topic.name: {0: Range(0, 3)} for topic in (gone, there)}
    assert dead_letters._sample(consumer, ranges, 600)[1] == 0
    groups.delete(gone)
    headers, unread = dead_letters._sample(consumer, ranges, 600)
    assert (list(headers), unread) == ([there.name], 0)
    starts = {(topic.name, 0): 0 for topic in (gone, there)}
    first = dead_letters._first_records(consumer, starts, dict.fromkeys(starts, 3), 600)
    assert list(first) == [(there.name, 0)]
    consumer.close()


def test_why_headers_say_that_a_topic_holds_dead_letters_claims_of_no_header_more_than_is_so() -> None:
    assert by_headers([["x-original-topic", "a"], ["x-original-topic"], []]) == "header x-original-topic in 2 of its last 3 records"
    mixed = [["kafka_dlt-exception-fqcn"], ["kafka_dlt-exception-fqcn"], ["topic_poisoned"]]
    assert by_headers(mixed) == "header kafka_dlt-exception-fqcn and the like in 3 of its last 3 records"
    assert by_headers([["kafka_dlt-original-topic", "kafka_dlt-exception-fqcn"]]) == "header kafka_dlt-exception-fqcn in 1 of its last 1 records"
    assert by_headers([["x-original-topic"], []]) is None
    assert by_headers([]) is None


def test_a_record_of_springs_that_is_due_later_than_it_was_written_waits_and_is_no_letter() -> None:
    due = (1_795_787_000_500).to_bytes(6, "big")
    tried_twice = (("retry_topic-backoff-timestamp", b"\x01"), ("retry_topic-attempts", b"\0\0\0\x02"), ("retry_topic-backoff-timestamp", due))
    assert waits(tried_twice, 1_795_787_000_499)
    assert not waits(tried_twice, 1_795_787_000_500)
    assert not waits(tried_twice[:2], 1_795_787_000_499)
    assert not waits((("retry_topic-backoff-timestamp", None), ("trace", due)), 1)


def test_a_look_joins_nothing_and_commits_nothing(groups: Topics) -> None:
    dlq = groups.make()
    groups.fill(dlq, numbered(3))
    with groups.backend().look_letters(dlq) as look:
        assert look.side_effects == "none"
        assert {look.state(record) for record in everything(look)} == {State.PENDING}
    list(groups.backend().dead_letter_sources([dlq.name]))
    assert group_of(dlq.name) not in listed_groups(groups.admin)


def test_a_topic_made_anew_begins_anew(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(5))
    with repair(groups, dlq) as run:
        redrive(run, home)
    # a state that outlives its topic, as a mirror or a restored backup leaves it
    old = Consumer({"bootstrap.servers": groups.address, "group.id": group_of(dlq.name), "enable.auto.commit": False})
    place = old.committed([TopicPartition(dlq.name, 0)], 10)[0]
    groups.delete(dlq)
    groups.make(called=dlq.name)
    groups.fill(dlq, [b"new %d" % number for number in range(7)])
    old.commit(offsets=[place], asynchronous=False)
    old.close()
    with groups.backend().look_letters(dlq) as look:
        assert {look.state(record) for record in everything(look)} == {State.PENDING}
        assert any("made anew" in note for note in look.notes)
    run = repair(groups, dlq)
    assert any("made anew" in note for note in run.notes)
    assert redrive(run, home).confirmed == 7


def test_offsets_committed_by_another_tool_are_a_floor_and_said_to_be_foreign(groups: Topics) -> None:
    dlq = groups.make()
    groups.fill(dlq, numbered(5))
    other = Consumer({"bootstrap.servers": groups.address, "group.id": group_of(dlq.name), "enable.auto.commit": False})
    other.commit(offsets=[TopicPartition(dlq.name, 0, 3)], asynchronous=False)
    other.close()
    assert states(groups, dlq) == {b"0": State.HANDLED, b"1": State.HANDLED, b"2": State.HANDLED, b"3": State.PENDING, b"4": State.PENDING}
    run = repair(groups, dlq)
    assert any("not written by brokercli" in note for note in run.notes)
    assert bodies(letters(run)) == [b"3", b"4"]


def test_originals_are_fetched_by_their_places_and_none_stands_for_what_is_gone(topics: Topics) -> None:
    one, two = topics.make(2), topics.make()
    topics.fill(one, numbered(5000), partition=1)
    topics.fill(two, numbered(10))
    topics.delete_before(two, 4)

    def place(topic: str, partition: object, offset: object) -> Place:
        return {"topic": topic, "partition": partition, "offset": offset}  # type: ignore[dict-item]

    places = [place(one.name, 1, 4999), place(two.name, 0, 3), place(one.name, 1, 7), place(two.name, 0, 4), place(one.name, 0, 0), place(one.name, 9, 1),
              place(one.name, 1, 5000), place(one.name, 1, -1), place(one.name, 1, 10**30), place("no-such-topic", 0, 0), place("a\0" * 400, 0, 0),
              place(one.name, None, 1), {"topic": one.name}, {}, place(one.name, 1, 7)]
    found = topics.backend().fetch(places)
    assert [record and record.message.body for record in found] == [b"4999", None, b"7", b"4", *[None] * 10, b"7"]
    assert topics.backend().fetch([]) == []


def test_a_topic_of_smallryes_letters_is_known_by_its_name_and_so_is_where_they_come_from() -> None:
    assert by_name("dead-letter-topic-orders", ()) == "name matches dead-letter-topic-* (SmallRye)"
    assert feeds_of("dead-letter-topic-orders", {"orders"}.__contains__) == "orders"
    assert by_name("orders_retry_10000", ()) is None


@pytest.mark.parametrize(("first", "pending", "oldest"), [(4, 1, 7_000_000), (0, 2, 7_000_000), (2, 1, None), (None, 0, None)])
def test_what_compaction_took_from_between_handled_letters_is_counted_out_once(first: int | None, pending: int, oldest: int | None,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    record = None if first is None else SimpleNamespace(offset=lambda: first, timestamp=lambda: (1, 7))
    monkeypatch.setattr(dead_letters, "_first_records", lambda *asked: {("orders.dlq", 0): record})
    handled = HandledLetters("orders.dlq", 0, {0: HandledSet(0, [Run(1, 4, False)])})
    assert dead_letters._pending("orders.dlq", {0: Range(0, 5)}, handled, cast("Any", None), 1.0) == (pending, oldest)
