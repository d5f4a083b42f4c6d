"""RabbitMQ's own dead-lettering: x-death, x-first-death-*, x-last-death-* (3.x and 4.x alike), delivery limits.

`x-death` holds one entry for each queue and reason, the latest first: count (of deaths), time (of the first of them),
exchange, routing-keys, and original-expiration where it had one. Where x-death itself is missing (headers that went
through JSON, or a bridge) the first and last death are still there as texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.names import shown
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import amqp_time_of, count_of, integer_of, text_of
from brokercli.dialects.x_death_home import choose_homes
from brokercli.model.dead_letter import DeadLetter, Hop
from brokercli.model.message import HeaderValue, Typed

_MOST_DEATHS = 100


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of x-death. Every text is untrusted."""

    queue: str
    reason: str
    count: int | None
    time: int | None
    """Of the first death of this kind in this queue, nanoseconds since 1970."""
    exchange: str
    routing_keys: tuple[str, ...]
    original_expiration: str


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter that the broker made."""
    deaths = read_deaths(reading)
    if not deaths:
        return None
    letter = reading.letter(dialect.name)
    fill_in(reading, letter, deaths)
    return letter


def fill_in(reading: Reading, letter: DeadLetter, deaths: list[Death], wait_queues: frozenset[str] = frozenset()) -> None:
    """Enter what x-death says. `wait_queues` are the ones a framework is known to make, beside those of the facts."""
    latest = deaths[0]
    letter.homes = choose_homes(reading, deaths, wait_queues)
    home = letter.home
    at_home = [death for death in deaths if home is not None and death.queue == home.address.name] or deaths[:1]
    # the latest death may be a wait queue's, which is no reason
    letter.reason = at_home[0].reason
    letter.attempts = _attempts(reading, at_home)
    times = [death.time for death in deaths if death.time is not None]
    letter.first_death = min(times, default=None)
    letter.last_death = latest.time if latest.count in (None, 1) else None
    letter.journey = tuple(Hop(death.queue, death.reason, {"exchange": death.exchange, "routing_key": ", ".join(death.routing_keys)}, death.time, death.count)
                           for death in reversed(deaths))
    for expiration in dict.fromkeys(death.original_expiration for death in deaths if death.original_expiration):
        reading.remarks.append(f"its expiration of {shown(expiration)} ms was removed by the broker, and is not put back")


def read_deaths(reading: Reading) -> list[Death]:
    """Return the deaths, the latest first: from x-death, or from x-last-death-* and x-first-death-* without it."""
    deaths: list[Death] = []
    for value in reading.all("x-death"):
        entries = value.value if isinstance(value, Typed) and value.kind == "array" else ()
        for entry in (entries if isinstance(entries, tuple) else ())[:_MOST_DEATHS]:
            if isinstance(entry, Typed) and entry.kind == "table" and isinstance(entry.value, tuple):
                deaths.append(_death(reading, {field[0]: field[1] for field in entry.value if isinstance(field, tuple) and len(field) == 2}))
    if deaths:
        return deaths
    for which in ("last", "first"):
        queue, reason = reading.text(f"x-{which}-death-queue"), reading.text(f"x-{which}-death-reason")
        if queue and all(death.queue != queue or death.reason != reason for death in deaths):
            deaths.append(Death(queue, reason, None, None, reading.text(f"x-{which}-death-exchange"), (), ""))
    return deaths


def _death(reading: Reading, entry: dict[str, HeaderValue]) -> Death:
    keys = entry.get("routing-keys")
    listed = keys.value if isinstance(keys, Typed) and keys.kind == "array" and isinstance(keys.value, tuple) else ()
    return Death(text_of(entry.get("queue")), text_of(entry.get("reason")), reading.count("a count in x-death", entry.get("count")),
                 amqp_time_of(entry.get("time")), text_of(entry.get("exchange")), tuple(text_of(key) for key in listed[:100]),
                 text_of(entry.get("original-expiration")))


def _attempts(reading: Reading, deaths: list[Death]) -> int | None:
    """Count the tries in one queue: its rejections, or for a delivery limit the deliveries, where the broker still says."""
    if any(death.reason == "delivery_limit" for death in deaths):
        counted = [count_of(integer_of(reading.last(name))) for name in ("x-acquired-count", "x-delivery-count")]
        return max((count for count in counted if count is not None), default=None)
    rejections = [death.count for death in deaths if death.reason == "rejected" and death.count is not None]
    return sum(rejections) if rejections else None


dialect = Dialect("rabbitmq", read, frozenset({"rabbitmq"}), signs=frozenset({"x-death", "x-first-death-queue", "x-last-death-queue"}),
                  by_headers=True)
