"""One channel of a connection, from its opening to the answers that are asked for on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from brokercli.backends.rabbitmq.bulk_frames import BulkConnection, Sink

Step = Callable[[Any, Callable[[Any], None]], None]
"""One question on a channel: takes pika's channel and what to call with the answer."""


class Opening:
    """A channel being opened, asked and handed over."""

    def __init__(self, live: BulkConnection, sink: Sink | None, steps: Sequence[Step], done: Callable[[Any, list[Any]], None],
                 failed: Callable[[BaseException], None], ended: Callable[[BaseException], None] | None) -> None:
        """Raises pika's NoFreeChannels where the broker lets the connection have no more."""
        self._live = live
        self._sink = sink
        self._steps = list(steps)
        self._answers: list[Any] = []
        self._done: Callable[[Any, list[Any]], None] | None = done
        self._failed = failed
        self._tell_end = ended
        self._channel = live.channel(on_open_callback=self._opened)
        self._channel.add_on_close_callback(self._closed)

    def usable(self, live: BulkConnection | None) -> bool:
        """Whether its channel is there for another question."""
        return self._live is live and bool(self._channel.is_open)

    def again(self, steps: Sequence[Step], done: Callable[[Any, list[Any]], None], failed: Callable[[BaseException], None]) -> None:
        """Ask on the channel that the last question has left."""
        self._steps, self._answers, self._done, self._failed = list(steps), [], done, failed
        self._next()

    def _opened(self, channel: Any) -> None:
        if self._sink is not None:
            self._live.sinks[channel.channel_number] = self._sink
        self._next()

    def _next(self, answer: Any = None) -> None:
        if len(self._answers) == len(self._steps):
            done, self._done = self._done, None
            if done is not None:
                done(self._channel, self._answers)
            return
        step = self._steps[len(self._answers)]
        step(self._channel, self._answered)

    def _answered(self, answer: Any) -> None:
        self._answers.append(answer)
        self._next()

    def _closed(self, channel: Any, reason: BaseException) -> None:
        self._live.forget(channel.channel_number)
        pending, self._done = self._done, None
        if pending is not None:
            self._failed(reason)
        elif self._tell_end is not None and self._live.is_open:
            self._tell_end(reason)
