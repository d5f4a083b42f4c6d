"""Redriving on Kafka: each letter home exactly once, whoever else is at work, whoever is killed, whatever cannot be stored."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

from brokercli.backends.dead_letters import Move, Repair, RepairPolicy, State
from brokercli.backends.kafka import handled_group, open_repair
from brokercli.backends.kafka.convert import to_kafka
from brokercli.backends.kafka.destinations import size_alone
from brokercli.backends.kafka.handled_group import group_of
from brokercli.backends.kafka.handled_text import Room, Written, read
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.address import Address
from brokercli.model.errors import Failed, NotFound
from brokercli.model.message import Message, Record
from brokercli.model.receipt import Verdict
from tests.backends.kafka_redrive import AT_LEAST_ONCE, EXACTLY_ONCE, POINTS, by_body, committed, letters, numbered, redrive, repair, states, stored, to
from tests.backends.kafka_topics import Topics, bodies, of_verdict, publish
from tests.brokers.server import wait_until
from tests.commandline import run_module


def test_every_letter_goes_home_once_as_it_was_and_counts_as_redriven(groups: Topics) -> None:
    dlq, home = groups.make(2), groups.make(2)
    groups.fill(dlq, numbered(30), partition=0)
    groups.fill(dlq, [b"x", b"y"], partition=1)
    run = repair(groups, dlq)
    assert run.guarantee.startswith("exactly once")
    assert run.expected == 32
    receipts = redrive(run, home)
    assert (receipts.confirmed, receipts.refused, receipts.unknown, receipts.problems) == (32, 0, 0, [])
    assert sorted(filter(None, bodies(stored(groups, home)))) == sorted([*numbered(30), b"x", b"y"])
    assert set(states(groups, dlq).values()) == {State.REDRIVEN}
    again = repair(groups, dlq)
    assert (again.expected, letters(again), again.finished) == (0, [], True)


def test_a_letter_keeps_its_headers_key_null_body_and_the_partition_it_came_from(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make(4, retention_ms="-1")
    groups.fill(dlq, [b"a", b"b"])
    run = repair(groups, dlq)
    first, second = letters(run)
    messages = [Message(None, b"k", (("h", b"1"), ("h", None), ("g", b"\0\xff")), time=1_700_000_000_123_000_000, partition=3), Message(b"b", b"order-42")]
    assert run.settle([Move(first, messages[0], home), Move(second, messages[1], home)]).confirmed == 2
    found = {record.place["partition"]: record for record in stored(groups, home)}
    assert (found[3].message.body, found[3].message.key, found[3].message.headers, found[3].time) == (
        None, b"k", (("h", b"1"), ("h", None), ("g", b"\0\xff")), 1_700_000_000_123_000_000)
    # murmur2 of order-42 with four partitions, as Java has it
    assert found[0].message.key == b"order-42"


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", ["1", "3"])
def test_killed_at_any_point_and_run_again_each_letter_is_home_once(groups: Topics, point: str, nth: str) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(50))
    killed = run_module("tests.backends.kafka_redrive", groups.address, dlq.name, home.name, point, nth)
    assert killed.code == 128 + signal.SIGKILL, killed.stderr
    done = 10 * (int(nth) - (point != "after commit"))
    run = repair(groups, dlq)
    # opening it has ended what the killed one left open
    assert Counter(states(groups, dlq).values()) == Counter({State.REDRIVEN: done, State.PENDING: 50 - done})
    assert bodies(stored(groups, home)) == numbered(done)
    assert redrive(run, home).confirmed == 50 - done
    assert bodies(stored(groups, home)) == numbered(50)


def test_a_second_operator_takes_over_and_the_first_is_told_with_nothing_of_his_stored(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(30))
    first = repair(groups, dlq)
    found = letters(first)
    assert first.settle(to(home, found[:10])).confirmed == 10
    second = repair(groups, dlq)
    refused = first.settle(to(home, found[10:20]))
    assert (refused.confirmed, refused.refused, refused.unknown) == (0, 10, 0)
    assert "Another redrive" in refused.problems[0].reason
    with pytest.raises(Failed, match=f"Another redrive of {dlq.name} has taken over"):
        first.settle(to(home, found[20:]))
    with pytest.raises(Failed, match="taken over"):
        first.read(0)
    assert redrive(second, home).confirmed == 20
    assert bodies(stored(groups, home)) == numbered(30)


def test_two_operators_at_once_leave_each_letter_home_once(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(300))
    confirmed: list[int] = []

    def operate(run: Repair) -> None:
        total = 0
        try:
            while not run.finished:
                batch = run.read(20)
                if batch is not None:
                    total += run.settle(to(home, batch.records())).confirmed
        except Failed:
            pass
        confirmed.append(total)

    runs = [repair(groups, dlq, batch=7) for _ in range(2)]
    threads = [threading.Thread(target=operate, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    confirmed.append(redrive(repair(groups, dlq), home).confirmed)
    assert sum(confirmed) == 300
    assert sorted(filter(None, bodies(stored(groups, home)))) == sorted(numbered(300))


def test_letters_settled_out_of_order_are_marked_and_the_rest_stays_pending(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(20))
    run = repair(groups, dlq)
    found = by_body(letters(run))
    for chosen in ([b"17", b"3"], [b"9", b"2", b"11"]):
        assert run.settle(to(home, [found[body] for body in chosen])).confirmed == len(chosen)
    assert run.mark([found[b"5"], found[b"4"]], State.DROPPED).confirmed == 2
    assert committed(groups, dlq) == 0
    run.close()
    seen = states(groups, dlq)
    assert {body for body, state in seen.items() if state is State.REDRIVEN} == {b"17", b"3", b"9", b"2", b"11"}
    assert {body for body, state in seen.items() if state is State.DROPPED} == {b"4", b"5"}
    rest = repair(groups, dlq)
    assert rest.expected == 13
    left = letters(rest)
    assert set(bodies(left)) == set(numbered(20)) - {b"17", b"3", b"9", b"2", b"11", b"4", b"5"}
    assert rest.settle(to(home, left)).confirmed == 13
    assert committed(groups, dlq) == 20
    # which was which is still known below the floor
    assert Counter(states(groups, dlq).values()) == Counter({State.REDRIVEN: 18, State.DROPPED: 2})
    assert Counter(bodies(stored(groups, home))) == Counter(set(numbered(20)) - {b"4", b"5"})


def test_the_floor_passes_markers_and_aborted_records(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    producer = groups.producer(transactional_id=dlq.name)
    producer.init_transactions(60)
    for number in range(6):
        producer.begin_transaction()
        producer.produce(dlq.name, b"%d" % number)
        if number % 2:
            producer.commit_transaction(60)
        else:
            assert producer.flush(60) == 0
            producer.abort_transaction(60)
    groups.wait_closed(dlq)
    with repair(groups, dlq) as run:
        assert redrive(run, home).confirmed == 3
    assert bodies(stored(groups, home)) == [b"1", b"3", b"5"]
    # six records and six markers
    assert committed(groups, dlq) == 12
    (source,) = [found for found in groups.backend().dead_letter_sources([dlq.name]) if found.address == dlq]
    assert source.pending == 0


def test_letters_that_an_open_transaction_holds_back_are_said_after_what_was_said_before(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(3))
    producer = groups.producer(transactional_id=dlq.name)
    producer.init_transactions(60)
    producer.begin_transaction()
    for number in range(2):
        producer.produce(dlq.name, b"held %d" % number)
    assert producer.flush(30) == 0
    with repair(groups, dlq) as run:
        before = list(run.notes)
        assert redrive(run, home).confirmed == 3
    producer.abort_transaction(60)
    assert run.notes == [*before, "partition 0: a transaction that is still open holds back 2 offsets from 3 on"]


def test_a_run_that_ends_early_marks_nothing_that_it_has_not_read(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_repair, "LARGEST_BATCH", 10)
    dlq = groups.make()
    groups.fill(dlq, numbered(30))
    run = repair(groups, dlq)
    read = None
    while read is None:
        read = run.read(20)
    assert len(read) < 30
    # everything that was read is handled, as far as there is no gap: only what was not read is pending
    assert run.mark(read.records(), State.DROPPED).confirmed == len(read)
    run.close()
    assert [*states(groups, dlq).values()] == [State.DROPPED] * len(read) + [State.PENDING] * (30 - len(read))


def test_a_message_too_large_is_refused_alone_and_its_neighbours_go_home(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make(max_message_bytes="20000")
    groups.fill(dlq, numbered(300))
    run = repair(groups, dlq)
    moves = to(home, letters(run))
    moves[100].message.body = b"x" * 20_000
    moves[200].message.body = b"x" * (20_000 - 65)
    receipts = run.settle(moves)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (298, 2, 0)
    assert sorted(receipt.index for receipt in receipts.problems) == [100, 200]
    assert all("max.message.bytes" in receipt.reason for receipt in receipts.problems)
    assert bodies(stored(groups, home)) == [body for number, body in enumerate(numbered(300)) if number not in (100, 200)]
    assert {body for body, state in states(groups, dlq).items() if state is State.PENDING} == {b"100", b"200"}


def test_a_message_of_an_impossible_time_is_refused_alone(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make(message_timestamp_before_max_ms="3600000")
    groups.fill(dlq, numbered(100))
    run = repair(groups, dlq)
    moves = to(home, letters(run))
    late = (7, 8, 31, *range(60, 100, 3))
    for number in late:
        moves[number].message.time = 1_000_000_000_000_000_000
    receipts = run.settle(moves)
    assert (receipts.confirmed, receipts.unknown) == (100 - len(late), 0)
    assert {receipt.index: receipt.verdict for receipt in receipts.problems} == dict.fromkeys(late, Verdict.REFUSED)
    assert bodies(stored(groups, home)) == [body for number, body in enumerate(numbered(100)) if number not in late]


def test_each_letter_that_has_nowhere_to_go_is_refused_alone_with_its_reason(groups: Topics) -> None:
    dlq, home, compacted = groups.make(), groups.make(2), groups.make(cleanup_policy="compact")
    groups.fill(dlq, numbered(9))
    run = repair(groups, dlq)
    found = letters(run)
    message = Message(b"m", b"k")
    receipts = run.settle([
        Move(found[0], message, Address("no-such-topic", "topic")), Move(found[1], Message(b"m", partition=2), home), Move(found[2], message, dlq),
        Move(found[3], Message(b"m"), compacted), Move(found[4], message, Address("a\0b" * 200, "topic")), Move(found[5], message, home),
        Move(found[5], message, home), Move(found[6], Message(b"m", headers=(("a\0", b""),)), home), Move(found[7], message, Address(home.name, "queue"))])
    assert (receipts.confirmed, receipts.refused) == (1, 8)
    reasons = {receipt.index: receipt.reason for receipt in receipts.problems}
    for index, part in {0: "no topic no-such-topic", 1: "no partition 2", 2: "where it lies now", 3: "without a key", 4: "cannot be the name", 6: "twice",
                        7: "NUL", 8: "no queue"}.items():
        assert part in reasons[index]
    stranger = stored(groups, home)[0]
    assert run.settle([Move(stranger, message, home)]).problems[0].reason == f"it is no letter of {dlq.name}"
    assert "handled already" in run.settle([Move(found[5], message, home)]).problems[0].reason
    assert len(stored(groups, home)) == 1


def test_a_message_is_as_large_as_the_broker_finds_it(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make(max_message_bytes="2000")
    groups.fill(dlq, numbered(2))
    run = repair(groups, dlq)
    largest, larger = letters(run)
    headers = (("h", b"x" * 70), ("empty", b""), ("null", None))
    body = 2000
    while size_alone(to_kafka(Message(b"x" * body, b"key", headers))) > 2000:
        body -= 1
    message, too_large = Message(b"x" * body, b"key", headers), Message(b"x" * (body + 1), b"key", headers)
    receipts = run.settle([Move(largest, message, home), Move(larger, too_large, home)])
    assert (receipts.confirmed, [receipt.index for receipt in receipts.problems]) == (1, [1])
    # one byte more, and the broker refuses it as well
    assert of_verdict(publish(groups.publisher(home), [too_large]), Verdict.REFUSED) == [0]


def test_what_only_the_broker_can_refuse_is_refused_and_all_others_go_home(groups: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    # as where we may not ask for the topic's settings
    monkeypatch.setattr("brokercli.backends.kafka.destinations.read_settings", lambda answer, seconds: TopicSettings(maximum_batch_bytes=2000))
    dlq, home = groups.make(), groups.make(max_message_bytes="2000")
    groups.fill(dlq, numbered(100))
    run = repair(groups, dlq)
    moves = to(home, letters(run))
    for move in moves[::10]:
        move.message.body = b"x" * 2000
    receipts = run.settle(moves)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (90, 10, 0)
    assert {receipt.index for receipt in receipts.problems} == set(range(0, 100, 10))
    assert sorted(filter(None, bodies(stored(groups, home)))) == sorted(body for number, body in enumerate(numbered(100)) if number % 10)


def test_when_the_set_is_full_what_does_not_fit_is_refused_and_the_oldest_letters_always_can(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(400))
    run = repair(groups, dlq)
    run._ledger.room = Room(characters=40)
    found = letters(run)
    receipts = run.settle(to(home, found[1::2]))
    assert receipts.confirmed > 20
    assert receipts.confirmed + receipts.refused == 200
    assert "no room" in receipts.problems[0].reason
    assert receipts.problems[0].index == receipts.confirmed
    with pytest.raises(Failed, match="no room"):
        settle_one_by_one(run, home, found[2 * receipts.confirmed + 1::2])
    following = repair(groups, dlq)
    following._ledger.room = Room(characters=40)
    assert any("out of order" in note for note in following._ledger.scarcity())
    assert redrive(following, home).refused == 0
    assert Counter(bodies(stored(groups, home))) == Counter(numbered(400))


def settle_one_by_one(run: Repair, home: Address, records: list[Record]) -> None:
    for record in records:
        run.settle(to(home, [record]))


def test_a_broker_that_counts_bytes_gets_bytes(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(40))
    run = repair(groups, dlq)
    # larger than the broker keeps, as a set in wide characters is for one that counts bytes
    written = run._ledger.handled.offsets
    refused = []

    def too_wide(partitions: object, sets: object, room: Room) -> list[TopicPartition] | None:
        offsets = written(partitions, sets, room)  # type: ignore[arg-type]
        if room.wide and offsets:
            refused.append(offsets)
            return [TopicPartition(dlq.name, 0, offsets[0].offset, "x" * 5000)]
        return offsets

    run._ledger.handled = type("Wide", (), {"offsets": staticmethod(too_wide), "sets": run._ledger.handled.sets, "epochs": {}})()
    assert run.settle(to(home, letters(run))).confirmed == 40
    assert len(refused) == 1
    assert bodies(stored(groups, home)) == numbered(40)


def test_opening_a_run_and_reading_it_changes_nothing(groups: Topics) -> None:
    dlq = groups.make()
    groups.fill(dlq, numbered(3))
    with repair(groups, dlq) as run:
        assert len(letters(run)) == 3
    assert committed(groups, dlq) < 0
    assert set(states(groups, dlq).values()) == {State.PENDING}


def test_a_group_with_members_is_refused(groups: Topics) -> None:
    dlq = groups.make()
    member = Consumer({"bootstrap.servers": groups.address, "group.id": group_of(dlq.name), "auto.offset.reset": "earliest"})
    member.subscribe([dlq.name])
    wait_until(lambda: (member.poll(0.1), bool(member.assignment()))[1], 60, "its partition")
    with pytest.raises(Failed, match="members of the group"):
        groups.backend().repair(dlq, RepairPolicy())
    member.close()


def test_a_topic_that_there_is_not_is_not_found(topics: Topics) -> None:
    with pytest.raises(NotFound):
        topics.backend().repair(Address("no-such-dlq", "topic"), RepairPolicy())


def test_at_least_once_says_so_first_and_keeps_the_same_state(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make(max_message_bytes="2000")
    groups.fill(dlq, numbered(50))
    run = repair(groups, dlq, guarantee=AT_LEAST_ONCE)
    assert run.guarantee.startswith("at least once")
    moves = to(home, letters(run))
    moves[3].message.body = b"x" * (2000 - 65)
    moves[4] = Move(moves[4].record, moves[4].message, Address("no-such-topic", "topic"))
    receipts = run.settle(moves)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (48, 2, 0)
    assert sorted(receipt.index for receipt in receipts.problems) == [3, 4]
    assert run.mark([moves[4].record], State.DROPPED).confirmed == 1
    run.close()
    assert {body: state for body, state in states(groups, dlq).items() if state is not State.REDRIVEN} == {b"3": State.PENDING, b"4": State.DROPPED}
    # and one with transactions goes on from there
    assert redrive(repair(groups, dlq), home).confirmed == 1


def test_at_least_once_notices_another_redrive(groups: Topics) -> None:
    dlq, home = groups.make(), groups.make()
    groups.fill(dlq, numbered(10))
    first, second = (repair(groups, dlq, guarantee=AT_LEAST_ONCE) for _ in range(2))
    assert second.settle(to(home, letters(second)[:5])).confirmed == 5
    refused = first.settle(to(home, letters(first)))
    assert (refused.confirmed, refused.refused) == (0, 10)
    with pytest.raises(Failed, match="Another redrive"):
        first.read(0)


@pytest.mark.parametrize("guarantee", [EXACTLY_ONCE, AT_LEAST_ONCE])
@pytest.mark.parametrize(("days", "renewed"), [(0.5, 0), (3, 3 * 1440)])
def test_a_run_that_finds_nothing_to_do_renews_what_the_broker_would_forget(days: float, renewed: int, guarantee: str, topics: Topics,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home = topics.make(), topics.make()
    topics.fill(dlq, numbered(3))
    with repair(topics, dlq, guarantee) as run:
        assert redrive(run, home).confirmed == 3
    committed(topics, dlq)
    before = written(topics, dlq)
    now = time.time() + days * 86_400
    monkeypatch.setattr(handled_group, "time", lambda: now)
    with repair(topics, dlq, guarantee) as run:
        assert redrive(run, home).confirmed == 0
    committed(topics, dlq)
    after = written(topics, dlq)
    assert after.handled.floor == before.handled.floor >= 3
    assert abs(after.minutes - before.minutes - renewed) <= 1


def written(topics: Topics, dlq: Address) -> Written:
    group = group_of(dlq.name)
    (place,) = topics.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(60).topic_partitions
    return read(place.offset, place.metadata)
