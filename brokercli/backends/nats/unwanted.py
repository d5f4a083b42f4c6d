"""Publishing to an interest stream: it confirms what no consumer wants as well, and drops it. Whoever publishes there is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.interest import KEEPS, Interest, ask_interest
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.recovery import Target
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import BrokercliError
from brokercli.model.message import Message

_NAMED = 5
"""Unwanted subjects that are named, each in a note of its own."""
_REMEMBERED = 10_000


class Unwanted:
    """Which subjects the consumers of an interest stream want. They are asked for once, when the first subject is looked at, and
    not at all where the stream says that it has none. What is found out is added to `notes`."""

    def __init__(self, jetstream: JetStream, info: Json, notes: list[str]) -> None:
        self._jetstream = jetstream
        self._stream = str(info["config"]["name"])
        self._notes = notes
        self._interest: Interest | None = None
        self._wanted: set[bytes] = set()
        self._unwanted: set[bytes] = set()
        self.known = not info["state"].get("consumer_count")
        """Whether all is said, whatever other subjects there may be."""
        if self.known:
            notes.append(f"stream {self._stream} has interest retention and no consumer: it confirms messages and drops them at once")

    def look_at(self, subject: bytes) -> None:
        """Say so where nobody wants messages on this subject, once."""
        if self.known or subject in self._wanted or subject in self._unwanted:
            return
        if self._interest is None:
            self._interest = self._ask()
        if self._interest is None or self.known:
            return
        name = subject.decode(errors="surrogateescape")
        if self._interest.wants(name):
            if len(self._wanted) >= _REMEMBERED:
                self._wanted.clear()
            self._wanted.add(subject)
            return
        self._unwanted.add(subject)
        self.known = len(self._unwanted) > _NAMED
        what = "other subjects either" if self.known else name[:200]
        self._notes.append(f"{KEEPS.format(self._stream)}none wants {what}: it confirms such messages and drops them at once")

    def _ask(self) -> Interest | None:
        try:
            interest = self._jetstream.link.run(ask_interest(self._jetstream, self._stream))
        except BrokercliError as problem:
            self._cannot_tell(f"which there are did not come: {str(problem).rstrip('.')}")
            return None
        if interest.everything:
            self.known = True
        elif interest.rewrites:
            self._cannot_tell("it rewrites subjects, so whether one wants these messages cannot be told")
        return interest

    def _cannot_tell(self, why: str) -> None:
        self.known = True
        self._notes.append(f"{KEEPS.format(self._stream)}{why}; what none wants it confirms and drops at once")


class TellingPublisher(JetStreamPublisher):
    """Says of each subject that its messages turn out to go to whether nobody wants them there."""

    def __init__(self, jetstream: JetStream, link: Link, subject: str | None, target: Target, policy: PublishPolicy, info: Json) -> None:
        said: list[str] = []
        self._unwanted = Unwanted(jetstream, info, said)
        if subject is not None:
            self._unwanted.look_at(subject.encode(errors="surrogateescape"))
            self._unwanted.known = True
        super().__init__(link, subject, target, policy, said)

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        if self._unwanted.known:
            return super()._accept(items, prepare)

        def prepare_told(item: Message | bytes | Sent) -> Sent:
            sent = prepare(item)
            self._unwanted.look_at(sent.subject)
            return sent
        return super()._accept(items, prepare_told)
