"""Messages that wait in a stream to be published later: whoever was given one and gave it up, it still waits, and is no dead letter; and no
letter is put where it would end one."""

from __future__ import annotations

import pytest

from brokercli.backends.nats.kept import KeptPublisher
from brokercli.backends.nats.streams import JetStream
from brokercli.model.errors import Failed, Unreachable
from brokercli.model.message import Message
from brokercli.model.position import End, Span
from brokercli.model.receipt import Verdict
from tests.backends.nats_letters import capture, dlq_of, fill_dlq, in_stream, letters_of, redrive, source_of, wait_for
from tests.backends.nats_streams import Streams, publish, stream, subject
from tests.backends.nats_workers import fail


def schedule(streams: Streams, name: str, body: bytes = b"later") -> None:
    """Store what is to be published in years."""
    low = name.lower()
    streams.fill(f"{low}.timer", [body], f"NATS/1.0\r\nNats-Schedule: @at 2099-01-01T00:00:00Z\r\nNats-Schedule-Target: {low}.due\r\n\r\n".encode())


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_waits_to_be_published_is_no_letter_although_a_worker_gave_it_up(streams: Streams, nats_address: str, retention: str) -> None:
    name = streams.make(retention, allow_msg_schedules=True)
    streams.worker(name, max_deliver=2)
    schedule(streams, name)
    streams.fill(f"{name.lower()}.a", [b"0"])
    fail(nats_address, name)
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 1
    assert [record.message.body for record in letters_of(backend, name)] == [b"0"]
    with backend.look_letters(stream(name)) as reader:
        assert "what waits to be published later (Nats-Schedule) is no letter, and stays" in reader.notes
    home = streams.make()
    outcome, _ = redrive(backend, name, to=subject(f"{home.lower()}.a"))
    assert (outcome.account.read, outcome.account.confirmed) == (1, 1)
    assert in_stream(streams, name) == [b"later"]
    assert source_of(backend, name) is None


def test_of_more_than_are_gone_through_to_count_them_those_are_left_out_that_wait(
        streams: Streams, nats_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make("workqueue", allow_msg_schedules=True)
    streams.worker(name, max_deliver=2)
    schedule(streams, name)
    streams.fill(f"{name.lower()}.a", [b"0", b"1", b"2"])
    fail(nats_address, name)
    monkeypatch.setattr("brokercli.backends.nats.dead_letters.GONE_THROUGH", 2)
    found = source_of(streams.backend(), name)
    assert found is not None
    assert found.pending == 3


def test_in_a_stream_of_letters_what_waits_stays_and_the_list_says_that_it_counts(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home, allow_msg_schedules=True)
    dlq = f"dlq.{home.lower()}"
    fill_dlq(streams, home, 1)
    streams.fill(f"{dlq}.timer", [b"later"], f"NATS/1.0\r\nNats-Schedule: @at 2099-01-01T00:00:00Z\r\nNats-Schedule-Target: {dlq}.due\r\n\r\n".encode())
    fill_dlq(streams, home, 1)
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert "what waits to be published later counts as well (Nats-Schedule), and is no letter" in found.remarks
    outcome, _ = redrive(backend, name)
    assert (outcome.account.read, outcome.account.confirmed) == (2, 2)
    assert in_stream(streams, name) == [b"later"]


def test_a_copy_of_what_waits_elsewhere_is_a_letter(streams: Streams) -> None:
    origin = streams.make(allow_msg_schedules=True)
    schedule(streams, origin)
    name = streams.make(subjects=[f"dlq.{origin.lower()}"], sources=[{"name": origin}])
    wait_for(lambda: bool(streams.state(name)["messages"]))
    assert [record.message.body for record in letters_of(streams.backend(), name)] == [b"later"]


def test_the_record_of_its_death_does_not_take_what_waits_out_of_its_work_queue(streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue", allow_msg_schedules=True)
    streams.worker(name, max_deliver=2)
    letters = capture(streams, name)
    schedule(streams, name)
    streams.fill(f"{name.lower()}.a", [b"0"])
    fail(nats_address, name)
    wait_for(lambda: bool(streams.state(letters)["messages"] == 2))
    home = streams.make()
    outcome, receipts = redrive(streams.backend(), letters, to=subject(f"{home.lower()}.a"))
    assert (outcome.account.confirmed, outcome.account.refused) == (1, 1)
    assert f"message 1 of stream {name} is not dead: it waits to be published later (Nats-Schedule)" in receipts.problems[0].reason
    assert in_stream(streams, name) == [b"later"]
    assert in_stream(streams, home) == [b"0"]


def test_what_is_put_into_a_stream_by_its_name_ends_no_schedule_either(streams: Streams) -> None:
    home = streams.make(allow_msg_schedules=True)
    schedule(streams, home)
    name = streams.make(subjects=[f"dlq.{home.lower()}"])
    low = home.lower()
    for where in ("timer", "due", "timer"):
        streams.fill(f"dlq.{low}", [b"0"], f"NATS/1.0\r\nX-Original-Subject: {low}.{where}\r\n\r\n".encode())
    outcome, receipts = redrive(streams.backend(), name, to=stream(home))
    assert (outcome.account.confirmed, outcome.account.refused) == (1, 2)
    assert {problem.reason for problem in receipts.problems} == {
        f"on {low}.timer a schedule of stream {home} waits (Nats-Schedule), which ends when a message comes behind it there"}
    assert in_stream(streams, home) == [b"later", b"0"]


@pytest.mark.parametrize("retention", ["limits", "interest"])
def test_letters_out_of_a_file_or_from_another_broker_end_no_schedule(streams: Streams, retention: str) -> None:
    home = streams.make(retention, allow_msg_schedules=True)
    streams.worker(home)
    schedule(streams, home)
    low = home.lower()
    with pytest.raises(Failed, match=f"a schedule of stream {home} waits"):
        streams.publisher(subject(f"{low}.timer"), only_wanted=True)
    receipts = publish(streams.publisher(stream(home), only_wanted=True), [Message(b"0", route=f"{low}.timer"), Message(b"1", route=f"{low}.a")])
    assert [problem.verdict for problem in receipts.problems] == [Verdict.REFUSED]
    assert receipts.confirmed == 1
    assert in_stream(streams, home) == [b"later", b"1"]


def test_of_who_does_not_say_whether_a_schedule_waits_it_is_asked_once_for_all_that_go_together(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    home = streams.make(allow_msg_schedules=True)
    low = home.lower()
    publisher = streams.publisher(stream(home), only_wanted=True)
    asked: list[str] = []

    async def silent(jetstream: JetStream, name: str, subject: str) -> None:
        asked.append(subject)
        raise Unreachable("Nobody answers.")

    monkeypatch.setattr("brokercli.backends.nats.schedules.fetch_last", silent)
    receipts = publish(publisher, [Message(b"0", route=f"{low}.{number}") for number in range(3)])
    assert {problem.reason for problem in receipts.problems} == {f"whether a schedule of stream {home} waits there could not be asked: Nobody answers"}
    assert (receipts.refused, asked) == (3, [f"{low}.0"])
    assert isinstance(publisher, KeptPublisher)
    assert publisher.obstacle(f"{low}.0") == ""


@pytest.mark.parametrize(("retention", "shown"), [("limits", "tail stream:{}"), ("workqueue", "tail stream:{} --from -1")])
def test_who_looks_at_what_is_published_is_told_that_what_is_due_is_not_heard(streams: Streams, retention: str, shown: str) -> None:
    name = streams.make(retention, allow_msg_schedules=True)
    low = name.lower()
    said = f"what waits in stream {name} to be published later (Nats-Schedule) is not heard when it is: {shown.format(name)} shows it"
    backend = streams.backend()
    looks = [subject(f"{low}.due"), subject(f"{low}.>"), *([stream(name)] if retention == "workqueue" else [])]
    for where in looks:
        with backend.look(where, Span(End(), None)) as reader:
            assert said in reader.notes
    with backend.look(subject(f"{low}.due"), Span(End(), None)) as reader:
        streams.fill(f"{low}.timer", [b"0"], f"NATS/1.0\r\nNats-Schedule: @at 2001-01-01T00:00:00Z\r\nNats-Schedule-Target: {low}.due\r\n\r\n".encode())
        wait_for(lambda: [where for where, _, _ in streams.stored(name)] == [f"{low}.due"])
        assert reader.read(0.2) is None
