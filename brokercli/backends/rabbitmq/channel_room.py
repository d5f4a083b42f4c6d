"""Whether a login may open so many channels more.

RabbitMQ bounds how many channels a user has (max-channels, those of all its connections), tells nobody over AMQP, and ends the whole connection of whoever
goes over the bound (530, seen on 4.3.6). So it is tried on a connection of its own, on which nothing is held.
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Thread
from typing import Any

from brokercli.backends.rabbitmq.link import Link
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError


class ChannelRoom:
    """Room for so many channels beside those that there are."""

    def __init__(self, connection: Connection, count: int) -> None:
        self._connection = connection
        self._count = count
        self._found = False
        self._trying: Thread | None = None

    @property
    def there(self) -> bool:
        """Whether they may be opened, as far as is known: whoever asks first has it found out. Does not block."""
        if self._trying is None:
            self._trying = Thread(target=self._try, name="rabbitmq-channels", daemon=True)
            self._trying.start()
        return self._found

    def _try(self) -> None:
        try:
            link = Link(self._connection)
        except BrokercliError:
            return
        try:
            self._found = _Trial(link, self._count).result.result(self._connection.connect_timeout)
        except FutureTimeout:
            pass  # whoever cannot tell has none
        finally:
            link.close()


class _Trial:
    """Opens channels, and hears whether all of them are there or the connection ends."""

    def __init__(self, link: Link, count: int) -> None:
        self.result: Future[bool] = Future()
        self._missing = count
        link.watchers.append(self)
        link.post(lambda: self._open(link))

    def _open(self, link: Link) -> None:
        for _ in range(self._missing):
            link.open_channel(None, (), self._opened, self.given_up)

    def _opened(self, channel: Any, answers: list[Any]) -> None:
        self._missing -= 1
        if not self._missing:
            self._answer(True)

    def _answer(self, found: bool) -> None:
        if not self.result.done():
            self.result.set_result(found)

    def given_up(self, failure: BaseException) -> None:
        self._answer(False)

    def lost(self, reason: str) -> None:
        self._answer(False)

    def restored(self) -> None:
        """It was lost."""

    def blocked(self, reason: str | None) -> None:
        """Concerns publishers only."""
