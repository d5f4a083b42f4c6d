"""Confirmed publishing to JetStream: messages made ready to be sent, a window of acknowledgements, and the verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.nats.convert import Converter, Refusal, check_size
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.outbox import Outbox
from brokercli.backends.nats.recovery import Target
from brokercli.model.errors import BrokercliError, NotAuthorised
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict

WINDOW = 4000
"""Messages without acknowledgement, unless the policy says how many."""
LARGEST_WINDOW = 8000
"""So many at most. What would be more than a server buffers for a stream it refuses (`max_buffered_msgs` of its configuration)."""
WINDOW_BYTES = 16 << 20
JOINED = 512
"""Messages per write: one system call and one wake-up of the connection's thread for all of them."""


class JetStreamPublisher(Publisher):
    """Publishes to one stream's subjects with acknowledgements: makes messages ready and keeps the window; the outbox does the rest on
    the connection's thread."""

    def __init__(self, link: Link, subject: str | None, target: Target | None, policy: PublishPolicy, notes: Sequence[str] = ()) -> None:
        """`subject` None takes each message's own; `target` None where the stream could not be asked about."""
        self.notes = notes
        self._link = link
        self._subject = subject.encode(errors="surrogateescape") if subject is not None else None
        self._template = policy.template
        self._converter = Converter(policy.template, keep_control_headers=policy.keep_control_headers)
        self.withheld = self._converter.withheld
        self._target = target
        self._window = min(LARGEST_WINDOW, policy.maximum_in_flight or WINDOW)
        self._next = 0
        self._closed = False
        self._outbox = Outbox(link, target, positions=policy.positions, delivery_timeout=policy.delivery_timeout)
        link.run(self._outbox.open_inbox())

    def send(self, messages: Sequence[Message]) -> int:
        return self._accept(messages, self._prepare)

    def send_prepared(self, messages: Sequence[Sent]) -> int:
        """The same as `send` for messages whose subject this stream captures, with headers as they go out."""
        largest = self._link.max_payload
        if max([message.payload for message in messages], default=0) <= largest:
            return self._accept(messages, _as_it_is)
        return self._accept(messages, self._fitting)

    def _fitting(self, message: Sent) -> Sent:
        check_size(message.payload, self._link.max_payload)
        return message

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        subject, block = self._subject, self._converter.template_block
        largest = self._link.max_payload
        if subject is None:
            return self._accept(bodies, lambda body: self._prepare(replace(self._template, body=body)))
        own_subject: bytes = subject

        def prepare(body: bytes) -> Sent:
            check_size(len(block) + len(body), largest)
            return Sent(own_subject, block, body)
        return self._accept(bodies, prepare)

    def _accept(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        accepted, in_flight, began = 0, self.in_flight, time.monotonic()
        while accepted < len(items) and (room := self._room()) > 0:
            taken = self._accept_some(items[accepted:accepted + min(room, JOINED)], prepare)
            accepted += taken
            if not taken:
                break
        with self._outbox.changed:
            self._outbox.silence.offered(accepted, len(items) - accepted, in_flight, began)
        return accepted

    def _room(self) -> int:
        outbox = self._outbox
        with outbox.changed:
            return self._window - outbox.open if outbox.takes_more and outbox.held_bytes < WINDOW_BYTES else 0

    def _accept_some(self, items: Sequence[Message] | Sequence[bytes] | Sequence[Sent], prepare: Callable[..., Sent]) -> int:
        outbox = self._outbox
        batch, refused = dict[int, Sent](), list[Receipt]()
        number, denied = self._next, outbox.denials.first is not None
        held = size = outbox.held_bytes
        for item in items:
            if size >= WINDOW_BYTES:
                break
            try:
                sent = prepare(item)
                if denied:
                    outbox.denials.check(sent.subject)
                batch[number] = sent
                size += sent.size
            except Refusal as refusal:
                refused.append(Receipt(number, Verdict.REFUSED, reason=str(refusal)))
            number += 1
        taken, self._next = number - self._next, number
        outbox.put(batch, size - held, refused)
        return taken

    def _prepare(self, message: Message) -> Sent:
        return Sent(self.subject_for(message.route), *self._converter.convert(message, self._link.max_payload))

    def subject_for(self, route: str | None) -> bytes:
        """Return the subject on which a message of this route goes out. Raises Refusal where the stream does not capture it."""
        if self._subject is not None:
            return self._subject
        assert self._target is not None
        return self._target.subject_for(route)

    def obstacle(self, subject: str) -> str:
        """Return why messages on a subject that this stream captures would be refused now; empty where nothing is known to be in their way."""
        return ""

    # verdicts

    def collect(self, timeout: float) -> Receipts:
        outbox = self._outbox
        deadline = time.monotonic() + timeout
        with outbox.changed:
            while not len(outbox.news):
                outbox.expire()
                left = deadline - time.monotonic()
                if len(outbox.news):
                    break
                if (failure := outbox.failure or (None if outbox.open else outbox.denials.of(self._subject))) is not None:
                    raise failure
                if left <= 0:
                    break
                outbox.changed.wait(min(left, 0.5))
            return outbox.take_news()

    def finish(self, timeout: float, before: int | None = None) -> Receipts:
        """As promised; `before` narrows it to the messages whose number is lower."""
        outbox = self._outbox
        deadline = time.monotonic() + timeout
        with outbox.changed:
            while outbox.waits(before) and outbox.failure is None and (left := deadline - time.monotonic()) > 0:
                outbox.expire()
                if outbox.waits(before):
                    outbox.changed.wait(min(left, 0.5))
            outbox.expire()
            outbox.abandon(before)
            return outbox.take_news()

    @property
    def failure(self) -> BrokercliError | None:
        """Why nothing more can be sent; None while something can."""
        return self._outbox.failure

    @property
    def denied(self) -> NotAuthorised | None:
        """Why one of the subjects that messages were given for may not be published to; None while none is known."""
        return self._outbox.denials.first

    def waits(self, before: int) -> bool:
        """Return whether a message with a lower number is still without a verdict."""
        with self._outbox.changed:
            return self._outbox.waits(before)

    @property
    def in_flight(self) -> int:
        with self._outbox.changed:
            return self._outbox.open

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._outbox.forget()
            self._link.tidy(self._outbox.close())


def _as_it_is(message: Sent) -> Sent:
    return message
