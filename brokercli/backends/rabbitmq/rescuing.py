"""Keeping letters where the delivery limit of their queue cannot be lifted, because it is the queue's own argument.

A policy gives the queue a dead-letter exchange meanwhile: what is returned more often than the limit allows then goes to a queue
without a limit instead of being deleted, at least once, so that it lies in one of the two at every moment (verified on 4.0.5 and
4.3.6, also with the broker killed).

At the end, and by the next run where this one was killed, it is put back and policy and queue are taken away, in this order: the
queue is emptied, then nothing leads into it any more, then it is deleted. Until it is, the policy stays and tells of it, at last over
the queue itself; so nothing that is left behind goes unnoticed.
"""

from __future__ import annotations

import re
from time import monotonic, sleep

from brokercli.backends.dead_letters import Lift
from brokercli.backends.rabbitmq.lifting import LimitLift
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.backends.rabbitmq.rescue_queue import Emptied, RescueQueue, rescue_name
from brokercli.backends.rabbitmq.survivable import LIFTED, LIFTS, RESCUING, Conditions, may_hold
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, Failed

_LEADS_THERE = "dead-letter-routing-key"
_LENGTHS = ("max-length", "max-length-bytes")
_FROM = (4, 0)
_ON_THE_WAY_SECONDS = 12.0
FRESH_SECONDS = 7.0
"""After how long the broker's counts are certainly younger than the end of a run that was killed: they are up to five seconds old
(quorum_tick_interval), and a broker that was started again took one second until it had given back what that run held."""
LASTING_SECONDS = 2.0
"""How old a queue is to be before letters may come to it: of quorum queues that were declared less than half a second before, 4.0.5 and
4.3.6 lost all content when they were killed, confirmed messages too."""
_LOOK_AGAIN = 0.25


class RescuingLift(LimitLift):
    """What goes over the limit is kept from when this is made until it is closed."""

    def __init__(self, link: Link, management: Management, conditions: Conditions, user: str | None) -> None:
        """`user` is the login. What runs left behind that were killed is put back before this returns. Raises as LimitLift."""
        self._user = user
        self._emptied = Emptied()
        self._taken_over: list[str] = []
        self._began = monotonic()
        super().__init__(link, management, conditions)

    def _lift(self) -> None:
        self._rescue = self._queue_of(self._name)
        policy = self._conditions.policy or {}
        if self._conditions.borrowed:
            policy = {setting: value for setting, value in policy.items() if setting not in ("dead-letter-exchange", "dead-letter-strategy", _LEADS_THERE)}
        try:
            why_not = _hindrance(self._conditions, policy, self._management)
        except Away as problem:
            raise self._cannot(f"{problem}; {problem.hint}") from None
        if why_not:
            raise self._cannot(why_not)
        self._definition = policy | RESCUING | {_LEADS_THERE: self._rescue.name}
        super()._lift()

    def _prepare(self) -> None:
        try:
            self._rescue.declare()
        except BrokercliError as problem:
            raise self._cannot(f"the queue {self._rescue.name}, which would keep the letters, cannot be used ({str(problem).rstrip('.')})") from None
        lasting_from = monotonic() + LASTING_SECONDS
        super()._prepare()
        for name in self._left:
            self._emptied.add(self._queue_of(name).empty())
        sleep(max(0.0, lasting_from - monotonic()))

    def _kept_at(self, limit: int) -> str:
        return "an operator's policy keeps the letters that go over it from being kept"

    def _announced(self) -> str:
        back = amount(self._emptied.back, "letter that earlier runs had there is", "letters that earlier runs had there are")
        left = f"; {back} back in it" if self._emptied.back else ""
        slow = f"; because a run before was killed or left in doubt, this one lasts {FRESH_SECONDS:g} s at least" if self._killed else ""
        return (f"what is returned to {self._conditions.name} more often than its delivery limit{self._was} allows is kept in the queue {self._rescue.name}"
                f" meanwhile, by the policy {self._name}{left}{slow}")

    def _stays(self) -> str:
        return (f"what is returned to {self._conditions.name} more often than its delivery limit{self._was} allows is still kept in the queue"
                f" {self._rescue.name}, by the policy {self._name}")

    def _undone(self) -> str:
        self._await_none_on_the_way()
        # one that was nearly gone may hold letters of another queue: that queue's next run takes it away
        self._left = {name: pattern for name, pattern in self._left.items() if not self._emptied_of(self._queue_of(name)).foreign}
        for name in (*self._left, self._name):
            queue = self._queue_of(name)
            self._emptied_of(queue)
            self._remove(queue, name)
        went = self._emptied.back
        over = f"{amount(went, 'letter')} went over" if went else "no letter went over"
        back = f", and {'were' if went > 1 else 'was'} put back at the end of the queue" if went else ""
        gone = amount(self._emptied.ended, "letter that expired or was rejected meanwhile is gone, as it would have been",
                      "letters that expired or were rejected meanwhile are gone, as they would have been")
        ended = f"; {gone}" if self._emptied.ended else ""
        return (f"{over} the delivery limit{self._was} of {self._conditions.name}{back}; the policy and the queue that keep such letters are gone"
                f"{self._cleared()}{ended}{self._wear()}")

    def _emptied_of(self, queue: RescueQueue) -> Emptied:
        emptied = queue.empty()
        self._emptied.add(emptied)
        if emptied.kept:
            raise Failed(f"{amount(queue.count() or 0, 'letter')} could not be put back out of {queue.name}: {emptied.kept[0]}")
        return emptied

    def _remove(self, queue: RescueQueue, policy: str) -> None:
        """Take away a queue that was emptied, and then its policy."""
        if queue.count() is not None:
            self._management.put_policy(policy, f"^{re.escape(queue.name)}$", "quorum_queues", 0, LIFTED)
            # what was on its way when nothing led there any more
            self._emptied_of(queue)
            queue.remove()
        self._management.delete_policy(policy)

    def _take_back(self) -> None:
        self._remove(self._rescue, self._name)

    def _await_none_on_the_way(self) -> None:
        """Wait until the queue of letters holds none that it has yet to hand over: they would be deleted with the policy. Of ours that
        is known when all are back; how many a run held that was killed only the broker's counts say, and those are not of this moment."""
        certain_from = self._began + FRESH_SECONDS if self._killed else 0.0
        deadline = max(monotonic(), certain_from) + _ON_THE_WAY_SECONDS
        while (waiting := self._on_the_way()) > 0 or monotonic() < certain_from:
            if monotonic() >= deadline:
                raise Failed(f"{amount(waiting, 'letter is', 'letters are')} on the way to the queue that keeps them")
            sleep(_LOOK_AGAIN)

    @property
    def _killed(self) -> bool:
        """Whether a run on this queue was killed, or left off in doubt, so that letters may be on their way for it."""
        return self._pattern in self._left.values()

    def _on_the_way(self) -> int:
        facts = self._management.queue_now(self._conditions.name) or {}
        counts = [facts.get(count) for count in ("messages", "messages_ready", "messages_unacknowledged")]
        everything, ready, held = [count if isinstance(count, int) else 0 for count in counts]
        # what nobody is there to hold is held for a run that was killed, and on its way as well
        return everything - ready - (held if self._conditions.queue.consumers or not self._killed else 0)

    def _stands_above(self, policy: Facts) -> bool:
        # where a policy of another run holds, what we return goes to its queue
        return True

    def _of_this_queue(self, policy: Facts) -> bool:
        name = str(policy.get("name", ""))
        return super()._of_this_queue(policy) or (name.startswith(LIFTS) and policy.get("pattern") == f"^{re.escape(rescue_name(name))}$")

    def _ended(self, name: str) -> bool:
        """Take over from a run that is gone. Only one can: whoever deletes a queue must know that nobody else has its letters in hand."""
        try:
            self._mark(name)
        except BrokercliError:
            return False
        self._taken_over.append(name)
        return True

    def _let_go(self) -> None:
        super()._let_go()
        while self._taken_over:
            self._unmark(self._taken_over.pop())

    def _queue_of(self, policy: str) -> RescueQueue:
        return RescueQueue(self._link, rescue_name(policy), self._conditions.name, self._user)


def lift_limit(link: Link, management: Management, conditions: Conditions, user: str | None) -> Lift:
    """Lift the limit of a queue that has one, or keep what goes over it; nothing is done where none is needed. Raises Unsupported where
    neither can be done."""
    if conditions.survivable or conditions.queue.type != "quorum":
        return Lift()
    if conditions.down or (conditions.limit is None and not conditions.borrowed):
        # nothing that a policy could be put above; taking letters then says why it is refused
        return Lift()
    # a policy that keeps letters is followed up, also where the queue was made anew without the argument meanwhile
    keeps = conditions.borrowed and _LEADS_THERE in (conditions.policy or {})
    return RescuingLift(link, management, conditions, user) if conditions.argued or keeps else LimitLift(link, management, conditions)


def _hindrance(conditions: Conditions, policy: Facts, management: Management) -> str:
    """Say what keeps letters from being kept for certain; `policy` is what the one in force defines, without ours. Raises Away."""
    if conditions.version < _FROM:
        return "what goes over it is kept from RabbitMQ 4.0 on"
    if conditions.delayed_retry not in (None, "disabled"):
        return f"it holds returned messages back (x-delayed-retry-type: {conditions.delayed_retry})"
    arguments = (conditions.facts or {}).get("arguments") or {}
    for setting in ("dead-letter-exchange", _LEADS_THERE):
        for place, value in (("argument", arguments.get(f"x-{setting}")), ("policy", policy.get(setting))):
            if value is not None:
                return f"what goes over it goes where the queue's own {setting} leads, which is set by {place} ({value or 'the default exchange'})"
    for setting in ("dead-letter-strategy", "overflow"):
        said = arguments.get(f"x-{setting}", RESCUING[setting])
        if said != RESCUING[setting]:
            return f"its argument x-{setting} is {said}, and what goes over it is certainly kept only with {RESCUING[setting]}"
    operators = [policy.get("definition") or {} for policy in management.operator_policies() if may_hold(policy, conditions.name)]
    if any(setting in operator for operator in operators for setting in (*RESCUING, _LEADS_THERE)):
        return "an operator's policy says where its dead letters go, or what it does when it is full"
    limited = any(f"x-{setting}" in arguments or setting in definition for definition in (policy, *operators) for setting in _LENGTHS)
    if limited and RESCUING["overflow"] not in (arguments.get("x-overflow"), policy.get("overflow")):
        return "its length is limited, and while what goes over it is kept, letters would be refused that now take the place of the oldest"
    return ""
