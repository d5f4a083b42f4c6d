"""Some of the letters, two runs at once, and runs that are killed: nothing is put back twice, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from brokercli.backends.dead_letters import Goal, Move, RepairPolicy, State
from brokercli.backends.nats.bulk_parser import Delivery
from brokercli.backends.nats.questions import ATTEMPTS, Answers, Questions
from brokercli.backends.nats.removing import WORTH_A_PURGE, Remover
from brokercli.dialects.redrive_headers import OWN
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.decisions import Decision, Redrive
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.record_list import RecordList
from brokercli.operations.redriving import Redriving
from brokercli.operations.settlers import PuttingElsewhere
from brokercli.operations.settling import Settling
from tests.backends.nats_letters import dlq_of, failing, fill_dlq, in_stream, letters_of, numbers, read_all, redrive, wait_for
from tests.backends.nats_streams import Streams, stream, subject

# what is chosen


def test_some_letters_are_put_back_and_the_others_stay_where_they_are(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 200)
    wanted = frozenset(str(number + 1) for number in range(200) if number % 7 == 3)
    outcome, _ = redrive(streams.backend(), name, LetterFilter(ids=wanted))
    assert outcome.account.confirmed == len(wanted)
    assert in_stream(streams, home) == [b"%d" % number for number in range(200) if number % 7 == 3]
    assert in_stream(streams, name) == [b"%d" % number for number in range(200) if number % 7 != 3]


def test_those_put_back_first_are_purged_without_what_lies_between_or_behind_them(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 300)
    with streams.backend().repair(stream(name), RepairPolicy(batch=100)) as repair:
        batches = [read_all(repair, 100) for _ in range(3)]
        left = batches[1][40]
        for batch in batches:
            moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in batch if record is not left]
            fill_dlq(streams, home, 1)
            assert repair.settle(moves).confirmed == len(moves)
        assert repair.finished
    assert streams.state(home)["messages"] == 299
    assert in_stream(streams, name) == [left.message.body, b"0", b"0", b"0"]


@pytest.mark.parametrize(("refusing", "between"), [(True, False), (False, True), (True, True)])
def test_of_two_parts_on_their_way_at_once_a_refused_letter_and_what_is_no_letter_stay(streams: Streams, refusing: bool, between: bool) -> None:
    home = streams.make()
    low = home.lower()
    name = streams.make(subjects=[f"dlq.{low}.>", f"work.{low}"])
    fill_dlq(streams, home, 300)
    streams.fill(f"work.{low}", [b"work"] * between)
    fill_dlq(streams, home, 300)
    goal, nowhere = Goal(subject(f"{low}.a")), Goal(subject(f"nobody.{low}"))
    receipts, refused, begun = Receipts(), list[bytes](), list[Callable[[], Receipts]]()
    with streams.backend().repair(stream(name), RepairPolicy(batch=300)) as repair:
        while not repair.finished:
            batch = repair.read(20)
            if batch is None:
                continue
            goals = [goal] * len(batch)
            if refusing and not begun:
                goals[len(batch) // 2] = nowhere
                refused.append(batch.bodies()[len(batch) // 2])
            begun.append(repair.forward(batch, goals, [record.message.headers for record in batch.records()]))
            if len(begun) > 1:
                receipts.add(begun[-2]())
        receipts.add(begun[-1]())
    assert len(begun) > 1
    assert (receipts.confirmed, [problem.verdict for problem in receipts.problems]) == (600 - refusing, [Verdict.REFUSED] * refusing)
    assert in_stream(streams, home) == [body for body in numbers(300) if body not in refused] + numbers(300)
    assert in_stream(streams, name) == [*refused, *[b"work"] * between]


def test_a_dropped_letter_is_gone_and_nothing_is_put_back(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 40)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        records = read_all(repair)
        assert repair.mark(records[:35], State.DROPPED).confirmed == 35
    assert in_stream(streams, name) == numbers(40)[35:]
    assert streams.state(home)["messages"] == 0


def test_letters_that_came_since_are_counted(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 5)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        assert repair.arrived() == 0
        repair.mark(read_all(repair), State.DROPPED)
        fill_dlq(streams, home, 3)
        wait_for(lambda: repair.arrived() == 3)


@pytest.mark.parametrize("others", [False, True], ids=["letters only", "among messages that are none"])
def test_letters_that_came_since_can_be_looked_at_and_no_other_message(streams: Streams, others: bool) -> None:
    home = streams.make()
    low = home.lower()
    name = streams.make(subjects=[f"dlq.{low}.>", *[f"work.{low}"] * others])
    fill_dlq(streams, home, 5)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        new = repair.newcomers()
        assert new is not None
        streams.fill(f"work.{low}", [b"work"] * others)
        fill_dlq(streams, home, 2)
        repair.mark(read_all(repair), State.DROPPED)
        fill_dlq(streams, home, 1)
        came: list[bytes] = []
        wait_for(lambda: bool(came.extend((new.read(1.0) or RecordList([])).bodies()) or len(came) == 3))
        assert came == [b"0", b"1", b"0"]
        assert repair.newcomers() is new
    assert in_stream(streams, name) == [b"work"] * others + [b"0", b"1", b"0"]


def test_deaths_that_nobody_records_can_be_counted_only(streams: Streams, nats_address: str) -> None:
    name = failing(streams, nats_address, "workqueue")
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        assert repair.arrived() == 0
        assert repair.newcomers() is None


@pytest.mark.parametrize("back", [False, True], ids=["others", "the same again"])
def test_only_letters_that_come_back_stop_a_run(streams: Streams, back: bool) -> None:
    home = streams.make()
    low, backend = home.lower(), streams.backend()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 300)
    with backend.repair(stream(name), RepairPolicy(batch=50)) as repair:
        def die(receipts: Receipts) -> None:
            again = b"".join(b"%b: %b\r\n" % (key.encode(), value) for key, value in letters_of(backend, home)[-1].message.headers if key in OWN)
            streams.fill(f"dlq.{low}.a", [b"another"] * 50, b"NATS/1.0\r\n%b\r\n" % (again if back else b"X-Original-Subject: %b.a\r\n" % low.encode()))
        outcome = Redriving(repair, Recogniser(backend), Redrive(None, 3, None, stream(name)), LetterFilter(), on_receipts=die).run()
    assert (outcome.error is not None) is back, outcome.error
    assert outcome.account.confirmed == 300 or (back and outcome.account.confirmed <= 150)


# twice


def test_a_letter_that_was_put_back_before_is_only_taken_out(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 50)
    first, second = streams.backend(), streams.backend()
    with first.repair(stream(name), RepairPolicy()) as one, second.repair(stream(name), RepairPolicy()) as other:
        read = [[Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(repair)] for repair in (one, other)]
        assert one.settle(read[0][:20]).duplicates == 0
        receipts = other.settle(read[1])
        assert (receipts.confirmed, receipts.duplicates, receipts.unknown) == (50, 20, 0)
        receipts = one.settle(read[0][20:])
        assert (receipts.confirmed, receipts.duplicates) == (30, 30)
    assert in_stream(streams, home) == numbers(50)
    assert streams.state(name)["messages"] == 0


@pytest.mark.parametrize("count", [20, 500])
def test_a_letter_that_somebody_else_takes_out_meanwhile_is_dropped_as_one_that_was_gone(streams: Streams, count: int) -> None:
    """Few are deleted one by one, many are purged at once."""
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, count)
    first, second = streams.backend(), streams.backend()
    with first.repair(stream(name), RepairPolicy()) as dropping, second.repair(stream(name), RepairPolicy()) as other:
        records = read_all(dropping)
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(other)]
        assert other.settle(moves[:count // 2]).duplicates == 0
        receipts = dropping.mark(records, State.DROPPED)
        assert (receipts.confirmed, receipts.duplicates, receipts.unknown) == (count, count // 2, 0)
        assert {receipt.reason for receipt in receipts.problems} == {"the letter was gone by then: somebody else had taken it out, or it had expired"}
        assert sorted(receipt.index for receipt in receipts.problems) == list(range(count // 2))
        receipts = other.settle(moves[count // 2:])
        assert (receipts.confirmed, receipts.duplicates) == (count - count // 2, count - count // 2)
    assert in_stream(streams, home) == numbers(count)
    assert streams.state(name)["messages"] == 0


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many answers to what takes messages out get lost from now on."""
    answers, left = Questions._arrived, [0]

    def arrived(questions: Questions, messages: list[Delivery]) -> None:
        if left[0] and ".STREAM.INFO." not in questions._subject:
            left[0] -= 1
        else:
            answers(questions, messages)

    monkeypatch.setattr(Questions, "_arrived", arrived)
    return lambda count: left.__setitem__(0, count)


@pytest.mark.parametrize("count", [20, 500])
def test_what_a_question_without_an_answer_took_out_is_not_said_to_be_taken_by_somebody_else(
        streams: Streams, unheard: Callable[[int], None], count: int) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, count)
    with streams.backend().repair(stream(name), RepairPolicy(delivery_timeout=2)) as repair:
        records = read_all(repair)
        unheard(1)
        receipts = repair.mark(records, State.DROPPED)
    assert (receipts.confirmed, receipts.duplicates, receipts.unknown) == (count, 0, 0)
    assert in_stream(streams, name) == []


def remover_of(streams: Streams, name: str) -> Remover:
    jetstream = streams.backend()._jetstream
    questions = Questions(jetstream.link)
    questions.answer_within(2)
    return Remover(jetstream, questions, streams.api(f"STREAM.INFO.{name}"))


@pytest.mark.parametrize("lost", [0, 1, ATTEMPTS])
def test_a_purge_that_was_done_unheard_is_no_work_of_somebody_else(streams: Streams, unheard: Callable[[int], None], lost: int) -> None:
    """Asked again the server says that it purged nothing; where it was asked in vain, that there is nothing to delete."""
    name = streams.make()
    streams.fill(f"{name.lower()}.a", numbers(WORTH_A_PURGE))
    remover = remover_of(streams, name)
    unheard(lost)
    removed = remover.remove(range(1, WORTH_A_PURGE + 1), WORTH_A_PURGE + 1)
    assert (removed.gone_before, removed.failed) == (set(), {})
    assert in_stream(streams, name) == []


def test_a_purge_that_finds_fewer_says_which_were_gone_and_leaves_what_lies_behind(streams: Streams) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", numbers(WORTH_A_PURGE + 1))
    streams.delete(name, 1, 2)
    removed = remover_of(streams, name).remove(range(1, WORTH_A_PURGE + 1), WORTH_A_PURGE + 1)
    assert (removed.gone_before, removed.failed) == ({1, 2}, {})
    assert in_stream(streams, name) == [b"%d" % WORTH_A_PURGE]


class Judged(Settling):
    """Another broker, whose verdicts are known."""

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts
        self.failure = None

    def put(self, messages: Sequence[Message]) -> Receipts:
        return self._receipts


def test_a_letter_put_to_another_broker_counts_as_marked_where_somebody_else_took_it_out_meanwhile(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 5)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        records = read_all(repair)
        streams.delete(name, 2, 4)
        published = Receipts(4, 1, problems=[Receipt(2, Verdict.REFUSED, reason="it is too large")])
        receipts = PuttingElsewhere(Judged(published), repair).settle([Decision(DeadLetter(record, ""), message=record.message) for record in records])
    assert (receipts.confirmed, receipts.duplicates, receipts.refused, receipts.unknown) == (4, 2, 1, 0)
    assert sorted((receipt.index, receipt.verdict) for receipt in receipts.problems) == [
        (1, Verdict.CONFIRMED), (2, Verdict.REFUSED), (3, Verdict.CONFIRMED)]
    assert in_stream(streams, name) == [b"2"]


def test_a_stream_made_anew_does_not_pass_for_the_old_one(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 3)
    backend = streams.backend()
    redrive(backend, name)
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.DELETE.{name}")
    streams.api(f"STREAM.CREATE.{name}", **config)
    fill_dlq(streams, home, 3)
    outcome, receipts = redrive(backend, name)
    assert (outcome.account.confirmed, receipts.duplicates) == (3, 0)
    assert in_stream(streams, home) == numbers(3) * 2


@pytest.mark.parametrize("anew", [True, False], ids=["made anew", "deleted"])
@pytest.mark.parametrize("dropped", [True, False], ids=["drop", "redrive"])
def test_nothing_is_taken_out_of_a_stream_that_was_made_anew_during_the_run(streams: Streams, anew: bool, dropped: bool) -> None:
    """What has the numbers of the letters now are other messages."""
    home = streams.make()
    name = dlq_of(streams, home)
    count = WORTH_A_PURGE + 1
    fill_dlq(streams, home, count)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        records = read_all(repair, count)
        config = streams.api(f"STREAM.INFO.{name}")["config"]
        streams.api(f"STREAM.DELETE.{name}")
        if anew:
            streams.api(f"STREAM.CREATE.{name}", **config)
            streams.fill(f"dlq.{home.lower()}.a", [b"new"] * count)
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in records]
        receipts = repair.mark(records, State.DROPPED) if dropped else repair.settle(moves)
        assert (receipts.confirmed, receipts.unknown) == (0, count)
        why = f"Stream {name} was deleted{' and made anew' if anew else ''} meanwhile"
        assert why in str(receipts.problems[0].reason)
        with pytest.raises(Failed, match=why):
            repair.settle(moves)
    if anew:
        assert in_stream(streams, name) == [b"new"] * count


KILLED = """
import os, signal, sys
from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.removing import Remover
from brokercli.model.address import Address
from brokercli.model.connection import Connection
host, port, name, home = sys.argv[1:]
Remover.begin = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
repair = NatsBackend(Connection("nats", ((host, int(port)),))).repair(Address(name, "stream"), RepairPolicy())
records = []
while not repair.finished:
    batch = repair.read(5)
    records += batch.records() if batch is not None else []
repair.settle([Move(record, record.message, Address(home, "subject")) for record in records])
"""


def test_killed_between_confirmation_and_taking_out_the_next_run_puts_nothing_back_twice(streams: Streams) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 100)
    ended = subprocess.run([sys.executable, "-c", KILLED, streams.host, str(streams.port), name, f"{home.lower()}.a"], timeout=60, check=False,
                           cwd=Path(__file__).resolve().parents[2], env=dict(os.environ))
    assert ended.returncode == -signal.SIGKILL
    assert (streams.state(home)["messages"], streams.state(name)["messages"]) == (100, 100)
    outcome, receipts = redrive(streams.backend(), name)
    assert (outcome.account.confirmed, receipts.duplicates) == (100, 100)
    assert in_stream(streams, home) == numbers(100)
    assert streams.state(name)["messages"] == 0


@pytest.mark.parametrize("setting", ["deny_delete", "sealed"])
def test_a_letter_that_cannot_be_taken_out_is_unknown_and_says_where_it_is_and_no_other_goes_out_behind_it(streams: Streams, setting: str) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 2)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(repair)]
        streams.api(f"STREAM.UPDATE.{name}", **(streams.api(f"STREAM.INFO.{name}")["config"] | {setting: True}))
        receipts = repair.settle(moves)
        with pytest.raises(Failed, match=f"{setting}.*stay pending"):
            repair.settle(moves)
    assert (receipts.confirmed, receipts.unknown) == (0, 2)
    assert all(receipt.verdict is Verdict.UNKNOWN and "stored at its destination" in receipt.reason for receipt in receipts.problems)
    assert in_stream(streams, home) == numbers(2)


@pytest.mark.parametrize("why", [NotAuthorised("This login may not."), Unreachable("Nobody answers.")])
@pytest.mark.parametrize("denied", ["STREAM.INFO", "STREAM.MSG.DELETE"])
def test_where_nothing_can_be_taken_out_any_more_no_further_letters_are_put_back(streams: Streams, denied: str, why: BrokercliError,
                                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 2)
    ask = Questions.ask

    async def asked(questions: Questions, operation: str, bodies: Sequence[bytes]) -> Answers:
        if denied in operation:
            raise why
        return await ask(questions, operation, bodies)

    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(repair)]
        monkeypatch.setattr(Questions, "ask", asked)
        assert repair.settle(moves[:1]).unknown == 1
        with pytest.raises(type(why)):
            repair.settle(moves[1:])
    assert (in_stream(streams, home), in_stream(streams, name)) == (numbers(1), numbers(2))
