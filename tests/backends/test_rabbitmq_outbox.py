"""An outbox whose connection comes and goes while its channel is being opened."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from pika.exceptions import NoFreeChannels

from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.outbox import Outbox, Target


class Opening:
    """A connection that opens the channels asked for when it is told to."""

    def __init__(self) -> None:
        self.live = SimpleNamespace(is_open=True)
        self.where = "amqp://host"
        self.asked: list[tuple[Callable[[Any, list[Any]], None], Callable[[BaseException], None]]] = []

    def open_channel(self, sink: Any, steps: Any, done: Callable[[Any, list[Any]], None], failed: Callable[[BaseException], None], ended: Any) -> None:
        self.asked.append((done, failed))


class Channel:
    """One that is there until it is closed."""

    channel_number = 1
    is_open = True

    def close(self) -> None:
        self.is_open = False


def made() -> tuple[Opening, Outbox]:
    link = Opening()
    return link, Outbox(cast("Link", link), Target(b"", b"orders"), positions=False)


def test_whoever_asks_for_a_channel_while_one_is_opened_or_there_gets_no_other() -> None:
    link, outbox = made()
    # the connection came back just when the outbox was made: both ask
    outbox.restored()
    outbox.open_channel()
    assert len(link.asked) == 1
    link.asked[0][0](Channel(), [])
    outbox.open_channel()
    assert len(link.asked) == 1


def test_a_channel_that_went_with_its_connection_is_opened_again_on_the_next() -> None:
    link, outbox = made()
    for number in range(3):
        outbox.open_channel()
        done, failed = link.asked[number]
        if number % 2:
            done(Channel(), [])
        else:
            link.live.is_open = False
            failed(ConnectionError())
            link.live.is_open = True
        outbox.lost("the connection broke")
    assert len(link.asked) == 3


def test_a_channel_that_comes_when_nobody_wants_it_any_more_is_closed() -> None:
    link, outbox = made()
    outbox.open_channel()
    outbox.close()
    channel = Channel()
    link.asked[0][0](channel, [])
    assert not channel.is_open


def test_a_channel_that_is_not_to_be_had_on_a_connection_that_is_there_ends_it() -> None:
    link, outbox = made()
    outbox.open_channel()
    link.asked[0][1](NoFreeChannels())
    assert "too few channels" in str(outbox.failure)


def test_a_channel_is_closed_together_with_who_has_it() -> None:
    link, outbox = made()
    outbox.open_channel()
    channel = Channel()
    link.asked[0][0](channel, [])
    outbox.close()
    assert not channel.is_open
