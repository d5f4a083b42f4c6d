"""JetStream's dead letters put back: as they were, where they came from, once, and taken out only then."""

from __future__ import annotations

import json

import pytest

from brokercli.backends.dead_letters import Goal, Move, RepairPolicy
from brokercli.dialects import recognise
from brokercli.model.errors import Failed
from brokercli.model.message import Message
from brokercli.model.receipt import Verdict
from tests.backends.nats_letters import (
    KEPT_WHILE_WANTED,
    LETTER,
    RETENTIONS,
    capture,
    dlq_of,
    failing,
    fill_dlq,
    in_stream,
    letters_of,
    numbers,
    read_all,
    redrive,
    source_of,
    wait_for,
)
from tests.backends.nats_streams import Streams, of_verdict, publish, stream, subject
from tests.backends.nats_workers import ACK, TERM, fail, work


def test_a_letter_goes_home_as_it_was_without_instructions_to_the_server(streams: Streams) -> None:
    home = streams.make(allow_rollup_hdrs=True)
    low = home.lower()
    name = dlq_of(streams, home, allow_rollup_hdrs=True)
    streams.fill(f"{low}.a", numbers(3))
    block = (LETTER % f"{low}.a".encode()).replace(b"Nats-Expected-Last-Sequence: 77\r\n", b"").replace(b"Nats-Rollup: all\r\n", b"Nats-Rollup: sub\r\n")
    streams.fill(f"dlq.{low}.a", [b"\x00\xff letter"], block)
    outcome, receipts = redrive(streams.backend(), name)
    assert (outcome.account.read, receipts.confirmed, receipts.duplicates) == (1, 1, 0)
    stored = streams.stored(home)
    assert [body for _, _, body in stored] == [*numbers(3), b"\x00\xff letter"]
    put_subject, put_block, _ = stored[-1]
    assert put_subject == f"{low}.a"
    assert b"\r\ntag: a\r\ntag:  b\r\nbinary: \xff\xfe\r\nx-brokercli-redriven-from:" in put_block
    assert b"Nats-Rollup" not in put_block
    assert put_block.count(b"Nats-Msg-Id: ") == 1
    assert f"Nats-Msg-Id: brokercli:{name}:".encode() in put_block
    assert streams.stored(name) == []


def test_an_unread_instruction_is_withheld_whoever_gives_the_message(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 1)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        record = read_all(repair)[0]
        message = Message(b"x", headers=(("Nats-Batch-Id", b"1"), ("nats-ttl", b"1s"), ("Nats-Schedule", b"@at x"), ("Nats-Original-Subject", b"kept")),
                          id="old", origin="nats")
        assert repair.settle([Move(record, message, subject(f"{home.lower()}.a"))]).confirmed == 1
    block = streams.stored(home)[0][1]
    assert b"Nats-Original-Subject: kept" in block
    assert block.count(b"\r\n") == 4
    assert b"brokercli:" in block


@pytest.mark.parametrize("way", ["settle", "forward"])
def test_instructions_that_are_left_off_are_counted_and_said_in_the_end(streams: Streams, way: str) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 3, b"NATS/1.0\r\nNats-Trace-Dest: nowhere\r\nNats-Original-Subject: kept\r\n\r\n")
    streams.fill(f"dlq.{home.lower()}.a", [b"3"], b"NATS/1.0\r\nNats-Msg-Id: old\r\n\r\n")
    parked = subject(f"{home.lower()}.a")
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        said = len(repair.notes)
        while not repair.finished:
            batch = repair.read(20)
            if batch is None:
                continue
            records = batch.records()
            if way == "settle":
                assert repair.settle([Move(record, record.message, parked) for record in records]).confirmed == len(records)
            else:
                assert repair.forward(batch, [Goal(parked)] * len(records), [record.message.headers for record in records])().confirmed == len(records)
        assert len(repair.notes) == said
    assert repair.notes[said:] == ["headers that steer the broker were withheld: Nats-Msg-Id (1), Nats-Trace-Dest (3)"]
    assert all(b"Nats-Trace" not in block for _, block, _ in streams.stored(home))


@pytest.mark.parametrize("retention", RETENTIONS)
def test_recorded_deaths_are_put_back_and_their_records_taken_out(streams: Streams, nats_address: str, retention: str) -> None:
    name = failing(streams, nats_address, retention, captured=True)
    backend = streams.backend()
    found = source_of(backend, f"{name}_DLQ")
    assert found is not None
    assert (found.pending, found.feeds) == (10, (f"stream:{name}",))
    assert source_of(backend, name) is None, "letters that are recorded are not shown a second time"
    outcome, _ = redrive(backend, f"{name}_DLQ")
    assert (outcome.account.read, outcome.account.confirmed) == (10, 10)
    assert streams.state(f"{name}_DLQ")["messages"] == 0
    # an original is never deleted from a limits stream, and is dead storage elsewhere
    assert in_stream(streams, name) == (numbers(20)[:10] * 2 if retention == "limits" else numbers(10))
    assert sorted(work(nats_address, name, "worker", lambda body: ACK)) == numbers(10)
    wait_for(lambda: streams.state(name)["messages"] == (20 if retention == "limits" else 0))
    assert source_of(backend, name) is None


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("others", [0, 1])
def test_where_an_interest_stream_has_other_consumers_it_is_said_that_they_get_what_is_put_back(
        streams: Streams, nats_address: str, captured: bool, others: int) -> None:
    name = streams.make("interest")
    streams.worker(name, max_deliver=1)
    for number in range(others):
        streams.worker(name, f"other{number}")
    if captured:
        capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(3))
    fail(nats_address, name)
    with streams.backend().repair(stream(f"{name}_DLQ" if captured else name), RepairPolicy()) as repair:
        notes = " ".join(repair.notes)
    assert ("reaches every consumer of its subject again" in notes) == bool(others)
    with streams.backend().repair(stream(f"{name}_DLQ" if captured else name), RepairPolicy(homeward=False)) as repair:
        assert "reaches every consumer" not in " ".join(repair.notes), "nothing is put back"
    assert (f"taken out of {name} as well, unless another consumer still wants it: that one gets both" in notes) == bool(others and captured)
    assert (f"taken out of {name} as well; dropping a letter" in notes) == bool(captured and not others)


def test_a_dead_message_that_another_consumer_wants_stays_and_reaches_it_twice_as_is_said(streams: Streams, nats_address: str) -> None:
    name = streams.make("interest")
    streams.worker(name, max_deliver=1)
    streams.worker(name, "other")
    letters = capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(3))
    fail(nats_address, name)
    wait_for(lambda: bool(streams.state(letters)["messages"] == 3))
    backend = streams.backend()
    assert redrive(backend, letters)[0].account.confirmed == 3
    assert in_stream(streams, name) == numbers(3) * 2
    assert work(nats_address, name, "worker", lambda body: ACK) == numbers(3)
    assert work(nats_address, name, "other", lambda body: ACK) == numbers(3) * 2
    wait_for(lambda: bool(streams.state(name)["messages"] == 3))
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 3


@pytest.mark.parametrize("retention", KEPT_WHILE_WANTED)
def test_letters_without_a_record_are_put_back_and_the_dead_ones_taken_out(streams: Streams, nats_address: str, retention: str) -> None:
    name = failing(streams, nats_address, retention, 50)
    backend = streams.backend()
    outcome, _ = redrive(backend, name)
    assert (outcome.account.read, outcome.account.confirmed) == (50, 50)
    assert in_stream(streams, name) == numbers(50)
    assert streams.state(name)["first_seq"] == 51
    assert work(nats_address, name, "worker", lambda body: ACK) == numbers(50)
    wait_for(lambda: streams.state(name)["messages"] == 0)
    assert redrive(backend, name)[0].account.read == 0


def test_the_record_of_a_terminated_message_says_why(streams: Streams, nats_address: str) -> None:
    name = streams.make()
    streams.worker(name)
    capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(2))
    work(nats_address, name, "worker", lambda body: TERM)
    wait_for(lambda: streams.state(f"{name}_DLQ")["messages"] == 2)
    backend = streams.backend()
    letter = recognise(letters_of(backend, f"{name}_DLQ")[0])
    assert (letter.reason, letter.exception_message, letter.pointer) == ("terminated", "because it is broken", {"stream": name, "sequence": 1})
    assert redrive(backend, f"{name}_DLQ")[0].account.confirmed == 2
    assert in_stream(streams, name) == [b"0", b"1", b"0", b"1"]


def test_a_pointer_whose_original_is_gone_stays_and_is_counted(streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue")
    streams.worker(name)
    capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(2))
    work(nats_address, name, "worker", lambda body: TERM)
    wait_for(lambda: streams.state(f"{name}_DLQ")["messages"] == 2)
    outcome, _ = redrive(streams.backend(), f"{name}_DLQ")
    assert (outcome.account.confirmed, outcome.account.skipped) == (0, 2)
    assert streams.state(f"{name}_DLQ")["messages"] == 2


def test_several_records_of_one_message_put_it_back_once(streams: Streams, nats_address: str) -> None:
    name = failing(streams, nats_address, "limits", 3, captured=True)
    low = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.worker"
    for _, _, advisory in streams.stored(f"{name}_DLQ"):
        streams.fill(low, [advisory])
    outcome, receipts = redrive(streams.backend(), f"{name}_DLQ")
    assert (outcome.account.confirmed, receipts.duplicates) == (6, 3)
    assert in_stream(streams, name) == numbers(3) * 2
    assert streams.state(f"{name}_DLQ")["messages"] == 0


def test_refused_once_is_not_dead(streams: Streams, nats_address: str) -> None:
    name = streams.make()
    low = f"$JS.EVENT.ADVISORY.CONSUMER.*.{name}.*"
    records = streams.make(subjects=[low])
    streams.worker(name, max_deliver=2)
    streams.fill(f"{name.lower()}.a", numbers(4))
    fail(nats_address, name, alive=lambda body: body in (b"0", b"1"))
    wait_for(lambda: sum(b"max_deliver" in body for body in in_stream(streams, records)) == 2)
    backend = streams.backend()
    found = source_of(backend, records)
    assert found is not None
    assert found.pending == 2
    outcome, _ = redrive(backend, records)
    assert (outcome.account.read, outcome.account.confirmed) == (2, 2)
    assert in_stream(streams, name) == [*numbers(4), b"2", b"3"]
    assert not any(b"max_deliver" in body for body in in_stream(streams, records))
    assert any(b".nak" in body for body in in_stream(streams, records))


def test_a_death_that_a_forged_record_claims_does_not_delete_what_is_being_worked_on(streams: Streams) -> None:
    name = streams.make("workqueue")
    streams.worker(name, max_deliver=2)
    capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(2))
    forged = {"type": "io.nats.jetstream.advisory.v1.max_deliver", "stream": name, "consumer": "worker", "stream_seq": 1, "deliveries": 2}
    streams.fill(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.worker", [json.dumps(forged).encode()])
    outcome, receipts = redrive(streams.backend(), f"{name}_DLQ", to=subject(f"{name.lower()}.b"))
    assert (outcome.account.confirmed, outcome.account.refused) == (0, 1)
    assert "not dead any more" in receipts.problems[0].reason
    assert in_stream(streams, name) == numbers(2)


def test_a_record_older_than_what_it_points_at_means_another_message(streams: Streams) -> None:
    name = streams.make()
    capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(1))
    old = {"type": "io.nats.jetstream.advisory.v1.max_deliver", "stream": name, "consumer": "worker", "stream_seq": 1, "deliveries": 2,
           "timestamp": "2020-01-01T00:00:00Z"}
    streams.fill(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.worker", [json.dumps(old).encode()])
    outcome, _ = redrive(streams.backend(), f"{name}_DLQ")
    assert (outcome.account.confirmed, outcome.account.skipped) == (0, 1)
    assert in_stream(streams, name) == numbers(1)
    assert streams.state(f"{name}_DLQ")["messages"] == 1


def test_an_original_that_another_consumer_still_wants_stays(streams: Streams, nats_address: str) -> None:
    name = streams.make("interest")
    streams.worker(name, "one", max_deliver=2)
    streams.worker(name, "two")
    capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(2))
    fail(nats_address, name, "one")
    wait_for(lambda: streams.state(f"{name}_DLQ")["messages"] == 2)
    assert redrive(streams.backend(), f"{name}_DLQ")[0].account.confirmed == 2
    assert work(nats_address, name, "two", lambda body: ACK) == numbers(2) * 2


# what cannot go home stays


def test_letters_whose_home_nobody_listens_on_are_refused_and_stay(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 3)
    streams.fill(f"dlq.{home.lower()}.a", [b"lost"], b"NATS/1.0\r\nX-Original-Subject: nobody.%b\r\n\r\n" % home.encode())
    outcome, receipts = redrive(streams.backend(), name)
    assert (outcome.account.confirmed, outcome.account.refused) == (3, 1)
    assert "no stream listens" in receipts.problems[0].reason
    assert in_stream(streams, name) == [b"lost"]


@pytest.mark.parametrize(("by_stream", "another_wants"), [(False, False), (False, True), (True, False)])
def test_a_home_that_would_confirm_and_drop_is_refused(streams: Streams, by_stream: bool, another_wants: bool) -> None:
    base = streams.name()
    home = streams.make("interest", [f"{base.lower()}.{'a' if by_stream else '>'}"])
    if another_wants:
        streams.worker(home, filter_subjects=[f"{base.lower()}.b"])
    name = dlq_of(streams, base)
    fill_dlq(streams, base, 2)
    backend = streams.backend()
    outcome, receipts = redrive(backend, name, to=stream(home) if by_stream else None)
    assert (outcome.account.confirmed, outcome.account.refused) == (0, 2)
    assert f"none wants {base.lower()}.a: it would confirm it and drop it" in receipts.problems[0].reason
    assert in_stream(streams, name) == numbers(2)
    streams.worker(home, "wanting")
    assert redrive(backend, name, to=stream(home) if by_stream else None)[0].account.confirmed == 2
    assert (in_stream(streams, home), in_stream(streams, name)) == (numbers(2), [])


def test_of_an_interest_stream_that_rewrites_subjects_nobody_says_that_a_message_is_wanted_or_not(streams: Streams) -> None:
    home = streams.make("interest", subject_transform={"src": ">", "dest": "to.>"})
    streams.worker(home, "filtered", filter_subjects=[f"to.{home.lower()}.a"])
    receipts = publish(streams.publisher(subject(f"{home.lower()}.a"), only_wanted=True), [Message(b"x")])
    assert (receipts.confirmed, len(receipts.problems)) == (0, 1)
    assert f"whether one wants {home.lower()}.a cannot be told" in receipts.problems[0].reason
    telling = streams.publisher(subject(f"{home.lower()}.a"))
    assert ["cannot be told" in note for note in telling.notes] == [True]
    assert publish(telling, [Message(b"x")]).confirmed == 1
    streams.worker(home, "everything")
    assert publish(streams.publisher(subject(f"{home.lower()}.a"), only_wanted=True), [Message(b"x")]).confirmed == 1


def test_what_no_consumer_wants_of_an_interest_stream_is_refused_alone_where_only_what_is_wanted_may_go(streams: Streams) -> None:
    home = streams.make("interest")
    low = home.lower()
    streams.worker(home, filter_subjects=[f"{low}.a"])
    backend = streams.backend()
    messages = [Message(b"%d" % number, route=f"{low}.{'ab'[number % 2]}") for number in range(4)]
    receipts = publish(streams.publisher(stream(home), backend, only_wanted=True), messages)
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (2, [1, 3])
    assert in_stream(streams, home) == [b"0", b"2"]
    assert publish(streams.publisher(stream(home), backend), messages).confirmed == 4, "whoever only publishes is told what the server says"


def test_a_full_home_refuses_and_the_letters_stay(streams: Streams) -> None:
    home = streams.make(max_msgs=2, discard="new")
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 5)
    outcome, _ = redrive(streams.backend(), name)
    assert (outcome.account.confirmed, outcome.account.refused) == (2, 3)
    assert sorted(in_stream(streams, name) + in_stream(streams, home)) == numbers(5)


@pytest.mark.parametrize("config", [{"deny_delete": True}, {"sealed": True}])
def test_a_stream_that_lets_nothing_be_taken_out_is_refused_before_anything_is_sent(streams: Streams, config: dict[str, bool]) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 2)
    before = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.UPDATE.{name}", **(before | config))
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        for refused in (lambda: backend.repair(stream(name), RepairPolicy()), lambda: backend.check_repair(reader)):
            with pytest.raises(Failed, match=r"deny_delete|sealed"):
                refused()
    with backend.look_letters(stream(home)) as reader:
        backend.check_repair(reader)
    assert streams.state(home)["messages"] == 0
