"""NServiceBus: one `error` queue for many endpoints.

`NServiceBus.FailedQ` is the queue to return to. Its delayed retries go through queues of the transport's own, with
dead-lettering, so that x-death is full of them: these headers come first. What is stripped is what the recoverability
adds, as ServiceControl does on a retry.
"""

from __future__ import annotations

import re

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import written_time
from brokercli.model.dead_letter import DeadLetter, Hop

# "yyyy-MM-dd HH:mm:ss:ffffff Z": a colon before the microseconds
_WIRE_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d):(\d{1,9}) Z", re.ASCII)
_ADDS = frozenset({
    "NServiceBus.FailedQ", "NServiceBus.TimeOfFailure", "NServiceBus.ProcessingEndpoint", "NServiceBus.ProcessingMachine", "NServiceBus.Retries",
    "NServiceBus.Retries.Timestamp", "NServiceBus.FLRetries", "$.diagnostics.hostid", "$.diagnostics.hostdisplayname"})


def read(reading: Reading) -> DeadLetter | None:
    """Read a message moved to the error queue; None without NServiceBus.FailedQ."""
    if not reading.all("NServiceBus.FailedQ"):
        return None
    queue = reading.text("NServiceBus.FailedQ")
    letter = reading.letter(dialect.name, [reading.home(queue, "NServiceBus.FailedQ")])
    letter.reason = reading.text("NServiceBus.ExceptionInfo.Reason") or "exception"
    letter.exception = reading.text("NServiceBus.ExceptionInfo.InnerExceptionType") or reading.text("NServiceBus.ExceptionInfo.ExceptionType")
    letter.exception_message = reading.text("NServiceBus.ExceptionInfo.Message")
    letter.stack_trace = reading.text("NServiceBus.ExceptionInfo.StackTrace")
    letter.consumer = reading.text("NServiceBus.ProcessingEndpoint")
    written = reading.text("NServiceBus.TimeOfFailure")[:64]
    match = _WIRE_TIME.fullmatch(written)
    letter.last_death = written_time(f"{match[1]}.{match[2]}Z" if match else written)
    letter.journey = (Hop(queue, letter.reason, time=letter.last_death),)
    return letter


dialect = Dialect("nservicebus", read, frozenset({"rabbitmq"}), signs=frozenset({"NServiceBus.FailedQ"}), adds=_ADDS,
                  adds_prefixes=("NServiceBus.ExceptionInfo.",))
