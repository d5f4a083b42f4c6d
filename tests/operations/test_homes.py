"""Messages for many homes at a time: none waits for another's verdicts, each home's come in their order, and one that fails fails alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from brokercli.backends.contract import Backend, Publisher, PublishPolicy
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, Failed, LocalIO, NotAuthorised, NotFound, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.homes import Homes

A, B, C = (Address(name, "queue") for name in "abc")


class Home(Publisher):
    """Confirms what `answer` says of a body, once `finish` or a later `collect` asks; writes down what happens in a log shared by all."""

    def __init__(self, name: str, log: list[str], answer: Callable[[str], Verdict | None] = lambda body: Verdict.CONFIRMED) -> None:
        self.name, self.log, self.answer = name, log, answer
        self.withheld = {}
        self.taken: list[tuple[str, str | None]] = []
        self.waiting: dict[int, str] = {}
        self.failure: BrokercliError | None = None
        self.may_not: NotAuthorised | None = None
        self.nameless = False

    @property
    def denied(self) -> NotAuthorised | None:
        return self.may_not

    def send(self, messages: Sequence[Message]) -> int:
        if self.failure is not None:
            return 0
        for message in messages:
            self.waiting[len(self.taken)] = (message.body or b"").decode()
            self.taken.append((self.waiting[len(self.taken)], message.route))
        self.log.append(f"{self.name} takes {len(messages)}")
        return len(messages)

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        raise NotImplementedError

    def _judge(self) -> Receipts:
        receipts = Receipts()
        for number, body in list(self.waiting.items()):
            if (verdict := self.answer(body)) is not None:
                del self.waiting[number]
                receipts.count(Receipt(-1 if self.nameless and verdict is not Verdict.CONFIRMED else number, verdict, reason="so it is"))
        return receipts

    def collect(self, timeout: float) -> Receipts:
        receipts = self._judge()
        if not len(receipts) and self.failure is not None:
            raise self.failure
        self.log += [f"{self.name} judges {len(receipts)}"] if len(receipts) else []
        return receipts

    def finish(self, timeout: float) -> Receipts:
        receipts = self._judge()
        for number in self.waiting:
            receipts.count(Receipt(number, Verdict.UNKNOWN, reason="no answer"))
        self.waiting.clear()
        return receipts

    @property
    def in_flight(self) -> int:
        return len(self.waiting)

    def close(self) -> None: ...


class Broker(Backend):
    """Has a publisher for each home, or what asking for it raises; `exchange:NAME/ROUTE` is reached by way of `exchange:NAME`."""

    gone = False

    def __init__(self, homes: dict[str, Home | BrokercliError]) -> None:
        self.homes = homes
        self.asked = 0

    def resolve(self, address: Address, purpose: str) -> Address:  # type: ignore[override]
        return address

    def by_way_of(self, destination: Address) -> tuple[Address, str | None]:
        return (Address(destination.name, "exchange"), destination.route) if destination.route else (destination, None)

    def require_answer(self) -> None:
        self.asked += 1
        if self.gone:
            raise Unreachable("no answer")

    def publisher(self, destination: Any, policy: PublishPolicy) -> Publisher:  # type: ignore[override]
        found = self.homes[destination.name]
        if isinstance(found, BrokercliError):
            raise found
        return found


Broker.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # nothing else is asked for


@dataclass
class Ground:
    """Some homes, what happened at them, and which messages were told as confirmed, call by call."""

    timeout: float = 5.0
    log: list[str] = field(default_factory=list)
    told: list[list[int]] = field(default_factory=list)
    homes: Homes = field(init=False)
    broker: Broker = field(init=False)

    def with_homes(self, **homes: Home | BrokercliError) -> Ground:
        self.broker = Broker(homes)
        self.homes = Homes(self.broker, PublishPolicy(delivery_timeout=self.timeout), self.tell)
        return self

    def tell(self, indices: Iterable[int]) -> None:
        self.told.append(sorted(indices))
        self.log.append("told")

    def put(self, *letters: tuple[str, Address]) -> Receipts:
        return self.homes.put([Message(body.encode()) for body, _ in letters], [destination for _, destination in letters])


@pytest.fixture
def ground() -> Ground:
    return Ground()


def counts(receipts: Receipts) -> tuple[int, int, int]:
    return receipts.confirmed, receipts.refused, receipts.unknown


def test_where_homes_alternate_all_is_on_its_way_before_any_verdict_is_waited_for(ground: Ground) -> None:
    a, b = Home("a", ground.log), Home("b", ground.log)
    # neither confirms anything until both were given everything
    a.answer = b.answer = lambda body: Verdict.CONFIRMED if len(a.taken) == len(b.taken) == 3 else None
    assert counts(ground.with_homes(a=a, b=b).put(("1", A), ("2", B), ("3", A), ("4", B), ("5", A), ("6", B))) == (6, 0, 0)
    assert [body for body, _ in a.taken] == ["1", "3", "5"]
    assert [body for body, _ in b.taken] == ["2", "4", "6"]
    # one entry for all of it
    assert ground.told == [[0, 1, 2, 3, 4, 5]]


def test_each_verdict_is_of_its_message_whatever_home_it_went_to(ground: Ground) -> None:
    refuses = lambda body: Verdict.REFUSED if body in "2 3" else Verdict.CONFIRMED  # noqa: E731
    ground.with_homes(a=Home("a", ground.log, refuses), b=Home("b", ground.log, refuses))
    for _ in range(2):
        receipts = ground.put(("1", A), ("2", B), ("3", A), ("4", B))
        assert counts(receipts) == (2, 2, 0)
        assert sorted(receipt.index for receipt in receipts.problems) == [1, 2]
    assert ground.told == [[0, 3], [0, 3]]


def test_destinations_that_are_reached_by_one_way_keep_their_order_among_each_other(ground: Ground) -> None:
    way = Home("x", ground.log)
    ground.with_homes(x=way)
    letters = [(str(number), Address("x", "exchange", "one" if number % 2 else "two")) for number in range(6)]
    assert counts(ground.put(*letters)) == (6, 0, 0)
    assert way.taken == [(str(number), "one" if number % 2 else "two") for number in range(6)]


def test_a_home_that_is_slow_keeps_nobody_from_being_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.homes._TOGETHER_SECONDS", 0.0)
    ground = Ground()
    ground.with_homes(a=Home("a", ground.log, lambda body: Verdict.CONFIRMED if ground.told else None), b=Home("b", ground.log))
    assert counts(ground.put(("1", A), ("2", B), ("3", A))) == (3, 0, 0)
    assert ground.told == [[1], [0, 2]]


def test_a_home_that_confirms_nothing_in_the_time_it_has_gets_no_more_and_the_others_do() -> None:
    ground = Ground(timeout=0.2)
    a = Home("a", ground.log, lambda body: None)
    ground.with_homes(a=a, b=Home("b", ground.log))
    assert counts(ground.put(("1", A), ("2", B))) == (1, 0, 1)
    receipts = ground.put(("3", A), ("4", B))
    assert counts(receipts) == (1, 1, 0)
    assert [(receipt.index, receipt.reason) for receipt in receipts.problems] == [(0, "queue:a takes nothing any more: it has confirmed nothing for 0.2 s")]
    assert [body for body, _ in a.taken] == ["1"]
    assert ground.homes.ended is None


def test_the_time_that_another_home_takes_to_be_opened_is_not_counted_as_a_homes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground(timeout=0.2)
    a = Home("a", ground.log, lambda body: Verdict.REFUSED if body == "1" else Verdict.CONFIRMED)
    ground.with_homes(a=a, b=Home("b", ground.log))
    open_one = ground.broker.publisher

    def slowly(destination: Any, policy: PublishPolicy) -> Publisher:
        time.sleep(0.3 if destination is B else 0)
        return open_one(destination, policy)

    monkeypatch.setattr(ground.broker, "publisher", slowly)
    assert counts(ground.put(("1", A), ("2", B))) == (1, 1, 0)
    assert counts(ground.put(("3", A), ("4", B))) == (2, 0, 0)


@pytest.mark.parametrize(("failure", "asked"), [(Failed("it was deleted meanwhile"), 0), (Unreachable("it confirms nothing"), 1)])
def test_a_home_that_fails_fails_alone(ground: Ground, failure: BrokercliError, asked: int) -> None:
    a = Home("a", ground.log, lambda body: None)
    ground.with_homes(a=a, b=Home("b", ground.log))
    a.failure = failure
    receipts = ground.put(("1", A), ("2", B), ("3", A))
    assert counts(receipts) == (1, 2, 0)
    assert {receipt.reason for receipt in receipts.problems} == {str(failure)}
    a.failure = None
    receipts = ground.put(("4", A), ("5", B))
    assert (counts(receipts), receipts.problems[0].reason) == ((1, 1, 0), f"queue:a takes nothing any more: {failure}")
    assert (a.taken, ground.told, ground.broker.asked) == ([], [[], [1], [1]], asked)
    assert (ground.homes.failure, ground.homes.ended) == (failure, None)


def test_what_was_on_its_way_to_a_home_that_fails_is_in_doubt_and_what_was_not_is_refused(ground: Ground) -> None:
    a = Home("a", ground.log, lambda body: None)
    ground.with_homes(a=a, b=Home("b", ground.log))
    send = a.send

    def some(messages: Sequence[Message]) -> int:
        taken = send(messages[:2])
        a.failure = Failed("it was deleted meanwhile")
        return taken

    a.send = some  # type: ignore[method-assign]
    receipts = ground.put(("1", A), ("2", A), ("3", A), ("4", B))
    assert counts(receipts) == (1, 1, 2)
    assert sorted((receipt.index, receipt.verdict) for receipt in receipts.problems) == [(0, "unknown"), (1, "unknown"), (2, "refused")]


def test_where_the_broker_is_gone_nothing_more_is_tried(ground: Ground) -> None:
    b = Home("b", ground.log)
    ground.with_homes(a=Unreachable("nobody answers"), b=b)
    ground.broker.gone = True
    assert counts(ground.put(("1", A), ("2", B))) == (0, 2, 0)
    assert (str(ground.homes.ended), str(ground.homes.failure), b.taken) == ("nobody answers", "nobody answers", [])


def test_that_there_is_no_such_home_is_no_failure_of_the_run(ground: Ground) -> None:
    ground.with_homes(a=NotFound("there is no queue a"), b=Home("b", ground.log))
    assert counts(ground.put(("1", A), ("2", B))) == (1, 1, 0)
    assert (ground.homes.failure, ground.broker.asked) == (None, 0)


def test_what_this_login_may_not_is_told_although_others_go(ground: Ground) -> None:
    a = Home("a", ground.log, lambda body: Verdict.REFUSED if body == "1" else Verdict.CONFIRMED)
    a.may_not = NotAuthorised("not permitted to publish to one of them")
    ground.with_homes(a=a)
    assert counts(ground.put(("1", A), ("2", A))) == (1, 1, 0)
    assert ground.homes.failure is a.may_not
    assert counts(ground.put(("1", A), ("2", A))) == (1, 1, 0)


def test_where_a_verdict_is_nobodys_nothing_that_went_that_way_is_told_as_confirmed(ground: Ground) -> None:
    a = Home("a", ground.log, lambda body: Verdict.UNKNOWN if body == "1" else Verdict.CONFIRMED)
    a.nameless = True
    ground.with_homes(a=a, b=Home("b", ground.log))
    assert counts(ground.put(("1", A), ("2", A), ("3", B))) == (2, 0, 1)
    assert ground.told == [[2]]


def test_what_cannot_be_written_down_ends_the_call_and_is_known_as_not_told(ground: Ground) -> None:
    ground.with_homes(a=Home("a", ground.log), b=Home("b", ground.log))

    def full(indices: Iterable[int]) -> None:
        raise LocalIO("the disk is full")

    ground.homes.on_judged = full
    with pytest.raises(LocalIO):
        ground.put(("1", A), ("2", B))
    assert sorted(ground.homes.confirmed_so_far()) == [0, 1]
    assert list(ground.homes.confirmed_so_far()) == []


def test_what_was_told_is_not_told_again_in_part_where_a_second_signal_comes_while_it_is_counted(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Receipts):
        def add(self, other: Receipts) -> None:
            raise Stop

    class Stop(BaseException):
        pass

    monkeypatch.setattr("brokercli.operations.homes.Receipts", Stopped)
    ground.with_homes(a=Home("a", ground.log), b=Home("b", ground.log))
    with pytest.raises(Stop):
        ground.put(("1", A), ("2", B), ("3", A))
    assert ground.told == [[0, 1, 2]]
    # in the journal a line for some of a range stands in place of the one for all of it
    assert list(ground.homes.confirmed_so_far()) == []


def test_with_more_ways_than_may_be_open_those_that_are_open_go_first(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.operations.homes.OPEN_WAYS", 2)
    ground.with_homes(a=Home("a", ground.log), b=Home("b", ground.log), c=Home("c", ground.log))
    assert counts(ground.put(("1", A), ("2", B), ("3", C), ("4", A))) == (4, 0, 0)
    ground.log.clear()
    assert counts(ground.put(("1", A), ("2", B), ("3", C))) == (3, 0, 0)
    assert [line for line in ground.log if "takes" in line] == ["c takes 1", "a takes 1", "b takes 1"]
