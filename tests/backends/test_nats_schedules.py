"""Messages that wait in a stream to be published later: whoever was given one and gave it up, it still waits, and is no dead letter."""

from __future__ import annotations

import pytest

from tests.backends.nats_letters import capture, dlq_of, fill_dlq, in_stream, letters_of, redrive, source_of, wait_for
from tests.backends.nats_streams import Streams, stream, subject
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
