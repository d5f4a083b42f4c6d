"""Lifting the delivery limit of a quorum queue for as long as its letters are being taken, by a policy of our own.

A policy holds at once and for the letters that lie there already, and taking it away deletes nothing by itself (verified on
4.0.5 and 4.3.6). Only one policy holds for a queue at a time, so ours takes over what the one before defines, and stands above
it. Each run has a policy of its own: of two runs at once each may take its own away, and the limit stays lifted for the other.
Whether a policy of ours belongs to a run that is still there is told by an exclusive queue of the same name, which the broker
deletes with the connection that holds the letters. One that was left by a run that was killed is taken away by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic, sleep
from uuid import uuid4

from brokercli.backends.dead_letters import Lift
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.backends.rabbitmq.survivable import LIFTED, LIFTS, OPERATORS, Conditions, read_conditions, ways_out
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound, Unsupported

_PATIENCE = 10.0
_LOOK_AGAIN = 0.1
_ABOVE_ANY = 1000
_NACK_IS_FREE = (4, 3)


class LimitLift(Lift):
    """The limit is lifted from when this is made until it is closed."""

    def __init__(self, link: Link, management: Management, conditions: Conditions) -> None:
        """`link` is the connection that the letters are going to be held by. Raises Unsupported, with everything as it was, where
        the limit cannot be lifted."""
        self._link = link
        self._management = management
        self._conditions = conditions
        self._name = f"{LIFTS}{uuid4().hex[:16]}"
        self._definition: Facts = (conditions.policy or {}) | LIFTED
        self._left: dict[str, str] = {}
        """Policies left by runs that are gone, and their patterns."""
        self._in_doubt = ""
        self._taking = 0
        """How many look at letters, or put them back, and have not said that all are back."""
        self._closed = False
        self._after = ""
        self._was = "" if conditions.limit is None or conditions.limit < 0 else f" of {conditions.limit}"
        self._hold_on()
        try:
            self._lift()
        except BaseException:
            self._let_go()
            raise
        self.before = self._announced()

    def _announced(self) -> str:
        return (f"the delivery limit{self._was} of {self._conditions.name}, by which letters could be deleted when they are returned, is lifted meanwhile by"
                f" the policy {self._name}")

    @property
    def after(self) -> str:
        return self._after

    @property
    def open(self) -> bool:
        """Whether it has not been closed."""
        return not self._closed

    def taking(self) -> Callable[[], None]:
        """Note that letters are going to be taken, and return what says that all are certainly back. Where that is not called before
        this is closed, whatever came between, the policy stays."""
        self._taking += 1
        return self._all_back

    def _all_back(self) -> None:
        self._taking -= 1

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._end()
        except BaseException:
            self._after = f"{self._stays()}, unless that was gone when this was interrupted; the next run takes it away"
            raise

    def _end(self) -> None:
        if self._taking:
            self._in_doubt = "the broker has not said that all letters are back"
        elif not self._held_on():
            self._in_doubt = "the connection was lost meanwhile"
        if self._in_doubt:
            self._after = f"{self._stays()}, because {self._in_doubt} and letters may still be on their way back; the next run takes it away"
            return
        try:
            self._after = self._undone()
        except (Away, BrokercliError) as problem:
            self._after = f"{self._stays()}, which could not be taken away ({str(problem).rstrip('.')}); the next run does it"
        finally:
            self._let_go()

    def _stays(self) -> str:
        return f"the delivery limit of {self._conditions.name} stays lifted by the policy {self._name}"

    def _undone(self) -> str:
        """Take everything away, and say so."""
        for left in self._left:
            self._management.delete_policy(left)
        self._management.delete_policy(self._name)
        return (f"the delivery limit{self._was} of {self._conditions.name} was lifted meanwhile; the policy that did it is gone"
                f"{self._cleared()}{self._wear()}")

    def _cleared(self) -> str:
        return f", and {len(self._left)} left by runs that were killed" if self._left else ""

    def _wear(self) -> str:
        return "" if self._conditions.version >= _NACK_IS_FREE else "; each letter that was returned is one return nearer to it"

    def _hold_on(self) -> None:
        try:
            self._mark(self._name)
        except NotAuthorised as problem:
            raise self._cannot(f"this login may not declare queues named {LIFTS}…, by which other runs see that this one is at work ({problem})") from None

    def _mark(self, name: str) -> None:
        self._link.ask("noting that a limit is lifted", lambda channel, answered: channel.queue_declare(
            name, exclusive=True, arguments={"x-queue-type": "classic"}, callback=answered))

    def _held_on(self) -> bool:
        """Whether the connection is the one it was when this began."""
        try:
            self._link.ask("asking whether a limit is still needed", lambda channel, answered: channel.queue_declare(
                self._name, passive=True, callback=answered))
        except BrokercliError:
            return False
        return True

    def _let_go(self) -> None:
        self._unmark(self._name)

    def _unmark(self, name: str) -> None:
        try:
            self._link.ask("letting go of a limit", lambda channel, answered: channel.queue_delete(name, callback=answered))
        except BrokercliError:
            return  # it is gone with its connection

    def _lift(self) -> None:
        try:
            policies = self._management.policies()
            self._left = {policy["name"]: policy["pattern"] for policy in policies if self._of_this_queue(policy) and self._ended(policy["name"])}
            above = max((policy.get("priority", 0) for policy in policies if self._stands_above(policy)), default=0)
            self._management.put_policy(self._name, self._pattern, "quorum_queues", max(_ABOVE_ANY, above + 1), self._definition)
        except (Away, BrokercliError) as problem:
            raise self._cannot(f"{str(problem).rstrip('.')}; {problem.hint}") from None
        try:
            self._prepare()
        except BrokercliError as problem:
            if not self._taken_back():
                problem.hint = f"{problem.hint}; the policy {self._name} may have stayed, and the next run takes it away"
            raise
        except BaseException:
            self._taken_back()
            raise

    def _prepare(self) -> None:
        """Do what is to be done once the policy is there."""
        self._await_lifted()

    def _stands_above(self, policy: Facts) -> bool:
        return not policy["name"].startswith(LIFTS)

    def _await_lifted(self) -> None:
        deadline = monotonic() + _PATIENCE
        while True:
            now = read_conditions(self._conditions.queue, self._management, self._conditions.version, self._conditions.virtual_host, lifted=True)
            if now.survivable:
                return
            if now.limit is not None and str((now.facts or {}).get("policy")).startswith(LIFTS):
                raise self._cannot(self._kept_at(now.limit), hint=OPERATORS)
            if monotonic() >= deadline:
                raise self._cannot(now.unknown or f"{_PATIENCE:g} s after a policy was set that should, it is still {now.limit}")
            sleep(_LOOK_AGAIN)

    def _kept_at(self, limit: int) -> str:
        return f"an operator's policy keeps it at {limit}"

    def _taken_back(self) -> bool:
        """Take the policy away again; False where it may be there still: it lifts a limit that is not needed, and the next run does it."""
        try:
            self._take_back()
        except (Away, BrokercliError):
            return False
        return True

    def _take_back(self) -> None:
        self._management.delete_policy(self._name)

    @property
    def _pattern(self) -> str:
        return f"^{re.escape(self._conditions.name)}$"

    def _of_this_queue(self, policy: Facts) -> bool:
        return str(policy.get("name", "")).startswith(LIFTS) and policy.get("pattern") == self._pattern

    def _ended(self, name: str) -> bool:
        """Whether the run that set a policy of ours is gone."""
        try:
            self._link.ask("asking for another run", lambda channel, answered: channel.queue_declare(name, passive=True, callback=answered))
        except NotFound:
            return True
        except BrokercliError:
            return False
        return False

    def _cannot(self, why: str, hint: str = "") -> Unsupported:
        return Unsupported(f"The delivery limit{self._was} of {self._conditions.name} cannot be lifted: {why}.",
                           hint=hint or ways_out(self._conditions, by_hand=True))
