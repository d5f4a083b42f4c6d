"""Retries of a queue by the broker alone: a worker only rejects, and the broker holds the message back, longer each time.

What a message was tried already is its routing key: each wait queue returns it to the work queue through a fanout exchange, which
does not look at the key, and the work queue keeps it when it dead-letters. So nothing is published a second time by a worker who
may die in between, and nothing that reaches the work queue again fans out to others.

    queue:orders  --dies-->  exchange:orders.dlx   headers     rejected -> orders.dlx.retry, anything else -> orders.dlx.dead
                             exchange:orders.dlx.retry  direct  key orders.retry.N -> the wait after try N+1, the last one -> queue:orders.dlq
                             exchange:orders.dlx.first  fanout  everything else: queue:orders.retry.1.5s
                             exchange:orders.dlx.return fanout  queue:orders
                             exchange:orders.dlx.dead   fanout  queue:orders.dlq

What dies of anything but a rejection (a delivery limit, a length, an age) goes to the dead letters at once: if it came back
to the work queue, RabbitMQ would take that for a circle and drop it (it drops what returns without a rejection in between).
While the first wait is replaced by another, what is new goes to the dead letters and not nowhere.

All of it but the work queue is made with arguments. Of policies only one holds, and one that somebody adds later would take
away what holds the messages back, or what makes letters survive being looked at. The name of a wait queue says all that its
arguments say, so that other delays make other queues, and those that were there before give back what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brokercli.backends.rabbitmq.inventory import Have, Inventory
from brokercli.backends.rabbitmq.keeping import CLASSIC, QUORUM, STREAM, argument_of, said_type
from brokercli.backends.rabbitmq.survivable import UNLIMITED, version_of
from brokercli.backends.rabbitmq.telling import told
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, RetrySpecification, RetryTopology, SettingValue, binding
from brokercli.model.errors import Unsupported, UsageProblem

_MILLISECOND = 1_000_000
# by policy; 4.3.0 had the arguments only
_DELAYS_RETRIES = (4, 3, 1)
_AT_LEAST_ONCE: dict[str, SettingValue] = {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}
_MOST_RETRIES = 50
_LENGTHS = ("max-length", "max-length-bytes")


def plan_retries(wanted: RetrySpecification, inventory: Inventory) -> RetryTopology:
    """Return what makes the retries. Raises UsageProblem for what cannot be had, Unsupported for native ones on an older broker."""
    have = inventory.queue(wanted.source)
    kind = _source_type(wanted, have, inventory)
    if any(delay < _MILLISECOND for delay in wanted.delays):
        raise UsageProblem("RabbitMQ counts delays in whole milliseconds, and one is shorter.")
    retries = wanted.attempts - 1
    if len(wanted.delays) > retries:
        given = amount(len(wanted.delays), "is", "are")
        raise UsageProblem(f"{amount(wanted.attempts, 'attempt leaves', 'attempts leave')} room for {amount(retries, 'delay')}, and {given} given.")
    if retries and not wanted.delays:
        raise UsageProblem("Retries need a delay, for example 5s.")
    dead = wanted.dead_letter or f"{wanted.source}.dlq"
    if dead == wanted.source or dead.startswith(f"{wanted.source}.retry."):
        raise UsageProblem(f"The dead letters cannot go to {dead}: messages would go round for ever.")
    letters = _letters(dead, wanted, inventory)
    if wanted.native:
        return _native(wanted, kind, dead, letters, inventory)
    if retries > _MOST_RETRIES:
        raise UsageProblem(f"Each retry takes a wait queue of its own, and {retries} are more than {_MOST_RETRIES}.", hint="native retries need none")
    return _by_wait_queues(wanted, kind, have, dead, letters)


def _source_type(wanted: RetrySpecification, have: Have | None, inventory: Inventory) -> str:
    if have is None and wanted.declared is None:
        raise UsageProblem(f"There is no queue {wanted.source}, and retries are of one that is there.", hint=f"brokercli declare queue {wanted.source}")
    said = said_type(wanted.declared or {})
    kind = (have.type if have is not None else None) or (str(said) if said else None) or inventory.default_type or CLASSIC
    if kind == STREAM:
        raise UsageProblem(f"{wanted.source} is a stream: nothing can be rejected from it, so it has no retries.")
    return kind


def _letters(name: str, wanted: RetrySpecification, inventory: Inventory) -> Declaration:
    """Return the queue of dead letters: one that is there as it is, where that is of another type."""
    have = inventory.queue(name)
    if have is not None and have.type not in (None, QUORUM):
        return Declaration("stream" if have.type == STREAM else "queue", name, {} if have.type == STREAM else {"type": have.type})
    # with a limit, looking at a letter could delete it
    limit: dict[str, SettingValue] = {"arguments": {"x-delivery-limit": UNLIMITED}} if have is None else {"delivery-limit": UNLIMITED}
    return Declaration("queue", name, {"type": QUORUM, **limit, **wanted.settings})


def _work(wanted: RetrySpecification, kind: str, have: Have | None, settings: Mapping[str, SettingValue]) -> Declaration:
    declared = dict(wanted.declared or {})
    if said_type(declared) is None and have is None and kind == QUORUM:
        declared["type"] = kind
    return Declaration("queue", wanted.source, declared | dict(settings))


def _by_wait_queues(wanted: RetrySpecification, kind: str, have: Have | None, dead: str, letters: Declaration) -> RetryTopology:
    source = wanted.source
    dlx, tiers, first, back, end = (f"{source}.dlx{ending}" for ending in ("", ".retry", ".first", ".return", ".dead"))
    waits = _waits(source, wanted.delays, wanted.attempts - 1)
    _check_holding(wanted, waits, dead)
    work: dict[str, SettingValue] = {"dead-letter-exchange": dlx, **(_AT_LEAST_ONCE if kind == QUORUM else {})}
    if (have is not None and have.value("dead-letter-routing-key") is not None) or (wanted.declared or {}).get("dead-letter-routing-key") is not None:
        # the key says how often a message was tried
        work["dead-letter-routing-key"] = None
    made = [Declaration("exchange", end, {"type": "fanout"})]
    bindings = [binding(end, f"queue:{dead}")]
    queues = [letters]
    if waits:
        made += [Declaration("exchange", back, {"type": "fanout"}),
                 Declaration("exchange", first, {"type": "fanout", "arguments": {"alternate-exchange": end}}),
                 Declaration("exchange", tiers, {"type": "direct", "arguments": {"alternate-exchange": first}}),
                 Declaration("exchange", dlx, {"type": "headers", "arguments": {"alternate-exchange": end}})]
        for number, (name, delay) in enumerate(waits, 1):
            holding: dict[str, SettingValue] = {
                "message-ttl": delay, "dead-letter-exchange": back, "dead-letter-routing-key": _key(source, number), **_AT_LEAST_ONCE}
            arguments: dict[str, SettingValue] = {argument_of(setting): value for setting, value in holding.items()}
            queues.append(Declaration("queue", name, {"type": QUORUM, "arguments": arguments, **wanted.settings}))
            following = waits[number][0] if number < len(waits) else dead
            bindings.append(binding(tiers, f"queue:{following}", _key(source, number)))
        bindings += [binding(first, f"queue:{waits[0][0]}"), binding(back, f"queue:{source}"),
                     binding(dlx, f"exchange:{tiers}", "", {"x-match": "all-with-x", "x-last-death-reason": "rejected"})]
    else:
        work["dead-letter-exchange"] = end
    declarations = (*made, *queues, _work(wanted, kind, have, work), *bindings)
    return RetryTopology(declarations, _advice(wanted, kind, dead, [told(delay) for _, delay in waits]))


def _check_holding(wanted: RetrySpecification, waits: Sequence[tuple[str, int]], dead: str) -> None:
    """Raise UsageProblem for settings with which wait queues do not keep messages as long as they are to wait."""
    for name, delay in waits:
        age = wanted.settings.get("message-ttl")
        if isinstance(age, int) and age < delay:
            raise UsageProblem(f"{name} would give messages back before they are due: message-ttl is {told(age)}, and they wait {told(delay)}.",
                               hint=f"leave message-ttl out; for the dead letters alone it is declared as one of queue {dead}")
        if wanted.settings.get("expires") is not None:
            raise UsageProblem(f"{name} would be deleted with the messages that wait in it: expires counts from the last consumer, and it never has one.",
                               hint=f"leave expires out; for the dead letters alone it is declared as one of queue {dead}")


def _waits(source: str, delays: Sequence[int], retries: int) -> list[tuple[str, int]]:
    """Return the wait queues and their times in milliseconds, in the order in which a message goes through them."""
    milliseconds = [-(-delays[min(number, len(delays) - 1)] // _MILLISECOND) for number in range(retries)]
    return [(f"{_key(source, number)}.{told(delay)}", delay) for number, delay in enumerate(milliseconds, 1)]


def _key(source: str, number: int) -> str:
    return f"{source}.retry.{number}"


def _advice(wanted: RetrySpecification, kind: str, dead: str, delays: Sequence[str]) -> tuple[str, ...]:
    after = f"it comes back after {', '.join(delays)}" if delays else "it is dead at once"
    said = [f"To fail a message, reject it without requeueing (basic.reject or basic.nack with requeue=false): {after}, and after {wanted.attempts}"
            f" tries it lies in {dead}.",
            "Acknowledge what was done, publish nothing yourself: the broker moves the message, so none is lost and none is there twice if you die meanwhile.",
            f"How often it was tried stands in the header x-death (count of the entry queue={wanted.source}, reason=rejected) and in its routing key"
            f" ({_key(wanted.source, 1)}, …); the routing keys it was published with are in that entry.",
            f"What dies otherwise (delivery limit, message-ttl, max-length) goes to {dead} without another try."]
    if any(wanted.settings.get(setting) is not None for setting in _LENGTHS):
        if delays:
            said.append("A wait queue that is full takes no more: " + (
                f"what {wanted.source} rejects then stays in it, and is tried again only after minutes." if kind == QUORUM else
                f"what {wanted.source}, a {kind} queue, rejects then is lost."))
        if wanted.settings.get("overflow") != "reject-publish":
            said.append(f"{dead} drops its oldest letters when it is full.")
    if kind != QUORUM:
        said.append(f"{wanted.source} is a {kind} queue, which hands dead letters over at most once: what it rejects while the broker stops may be lost;"
                    " a quorum queue waits for the confirmation.")
    return tuple(said)


def _native(wanted: RetrySpecification, kind: str, dead: str, letters: Declaration, inventory: Inventory) -> RetryTopology:
    version = version_of(inventory.link.server_properties)
    if version < _DELAYS_RETRIES:
        raise Unsupported(f"Delayed retries of quorum queues came with RabbitMQ 4.3.1, and this is {'.'.join(map(str, version))}.",
                          hint="without native, wait queues do it")
    if kind != QUORUM:
        raise UsageProblem(f"{wanted.source} is a {kind} queue, and only quorum queues hold back what is returned to them.",
                           hint="without native, wait queues do it")
    settings: dict[str, SettingValue] = {"delivery-limit": wanted.attempts - 1, "dead-letter-exchange": "", "dead-letter-routing-key": dead, **_AT_LEAST_ONCE}
    delays = [-(-delay // _MILLISECOND) for delay in wanted.delays]
    if delays:
        shortest, longest = delays[0], delays[-1]
        fits = [min(shortest * number, longest) for number in range(1, len(delays) + 1)]
        if delays != fits:
            raise UsageProblem(f"Native delays grow by the first one each time up to the last one, so {', '.join(map(told, delays))} cannot be had.",
                               hint=f"{', '.join(map(told, fits))} can; without native, wait queues take any")
        settings |= {"delayed-retry-type": "all", "delayed-retry-min": shortest, "delayed-retry-max": longest}
    work = _work(wanted, kind, inventory.queue(wanted.source), settings)
    return RetryTopology((letters, work), (
        f"To fail a message, reject it and have it requeued (basic.reject with requeue=true): the queue holds it back, and after {wanted.attempts} tries"
        f" it lies in {dead}.",
        "basic.nack with requeue=true holds it back as well, but is not counted: such a message is tried for ever.",
        "A worker whose connection breaks has failed every message it held; that counts too.",
        "How often it was tried stands in the header x-delivery-count.",
        f"Rejected without requeueing it goes to {dead} at once."))
