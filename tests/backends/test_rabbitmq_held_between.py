"""Letters taken out from between others that stay: those are held over several channels, and go back as they lay."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pika.exceptions import NoFreeChannels

from brokercli.backends.dead_letters import Repair, RepairPolicy, State
from brokercli.backends.rabbitmq.channel_room import ChannelRoom
from brokercli.backends.rabbitmq.counting import Count
from brokercli.backends.rabbitmq.held_channels import HeldChannels
from brokercli.backends.rabbitmq.repair import RabbitMQRepair
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import NotFound
from brokercli.model.message import Record
from tests.backends.rabbitmq_held import ACK, MULTIPLE, NACK, REQUEUE, Broker, Channel, Held
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import LIMITLESS, letters, make, moves_home, numbered, queue

LETTERS = 400
POLICY = RepairPolicy(batch=64)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it known at once that there is room for more channels, which is found out while letters go."""
    monkeypatch.setattr(ChannelRoom, "there", True)


def channels(repair: Repair) -> list[Any]:
    """Return those that letters are held over."""
    assert isinstance(repair, RabbitMQRepair)
    return [one.channel for one in repair._holding._channels._all]


def every_second_goes_home(repair: Repair, home: str, most: int = LETTERS) -> list[Record]:
    """Put every second letter back as they come; return those that stay."""
    stay: list[Record] = []
    while len(stay) < most // 2:
        batch = repair.read(0.2)
        found = batch.records() if batch is not None else []
        goes = [record for record in found if int(bytes(record.message.body or b"0").split(b" ")[-1]) % 2 == 0]
        stay += [record for record in found if record not in goes]
        assert repair.settle(moves_home(goes, queue(home))).confirmed == len(goes)
    return stay


@pytest.mark.rabbitmq
@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_stays_between_letters_that_go_is_held_over_several_channels_and_goes_back_in_its_order(places: Places, kind: str) -> None:
    dlq, home = make(places, kind), make(places, "classic")
    bodies = numbered(LETTERS)
    places.put("", dlq, bodies)
    with places.open().repair(queue(dlq), POLICY) as repair:
        stay = every_second_goes_home(repair, home)
        # those of the channels before are settled as those of the last
        assert len(channels(repair)) > 2
        assert repair.mark([stay[0], stay[-1]], State.DROPPED).confirmed == 2
        held = channels(repair)
    assert not [channel for channel in held if channel.is_open]
    assert places.taken(home) == bodies[::2]
    assert places.taken(dlq) == bodies[1::2][1:-1]
    assert not repair.notes or "did not confirm" not in " ".join(repair.notes)


@pytest.mark.rabbitmq
@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_that_is_made_anew_keeps_its_letters_whatever_channel_those_of_the_old_one_are_held_over(places: Places, kind: str) -> None:
    dlq, home = make(places, kind), make(places, "classic")
    places.put("", dlq, numbered(LETTERS))
    new = [b"new%d" % number for number in range(40)]
    with places.open().repair(queue(dlq), POLICY) as repair:
        stay = every_second_goes_home(repair, home, LETTERS // 2)
        assert len(channels(repair)) > 1
        places.delete_queue(dlq)
        places.queue(kind, name=dlq, **(LIMITLESS if kind == "quorum" else {}))
        places.put("", dlq, new)
        with pytest.raises(NotFound, match="was deleted"):
            letters(repair)
        assert repair.mark(stay, State.DROPPED).confirmed == len(stay)
        assert not [channel for channel in channels(repair) if channel.is_open]
    assert sorted(places.taken(dlq)) == sorted(new)


def held_between(broker: Broker) -> Held:
    """Four parts of which the first letter is settled, and enough stays that the next is to come on another channel."""
    held = Held(broker, 100, part=1).taken([1], [2], [3], [4])
    held.holding.acknowledge([1])
    held.deliver(5)
    assert broker.asked == 0
    assert held.holding.take(0) is not None
    assert broker.asked == 1
    return held


@pytest.mark.rabbitmq
def test_a_user_who_may_have_few_channels_keeps_the_connection_that_letters_are_held_over(places: Places) -> None:
    user = f"few-{uuid4().hex[:10]}"
    places.api(f"users/{user}", "PUT", password="secret", tags="")
    try:
        places.api(f"permissions/%2F/{user}", "PUT", configure=".*", write=".*", read=".*")
        connection = replace(places.connection, user=user, password=Secret("secret"))
        assert wait_for(ChannelRoom(connection, 6))
        places.api(f"user-limits/{user}/max-channels", "PUT", value=5)
        assert not wait_for(ChannelRoom(connection, 6))
        assert wait_for(ChannelRoom(connection, 5))
    finally:
        places.api(f"users/{user}", "DELETE")


def wait_for(room: ChannelRoom) -> bool:
    """Return what comes of finding out whether there is room."""
    assert not room.there, "it is asked while letters go, which nobody holds up"
    assert room._trying is not None
    room._trying.join(10)
    return room.there


@pytest.mark.usefixtures("room")
def test_where_the_broker_gives_no_other_channel_the_one_that_there_is_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(Count(0, 0))
    held = Held(broker, 100, part=1).taken([1], [2], [3], [4])
    held.holding.acknowledge([1])
    asked: list[Any] = []
    monkeypatch.setattr(broker, "open_channel", lambda sink, steps, done, failed, ended=None: (asked.append(sink), failed(NoFreeChannels())))
    held.deliver(5)
    for tag in (5, 6, 7):
        assert [delivery.tag for delivery in held.holding.take(0) or ()] == [tag]
        held.deliver(tag + 1)
    assert len(asked) == 1


@pytest.mark.usefixtures("room")
def test_what_is_settled_while_another_channel_opens_is_said_once_it_takes_and_one_that_comes_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(Count(0, 0))
    held = held_between(broker)
    answer: Future[bool] = Future()
    held.holding._acknowledge([3], answer)
    assert not answer.done(), "it would make room for more on the channel before"
    first, late = broker.channel, Channel()
    held.holding._stop_taking(Future())
    assert sorted(first.cancelled) == sorted(first.consumers)
    broker.channel = late
    broker.open()
    assert (answer.result(0), late.is_open, late.consumers) == (True, False, [])
    assert broker.said[-1] == (ACK, 3, 0)


@pytest.mark.usefixtures("room")
def test_tags_count_on_from_channel_to_channel_and_each_is_settled_on_its_own() -> None:
    held, said = HeldChannels(1, ChannelRoom(Connection("amqp", (("host", 5672),)), 1)), []
    channel = Channel()

    class Live:
        def emit(self, frames: bytes) -> None:
            assert frames, "nothing at all ends the connection"
            said.append(frames)

    held.add(channel, 0)
    held.end_part(4, joined=False)
    held.settle([2])
    assert held.crowded(5)
    held.add(channel, 4)
    held.end_part(6, joined=False)
    assert [len(frames) for _, frames in held.settle([1, 5])] == [21, 21]
    assert (held.held(6), held.crowded(6)) == (3, False)
    answer: Future[bool] = Future()
    held.give_back(Live(), answer)  # type: ignore[arg-type]
    assert (answer.result(0), [frames[7:11] for frames in said], [frames[18] for frames in said], [frames[19] for frames in said]) == (
        True, [NACK, NACK], [4, 2], [MULTIPLE | REQUEUE] * 2)
    held.settle([3, 4, 6])
    said.clear()
    held.give_back(Live(), settled := Future())  # type: ignore[arg-type]
    assert (settled.result(0), said) == (True, [])
