"""MassTransit: `<queue>_error` (faults) and `<queue>_skipped` (no consumer wanted it).

The body is MassTransit's own envelope and stays as it is. `MT-Fault-InputAddress` is the URI of the queue it was
received from; a skipped message may have none, and its queue's name tells. Its RabbitMQ transport numbers each confirmed
publish in `publishId`, the move to the error queue as well.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.values import moment_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop

# with raw JSON: where faults are to go, and the host that sent it (MessageHeaders)
_OF_THE_SENDER = frozenset({"mt-fault-address", "mt-host-info"})


def read(reading: Reading) -> DeadLetter | None:
    """Read a moved message; None without MT-Reason or a fault."""
    if not any(reading.folded(name, decides=Decides.NOTHING) for name in ("mt-reason", "mt-fault-inputaddress", "mt-fault-exceptiontype")):
        return None
    address = reading.first_text("mt-fault-inputaddress")
    letter = reading.letter(dialect.name, _homes(reading, address))
    letter.reason = reading.first_text("mt-reason", decides=Decides.GROUP) or "fault"
    letter.exception = reading.first_text("mt-fault-exceptiontype", decides=Decides.GROUP)
    letter.exception_message = reading.first_text("mt-fault-message", decides=Decides.NOTHING)
    letter.stack_trace = reading.first_text("mt-fault-stacktrace", decides=Decides.NOTHING)
    letter.consumer = reading.first_text("mt-fault-consumertype", decides=Decides.GROUP)
    retries = next(iter(reading.folded("mt-fault-retrycount", decides=Decides.GROUP)), None)
    counted = reading.count("MT-Fault-RetryCount", retries)
    letter.attempts = None if counted is None else counted + 1
    letter.last_death = reading.time_of_death("mt-fault-timestamp", moment_of, folded=True, first=True)
    letter.journey = (Hop(letter.home.address.name if letter.home else address, letter.reason, time=letter.last_death),)
    return letter


def queue_of(address: str) -> str:
    """Return the queue of `rabbitmq://host/vhost/queue?temporary=true` or `queue:name`; empty where there is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return unquote(parts.path.rpartition("/")[2] if parts.scheme != "queue" else parts.path)


def _homes(reading: Reading, address: str) -> list[Home | None]:
    homes: list[Home | None] = []
    if address:
        homes.append(reading.home(queue_of(address), "MT-Fault-InputAddress", place={"address": address}))
    for suffix in ("_error", "_skipped"):
        if reading.lies_in.endswith(suffix):
            homes.append(reading.home(reading.lies_in.removesuffix(suffix), f"the name of its queue without {suffix}", Confidence.LIKELY))
    return homes


dialect = Dialect("masstransit", read, frozenset({"rabbitmq"}), sign_prefixes=("mt-fault-", "mt-reason"), ignores_case=True,
                  adds=frozenset({"mt-reason", "mt-redelivery-count", "publishid"}), adds_prefixes=("mt-fault-", "mt-host-"), keeps=_OF_THE_SENDER)
