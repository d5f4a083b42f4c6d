"""Publishing to an interest stream what somebody wants of it: the rest it would confirm and drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import count

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.fetch import fetch_message
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.interest import KEEPS, Interest, ask_interest
from brokercli.backends.nats.kept import KeptPublisher
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.recovery import Target
from brokercli.backends.nats.schedules import Schedules
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import BrokercliError, NotAuthorised
from brokercli.model.message import Message
from brokercli.model.position import NANOSECONDS
from brokercli.model.receipt import Receipt, Receipts, Verdict


class WantedPublisher(KeptPublisher):
    """Refuses each message that no consumer of its stream wants, by the subject it goes out on. Which consumers there are is asked
    anew each time messages are given to it.

    The stream remembers the ids of what it dropped, too (seen on 2.15.1): one that it says it has had before was perhaps never stored, unless a
    consumer has wanted such messages for longer than ids are remembered.
    """

    def __init__(self, jetstream: JetStream, link: Link, subject: str | None, target: Target, policy: PublishPolicy, info: Json,
                 schedules: Schedules) -> None:
        super().__init__(jetstream, link, subject, target, policy, info, schedules)
        self._remembered = int(target.duplicate_window * NANOSECONDS)
        self._lately: set[int] = set()
        """Numbers of messages that were not wanted for that long."""

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        known: dict[bytes, str] = {}
        lately: set[bytes] = set()
        asked: list[Interest | str | None] = []
        numbers = count(self._next)

        def prepare_wanted(item: Message | bytes | Sent) -> Sent:
            number, sent = next(numbers), prepare(item)
            why = known.get(sent.subject)
            if why is None:
                if not asked:
                    asked.append(self._ask())
                name = sent.subject.decode(errors="surrogateescape")
                why = known[sent.subject] = self._refusal(asked[0], name)
                if isinstance(asked[0], Interest) and not asked[0].wanted_for(name, self._remembered):
                    lately.add(sent.subject)
            if why:
                raise Refusal(why)
            if sent.subject in lately:
                self._lately.add(number)
            return sent
        return super()._accept(items, prepare_wanted)

    def finish(self, timeout: float, before: int | None = None) -> Receipts:
        receipts = super().finish(timeout, before)
        self._lately = {number for number in self._lately if number >= self._told}
        return receipts

    def _sure(self, duplicate: Receipt) -> Receipt:
        if duplicate.index not in self._lately:
            return duplicate
        try:
            if self._jetstream.link.run(fetch_message(self._jetstream, self._stream, int(duplicate.position))) is not None:
                return duplicate
            why = (f"stream {self._stream} has had it before and does not keep it now: a consumer is done with it, or none wanted it then and it was dropped; "
                   f"it is taken again {self._remembered / NANOSECONDS:g} s after that (duplicate_window)")
        except BrokercliError as problem:
            why = f"stream {self._stream} has had it before, and whether it keeps it now could not be asked: {str(problem).rstrip('.')}"
        return Receipt(duplicate.index, Verdict.UNKNOWN, reason=why)

    def obstacle(self, subject: str) -> str:
        """As promised; asked once, however many subjects there are."""
        return super().obstacle(subject) or ("" if isinstance(self._planned_on, str) else self._refusal(self._planned_on, subject))

    @cached_property
    def _planned_on(self) -> Interest | str | None:
        return self._ask()

    def _ask(self) -> Interest | str | None:
        """Return what is wanted, why that is not known, or None where this login may not ask."""
        try:
            return self._jetstream.link.run(ask_interest(self._jetstream, self._stream))
        except NotAuthorised:
            return None
        except BrokercliError as problem:
            return f"{KEEPS.format(self._stream)}which there are did not come: {str(problem).rstrip('.')}"

    def _refusal(self, interest: Interest | str | None, subject: str) -> str:
        """Return why a message on a subject must not be sent; empty where it may."""
        if isinstance(interest, str):
            return interest
        if interest is None:
            return (f"{KEEPS.format(self._stream)}this login may not ask which there are ({self._jetstream.prefix}.CONSUMER.LIST.{self._stream}): what none "
                    "wants would be confirmed and dropped")
        wanted = interest.wants(subject)
        if wanted:
            return ""
        if wanted is None:
            return f"{KEEPS.format(self._stream)}it rewrites subjects, so whether one wants {subject[:200]} cannot be told"
        return f"{KEEPS.format(self._stream)}none wants {subject[:200]}: it would confirm it and drop it"
