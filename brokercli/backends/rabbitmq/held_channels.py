"""The channels over which one queue's letters are held: one, and more where some letters are taken out from between others that stay.

For each acknowledgement that stands for one message RabbitMQ goes through all that are held on its channel before it: of 80,000 letters of
which every second one went home, the acknowledgements took the broker two minutes, and three to four times as long for twice as many (4.3.6). So where
much is held on a channel, and anything is taken out at all, the next part comes on another one (16 s).

Tags count on from channel to channel, so that one number says which letter is meant.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from brokercli.backends.rabbitmq.bulk_frames import BulkConnection, Delivery
from brokercli.backends.rabbitmq.channel_room import ChannelRoom
from brokercli.backends.rabbitmq.held_tags import HeldTags

_CROWDED_PARTS = 3
"""So many parts may be on their way without anything that stays."""
MOST, _ALIKE = 32, 8
"""More channels than that a connection may not have everywhere; of so many each has room for as much as the one before."""


class _Held:
    """What is held on one channel, whose first tag is `base` + 1."""

    def __init__(self, channel: Any, base: int) -> None:
        self.channel = channel
        self.number = int(channel.channel_number)
        self.base = base
        self.tags = HeldTags()


class HeldChannels:
    """Tags ascend, and those of a channel are all below those of the next."""

    def __init__(self, part: int, room: ChannelRoom) -> None:
        self._part = part
        self._room = room
        self._all: list[_Held] = []
        self._takes_out = False
        self._most = MOST
        self._answers: list[Future[bool]] = []

    def add(self, channel: Any, taken: int) -> None:
        """Have the next part come on a channel, after so many were taken."""
        self._all.append(_Held(channel, taken))

    def no_more(self) -> None:
        """Stay with the channels that there are: the broker gives us no other."""
        self._most = 0

    def crowded(self, taken: int) -> bool:
        """Whether the next part should come on another channel."""
        room = _CROWDED_PARTS * self._part << len(self._all) // _ALIKE
        return self._takes_out and len(self._all) < self._most and self._held_on(self._all[-1], taken) > room and self._room.there

    def numbered(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Return deliveries of the last channel with the tags they have here."""
        base = self._all[-1].base
        return [delivery._replace(tag=delivery.tag + base) for delivery in deliveries] if base else deliveries

    def end_part(self, taken: int, *, joined: bool) -> None:
        """Note the last tag of a part; see HeldTags."""
        if self._all:
            self._all[-1].tags.end_part(taken - self._all[-1].base, joined=joined)

    def held(self, taken: int) -> int:
        """Return how many of those up to the last that was taken are not settled."""
        ends = [*[one.base for one in self._all], taken][1:]
        return sum([self._held_on(one, end) for one, end in zip(self._all, ends, strict=True)])

    def settle(self, tags: list[int]) -> list[tuple[Any, bytes]]:
        """Note that these are handled, and return what takes them out of the queue: on which channel, and the frames."""
        self._takes_out = True
        said = []
        last = tags[-1]
        for one, end in zip(self._all, [*[one.base for one in self._all], last][1:], strict=True):
            of_this = tags if len(self._all) == 1 else [tag - one.base for tag in tags if one.base < tag <= end]
            if of_this:
                one.tags.settle(of_this)
                said.append((one.channel, one.tags.acknowledging(one.number, of_this)))
        return said

    def tell(self, said: list[tuple[Any, bytes]], live: BulkConnection, answer: Future[bool]) -> None:
        """Send frames, and answer once all channels have heard them."""
        for frames in [frames for _, frames in said if frames]:
            live.emit(frames)
        self._barrier([channel for channel, _ in said], answer)

    def _barrier(self, channels: list[Any], answer: Future[bool]) -> None:
        unheard = len(channels)
        self._answers.append(answer)

        def heard(method: Any) -> None:
            # a channel handles in order what it is told, and answers also where it has ended our consumer meanwhile
            nonlocal unheard
            unheard -= 1
            if not unheard and answer in self._answers:
                self._answers.remove(answer)
                answer.set_result(True)

        for channel in channels:
            channel.basic_qos(prefetch_count=1, callback=heard)

    def give_back(self, live: BulkConnection, answer: Future[bool]) -> None:
        """Put back all that are held, one channel after the other, so that they are in their order again."""
        self._give_back([(one.channel, one.tags.giving_back(one.number)) for one in self._all], live, answer)

    def _give_back(self, said: list[tuple[Any, bytes]], live: BulkConnection, answer: Future[bool]) -> None:
        first, *others = said
        given: Future[bool] = Future()
        given.add_done_callback(lambda done: self._give_back(others, live, answer) if others and done.result() else answer.set_result(done.result()))
        self.tell([first], live, given)

    def cut(self) -> None:
        """Answer that nobody knows what has been heard."""
        answers, self._answers = self._answers, []
        for answer in answers:
            answer.set_result(False)

    @property
    def open(self) -> bool:
        """Whether all are there."""
        return all(one.channel.is_open for one in self._all)

    def close(self) -> None:
        """Close those that are open: what is held goes back to the queue, where that is there."""
        for one in self._all:
            if one.channel.is_open:
                one.channel.close()

    def _held_on(self, one: _Held, taken: int) -> int:
        return one.tags.held(taken - one.base)
