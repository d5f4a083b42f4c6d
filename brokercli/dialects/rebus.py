"""Rebus: one `error` queue; `rbs2-source-queue` is the queue to return to.

Other `rbs2-` headers are the sender's. An `x-delivery-count` left on the message would be taken for tries of its own.
"""

from __future__ import annotations

import re

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.stack_traces import class_of
from brokercli.model.dead_letter import DeadLetter, Hop

# behind "5 unhandled exceptions" come their class and text, each after a time; classes may be nested (+) or generic (`1[…])
_FAILURE = re.compile(r"(?:^|[\s:>])((?:[A-Za-z_]\w*[.+])*(?:[A-Za-z_]\w*)?(?:Exception|Error)(?:`\d+(?:\[[^\]\r\n]*\])?)?)"
                      r"(?: \(0x[0-9A-Fa-f]{8}\))?: ([^\r\n]*)")
_TRIES = re.compile(r"(\d{1,6}) unhandled exceptions")


def read(reading: Reading) -> DeadLetter | None:
    """Read a message moved to the error queue."""
    queue, details = reading.text("rbs2-source-queue"), reading.text("rbs2-error-details", decides=Decides.GROUP)
    letter = reading.letter(dialect.name, [reading.home(queue, "rbs2-source-queue")] if queue else [])
    letter.reason = "exception"
    letter.stack_trace = details
    failures = _FAILURE.findall(details[:50_000])
    if failures:
        letter.exception, letter.exception_message = failures[-1]
    else:
        letter.exception, letter.exception_message = class_of(details), details.partition("\n")[0].strip()
    letter.attempts = reading.count("rbs2-delivery-count", reading.last("rbs2-delivery-count", decides=Decides.GROUP))
    if letter.attempts is None and (tries := _TRIES.match(details)):
        # the counter is taken off by newer versions, and was never there on classic queues (RabbitMqErrorHandlerDecorator)
        letter.attempts = int(tries[1])
    letter.journey = (Hop(queue, count=letter.attempts),) if queue else ()
    return letter


dialect = Dialect("rebus", read, frozenset({"rabbitmq"}), signs=frozenset({"rbs2-error-details", "rbs2-source-queue"}),
                  adds=frozenset({"rbs2-error-details", "rbs2-source-queue", "rbs2-delivery-count"}))
