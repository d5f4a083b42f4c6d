"""Rascal for Node.js, on RabbitMQ: one table, `rascal`, that it writes when a message is republished to its own queue, forwarded to a
publication (with CC, and without any x-death), or republished to be rejected at once.

`recovery` counts both for each queue: left on, the next failure would be the last, and a message that was marked for an
immediate nack would never be handed to a worker again, because x-death, which rascal compares it with, does not go back
(verified on 21.0.1). `encryption` is the publisher's, and without it nobody can read the body: then the whole header stays.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.rabbitmq_x_death import fill_in, read_deaths
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import text_of
from brokercli.model.dead_letter import DeadLetter, Hop
from brokercli.model.message import HeaderValue, Typed

_HEADER = "rascal"


def read(reading: Reading) -> DeadLetter | None:
    """Read a message that rascal recovered; None for one that it only encrypted, and for one whose header is needed at home."""
    table = _table_of(reading.last(_HEADER))
    return None if "encryption" in table else _read(reading, table)


def read_encrypted(reading: Reading) -> DeadLetter | None:
    """Read a message that rascal recovered and whose body its publisher encrypted."""
    table = _table_of(reading.last(_HEADER))
    letter = _read(reading, table) if "encryption" in table else None
    if letter is not None:
        reading.remarks.append("its header rascal says how to decrypt its body, so it goes back, and with it the count of its retries")
    return letter


def _read(reading: Reading, table: dict[str, HeaderValue]) -> DeadLetter | None:
    recovery, error = _table_of(table.get("recovery")), _table_of(table.get("error"))
    if not recovery and not error:
        return None
    queue = text_of(table.get("originalQueue"))
    deaths = read_deaths(reading)
    letter = reading.letter(dialect.name, [reading.home(queue, "rascal.originalQueue")] if queue and not deaths else [])
    letter.reason, letter.journey = "failed", (Hop(queue),) if queue else ()
    if deaths:
        fill_in(reading, letter, deaths)
    letter.exception, letter.exception_message = text_of(error.get("code")), text_of(error.get("message"))
    republished = reading.count("rascal.recovery.republished", _table_of(recovery.get(queue)).get("republished"))
    letter.attempts = letter.attempts if republished is None else republished + 1
    return letter


def _table_of(value: HeaderValue | object) -> dict[str, HeaderValue]:
    fields = value.value if isinstance(value, Typed) and value.kind == "table" else ()
    return {field[0]: field[1] for field in fields if isinstance(field, tuple) and len(field) == 2} if isinstance(fields, tuple) else {}


dialect = Dialect("rascal", read, frozenset({"rabbitmq"}), signs=frozenset({_HEADER}), adds=frozenset({_HEADER}), by_headers=True)
encrypted = Dialect("rascal", read_encrypted, frozenset({"rabbitmq"}), signs=frozenset({_HEADER}), by_headers=True)
