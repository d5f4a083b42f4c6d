"""Whether messages that are taken from a queue come back to it: read before the first one is touched.

A classic queue puts what is returned back in its place and marks it as redelivered, however often and whoever dies meanwhile.
A quorum queue counts and, above its delivery limit (20 by default since 4.0), drops. Until 4.2 every return counts; from 4.3
on a nack is free and a lost connection counts, but the limit is tested at every return, and a letter that died by a delivery
limit brings its count with it: the first return of any kind deletes it (verified on 4.3.6). No letter says its count before it
is taken. So a quorum queue is touched only where it is certain that it has no limit; lifting it by a policy works at once and
for the letters that lie there already (verified on 4.0.5 and 4.3.6; `lifting.py` does it for as long as a run lasts, and
`rescuing.py` keeps what goes over a limit that no policy lifts).

Only a classic queue can be an auto-delete queue: RabbitMQ deletes that one, with all it holds, when its last consumer goes, and a
look is a consumer (verified on 4.0.5 and 4.3.6). Others may leave while a look lasts, so that it is not touched at all.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.existing import Queue
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts, Management, is_down
from brokercli.model.amount import amount
from brokercli.model.errors import Failed, Unsupported

UNLIMITED = -1
_DEFAULT_LIMIT = 20
_FEDERATED = frozenset({"federation-upstream", "federation-upstream-set"})
"""Keys of a policy; no argument does it."""
_LIMITS_BY_DEFAULT = (4, 0)
_NACK_IS_FREE = (4, 3)
_SAYS_POLICIES_AT_ONCE = (4, 2, 5)
_CONSUMERS_SAY_TIMEOUTS = (4, 3)
_RETURNS_TO_ITS_PLACE = (4, 3)
LIFTED = {"delivery-limit": UNLIMITED}
LIFTS = "brokercli-lift-"
"""How the policies begin that lift a limit for the duration of one run, and the names of everything else it takes."""
RESCUING = {"dead-letter-exchange": "", "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}
"""What a policy says beside the name of a queue, so that what is returned too often is in one of the two at every moment. Without the
overflow RabbitMQ silently does it at most once."""
OPERATORS = ("rabbitmqctl list_operator_policies shows it, and no other policy comes before it: have that one changed, or let letters go to a classic queue"
             " or a stream instead")
"""What to do about what an operator's policy says."""
_ABOVE_ANY = 1000
Taking = Callable[[], Callable[[], None]]
"""Told before letters are taken; returns what to call once all that were not handled are certainly back."""


def nothing_lifted() -> Callable[[], None]:
    """What is told where no limit is lifted: nobody asks whether letters are back."""
    return lambda: None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What decides whether a queue can be taken from."""

    queue: Queue
    version: tuple[int, ...]
    virtual_host: str
    limit: int | None = None
    """How many deliveries a message survives; UNLIMITED; None where that cannot be found out."""
    unknown: str = ""
    """Why it cannot."""
    argued: bool = False
    """The limit is an argument of the queue, which no policy raises."""
    operated: bool = False
    """The limit is that of an operator's policy, which no other raises."""
    policy: Facts | None = None
    """What the policy that holds for it defines; a new one would take its place."""
    borrowed: bool = False
    """The limit is lifted only while another run lasts."""
    single_active: bool = False
    delayed_retry: str | None = None
    federated: bool = False
    """While somebody consumes it RabbitMQ brings messages from its upstream, as many as that is ready to give (1,000 where nothing else is set), and
    they stay (seen on 4.3.6; prefetch-count of the upstream)."""
    facts: Facts | None = None
    down: bool = False
    """Whoever answers for it is away."""
    auto_delete: bool | None = None
    """Whether it is deleted with its last consumer; None where that cannot be found out."""
    rescue: str = ""
    """The queue without a limit to which the broker certainly takes meanwhile what is returned more often than the limit allows."""

    @property
    def name(self) -> str:
        """Of the queue."""
        return self.queue.name

    @property
    def survivable(self) -> bool:
        """Whether every letter certainly survives being returned, by us or by a connection that breaks. Whether its queue survives that
        is another question."""
        return self.queue.type == "classic" or ((self.limit == UNLIMITED or bool(self.rescue)) and not self.borrowed)

    @property
    def hides_returned(self) -> bool:
        """Whether what is returned to it is held back for a while, where nobody sees it (from 4.3 on)."""
        return self.delayed_retry in ("all", "returned")

    @property
    def behind(self) -> bool:
        """Whether what is returned comes behind what was not taken: a quorum queue of 4.0.5 without a limit does that, one of 4.3.6 does not."""
        return self.queue.type == "quorum" and not self.rescue and self.version < _RETURNS_TO_ITS_PLACE

    @property
    def lasting(self) -> bool:
        """Whether a consumer may say for how long it holds messages. 4.3.6 obeys it, also once it is cancelled, and above what the queue
        says; its classic queues refuse the argument and know no timeout. 4.0.5 closes the channel all the same."""
        return self.queue.type == "quorum" and self.version >= _CONSUMERS_SAY_TIMEOUTS


def read_conditions(queue: Queue, management: Management, version: tuple[int, ...], virtual_host: str, *, said: Facts | None = None,
                    lifted: bool = False) -> Conditions:
    """Find out what there is to know; asks the management API for what it has not `said` just now, and changes nothing. `lifted`: a policy of
    this run lifts the limit."""
    try:
        facts = said or management.queue_now(queue.name)
        if facts is not None and version < _SAYS_POLICIES_AT_ONCE and queue.type == "quorum":
            facts = _as_policies_say(queue.name, facts, management)
    except Away as problem:
        return Conditions(queue, version, virtual_host, unknown=f"{problem}; {problem.hint}", auto_delete=queue.auto_delete)
    if facts is None:
        return Conditions(queue, version, virtual_host, unknown=f"the management API knows no queue {queue.name} in {virtual_host}",
                          auto_delete=queue.auto_delete)
    arguments = facts.get("arguments") or {}
    settings = facts.get("effective_policy_definition")
    limit = limit_of(facts, version)
    argument = arguments.get("x-delivery-limit")
    borrowed = not lifted and str(facts.get("policy") or "").startswith(LIFTS)
    # a classic queue has no limit, and a login that may not read the policy gets no other answer after this one
    policy = _definition(facts, management) if queue.type != "classic" and (borrowed or limit != UNLIMITED) else None
    return Conditions(
        queue, version, virtual_host, limit, "" if limit is not None else "the management API does not say its delivery limit",
        argued=isinstance(argument, int) and argument >= 0,
        # operators' policies are not everybody's to read, but what holds is told
        operated="delivery-limit" in (settings or {}) and (settings or {})["delivery-limit"] != (policy or {}).get("delivery-limit"),
        policy=policy,
        borrowed=borrowed,
        single_active=bool(arguments.get("x-single-active-consumer", (settings or {}).get("single-active-consumer"))),
        delayed_retry=arguments.get("x-delayed-retry-type", (settings or {}).get("delayed-retry-type")),
        federated=not _FEDERATED.isdisjoint(_held_by(queue.name, facts, management)),
        facts=facts,
        down=is_down(facts),
        auto_delete=facts.get("auto_delete") if queue.auto_delete is None else queue.auto_delete,
        rescue=rescue_of(facts) if lifted else "")


def count_once_more(conditions: Conditions, link: Link) -> Conditions:
    """Have a queue that counts nothing counted again where the management API counts letters. That says what was there when the queue last counted
    itself, up to five seconds ago, and who took them since may well be a run that has just ended; but where its leader was away for a moment a quorum
    queue counts nothing, too."""
    if conditions.queue.messages != 0 or not (conditions.facts or {}).get("messages_ready"):
        return conditions
    (count,) = link.ask(f"counting the letters of {conditions.name}", counting(conditions.name))
    return replace(conditions, queue=replace(conditions.queue, messages=count.messages if count.certain else None))


def _held_by(name: str, facts: Facts, management: Management) -> Facts:
    """Return what the policies of a queue come to. Of a classic queue the broker says at once only which one holds, and what that comes to in its
    statistics, up to five seconds later. The policy itself only some logins may read."""
    said = facts.get("effective_policy_definition")
    if not isinstance(said, dict) and facts.get("policy"):
        with suppress(Away):
            said = (management.queue(name) or {}).get("effective_policy_definition")
    return said if isinstance(said, dict) else {}


def _as_policies_say(name: str, facts: Facts, management: Management) -> Facts:
    """Return the facts of a broker before 4.2.5, which says what its policies come to only in its statistics, and those are seconds
    old: so this is what its policies say at this moment, and what any operator's policy that may hold as well says."""
    held = management.policy(facts["policy"]) if facts.get("policy") else {}
    if held is None:
        return facts
    definition = dict(held.get("definition") or {})
    limits = [limit for policy in management.operator_policies() if may_hold(policy, name)
              if isinstance(limit := (policy.get("definition") or {}).get("delivery-limit"), int) and limit >= 0]
    if limits:
        definition["delivery-limit"] = min(limits)
    return facts | {"effective_policy_definition": definition}


def may_hold(policy: Facts, name: str) -> bool:
    """Whether a policy may hold for a name, as far as its pattern goes."""
    try:
        return re.search(str(policy.get("pattern")), name) is not None
    except re.error:
        return True  # Erlang may read it


def _definition(facts: Facts, management: Management) -> Facts | None:
    """Return what the policy of a queue defines; only one policy holds at a time."""
    name = facts.get("policy")
    if not name:
        return None
    try:
        policy = management.policy(name)
    except Away:
        policy = None
    # without the permission to read policies: what holds for the queue, operator's policies included
    return dict((policy or {}).get("definition") or facts.get("effective_policy_definition") or {})


def limit_of(facts: Facts, version: tuple[int, ...]) -> int | None:
    """Return the delivery limit of a quorum queue; None where that is not certain."""
    said: list[int] = []
    current = facts.get("delivery_limit")
    if current == "unlimited" or isinstance(current, int):
        said.append(UNLIMITED if isinstance(current, str) else current)
    settings = facts.get("effective_policy_definition")
    if settings is not None:
        given = [limit for limit in ((facts.get("arguments") or {}).get("x-delivery-limit"), settings.get("delivery-limit")) if isinstance(limit, int)]
        # of two the lower one, but a number beats `unlimited` (rabbit_quorum_queue: resolve_delivery_limit)
        said.append(min((limit for limit in given if limit >= 0), default=UNLIMITED) if given
                    else _DEFAULT_LIMIT if version >= _LIMITS_BY_DEFAULT else UNLIMITED)
    # where the two differ, one of them is old: the statistics of brokers before 4.2.5 are
    return min((limit for limit in said if limit >= 0), default=UNLIMITED) if said else None


def rescue_of(facts: Facts) -> str:
    """Return the queue to which a policy of a run takes what is returned too often, as `rescuing.py` sets it; empty where none does."""
    settings = facts.get("effective_policy_definition") or {}
    rescue = settings.get("dead-letter-routing-key")
    ours = str(facts.get("policy") or "").startswith(LIFTS) and isinstance(rescue, str) and rescue.startswith(LIFTS)
    return str(rescue) if ours and settings.items() >= {**RESCUING, "dead-letter-routing-key": rescue}.items() else ""


def require_survivable(conditions: Conditions, doing: str) -> None:
    """Raise Unsupported, with the reason and what would make it safe, where `doing` could cost a letter; Failed where its letters cannot be
    reached, and it would seem to have none."""
    queue = conditions.name
    if conditions.down:
        raise Failed(f"The node that answers for {queue} is away: what lies in it is not known.", hint="wait until it is back, or another one leads the queue;"
                     " brokercli doctor says which nodes run")
    if conditions.queue.type is None:
        raise Unsupported(f"{doing} could delete letters: of what type {queue} is cannot be found out with this login ({conditions.unknown}).",
                          hint="a login that may configure the queue, or the management API, tells")
    _require_staying(conditions, doing)
    if conditions.survivable:
        return
    if conditions.borrowed:
        raise Unsupported(f"{doing} could delete letters: the delivery limit of {queue} is lifted only as long as another run of brokercli lasts.",
                          hint="--lift-limit lifts it for this run as well")
    if conditions.limit is None:
        raise Unsupported(f"{doing} could delete letters: {queue} is a quorum queue, and its delivery limit cannot be found out ({conditions.unknown}).",
                          hint="with the management API it can be found out; a classic queue or a stream of dead letters needs no such care")
    if conditions.version >= _NACK_IS_FREE:
        why = "it deletes a letter that died by a delivery limit at its first return, and all it holds after that many broken connections"
    else:
        why = "each return counts"
    raise Unsupported(f"{doing} could delete letters: {queue} is a quorum queue with a delivery limit of {conditions.limit}, and {why}.",
                      hint=ways_out(conditions))


def _require_staying(conditions: Conditions, doing: str) -> None:
    """Raise Unsupported for a queue that would be gone with every letter once `doing` ends, or may be."""
    queue = conditions.name
    if conditions.queue.type != "classic" or conditions.auto_delete is False:
        return
    if conditions.auto_delete is None:
        raise Unsupported(f"{doing} could delete {queue} with every letter: whether it is an auto-delete queue, which goes with its last consumer,"
                          f" cannot be found out with this login ({conditions.unknown or 'the broker does not say'}).",
                          hint="a login that may configure the queue, or the management API, tells")
    raise Unsupported(f"{doing} would delete {queue} with every letter: it is an auto-delete queue, which RabbitMQ deletes when its last consumer goes.",
                      hint="without a consumer its letters are read by rabbitmqadmin get, or by Get messages of the management page; let letters go to a queue"
                           " that is declared without auto_delete")


def ways_out(conditions: Conditions, *, by_hand: bool = False) -> str:
    """Say what makes it safe; `by_hand`: by somebody else than brokercli."""
    if conditions.argued:
        instead = "let its letters go to a classic queue or a stream instead, or move them there with a shovel"
        argument = f"the limit is the argument x-delivery-limit of {conditions.name}, which no policy raises"
        return f"{argument}: {instead}" if by_hand else f"--lift-limit has what goes over it kept in another queue until it is done; {argument}: or {instead}"
    if conditions.operated:
        return OPERATORS
    words = policy_words(conditions, (conditions.policy or {}) | LIFTED)
    if by_hand:
        return f"have it lifted first, then type the same again: {words}"
    return f"--lift-limit lifts the limit by a policy of its own until it is done; or lift it first, for good: {words}"


def policy_words(conditions: Conditions, definition: dict[str, Any]) -> str:
    """Return the command that gives one quorum queue a policy of its own."""
    name = conditions.name
    where = () if conditions.virtual_host == "/" else ("--vhost", conditions.virtual_host)
    words = ("rabbitmqctl", "set_policy", *where, "--priority", str(_ABOVE_ANY), "--apply-to", "quorum_queues", f"unlimited-{name}", f"^{re.escape(name)}$",
             orjson.dumps(definition).decode())
    return " ".join(shlex.quote(word) for word in words)


def require_fit(conditions: Conditions, doing: str) -> None:
    """Raise where the way a queue hands out its messages makes `doing` impossible or harmful."""
    if conditions.single_active:
        raise Unsupported(f"{doing} would take the place of {conditions.name}'s single active consumer, or wait behind it.",
                          hint="let its letters go to a queue without x-single-active-consumer")
    if conditions.hides_returned:
        raise Unsupported(f"{doing} would hide letters: {conditions.name} holds returned messages back (x-delayed-retry-type: {conditions.delayed_retry}).",
                          hint="let its letters go to a queue without delayed retry")
    if conditions.federated:
        raise Unsupported(f"{doing} would bring letters here from another broker: {conditions.name} is federated, and RabbitMQ brings what its upstream has"
                          " as soon as somebody consumes it, which a look does.",
                          hint="without a consumer its letters are read by rabbitmqadmin get; dlq redrive, drop and park with --yes take them, and say what"
                               " comes meanwhile")


def refuse_work(queue: str, consumers: int, why: str) -> Failed:
    """Return what to raise for a queue that is worked on and is not known to hold letters."""
    return Failed(f"{queue} has {amount(consumers, 'consumer')}, and {why}: its messages are work, and looking at them would take them away"
                  " from whoever is at it.", hint="brokercli dlq ls shows where letters lie; brokercli tail shows what comes")


def refuse_rescued(queue: str) -> None:
    """Raise Unsupported for a queue that keeps letters of another one: only there do they get back what RabbitMQ wrote over."""
    if queue.startswith(LIFTS):
        raise Unsupported(f"{queue} keeps letters of another queue, for a run of brokercli on that one.",
                          hint="the next run there puts them back: brokercli dlq inspect QUEUE --lift-limit; x-death says which queue it is")


def version_of(server: dict[str, Any]) -> tuple[int, ...]:
    """Return the broker's version as numbers; (0,) where it says none."""
    found = re.match(r"\d+(\.\d+)*", str(server.get("version", "")))
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)
