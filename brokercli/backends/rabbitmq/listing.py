"""Which queues, streams and exchanges there are: the management API says, AMQP has no question for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import merge
from typing import Any

from brokercli.backends.rabbitmq import CLASSIC_QUEUE, EXCHANGE
from brokercli.backends.rabbitmq.existing import ROW_OF
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.model.description import Listing, Value
from brokercli.model.errors import Failed


def list_names(management: Management, kinds: Collection[str], where: Any) -> Iterator[Listing]:
    """Yield what the login may see in the virtual host, by name, queues and streams before exchanges of the same name.

    `messages` are what a classic queue holds now; for a quorum queue they are up to five seconds old, and for a stream too, where they count
    offsets. Bytes are left out where they are of another moment. The predeclared exchanges, the default one and internal queues are left out.
    Raises Failed where the management API cannot be asked.
    """
    sources: list[Iterator[Listing]] = []
    if not kinds or {"queue", "stream"} & set(kinds):
        sources.append(_queues(management, kinds))
    if not kinds or "exchange" in kinds:
        sources.append(_exchanges(management))
    try:
        yield from merge(*sources, key=lambda listing: listing.name)
    except Away as problem:
        raise Failed(f"RabbitMQ lists what there is through its management API only, and for {where} {problem}.", hint=problem.hint) from None


def _queues(management: Management, kinds: Collection[str]) -> Iterator[Listing]:
    # what the statistics say is up to five seconds old for all of them, and nothing at all for a queue that was just made; both come by name, and
    # page by page: whoever wants the first names only does not wait for all
    counts = management.queues_counted() if not kinds or "queue" in kinds else iter(())
    counted = next(counts, None)
    for facts in management.queues():
        resource = ROW_OF.get(str(facts.get("type")), CLASSIC_QUEUE)
        kind = "stream" if facts.get("type") == "stream" else "queue"
        if facts.get("internal") or (kinds and kind not in kinds):
            continue
        shown: dict[str, Value] = {"consumers": _number(facts.get("consumers"))}
        if facts.get("exclusive"):
            shown["exclusive"] = True
        if facts.get("state") not in (None, "running"):
            shown["state"] = str(facts["state"])
        name, then = str(facts["name"]), _number(facts.get("messages"))
        while counted is not None and counted["name"] < name:
            counted = next(counts, None)
        now = _number(counted.get("messages")) if counted is not None and counted["name"] == name else None
        messages = then if now is None else now
        yield Listing(kind, name, resource, messages, _number(facts.get("message_bytes")) if messages == then else None, shown)


def _exchanges(management: Management) -> Iterator[Listing]:
    for facts in management.exchanges():
        name = str(facts["name"])
        if not name or name.startswith("amq."):
            continue
        shown: dict[str, Value] = {"type": str(facts.get("type"))}
        if facts.get("internal"):
            shown["internal"] = True
        yield Listing("exchange", name, EXCHANGE, facts=shown)


def _number(value: Any) -> int | None:
    # a figure that is missing, or that the broker has not counted yet
    return value if isinstance(value, int) and not isinstance(value, bool) else None
