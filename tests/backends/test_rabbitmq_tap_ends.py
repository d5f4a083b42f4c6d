"""A tap whose exchanges or queue go, or are made anew: what is said, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.rabbitmq import tap_reader
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.model.errors import Failed, NotFound
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.test_rabbitmq_tap import eventually, kept, quiet, tap


@pytest.mark.parametrize("anew", [True, False], ids=["made anew", "deleted"])
def test_an_exchange_that_is_deleted_ends_its_tap_whether_it_is_made_anew_or_not(places: Places, monkeypatch: pytest.MonkeyPatch, anew: bool) -> None:
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.05)
    exchange = kept(places)
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        places.wire.delete_exchange(exchange)
        if anew:
            places.exchange("topic", exchange)
            places.bind(places.queue(), exchange)
            places.put(exchange, "a", [b"2"])
        with pytest.raises(NotFound, match=f"The exchange {exchange} was deleted while it was tapped"):
            bodies_of(reader, 1)


def test_of_several_exchanges_the_one_that_is_deleted_is_said_and_the_others_go_on(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.05)
    one, other, queue = places.exchange(), places.exchange(), places.queue()
    places.bind(queue, one)
    places.bind(queue, other)
    with tap(places, queue, "queue") as reader:
        places.wire.delete_exchange(one)
        assert eventually(lambda: reader.read(0) is None and [note for note in reader.notes if f"The exchange {one} was deleted" in note])
        places.put(other, "a", [b"2"])
        assert bodies_of(reader, 1) == [b"2"]


def test_a_queue_that_is_deleted_ends_its_tap_which_would_be_what_messages_are_routed_to(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their publisher would be told that they reached a queue, and they would be nowhere."""
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.05)
    exchange, queue = places.exchange(), places.queue()
    places.bind(queue, exchange)
    with tap(places, queue, "queue") as reader:
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        places.wire.delete_queue(queue)
        with pytest.raises(NotFound, match=f"The queue {queue} was deleted while what reaches it was shown"):
            bodies_of(reader, 1)


def test_a_tap_that_is_all_that_an_exchange_leads_to_any_more_ends(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.05)
    exchange, queue = places.exchange(), places.queue()
    places.bind(queue, exchange)
    with tap(places, exchange, "exchange") as reader:
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        assert quiet(reader)
        places.wire.delete_queue(queue)
        with pytest.raises(Failed, match=f"Nothing but this tap is bound to the exchange {exchange} any more"):
            bodies_of(reader, 1)


def test_a_queue_that_is_made_anew_at_once_does_not_end_its_tap(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.0)
    exchange, queue = places.exchange(), places.queue()
    places.bind(queue, exchange)
    with tap(places, queue, "queue") as reader:
        places.wire.delete_queue(queue)
        assert reader.read(0) is None
        places.wire.declare_queue(queue, [])
        places.bind(queue, exchange)
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        assert quiet(reader)


def test_a_queue_that_is_unbound_while_its_tap_goes_on_is_said_to_get_nothing(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.05)
    exchange, queue = places.exchange(), places.queue()
    places.bind(queue, exchange, "#")
    with tap(places, queue, "queue") as reader:
        places.api(f"bindings/{places.virtual_host}/e/{exchange}/q/{queue}/%23", "DELETE")
        said = f"{queue} gets nothing of {exchange} any more, because it was unbound, and what it would have got is shown until this ends"
        assert eventually(lambda: reader.read(0) is None and said in reader.notes)


def test_a_tap_goes_on_while_nobody_tells_what_it_is_bound_to(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_reader, "_BINDINGS_SECONDS", 0.0)
    exchange, bindings_to_queue = kept(places), Management.bindings_to_queue

    def away(self: Management, name: str) -> list[Any]:
        raise Away("it does not answer")

    with tap(places, exchange, "exchange") as reader:
        monkeypatch.setattr(Management, "bindings_to_queue", away)
        places.put(exchange, "a", [b"1"])
        assert bodies_of(reader, 1) == [b"1"]
        # nor is anything known of a tap that is not there
        for question, ask in (("bindings_to_queue", bindings_to_queue), ("queue_now", Management.queue_now)):
            monkeypatch.setattr(Management, question, lambda self, name, ask=ask: ask(self, f"no-such-{name}"))
        places.put(exchange, "a", [b"2"])
        assert bodies_of(reader, 1) == [b"2"]
        assert quiet(reader)
