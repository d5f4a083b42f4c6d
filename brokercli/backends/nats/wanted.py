"""Publishing to an interest stream what somebody wants of it: the rest it would confirm and drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.recovery import Target
from brokercli.backends.nats.streams import JetStream
from brokercli.backends.nats.unrecorded import Consumers, ask_consumers
from brokercli.model.errors import BrokercliError, NotAuthorised
from brokercli.model.message import Message


class WantedPublisher(JetStreamPublisher):
    """Refuses each message that no consumer of its stream wants, by the subject it goes out on. Which consumers there are is asked
    anew each time messages are given to it."""

    def __init__(self, jetstream: JetStream, link: Link, subject: str | None, target: Target, policy: PublishPolicy, notes: Sequence[str] = ()) -> None:
        super().__init__(link, subject, target, policy, notes)
        self._jetstream = jetstream
        self._stream = target.stream

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        known: dict[bytes, str] = {}
        consumers: list[Consumers | str | None] = []

        def prepare_wanted(item: Message | bytes | Sent) -> Sent:
            sent = prepare(item)
            why = known.get(sent.subject)
            if why is None:
                if not consumers:
                    consumers.append(self._ask())
                why = known[sent.subject] = self._refusal(consumers[0], sent.subject.decode(errors="surrogateescape"))
            if why:
                raise Refusal(why)
            return sent
        return super()._accept(items, prepare_wanted)

    def _ask(self) -> Consumers | str | None:
        """Return the consumers there are, why that is not known, or None where this login may not ask."""
        try:
            return self._jetstream.link.run(ask_consumers(self._jetstream, self._stream))
        except NotAuthorised:
            return None  # its acknowledgement is all that can be had
        except BrokercliError as problem:
            return f"stream {self._stream} keeps a message only while a consumer wants it, and which there are did not come: {str(problem).rstrip('.')}"

    def _refusal(self, consumers: Consumers | str | None, subject: str) -> str:
        """Return why a message on a subject must not be sent; empty where it may."""
        if consumers is None or isinstance(consumers, str):
            return consumers or ""
        # what a transform makes of the subject is what filters are compared with
        transformed = bool(consumers.info["config"].get("subject_transform"))
        if any(consumer.wants(subject) and not (transformed and consumer.filters) for consumer in consumers.all):
            return ""
        return f"stream {self._stream} keeps a message only while a consumer wants it, and none wants {subject[:200]}: it would confirm it and drop it"
