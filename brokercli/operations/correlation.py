"""The correlation envelope: headers by which one event is followed through services and retries."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from brokercli.model.message import Header, Message
from brokercli.operations.publishing import Source

CORRELATION_ID, TRACE_ID, ORIGIN_SERVICE, ATTEMPTS, TRACEPARENT = "x-correlation-id", "x-trace-id", "x-origin-service", "x-attempts", "traceparent"


@dataclass(slots=True)
class Correlated:
    """A source whose messages each carry a correlation id, a W3C trace context, their origin and an attempt counter.

    A header that a message has already (names compared without case) is left as it is; a trace id that is there is
    carried on in the traceparent.
    """

    source: Source
    template: Message
    origin_service: str
    correlation_id: str | None = None
    """The same for all messages; without it each gets its own."""

    @property
    def first(self) -> int:
        """As the source's."""
        return self.source.first

    def read(self, timeout: float) -> list[Message] | None:
        """Return the next messages with their headers; otherwise as the source's `read`."""
        found = self.source.read(timeout)
        return None if found is None else [self._correlate(message) for message in self._messages(found)]

    def _messages(self, found: Sequence[bytes] | Sequence[Message]) -> list[Message]:
        return [replace(self.template, body=item) if isinstance(item, bytes) else item for item in found]

    def _correlate(self, message: Message) -> Message:
        present = {name.lower(): value for name, value in message.headers}
        known = present.get(TRACE_ID)
        trace = known.decode(errors="replace") if isinstance(known, bytes) else secrets.token_hex(16)
        wanted: list[Header] = [
            (CORRELATION_ID, (self.correlation_id or str(uuid.uuid4())).encode(errors="surrogateescape")),
            (TRACE_ID, trace.encode()),
            # version 00, sampled: https://www.w3.org/TR/trace-context/#traceparent-header
            (TRACEPARENT, f"00-{trace}-{secrets.token_hex(8)}-01".encode()),
            (ORIGIN_SERVICE, self.origin_service.encode(errors="surrogateescape")),
            (ATTEMPTS, b"0"),
        ]
        if len(trace) != 32 or TRACEPARENT in present:
            wanted = [header for header in wanted if header[0] != TRACEPARENT]
        return replace(message, headers=message.headers + tuple(header for header in wanted if header[0] not in present))
