"""NServiceBus: one `error` queue for many endpoints.

`NServiceBus.FailedQ` is the queue to return to. Its delayed retries go through queues of the transport's own, with
dead-lettering, so that x-death is full of them: these headers come first. What is stripped is what the recoverability
adds, as ServiceControl does on a retry.
"""

from __future__ import annotations

import re

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.stack_traces import innermost_of
from brokercli.dialects.values import text_of, written_time
from brokercli.model.dead_letter import DeadLetter, Hop
from brokercli.model.message import HeaderValue

# "yyyy-MM-dd HH:mm:ss:ffffff Z": a colon before the microseconds
_WIRE_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d):(\d{1,9}) Z", re.ASCII)
_ADDS = frozenset({
    "NServiceBus.FailedQ", "NServiceBus.TimeOfFailure", "NServiceBus.ProcessingEndpoint", "NServiceBus.ProcessingMachine", "NServiceBus.Retries",
    "NServiceBus.Retries.Timestamp", "NServiceBus.FLRetries", "$.diagnostics.hostid", "$.diagnostics.hostdisplayname",
    # of the publish that moved it: the transport takes a message's own off when it receives it (ConfirmsAwareChannel)
    "NServiceBus.Transport.RabbitMQ.ConfirmationId"})


def read(reading: Reading) -> DeadLetter | None:
    """Read a message moved to the error queue."""
    queue = reading.text("NServiceBus.FailedQ")
    letter = reading.letter(dialect.name, [reading.home(queue, "NServiceBus.FailedQ")])
    letter.reason = reading.text("NServiceBus.ExceptionInfo.Reason", decides=Decides.GROUP) or "exception"
    letter.stack_trace = reading.text("NServiceBus.ExceptionInfo.StackTrace", decides=Decides.GROUP)
    letter.exception, letter.exception_message = _failure(reading, letter.stack_trace)
    letter.consumer = reading.text("NServiceBus.ProcessingEndpoint", decides=Decides.GROUP)
    letter.last_death = reading.time_of_death("NServiceBus.TimeOfFailure", _moment)
    letter.journey = (Hop(queue, letter.reason, time=letter.last_death),)
    return letter


def _moment(value: HeaderValue) -> int | None:
    written = text_of(value)[:64]
    match = _WIRE_TIME.fullmatch(written)
    return written_time(f"{match[1]}.{match[2]}Z" if match else written)


def _failure(reading: Reading, stack_trace: str) -> tuple[str, str]:
    """Return class and message of one exception: the inner one where its message is told, which is in the stack trace only."""
    outer, inner = (reading.text(f"NServiceBus.ExceptionInfo.{which}ExceptionType", decides=Decides.GROUP) for which in ("", "Inner"))
    name, message = innermost_of(stack_trace) if inner else ("", "")
    return (name, message) if name and name != outer else (outer or inner, reading.text("NServiceBus.ExceptionInfo.Message", decides=Decides.NOTHING))


dialect = Dialect("nservicebus", read, frozenset({"rabbitmq"}), signs=frozenset({"NServiceBus.FailedQ"}), adds=_ADDS,
                  adds_prefixes=("NServiceBus.ExceptionInfo.",))
