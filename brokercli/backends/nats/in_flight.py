"""A message on its way, and what its acknowledgement says."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from brokercli.backends.nats.bulk_parser import Delivery, split_headers, status_of
from brokercli.backends.nats.convert import sent_id
from brokercli.backends.nats.failures import reason
from brokercli.backends.nats.link import NO_RESPONDERS
from brokercli.model.receipt import Receipt, Verdict

UNHEARD = "no stream listens on its subject"
OUT_OF_REACH = ("nobody heard it: stream {} listens on its subject, but what this login publishes there does not reach it (an import, or what a leaf node "
                "lets through)")


@dataclass(slots=True)
class Sent:
    """A message without a verdict: what is needed to send it again, and to recognise it in the stream."""

    subject: bytes
    block: bytes
    body: bytes
    first_sent: float = 0.0
    """When it was handed to the socket, monotonic; 0 while it certainly never left."""
    floor: int = 0
    """The stream's highest sequence known then: what is stored of it lies above."""
    repeated: bool = False
    in_doubt: bool = False
    """It was sent again without knowing what became of it before."""
    unheard: bool = False
    """The server said that nobody listens on its subject: it never reached anybody."""
    elsewhere: str = ""
    """Which stream of another JetStream domain stored it as well; empty for none."""

    @property
    def payload(self) -> int:
        """Return the bytes that the server's limit is about."""
        return len(self.block) + len(self.body)

    @property
    def size(self) -> int:
        """Return the bytes it has on the wire, roughly."""
        return len(self.subject) + self.payload + 60

    def turned_away(self, number: int, why: str) -> Receipt:
        """Return the verdict where it was refused just now. Where it was sent before, and is told apart by its id, that may have been stored all the
        same: a stream looks at what else a message asks for before it looks at the id (seen on 2.15.1)."""
        if self.in_doubt and sent_id(self.block) is not None:
            return Receipt(number, Verdict.UNKNOWN, reason=f"it was sent before, and what became of that is not known; sent again, it was refused: {why}")
        return Receipt(number, Verdict.REFUSED, reason=why)

    def frame(self, reply: bytes) -> bytes:
        """Return the protocol frame."""
        if self.block:
            return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (self.subject, reply, len(self.block), len(self.block) + len(self.body), self.block, self.body)
        return b"PUB %b %b %d\r\n%b\r\n" % (self.subject, reply, len(self.body), self.body)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One answer to one message."""

    receipt: Receipt
    sequence: int = 0
    """Where it is stored; 0 where it is not."""
    unheard: bool = False
    """Nobody listens on its subject, for now at least: a stream that is choosing a leader does not."""
    stream: str = ""
    """Which stored it; empty where none did."""
    elsewhere: str = ""
    """Which stream of another JetStream domain stored it: that says nothing of the one it is for, which answers as well."""


def read_acknowledgement(number: int, delivery: Delivery, sent: Sent, stream: str | None, domain: str = "") -> Acknowledgement:
    """Read whatever answered a message; `stream` is where it should be, None where that is not known, and `domain` the JetStream domain
    of that. Behind a leaf node a subject may be captured in both domains, and both answer, with streams of the same name too (seen on 2.15.1)."""
    block, body = split_headers(delivery)
    if status_of(block)[0] == NO_RESPONDERS:
        return Acknowledgement(Receipt(number, Verdict.REFUSED, reason=UNHEARD), unheard=True)
    if not body and b"\r\nnats-batch-id:" in sent.block.lower():
        return _unknown(number, "it is part of an atomic batch (header Nats-Batch-Id), of which JetStream says nothing until it is committed")
    try:
        answer = orjson.loads(body)
        error, name, sequence, repeat = answer.get("error"), answer.get("stream"), answer.get("seq", 0), bool(answer.get("duplicate"))
    except (orjson.JSONDecodeError, AttributeError):
        return _unknown(number, "something that is not JetStream answered it")
    if error is not None:
        return Acknowledgement(sent.turned_away(number, reason(error)))
    if type(sequence) is not int or sequence <= 0 or not name:
        return _unknown(number, f"its acknowledgement names no place: {str(answer)[:200]}")
    if stream is not None and (of := answer.get("domain") or "") != domain:
        said = f"stream {name} of {f'the JetStream domain {of}' if of else 'no JetStream domain'} stored it"
        return Acknowledgement(Receipt(number, Verdict.UNKNOWN, reason=said), elsewhere=said)
    if stream is not None and name != stream:
        return _unknown(number, f"stream {name} acknowledged it, not {stream}")
    # a repeat of ours that the first attempt had stored is no duplicate
    duplicate = repeat and not (sent.repeated and sequence > sent.floor)
    why = "the stream already had a message with this id" if duplicate else ""
    return Acknowledgement(Receipt(number, Verdict.CONFIRMED, str(sequence), why, duplicate), 0 if repeat else sequence, stream=str(name))


def plain_acknowledgement(inbox: bytes, stream: str, domain: str = "") -> bytes:
    """Return the pattern of a whole MSG that says no more than that a stream of a JetStream domain stored a message: groups for its number
    and sequence. The domain comes before the sequence (seen on 2.15.1)."""
    place = re.escape(orjson.dumps(stream)) + (rb', ?"domain":' + re.escape(orjson.dumps(domain)) if domain else b"")
    return rb'MSG %b\.(\d+) \d+ \d+\r\n\{"stream":%b, ?"seq":([1-9]\d*)\}\r\n' % (re.escape(inbox), place)


def without_groups(pattern: bytes) -> bytes:
    """Return it for matching only."""
    return pattern.replace(b"(\\d+)", b"\\d+").replace(b"([1-9]\\d*)", b"[1-9]\\d*")


def _unknown(number: int, why: str) -> Acknowledgement:
    return Acknowledgement(Receipt(number, Verdict.UNKNOWN, reason=why))
