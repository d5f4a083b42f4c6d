"""Whether a topic is still the one it was: the client goes on in one that was made anew as if it were the same (2.16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicCollection

from brokercli.backends.kafka.topic_ids import answered, tag
from brokercli.model.errors import BrokercliError, Failed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient


class StillThere:
    """Asks beside other work. Where the broker gives topics no ids it asks nothing."""

    def __init__(self, admin: Callable[[], AdminClient], topic: str, seconds: float, made_anew: Failed, number: int | None = None) -> None:
        """`made_anew` is what to raise where there is another topic of that name. Without its `number` (`topic_ids`) the first answer tells
        which topic this is."""
        self._admin = admin
        self._topic = topic
        self._seconds = seconds
        self._made_anew = made_anew
        self._number = number
        self._answer: Future[Any] | None = None

    @property
    def known(self) -> bool:
        """Whether an answer can tell this topic from another one."""
        return bool(self._number)

    def ask(self) -> None:
        """Ask, and do not wait."""
        if self._number != 0:
            self._answer = self._admin().describe_topics(TopicCollection([self._topic]), request_timeout=self._seconds)[self._topic]

    def check(self) -> None:
        """Wait for the answer to what was asked. Raises Failed, and each time from then on, where there is another topic of that name now;
        who does not answer says nothing of it."""
        answer = self._answer
        if answer is None:
            return
        identity = answered(self._topic, answer, self._seconds)
        now = 0 if isinstance(identity, BrokercliError) else tag(identity)
        if self._number and now and now != self._number:
            raise self._made_anew
        self._answer = None
        if self._number is None and not isinstance(identity, BrokercliError):
            self._number = now
