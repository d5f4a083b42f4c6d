"""What a stream writes by itself where the last message of a subject went by its age: it lies among dead letters, and is none."""

from __future__ import annotations

import pytest

from tests.backends.nats_letters import RETENTIONS, capture, dlq_of, fill_dlq, in_stream, letters_of, redrive, source_of, wait_for
from tests.backends.nats_streams import Streams, subject
from tests.backends.nats_workers import fail

MARKER = b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\n\r\n"
HOUR = 3600 * 10**9


def test_a_marker_among_letters_is_neither_shown_nor_put_back_and_the_list_says_that_it_may_count_some(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home, subject_delete_marker_ttl=HOUR, allow_msg_ttl=True)
    streams.fill(f"dlq.{home.lower()}.gone", [b""], MARKER)
    fill_dlq(streams, home, 1)
    fill_dlq(streams, home, 1, MARKER)  # no marker: it has a body
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert any("subject_delete_marker_ttl" in words for words in found.remarks)
    assert [record.position for record in letters_of(backend, name)] == ["2", "3"]
    outcome, receipts = redrive(backend, name, to=subject(f"{home.lower()}.b"))
    assert (outcome.account.read, receipts.confirmed) == (2, 2)
    assert in_stream(streams, home) == [b"0", b"0"]
    assert in_stream(streams, name) == [b""]


def test_a_marker_that_a_worker_gave_up_is_not_counted_as_a_letter_of_its_work_queue(streams: Streams, nats_address: str) -> None:
    name = streams.make("workqueue", subject_delete_marker_ttl=HOUR, allow_msg_ttl=True)
    streams.worker(name, max_deliver=2)
    streams.fill(f"{name.lower()}.a", [b"0"])
    streams.fill(f"{name.lower()}.gone", [b""], MARKER)
    fail(nats_address, name)
    backend = streams.backend()
    found = source_of(backend, name)
    assert found is not None
    assert found.pending == 1
    home = streams.make()
    redrive(backend, name, to=subject(f"{home.lower()}.a"))
    assert in_stream(streams, name) == [b""]
    assert source_of(backend, name) is None


@pytest.mark.parametrize("retention", RETENTIONS)
def test_a_marker_whose_death_was_recorded_is_not_put_back_as_an_empty_message(streams: Streams, nats_address: str, retention: str) -> None:
    name = streams.make(retention, subject_delete_marker_ttl=HOUR, allow_msg_ttl=True)
    streams.worker(name, max_deliver=2)
    letters = capture(streams, name)
    streams.fill(f"{name.lower()}.gone", [b""], MARKER)
    streams.fill(f"{name.lower()}.a", [b""], b"NATS/1.0\r\na: b\r\n\r\n")
    fail(nats_address, name)
    wait_for(lambda: bool(streams.state(letters)["messages"] == 2))
    outcome, receipts = redrive(streams.backend(), letters)
    assert (outcome.account.confirmed, outcome.account.refused) == (1, 1)
    assert f"message 1 of stream {name} is a marker of what went by age" in receipts.problems[0].reason
    assert [where for where, _, _ in streams.stored(name)].count(f"{name.lower()}.gone") == 1
    assert len(streams.stored(letters)) == 1
