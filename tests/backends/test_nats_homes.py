"""Where letters of JetStream are put back: what may lie in their own stream, and what would only make letters of them again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.nats import homes
from brokercli.backends.nats.in_hand import InHand
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.removing import Removed
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import Failed, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Verdict
from brokercli.operations.homes import Homes
from tests.backends.nats_letters import RETENTIONS, capture, dlq_of, failing, fill_dlq, in_stream, numbers, redrive, wait_for
from tests.backends.nats_streams import Streams, everything, stream, subject
from tests.backends.nats_workers import fail
from tests.brokers.nats import Nats


def test_a_home_in_the_stream_of_letters_itself_is_refused(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 1, b"NATS/1.0\r\nX-Original-Subject: dlq.%b.other\r\n\r\n" % home.lower().encode())
    backend, there = streams.backend(), subject(f"dlq.{home.lower()}.other")
    with backend.look_letters(stream(name)) as reader:
        assert "where the letter lies now" in backend.obstacles(reader, [subject(f"{home.lower()}.a"), there])[1]
    with backend.look_letters(stream(home)) as reader:
        assert list(backend.obstacles(reader, [there])) == []
    outcome, receipts = redrive(backend, name)
    assert (outcome.account.confirmed, outcome.account.refused) == (0, 1)
    assert "where the letter lies now" in receipts.problems[0].reason
    assert streams.state(name)["messages"] == 1


@pytest.mark.parametrize("others", [True, False], ids=["another stream has the subject", "no stream has it"])
@pytest.mark.parametrize("captured", [True, False], ids=["recorded", "unrecorded"])
def test_what_died_in_a_stream_that_rewrites_subjects_goes_into_no_other_one(streams: Streams, nats_address: str, captured: bool, others: bool) -> None:
    came, lies = (f"rewritten.{streams.subject()}" for _ in range(2))
    name = streams.make("workqueue", [f"{came}.>"], subject_transform={"src": f"{came}.>", "dest": f"{lies}.>"})
    other = streams.make(subjects=[f"{lies}.>"] if others else None)
    streams.worker(name, max_deliver=2)
    letters = capture(streams, name) if captured else name
    streams.fill(f"{came}.a", numbers(3))
    fail(nats_address, name)
    wait_for(lambda: not captured or streams.state(letters)["messages"] == 3)
    backend = streams.backend()
    why = f"stream {name} stores as {lies}.a what comes on another subject ({came}.> becomes {lies}.>)"
    with backend.look_letters(stream(letters)) as reader:
        assert why in backend.obstacles(reader, [subject(f"{lies}.a")])[0]
    outcome, receipts = redrive(backend, letters)
    assert (outcome.account.confirmed, outcome.account.refused) == (0, 3)
    assert why in receipts.problems[0].reason
    assert (streams.state(name)["messages"], streams.state(other)["messages"]) == (3, 0)
    # who knows it says it
    outcome, receipts = redrive(backend, letters, to=subject(f"{came}.a"))
    assert (outcome.account.confirmed, in_stream(streams, name)) == (3, numbers(3))


def test_nor_where_the_deaths_of_all_streams_are_recorded_in_one(servers: Callable[..., Nats]) -> None:
    address = servers(Nats).address
    with closing(Streams(address)) as streams:
        name = streams.make("workqueue", ["came.>"], subject_transform={"src": "came.>", "dest": "lies.>"})
        other, letters = streams.make(subjects=["lies.>"]), streams.make(subjects=["$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"])
        streams.worker(name, max_deliver=2)
        streams.fill("came.a", numbers(3))
        fail(address, name)
        wait_for(lambda: bool(streams.state(letters)["messages"] == 3))
        outcome, receipts = redrive(streams.backend(), letters)
        assert (outcome.account.confirmed, outcome.account.refused) == (0, 3)
        assert f"stream {name} stores as lies.a what comes on another subject" in receipts.problems[0].reason
        assert (streams.state(name)["messages"], streams.state(other)["messages"]) == (3, 0)


def test_a_home_that_was_not_to_be_asked_about_for_a_moment_is_asked_about_for_the_next_letter(
        streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    home = streams.make()
    name, there, away = dlq_of(streams, home), subject(f"{home.lower()}.a"), [True]
    fill_dlq(streams, home, 2)
    capturing = JetStream.capturing

    async def interrupted(jetstream: JetStream, asked: str) -> list[str]:
        if away:
            away.pop()
            raise Unreachable("The connection was lost.")
        return await capturing(jetstream, asked)

    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        monkeypatch.setattr(JetStream, "capturing", interrupted)
        receipts = repair.settle([Move(record, record.message, there) for record in everything(repair)])
    assert [(receipt.index, receipt.reason) for receipt in receipts.problems] == [(0, "The connection was lost")]
    assert in_stream(streams, home) == numbers(2)[1:]


def test_a_home_that_kept_silent_is_not_waited_for_again_with_each_subject_that_leads_there(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of one server that is away, in a cluster where the others answer: each letter waited five seconds to be refused."""
    away, home = streams.make(), streams.make()
    name, low, clock, asked = dlq_of(streams, away), away.lower(), [0.0], list[str]()
    fill_dlq(streams, away, 5)
    info = JetStream.info

    async def silent(jetstream: JetStream, about: str) -> Json:
        asked.append(about)
        clock[0] += 5.0
        if about == away and len(asked) < 4:
            raise Unreachable("Nobody in the cluster answers about it.")
        return await info(jetstream, about)

    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        monkeypatch.setattr(homes, "monotonic", lambda: clock[0])
        monkeypatch.setattr(JetStream, "info", silent)
        records = everything(repair)
        moves = [Move(record, record.message, subject(f"{low}.{number}")) for number, record in enumerate(records)]
        moves[2].destination = subject(f"{home.lower()}.a")
        receipts = repair.settle(moves[:4])
        assert {receipt.index: receipt.reason for receipt in receipts.problems} == dict.fromkeys((0, 1, 3), "Nobody in the cluster answers about it")
        assert (asked[:2], asked.count(away)) == ([away, home], 1)
        clock[0] += 60.0
        assert repair.settle(moves[4:]).confirmed == 1


def test_letters_out_of_a_file_for_several_subjects_of_a_stream_keep_their_order_in_it(streams: Streams) -> None:
    home = streams.make()
    going = Homes(streams.backend(), PublishPolicy(only_wanted=True), lambda confirmed: None)
    told = going.put([Message(body) for body in numbers(300)], [subject(f"{home.lower()}.{'abc'[number % 3]}") for number in range(300)])
    assert (told.confirmed, in_stream(streams, home)) == (300, numbers(300))
    going.close()


def test_a_home_that_falls_silent_on_the_way_keeps_its_own_letters_and_no_others(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose server is away, in a cluster where the others answer: the run ended with the first letter that it did not confirm."""
    away, home = streams.make(), streams.make()
    name, writes = dlq_of(streams, away), Link.write
    fill_dlq(streams, away, 6)

    def swallow(link: Link, frames: bytes) -> bool:
        return True if b"PUB %b." % away.lower().encode() in frames else writes(link, frames)

    with streams.backend().repair(stream(name), RepairPolicy(1.0)) as repair:
        moves = [Move(record, record.message, subject(f"{(away if number % 2 else home).lower()}.a")) for number, record in enumerate(everything(repair))]
        assert repair.settle(moves[:2]).confirmed == 2
        monkeypatch.setattr(Link, "write", swallow)
        receipts = repair.settle(moves[2:4])
        assert (receipts.confirmed, [(receipt.index, receipt.verdict) for receipt in receipts.problems]) == (1, [(1, Verdict.UNKNOWN)])
        receipts = repair.settle(moves[4:])
        assert (receipts.confirmed, [(receipt.index, receipt.verdict) for receipt in receipts.problems]) == (1, [(1, Verdict.REFUSED)])
        assert f"subject:{away.lower()}.a takes nothing any more" in receipts.problems[0].reason
        repair.check()
        assert isinstance(repair.failure, Unreachable)
    assert in_stream(streams, home) == numbers(6)[::2]
    assert in_stream(streams, name) == numbers(6)[3::2]


@pytest.mark.parametrize("filters", [[], ["a"], [">"]], ids=["nobody", "one", "all"])
def test_a_plan_says_which_homes_would_confirm_and_drop(streams: Streams, filters: list[str]) -> None:
    home = streams.make("interest")
    low = home.lower()
    for filter_subject in filters:
        streams.worker(home, filter_subject=f"{low}.{filter_subject}")
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 1)
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        found = backend.obstacles(reader, [subject(f"{low}.a"), subject(f"{low}.b")])
    assert list(found) == {"": [0, 1], "a": [1], ">": []}["".join(filters)]
    assert all(f"none wants {low}" in why for why in found.values())


@pytest.mark.parametrize(("retention", "config", "said"), [
    ("limits", {"max_msgs_per_subject": 1}, "keeps 1 message of each subject (max_msgs_per_subject) and drops the oldest"),
    ("limits", {"max_msgs_per_subject": 2}, "keeps 2 messages of each subject (max_msgs_per_subject) and drops the oldest"),
    ("limits", {"max_msgs": 2}, "keeps 2 messages (max_msgs) and drops the oldest"),
    ("workqueue", {"max_msgs": 3}, "keeps 3 messages (max_msgs) and drops the oldest"),
    ("limits", {"max_msgs_per_subject": 3, "max_msgs": 3}, ""),
    ("limits", {"max_bytes": 200}, "keeps 200 bytes (max_bytes) and drops the oldest"),
    ("workqueue", {"max_bytes": 300}, "keeps 300 bytes (max_bytes) and drops the oldest"),
    ("limits", {"max_bytes": 1000}, ""),
    ("workqueue", {"max_msgs": 3, "discard": "new"}, ""),
    ("workqueue", {"max_bytes": 300, "discard": "new"}, ""),
    ("limits", {"max_msgs_per_subject": 1, "discard": "new"}, "keeps 1 message of each subject (max_msgs_per_subject) and drops the oldest"),
    ("limits", {"max_msgs_per_subject": 1, "discard": "new", "discard_new_per_subject": True}, ""),
    ("limits", {"persist_mode": "async", "discard": "new"}, "confirms before it writes (persist_mode)"),
    ("limits", {"storage": "memory"}, "keeps its messages in memory (storage)"),
    ("workqueue", {"max_age": 59 * 10**9, "duplicate_window": 10**9}, "deletes each message after 59s (max_age)"),
    ("limits", {"max_age": 60 * 10**9, "duplicate_window": 10**9}, ""),
])
def test_a_home_that_may_lose_or_push_out_what_it_has_confirmed_is_told(streams: Streams, retention: str, config: dict[str, Any], said: str) -> None:
    home = streams.make(retention, **config)
    streams.fill(f"{home.lower()}.a", [b"there"])
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 3)
    with streams.backend().look_letters(stream(name)) as reader:
        planned = list(streams.backend().fates(reader, [(subject(f"{home.lower()}.a"), 2), (subject(f"{home.lower()}.b"), 1)]))
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        repair.settle([Move(record, record.message, subject(f"{home.lower()}.a")) for record in everything(repair)])
    told = [note for note in repair.notes if note.startswith(f"stream {home} ")]
    assert [f"stream {home} {said}" in note for note in told] == ([True] if said else [])
    assert planned == told


@pytest.mark.parametrize("window", [0, 60_000_000_000])
def test_how_long_an_interest_home_remembers_ids_does_not_say_how_many_letters_are_under_way(streams: Streams, window: int) -> None:
    other = streams.make()
    home = streams.make("interest", duplicate_window=window, sources=[{"name": other}])
    streams.worker(home)
    there = subject(f"{home.lower()}.a")
    publisher = streams.publisher(there, only_wanted=True, maximum_in_flight=10)
    # none can have been acknowledged before the first is accepted, and what is told to wait is not
    first = publisher.send([Message(b"x")] * 5000)
    assert publisher.in_flight <= 10 < first + 10
    assert publisher.finish(20).confirmed == first
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 3)
    outcome, _ = redrive(streams.backend(), name)
    assert (outcome.account.confirmed, streams.state(home)["messages"]) == (3, first + 3)


def test_a_stream_that_counts_takes_no_letters_and_the_plan_says_so(streams: Streams) -> None:
    home = streams.make(allow_msg_counter=True)
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 1)
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        found = backend.obstacles(reader, [subject(f"{home.lower()}.a"), stream(home)])
    said = f"Stream {home} counts, and takes increments only (header Nats-Incr), which letters have not"
    assert found == dict.fromkeys((0, 1), said)
    # for letters out of a file, and from another broker
    with pytest.raises(Failed, match=f"Stream {home} counts"):
        streams.publisher(subject(f"{home.lower()}.a"), only_wanted=True)
    outcome, receipts = redrive(backend, name)
    assert (outcome.account.refused, receipts.problems[0].reason) == (1, found[0])


def test_a_stream_that_letters_are_to_be_put_into_says_under_which_subjects_it_takes_them(streams: Streams) -> None:
    home, one = streams.make(), streams.make(subjects=[streams.subject()])
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 1)
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        assert backend.obstacles(reader, [stream(home), stream(one)]) == {}
        said = backend.fates(reader, [(stream(home), 1), (stream(one), 1)])
    assert len(said) == 1
    assert f"refused where that is none of {home.lower()}.>; --to subject:NAME" in said[0]
    with backend.repair(stream(name), RepairPolicy()) as repair:
        receipts = repair.settle([Move(record, record.message, stream(home)) for record in everything(repair)])
    assert receipts.problems[0].reason == f"stream {home} does not capture the subject dlq.{home.lower()}.a; it captures {home.lower()}.>"


def test_a_home_that_remembers_no_message_ids_is_told_as_one_where_a_run_that_was_killed_doubles(
        streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-server gives a stream that is filled from others no window unless it is told to."""
    monkeypatch.setattr(InHand, "begin_to_take_out", lambda *_: lambda: Removed())  # as if each run were killed before
    other, forgetful, told = streams.make(), streams.name(), streams.name()
    for home, window in ((forgetful, {}), (told, {"duplicate_window": 60_000_000_000})):
        streams.api(f"STREAM.CREATE.{home}", name=home, subjects=[f"{home.lower()}.>"], sources=[{"name": other}], **window)
        name = dlq_of(streams, home)
        fill_dlq(streams, home, 1)
        said = []
        for _ in range(2):
            with streams.backend().repair(stream(name), RepairPolicy()) as repair:
                repair.settle([Move(record, record.message, subject(f"{home.lower()}.a")) for record in everything(repair)])
            said = [note for note in repair.notes if note.startswith(f"stream {home} remembers no message ids")]
        assert (len(in_stream(streams, home)), len(said)) == ((2, 1) if home == forgetful else (1, 0))


@pytest.mark.parametrize("retention", RETENTIONS)
def test_letters_whose_home_is_in_their_own_stream_under_another_subject_go_there(streams: Streams, retention: str) -> None:
    low = streams.subject().replace(".", "")
    name = streams.make(retention, subjects=[f"{low}.>", f"dlq.{low}.>"])
    if retention != "limits":
        streams.worker(name, "work", filter_subject=f"{low}.>")
        streams.worker(name, "letters", filter_subject=f"dlq.{low}.>")
    for number in range(20):
        streams.fill(f"{low}.a", [b"work %d" % number])
        streams.fill(f"dlq.{low}.a", [b"letter %d" % number], f"NATS/1.0\r\nX-Original-Subject: {low}.a\r\n\r\n".encode())
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        assert backend.obstacles(reader, [subject(f"{low}.a")]) == {}
    outcome, _ = redrive(backend, name)
    assert (outcome.account.read, outcome.account.confirmed) == (20, 20)
    stored = [(one, body) for one, _, body in streams.stored(name)]
    assert stored == [(f"{low}.a", b"work %d" % number) for number in range(20)] + [(f"{low}.a", b"letter %d" % number) for number in range(20)]
    assert redrive(backend, name)[0].account.read == 0


def test_letters_that_come_back_into_their_own_stream_while_it_is_redriven_are_counted_and_not_taken_again(streams: Streams) -> None:
    low = streams.subject().replace(".", "")
    name = streams.make(subjects=[f"{low}.>", f"dlq.{low}.>"])
    dead = f"NATS/1.0\r\nX-Original-Subject: {low}.a\r\n\r\n".encode()
    streams.fill(f"dlq.{low}.a", numbers(4), dead)
    with streams.backend().repair(stream(name), RepairPolicy(batch=2)) as repair:
        batches = []
        while not repair.finished:
            batch = repair.read(20)
            if batch is not None:
                batches.append([record.message.body for record in batch.records()])
                moves = [Move(record, Message(record.message.body, origin="nats"), subject(f"{low}.a")) for record in batch.records()]
                assert repair.settle(moves).confirmed == 2
                streams.fill(f"dlq.{low}.a", [b"again"], dead)
        assert batches == [[b"0", b"1"], [b"2", b"3"]]
        wait_for(lambda: repair.arrived() == 2)
    assert in_stream(streams, name) == [b"0", b"1", b"again", b"2", b"3", b"again"]


@pytest.mark.parametrize(("transform", "home"), [
    (None, "dlq.{low}.other"), ({"src": "{low}.*", "dest": "dlq.{low}.{{{{wildcard(1)}}}}"}, "{low}.a"),
    ({"src": "{low}.*", "dest": "{{{{partition(3,1)}}}}.{low}"}, "{low}.a")], ids=["a subject of letters", "stored as one", "stored as who knows what"])
def test_a_home_that_would_make_a_letter_of_it_again_is_refused(streams: Streams, transform: dict[str, str] | None, home: str) -> None:
    low = streams.subject().replace(".", "")
    there = home.format(low=low)
    config = {} if transform is None else {"subject_transform": {key: value.format(low=low) for key, value in transform.items()}}
    name = streams.make(subjects=[f"{low}.>", f"dlq.{low}.>"], **config)
    streams.fill(f"dlq.{low}.a", numbers(2), f"NATS/1.0\r\nX-Original-Subject: {there}\r\n\r\n".encode())
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        assert backend.obstacles(reader, [subject(there)]) == {0: f"{there} leads into stream {name}, where the letter lies now, and would be one again"}
    outcome, _ = redrive(backend, name)
    assert (outcome.account.confirmed, outcome.account.refused) == (0, 2)
    assert in_stream(streams, name) == numbers(2)


def test_what_died_in_a_mirror_goes_to_the_stream_it_mirrors_and_the_promise_is_about_that(streams: Streams, nats_address: str) -> None:
    home = streams.make()
    mirror = streams.make(subjects=[], mirror={"name": home})
    streams.worker(mirror, max_deliver=1)
    letters = capture(streams, mirror)
    streams.fill(f"{home.lower()}.a", numbers(3))
    wait_for(lambda: streams.state(mirror)["messages"] == 3)
    fail(nats_address, mirror)
    wait_for(lambda: streams.state(letters)["messages"] == 3)
    backend = streams.backend()
    with backend.repair(stream(letters), RepairPolicy()) as repair:
        assert "duplicate window of the stream it goes to" in repair.guarantee
    assert redrive(backend, letters)[0].account.confirmed == 3
    wait_for(lambda: in_stream(streams, mirror) == [*numbers(3), *numbers(3)])


def test_a_plan_asks_once_which_messages_of_a_work_queue_are_letters(streams: Streams, nats_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = failing(streams, nats_address, "workqueue")
    asked: list[str] = []
    consumers = JetStream.consumers

    def noted(jetstream: JetStream, of: str, silent: list[str] | None = None) -> Coroutine[Any, Any, list[Json]]:
        asked.append(of)
        return consumers(jetstream, of, silent)

    monkeypatch.setattr(JetStream, "consumers", noted)
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        backend.check_repair(reader)
        everything(reader)
        assert backend.obstacles(reader, [subject(f"{name.lower()}.a")]) == {}
    assert asked == [name]


def test_a_letter_is_not_put_on_a_subject_where_a_schedule_waits_that_it_would_end(streams: Streams) -> None:
    home = streams.make(allow_msg_schedules=True)
    low = home.lower()
    streams.fill(f"{low}.timer", [b"waits"], f"NATS/1.0\r\nNats-Schedule: @every 1h\r\nNats-Schedule-Target: {low}.due\r\n\r\n".encode())
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 1, f"NATS/1.0\r\nX-Original-Subject: {low}.timer\r\n\r\n".encode())
    fill_dlq(streams, home, 1, f"NATS/1.0\r\nX-Original-Subject: {low}.due\r\n\r\n".encode())
    said = f"on {low}.timer a schedule of stream {home} waits (Nats-Schedule), which ends when a message comes behind it there"
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        assert backend.obstacles(reader, [subject(f"{low}.timer"), subject(f"{low}.due")]) == {0: said}
    _, receipts = redrive(backend, name)
    assert [receipt.reason for receipt in receipts.problems] == [said]
    assert [subject for subject, _, _ in streams.stored(home)] == [f"{low}.timer", f"{low}.due"]
