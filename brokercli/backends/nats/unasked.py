"""Putting letters where this login may not ask which stream listens: the first acknowledgement says which it is, and only then it is asked how that
keeps its messages. One of interest retention confirms what no consumer wants as well, and drops it."""

from __future__ import annotations

from contextlib import suppress

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats import INTEREST_STREAM
from brokercli.backends.nats.interest import KEEPS, ask_interest
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.namesake import check_namesake
from brokercli.backends.nats.not_letters import publishes_later
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.recovery import target_of
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised
from brokercli.model.receipt import Receipt, Receipts, Verdict

NOT_ASKED = "this login may not ask which stream listens: each message's acknowledgement says it instead"
_NOT_SAID = ("how stream {} keeps its messages this login may not ask: one of interest retention confirms what no consumer wants as well, and drops it; what "
             "was taken away where it lay is in the journal")


class UnaskedPublisher(JetStreamPublisher):
    """Sends one message at a time until one is confirmed by a stream that keeps what it confirms. What is perhaps not kept is unknown, and ends it."""

    def __init__(self, jetstream: JetStream, link: Link, subject: str, policy: PublishPolicy) -> None:
        super().__init__(link, subject, None, policy)
        self._said = [NOT_ASKED]
        self.notes = self._said
        self._jetstream = jetstream
        self._name = subject
        self._trusted = False
        self._judged = 0
        """How many messages have had their verdict told."""
        self.info: Json | None = None
        """What is known of the stream that its messages go into, once that was asked."""
        self._ended: Failed | None = None

    def _room(self) -> int:
        if self._trusted:
            return super()._room()
        return 0 if self._ended is not None or self._judged < self._next else min(1, super()._room())

    def collect(self, timeout: float) -> Receipts:
        if self._ended is not None:
            raise self._ended
        return self._sure(super().collect(timeout))

    def finish(self, timeout: float, before: int | None = None) -> Receipts:
        return self._sure(super().finish(timeout, before))

    @property
    def failure(self) -> BrokercliError | None:
        return super().failure or self._ended

    def _sure(self, receipts: Receipts) -> Receipts:
        """Return the verdict on the one message that was on its way, where that may not be kept which was confirmed; else what is given."""
        self._judged += len(receipts)
        repeated = any(receipt.duplicate for receipt in receipts.problems)
        if self._trusted or not (receipts.confirmed or repeated):
            return receipts
        stream = self._outbox.confirmed_by
        try:
            doubt = self._doubt(stream, repeated=repeated)
        except BrokercliError as problem:
            doubt = f"whether it keeps it could not be asked: {str(problem).rstrip('.')}"
        if not doubt:
            return receipts
        self._ended = Failed(f"Stream {stream} may not keep what it confirms on {self._name}.",
                             hint=f"a login that is allowed {self._jetstream.prefix}.STREAM.NAMES finds that out beforehand")
        judged = Receipts()
        judged.count(Receipt(self._next - 1, Verdict.UNKNOWN, reason=f"stream {stream} confirmed it, and {doubt}"))
        return judged

    def _doubt(self, stream: str, *, repeated: bool) -> str:
        """Return why what the stream has confirmed is perhaps not kept there."""
        info = None
        with suppress(NotAuthorised):
            info = self.info = self._jetstream.link.run(self._jetstream.info(stream))
        if info is None:
            self._said.append(_NOT_SAID.format(stream))
        else:
            check_namesake(self._jetstream, info, target_of(info, self._link.server), [self._name])
            if publishes_later(info["config"]):
                self._said.append(f"whether a schedule of stream {stream} waited on {self._name} (Nats-Schedule) could not be asked before: it has ended then")
        if info is None or resource_of(info) != INTEREST_STREAM:
            self._trusted = True
            return ""
        if self._jetstream.link.run(ask_interest(self._jetstream, stream)).wants(self._name) and not repeated:
            return ""
        return f"{KEEPS.format(stream).removeprefix(f'stream {stream} ')}{'had dropped it before, perhaps' if repeated else 'none wants it now'}"
