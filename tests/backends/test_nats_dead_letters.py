"""JetStream's dead letters: found with and without a record, looked at for free; recording them."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.dead_letters import RepairPolicy, State
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.streams import JetStream
from brokercli.model.errors import Failed, Unsupported
from tests.backends.nats_guarded import GuardedNats
from tests.backends.nats_letters import (
    KEPT_WHILE_WANTED,
    LETTER,
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
from tests.backends.nats_streams import Streams, bodies, everything, stream, subject
from tests.backends.nats_workers import ACK, KEEP, NAK, fail, work


def test_streams_whose_letters_may_not_be_counted_are_said(administered: Streams, guarded_nats: GuardedNats) -> None:
    one, other = sorted(administered.make("workqueue") for _ in range(2))
    unseen: list[str] = []
    with NatsBackend(guarded_nats.login("lists")) as backend:
        assert list(backend.dead_letter_sources(unseen=unseen)) == []
    (told,) = unseen
    assert told.startswith(f"whether stream {one} holds letters without a record is not known (and so it is with {other}): ")
    assert f"not permitted to publish to $JS.API.CONSUMER.LIST.{one}" in told


def test_what_a_deleted_consumer_gave_up_is_work_again_and_not_said_never_to_have_been_delivered(streams: Streams, nats_address: str) -> None:
    name = failing(streams, nats_address, "workqueue")
    streams.api(f"CONSUMER.DELETE.{name}.worker")
    with pytest.raises(Failed, match="no dead letters but work: it has no consumer, so all of it waits for one, what one that is gone gave up as well"):
        letters_of(streams.backend(), name)


@pytest.mark.parametrize("retention", KEPT_WHILE_WANTED)
def test_letters_that_nobody_recorded_are_found_and_counted(streams: Streams, nats_address: str, retention: str) -> None:
    name = failing(streams, nats_address, retention, alive=lambda body: int(body) % 3 == 0)
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert (found.depth, found.pending, found.remarks) == (6, 6, ())
    assert "max_deliver 2" in found.found_by
    records = letters_of(backend, name)
    assert bodies(records) == [b"1", b"2", b"4", b"5", b"7", b"8"]
    assert found.oldest == records[0].time
    capture(streams, name)
    late = source_of(backend, name)
    assert late is not None
    assert (late.pending, late.remarks) == (6, ())


@pytest.mark.parametrize("retention", KEPT_WHILE_WANTED)
def test_a_message_in_progress_is_never_called_dead(streams: Streams, nats_address: str, retention: str) -> None:
    name = streams.make(retention)
    streams.worker(name, max_deliver=2)
    streams.fill(f"{name.lower()}.a", numbers(6))
    # 0 and 1 die, 2 and 3 are acknowledged, 4 and 5 are being worked on
    work(nats_address, name, "worker", lambda body: NAK if body < b"2" else ACK if body < b"4" else KEEP)
    streams.fill(f"{name.lower()}.a", [b"waits"])
    streams.wait_pending(name, "worker", 1)
    wait_for(lambda: streams.state(name)["messages"] == 5)
    backend = streams.backend()
    with backend.look_letters(stream(name)) as reader:
        dead = bodies(everything(reader))
        notes = " ".join(reader.notes)
    assert set(dead) <= {b"0", b"1"}
    assert "2 messages may be in progress" in notes
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 2
    assert "2 more may be in progress" in " ".join(found.remarks)
    redrive(backend, name)
    assert in_stream(streams, name)[-1 - len(dead):] == [b"waits", *dead]
    assert {b"4", b"5"} <= set(in_stream(streams, name))


def test_a_work_queue_where_everything_is_acknowledged_or_waits_holds_no_letters(streams: Streams, nats_address: str) -> None:
    name = failing(streams, nats_address, "workqueue", alive=lambda body: True)
    streams.fill(f"{name.lower()}.a", numbers(3))
    streams.wait_pending(name, "worker", 3)
    backend = streams.backend()
    assert source_of(backend, name) is None
    assert letters_of(backend, name) == []


def test_what_is_published_between_two_questions_about_a_work_queue_is_no_letter(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make("workqueue")
    streams.worker(name, max_deliver=2)
    streams.fill(f"{name.lower()}.a", [b"in progress"])
    streams.wire.take(name, "worker", 1)
    ask = JetStream.info

    async def ask_of_one_more(self: JetStream, stream: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        if stream == name:
            streams.fill(f"{name.lower()}.a", [b"new"])
        return await ask(self, stream, question)

    monkeypatch.setattr(JetStream, "info", ask_of_one_more)
    assert source_of(streams.backend(), name) is None
    assert streams.state(name)["messages"] > 1


def test_each_consumer_of_a_work_queue_is_asked_about_its_own_messages(streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue")
    low = name.lower()
    streams.worker(name, "fast", filter_subject=f"{low}.fast", max_deliver=2)
    streams.worker(name, "slow", filter_subject=f"{low}.slow", max_deliver=2)
    for number in range(4):
        streams.fill(f"{low}.fast", [b"fast %d" % number])
        streams.fill(f"{low}.slow", [b"slow %d" % number])
        streams.fill(f"{low}.nobody", [b"nobody %d" % number])
    fail(nats_address, name, "fast")
    streams.wait_pending(name, "slow", 4)
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 4
    assert bodies(letters_of(backend, name)) == [b"fast %d" % number for number in range(4)]


def test_of_what_was_never_delivered_because_its_consumer_went_by_it_is_said_that_it_is_shown_as_well(streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue")
    low = name.lower()
    streams.worker(name, filter_subject=f"{low}.a", max_deliver=2)
    streams.fill(f"{low}.b", [b"went by"])
    streams.fill(f"{low}.a", [b"done"])
    fail(nats_address, name, alive=lambda body: True)
    streams.worker(name, filter_subjects=[f"{low}.a", f"{low}.b"], max_deliver=2)
    backend = streams.backend()
    wait_for(lambda: bodies(letters_of(backend, name)) == [b"went by"])
    with backend.look_letters(stream(name)) as reader:
        assert any("a consumer was moved past, or had no filter for when it went by, is shown as well" in note for note in reader.notes)


def test_a_message_that_another_consumer_still_wants_is_no_letter(streams: Streams, nats_address: str) -> None:
    name = streams.make("interest")
    streams.worker(name, "one", max_deliver=2)
    streams.worker(name, "two", max_deliver=2)
    streams.fill(f"{name.lower()}.a", numbers(3))
    fail(nats_address, name, "one")
    backend = streams.backend()
    assert letters_of(backend, name) == []
    fail(nats_address, name, "two", alive=lambda body: body == b"0")
    assert bodies(letters_of(backend, name)) == numbers(3)


@pytest.mark.parametrize(("name", "subjects"), [("ORDERS_DLQ", "x.{}"), ("orders-dlq", "x.{}"), ("{}", "dlq.{}.>"), ("{}", "{}.dlq"), ("DEAD_LETTERS", "x.{}"),
                                               ("DEAD", "x.{}")])
def test_streams_of_dead_letters_are_told_by_name_or_subject(streams: Streams, name: str, subjects: str) -> None:
    unique = streams.subject().replace(".", "")
    called = name.format(unique) if "{}" in name else f"{name}{'-' if '-' in name else '_'}{unique}"
    streams.api(f"STREAM.CREATE.{called}", name=called, subjects=[subjects.format(unique)])
    streams._made.append(called)
    streams.fill(subjects.format(unique).replace(">", "a"), numbers(3))
    found = source_of(streams.backend(), called)
    assert found is not None
    assert (found.depth, found.pending) == (3, 3)
    assert found.oldest is not None


@pytest.mark.parametrize("ending", ["_DLQ", ""], ids=["found", "named"])
@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_letters_that_are_copies_of_others_are_said_to_be_where_these_stay(streams: Streams, retention: str, ending: str) -> None:
    home = streams.make()
    origin = dlq_of(streams, home, retention)
    fill_dlq(streams, home, 3)
    name = f"{streams.name()}{ending}"
    streams.deleted_at_the_end(name)
    streams.api(f"STREAM.CREATE.{name}", name=name, sources=[{"name": origin}])
    wait_for(lambda: streams.state(name)["messages"] == 3)
    wait_for(lambda: retention == "limits" or streams.state(origin)["messages"] == 0)
    backend = streams.backend()
    words = f"filled from stream {origin}, which keeps its own: what is put back or dropped here stays a letter there"
    found = source_of(backend, name, f"{name}*")
    assert found is not None
    assert (words in found.remarks) == (retention == "limits")
    with backend.look_letters(stream(name)) as reader, backend.repair(stream(name), RepairPolicy()) as repair:
        assert (words in reader.notes, words in repair.notes) == (retention == "limits",) * 2


def test_other_names_are_taken_for_letters_when_asked(streams: Streams) -> None:
    name = streams.make()
    backend = streams.backend()
    assert source_of(backend, name) is None
    assert source_of(backend, name, f"{name[:8]}*") is not None


def test_in_a_stream_of_work_only_the_subjects_that_say_so_hold_letters(streams: Streams) -> None:
    low = streams.subject().replace(".", "")
    name = streams.make(subjects=[f"{low}.created", f"{low}.dlq"])
    for number in range(3):
        streams.fill(f"{low}.created", [b"work %d" % number])
        streams.fill(f"{low}.dlq", [b"letter %d" % number])
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 3
    records = letters_of(backend, name)
    assert bodies(records) == [b"letter 0", b"letter 1", b"letter 2"]
    with backend.repair(stream(name), RepairPolicy()) as repair:
        assert repair.mark(read_all(repair), State.DROPPED).confirmed == 3
        assert repair.arrived() == 0
        streams.fill(f"{low}.created", [b"work 3"])
        streams.fill(f"{low}.dlq", [b"letter 3"])
        wait_for(lambda: repair.arrived() == 1)
    assert in_stream(streams, name) == [b"work 0", b"work 1", b"work 2", b"work 3", b"letter 3"]


def test_letters_that_a_stream_of_work_stores_under_another_subject_are_letters(streams: Streams) -> None:
    low = streams.subject().replace(".", "")
    name = streams.make(subjects=[f"{low}.created", f"{low}.dlq.*"], subject_transform={"src": f"{low}.dlq.*", "dest": f"{low}.{{{{wildcard(1)}}}}.late"})
    for number in range(3):
        streams.fill(f"{low}.created", [b"work %d" % number])
        streams.fill(f"{low}.dlq.{number}", [b"letter %d" % number])
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 3
    assert bodies(letters_of(backend, name)) == [b"letter 0", b"letter 1", b"letter 2"]
    with backend.repair(stream(name), RepairPolicy()) as repair:
        assert repair.mark(read_all(repair), State.DROPPED).confirmed == 3
    assert in_stream(streams, name) == [b"work 0", b"work 1", b"work 2"]


@pytest.mark.parametrize(("letters", "stored"), [("dlq.*", "late.$1"), ("dlq.>", "dlq.in.>")], ids=["elsewhere", "below itself"])
def test_letters_from_before_their_subject_was_rewritten_are_letters_as_well_and_none_counts_twice(streams: Streams, letters: str, stored: str) -> None:
    low = streams.subject().replace(".", "")
    name = streams.make(subjects=[f"{low}.created", f"{low}.{letters}"])
    streams.fill(f"{low}.created", [b"work"])
    streams.fill(f"{low}.dlq.1", [b"old"])
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.UPDATE.{name}", **(config | {"subject_transform": {"src": f"{low}.{letters}", "dest": f"{low}.{stored}"}}))
    streams.fill(f"{low}.dlq.2", [b"new"])
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 2
    assert bodies(letters_of(backend, name)) == [b"old", b"new"]


def mixed(streams: Streams, word: str) -> str:
    """Make a stream of work and of letters, on subjects with a word for them, that stores both where nothing tells them apart."""
    low = streams.subject().replace(".", "")
    name = streams.make(subjects=[f"{low}.created", f"{low}.{word}.*"], subject_transform={"src": f"{low}.{word}.*", "dest": f"{low}.{{{{partition(3,1)}}}}"})
    streams.fill(f"{low}.{word}.1", [b"letter"])
    streams.fill(f"{low}.created", [b"work"])
    return name


@pytest.mark.parametrize(("word", "patterns"), [("dlq", ()), ("weird", ("*.weird.*",))])
def test_letters_that_cannot_be_told_from_work_because_their_subject_is_rewritten_are_not_said_to_be_none(
        streams: Streams, word: str, patterns: tuple[str, ...]) -> None:
    name = mixed(streams, word)
    unseen: list[str] = []
    streams.backend().dead_letter_sources(patterns, unseen)
    assert any(f"which messages of stream {name} are letters cannot be told" in words for words in unseen)


def test_letters_that_cannot_be_told_from_work_are_neither_shown_nor_taken(streams: Streams) -> None:
    name = mixed(streams, "dlq")
    with pytest.raises(Failed, match=f"Stream {name} stores .* nothing tells which"):
        letters_of(streams.backend(), name)
    with pytest.raises(Failed, match=f"Stream {name} stores .* nothing tells which"):
        streams.backend().repair(stream(name), RepairPolicy())


# looking


def test_looking_two_hundred_times_changes_nothing(streams: Streams, nats_address: str) -> None:
    left = failing(streams, nats_address, "workqueue")
    captured = failing(streams, nats_address, "limits", captured=True)
    names = (left, captured, f"{captured}_DLQ")
    before = [(streams.state(name), streams.stored(name)) for name in names]
    consumers = [{key: value for key, value in consumer.items() if key != "ts"} for name in names for consumer in
                 streams.api(f"CONSUMER.LIST.{name}")["consumers"] or []]
    backend = streams.backend()
    for _ in range(100):
        assert len(letters_of(backend, left)) == len(letters_of(backend, f"{captured}_DLQ")) == 10
    assert [(streams.state(name), streams.stored(name)) for name in names] == before
    assert [{key: value for key, value in consumer.items() if key != "ts"} for name in names for consumer in
            streams.api(f"CONSUMER.LIST.{name}")["consumers"] or []] == consumers


def test_letters_that_come_while_looking_are_not_shown(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 5)
    with streams.backend().look_letters(stream(name)) as reader:
        fill_dlq(streams, home, 5)
        assert bodies(everything(reader)) == numbers(5)


def test_a_stream_of_work_is_refused_with_the_way_to_record_its_deaths(streams: Streams) -> None:
    name = streams.make()
    streams.worker(name)
    streams.fill(f"{name.lower()}.a", numbers(3))
    with pytest.raises(Failed, match="holds no dead letters") as caught:
        streams.backend().repair(stream(name), RepairPolicy())
    assert "dlq capture" in str(caught.value.hint)


def test_a_work_queue_that_nobody_has_worked_on_is_refused(streams: Streams) -> None:
    name = streams.make("workqueue")
    streams.fill(f"{name.lower()}.a", numbers(3))
    with pytest.raises(Failed, match="but work"):
        streams.backend().look_letters(stream(name))


def test_a_subject_is_refused_with_the_reason_of_the_table(streams: Streams) -> None:
    with pytest.raises(Unsupported, match="dead letters lie in streams"):
        streams.backend().look_letters(subject("orders.dlq"))
    with pytest.raises(Unsupported, match="dead letters lie in streams"):
        streams.backend().repair(subject("orders.dlq"), RepairPolicy())


def test_originals_are_fetched_as_they_are_stored_and_none_where_they_are_gone(streams: Streams) -> None:
    name = streams.make()
    block = LETTER % b"x"
    streams.fill(f"{name.lower()}.a", numbers(3), block.replace(b"Nats-Rollup: all\r\n", b"").replace(b"Nats-Expected-Last-Sequence: 77\r\n", b"")
                 .replace(b"Nats-Msg-Id: order-1\r\n", b""))
    streams.delete(name, 2)
    found = streams.backend().fetch([{"stream": name, "sequence": 3}, {"stream": name, "sequence": 2}, {}, {"stream": "NOSUCH", "sequence": 1},
                                     {"stream": "a.b", "sequence": 1}, {"stream": name, "sequence": 3}, {"stream": name, "sequence": -1}])
    assert [None if record is None else record.message.body for record in found] == [b"2", None, None, None, None, b"2", None]
    assert found[0] is not None
    assert found[0].message.headers[-3:] == (("tag", b"a"), ("tag", b" b"), ("binary", b"\xff\xfe"))


# recording


def test_recording_is_planned_declared_and_left_alone_when_it_is_there(streams: Streams) -> None:
    name = streams.make()
    backend = streams.backend()
    planned = backend.plan_capture(stream(name), None)
    assert planned.changes
    assert planned.name == f"{name}_DLQ"
    assert "30 days" in planned.words
    backend.capture(planned)
    streams._made.append(planned.name)
    config = streams.api(f"STREAM.INFO.{planned.name}")["config"]
    assert config["subjects"] == [f"$JS.EVENT.ADVISORY.CONSUMER.{what}.{name}.>" for what in ("MAX_DELIVERIES", "MSG_TERMINATED")]
    assert (config["retention"], config["storage"], config["max_age"]) == ("limits", "file", 30 * 86_400 * 10**9)
    again = backend.plan_capture(stream(name), None)
    assert not again.changes
    assert backend.plan_capture(stream(name), "OTHER").name == planned.name
    backend.capture(again)
    assert streams.api(f"STREAM.INFO.{planned.name}")["config"] == config


def test_a_difference_is_said_with_what_is_and_what_would_be(streams: Streams) -> None:
    name = streams.make()
    both = [f"$JS.EVENT.ADVISORY.CONSUMER.{what}.{name}.>" for what in ("MAX_DELIVERIES", "MSG_TERMINATED")]
    backend = streams.backend()
    short = streams.make(subjects=both[:1], max_age=86_400 * 10**9)
    planned = backend.plan_capture(stream(name), short)
    assert planned.changes
    assert both[1] in planned.words
    assert "max_age is 1 days, a new one would have 30 days" in planned.words
    backend.capture(planned)
    config = streams.api(f"STREAM.INFO.{short}")["config"]
    assert (config["subjects"], config["max_age"]) == (both, 86_400 * 10**9)
    assert not backend.plan_capture(stream(name), short).changes


def test_a_name_that_is_taken_by_something_else_is_refused(streams: Streams) -> None:
    name, taken = streams.make(), streams.make()
    with pytest.raises(Failed, match="for something else"):
        streams.backend().plan_capture(stream(name), taken)
