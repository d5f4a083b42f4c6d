"""NATS when it stays away: whoever publishes waits for the delivery timeout and no longer, and says what never left and what is in doubt."""

from __future__ import annotations

import time

import pytest

from brokercli.backends.contract import Publisher
from brokercli.backends.nats import link
from brokercli.model.errors import Unreachable
from brokercli.model.receipt import Receipts
from tests.backends.nats_streams import Streams, stored_bodies, subject, wait_written
from tests.brokers.nats import Nats
from tests.brokers.server import wait_until

TIMEOUT = 1.5
"""Seconds; a busy machine lets a thread wait for a part of them."""


def publish_until_given_up(publisher: Publisher, messages: list[bytes]) -> tuple[int, Receipts]:
    """Return how many were accepted, and the verdict on each of these."""
    sent, receipts = 0, Receipts()
    failure: Unreachable | None = None
    deadline = time.monotonic() + 60
    while failure is None and time.monotonic() < deadline:
        sent += publisher.send_bodies(messages[sent:])
        try:
            receipts.add(publisher.collect(0.1))
        except Unreachable as problem:
            failure = problem
    assert f"has confirmed nothing for {TIMEOUT:g} s" in str(failure)
    assert publisher.send_bodies(messages[sent:]) == 0
    receipts.add(publisher.finish(5))
    return sent, receipts


def test_a_server_that_confirms_nothing_for_the_delivery_timeout_is_given_up(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), delivery_timeout=TIMEOUT, maximum_in_flight=100)
    private_nats.pause()
    sent, receipts = publish_until_given_up(publisher, [b"%d" % number for number in range(1000)])
    assert (sent, receipts.unknown) == (100, 100)
    private_nats.resume()
    private.reconnect()
    wait_until(lambda: private.state(name)["messages"] == 100, 60, "the messages")


def test_a_server_that_is_gone_is_given_up_after_the_delivery_timeout(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), delivery_timeout=TIMEOUT)
    assert publisher.send_bodies([b"0"]) == 1
    assert publisher.finish(30).confirmed == 1
    private_nats.pause()
    assert publisher.send_bodies([b"1"]) == 1
    wait_written(publisher)
    private_nats.kill()
    wait_until(lambda: not publisher._link.connected, 60, "the loss of the connection")  # type: ignore[attr-defined]
    sent, receipts = publish_until_given_up(publisher, [b"2"])
    assert (sent, receipts.confirmed, receipts.unknown, receipts.refused) == (0, 0, 1, 0)
    private_nats.start()
    assert stored_bodies(private, name) == [b"0"]


def test_a_core_publisher_gives_up_a_server_that_reads_nothing_for_the_delivery_timeout(private: Streams, private_nats: Nats) -> None:
    publisher = private.publisher(subject(private.subject()), delivery_timeout=TIMEOUT, fire_and_forget=True)
    private_nats.pause()
    sent, receipts = publish_until_given_up(publisher, [b"%d" % number for number in range(5000)])
    assert sent < 5000
    assert (receipts.confirmed, receipts.unknown, receipts.refused) == (0, sent, 0)


def test_a_server_that_nothing_waits_for_may_be_away_for_longer_than_the_delivery_timeout(private: Streams, private_nats: Nats) -> None:
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), delivery_timeout=TIMEOUT)
    private_nats.kill()
    time.sleep(1.2 * TIMEOUT)
    assert len(publisher.collect(0.1)) == 0
    private_nats.start()
    wait_until(lambda: publisher._link.connected, 60, "the connection")  # type: ignore[attr-defined]
    assert publisher.send_bodies([b"late"]) == 1
    publisher.finish(20)
    private.reconnect()
    wait_until(lambda: private.state(name)["messages"] == 1, 60, "the message")
    assert stored_bodies(private, name) == [b"late"]


def test_a_lost_connection_is_tried_again_for_as_long_as_a_message_may_wait(private: Streams, private_nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GIVE_UP_SECONDS", 0.1)
    name = private.make()
    publisher = private.publisher(subject(f"{name.lower()}.a"), private.backend(), delivery_timeout=60)
    private_nats.pause()
    assert publisher.send_bodies([b"0", b"1"]) == 2
    private_nats.kill()
    time.sleep(0.5)
    private_nats.start()
    receipts = publisher.finish(60)
    assert receipts.confirmed == 2, receipts.problems
    assert stored_bodies(private, name) == [b"0", b"1"]
