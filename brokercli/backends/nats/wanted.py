"""Publishing to an interest stream what somebody wants of it: the rest it would confirm and drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.interest import KEEPS, Interest, ask_interest
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.recovery import Target
from brokercli.backends.nats.streams import JetStream
from brokercli.model.errors import BrokercliError, NotAuthorised
from brokercli.model.message import Message


class WantedPublisher(JetStreamPublisher):
    """Refuses each message that no consumer of its stream wants, by the subject it goes out on. Which consumers there are is asked
    anew each time messages are given to it."""

    def __init__(self, jetstream: JetStream, link: Link, subject: str | None, target: Target, policy: PublishPolicy) -> None:
        super().__init__(link, subject, target, policy)
        self._jetstream = jetstream
        self._stream = target.stream

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        known: dict[bytes, str] = {}
        asked: list[Interest | str | None] = []

        def prepare_wanted(item: Message | bytes | Sent) -> Sent:
            sent = prepare(item)
            why = known.get(sent.subject)
            if why is None:
                if not asked:
                    asked.append(self._ask())
                why = known[sent.subject] = self._refusal(asked[0], sent.subject.decode(errors="surrogateescape"))
            if why:
                raise Refusal(why)
            return sent
        return super()._accept(items, prepare_wanted)

    def obstacle(self, subject: str) -> str:
        """As promised; asked once, however many subjects there are."""
        return self._refusal(self._planned_on, subject) if isinstance(self._planned_on, Interest) else ""

    @cached_property
    def _planned_on(self) -> Interest | str | None:
        return self._ask()

    def _ask(self) -> Interest | str | None:
        """Return what is wanted, why that is not known, or None where this login may not ask."""
        try:
            return self._jetstream.link.run(ask_interest(self._jetstream, self._stream))
        except NotAuthorised:
            return None  # its acknowledgement is all that can be had
        except BrokercliError as problem:
            return f"{KEEPS.format(self._stream)}which there are did not come: {str(problem).rstrip('.')}"

    def _refusal(self, interest: Interest | str | None, subject: str) -> str:
        """Return why a message on a subject must not be sent; empty where it may."""
        if interest is None or isinstance(interest, str):
            return interest or ""
        wanted = interest.wants(subject)
        if wanted:
            return ""
        if wanted is None:
            return f"{KEEPS.format(self._stream)}it rewrites subjects, so whether one wants {subject[:200]} cannot be told"
        return f"{KEEPS.format(self._stream)}none wants {subject[:200]}: it would confirm it and drop it"
