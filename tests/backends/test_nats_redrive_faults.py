"""JetStream's dead letters while the connection breaks: every letter ends up at home once or stays, and the receipts say which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.questions import Answers, Questions
from brokercli.backends.nats.streams import JetStream
from brokercli.backends.nats.unrecorded import Consumers, ask_consumers
from brokercli.model.errors import BrokercliError, NotAuthorised, TimedOut, Unreachable
from brokercli.model.receipt import Receipts, Verdict
from brokercli.operations.decisions import Redrive
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.redriving import Redriving
from tests.backends.nats_letters import dlq_of, failing, fill_dlq, in_stream, numbers, read_all, redrive
from tests.backends.nats_streams import Streams, stream, subject
from tests.faults.proxy import Direction, Proxy

COUNT = 1500


@pytest.fixture
def proxy(streams: Streams) -> Iterator[Proxy]:
    """The way there, to be disturbed."""
    with Proxy((streams.host, streams.port)) as made:
        yield made


def put_back(streams: Streams, proxy: Proxy, name: str, home: str, cut: tuple[int, Direction], step: int, delivery_timeout: float = 30.0) -> Receipts:
    """Settle every `step`th letter, the connection cut once so many bytes have passed; return what is said of them."""
    backend = streams.backend(hosts=(proxy.address,))
    with backend.repair(stream(name), RepairPolicy(delivery_timeout)) as repair:
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(repair)[::step]]
        proxy.cut_after(*cut)
        receipts = repair.settle(moves)
    assert backend._link._client.stats["reconnects"] == 1, "it was never cut"
    return receipts


@pytest.mark.parametrize("step", [1, 2], ids=["purged", "deleted"])
@pytest.mark.parametrize("cut", [(5_000, "to broker"), (75_000, "to broker"), (125_000, "to broker"), (1_000, "to client"), (30_000, "to client"),
                                 (70_000, "to client")], ids=lambda cut: f"{cut[0]}-{cut[1].replace(' ', '-')}")
def test_a_connection_that_is_cut_loses_nothing_and_doubles_nothing(streams: Streams, proxy: Proxy, cut: tuple[int, Direction], step: int) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, COUNT)
    receipts = put_back(streams, proxy, name, home, cut, step)
    assert len(receipts) == len(range(0, COUNT, step))
    check(streams, name, home, receipts, step)
    redrive(streams.backend(), name)
    assert sorted(in_stream(streams, home)) == sorted(numbers(COUNT))
    assert streams.state(name)["messages"] == 0


def check(streams: Streams, name: str, home: str, receipts: Receipts, step: int) -> None:
    """Hold the receipts against what is stored."""
    numbered = numbers(COUNT)[::step]
    judged = {receipt.index: receipt.verdict for receipt in receipts.problems}
    there, pending = in_stream(streams, home), in_stream(streams, name)
    assert len(there) == len(set(there)), "stored twice"
    assert set(numbers(COUNT)) == set(there) | set(pending), "lost"
    assert {body for index, body in enumerate(numbered) if judged.get(index, Verdict.CONFIRMED) is Verdict.CONFIRMED} <= set(there) - set(pending)
    assert {body for index, body in enumerate(numbered) if judged.get(index) is Verdict.REFUSED} <= set(pending) - set(there)
    assert {body for index, body in enumerate(numbered) if judged.get(index) is Verdict.UNKNOWN} <= set(pending) | set(there)


def test_a_connection_that_is_gone_for_good_leaves_the_letters_and_says_what_is_not_known(streams: Streams, proxy: Proxy) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, COUNT)
    backend = streams.backend(hosts=(proxy.address,), options={"give_up_after": "1"})
    check_gone_for_good(streams, proxy, backend, RepairPolicy(), name, home, "within 1 s")


def test_a_connection_that_is_gone_is_waited_for_as_long_as_a_verdict(streams: Streams, proxy: Proxy) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, COUNT)
    check_gone_for_good(streams, proxy, streams.backend(hosts=(proxy.address,)), RepairPolicy(4.0), name, home, "(within|for) 4 s")


def test_a_server_that_confirms_nothing_is_given_up_even_while_its_connection_is_not(streams: Streams, proxy: Proxy) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, COUNT)
    backend = streams.backend(hosts=(proxy.address,), options={"give_up_after": "60"})
    check_gone_for_good(streams, proxy, backend, RepairPolicy(2.0), name, home, "confirmed nothing for 2 s")


def check_gone_for_good(streams: Streams, proxy: Proxy, backend: NatsBackend, policy: RepairPolicy, name: str, home: str, why: str) -> None:
    """Lose the connection in the midst of a run and never get it back."""
    with backend.repair(stream(name), policy) as repair:
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(repair)]
        # homes are known from the first letter on, so that what breaks is the publishing
        assert repair.settle(moves[:1]).confirmed == 1
        proxy.cut_after(50_000, "to broker")
        proxy.refuse()
        receipts = repair.settle(moves[1:])
        assert (receipts.confirmed, len(receipts)) == (0, COUNT - 1)
        with pytest.raises(BrokercliError, match=why):
            repair.settle(moves[:1])
    there = in_stream(streams, home)
    assert len(there) == len(set(there))
    assert len(in_stream(streams, name)) == COUNT - 1
    redrive(streams.backend(), name)
    assert sorted(in_stream(streams, home)) == sorted(numbers(COUNT))


def keep_from_deleting(monkeypatch: pytest.MonkeyPatch, name: str, why: BrokercliError) -> None:
    """Have every question that takes messages out of one stream fail."""
    ask = Questions.ask

    async def or_fail(self: Questions, question: str, payloads: Sequence[bytes]) -> Answers:
        if question.endswith(f"MSG.DELETE.{name}"):
            raise why
        return await ask(self, question, payloads)

    monkeypatch.setattr(Questions, "ask", or_fail)


def test_a_letter_whose_message_could_not_be_taken_out_stays_until_it_can(streams: Streams, nats_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # taken out alone it would leave a message that its worker is never given again, and that nothing points at
    name = failing(streams, nats_address, "workqueue", captured=True)
    backend = streams.backend()
    keep_from_deleting(monkeypatch, name, TimedOut("nobody answered"))
    account = redrive(backend, f"{name}_DLQ")[0].account
    assert (account.read, account.confirmed, account.unknown) == (10, 0, 10)
    assert streams.state(f"{name}_DLQ")["messages"] == 10
    assert in_stream(streams, name) == numbers(10) * 2
    monkeypatch.undo()
    account = redrive(backend, f"{name}_DLQ")[0].account
    assert (account.read, account.confirmed) == (10, 10)
    assert streams.state(f"{name}_DLQ")["messages"] == 0
    assert in_stream(streams, name) == numbers(10)


def test_where_nobody_may_take_the_messages_out_their_letters_go_and_it_is_said_that_they_stay(
        streams: Streams, nats_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = failing(streams, nats_address, "workqueue", captured=True)
    backend = streams.backend()
    keep_from_deleting(monkeypatch, name, NotAuthorised("no permission to publish there"))
    with backend.repair(stream(f"{name}_DLQ"), RepairPolicy()) as repair:
        account = Redriving(repair, Recogniser(backend), Redrive(None, 3, None, stream(f"{name}_DLQ")), LetterFilter()).run().account
    assert (account.read, account.confirmed) == (10, 10)
    assert streams.state(f"{name}_DLQ")["messages"] == 0
    assert in_stream(streams, name) == numbers(10) * 2
    assert any(f"10 messages were put back and cannot be taken out of {name}" in note for note in repair.notes), repair.notes


@pytest.mark.parametrize(("away", "patience", "confirmed"), [(2, 30.0, 3), (100, 0.5, 0)], ids=["for a moment", "for good"])
def test_consumers_whose_server_is_away_are_waited_for_as_long_as_a_verdict(
        streams: Streams, nats_address: str, monkeypatch: pytest.MonkeyPatch, away: int, patience: float, confirmed: int) -> None:
    name = failing(streams, nats_address, "workqueue", 3, captured=True)
    asked: list[str] = []

    async def ask(jetstream: JetStream, of: str) -> Consumers:
        asked.append(of)
        if len(asked) <= away:
            raise Unreachable(f"Nobody in the cluster answers about consumers of stream {of}.")
        return await ask_consumers(jetstream, of)

    backend = streams.backend()
    with backend.repair(stream(f"{name}_DLQ"), RepairPolicy(patience)) as repair:
        monkeypatch.setattr("brokercli.backends.nats.dead_originals.ask_consumers", ask)
        outcome = Redriving(repair, Recogniser(backend), Redrive(None, 3, None, stream(f"{name}_DLQ")), LetterFilter()).run()
    assert (outcome.account.confirmed, outcome.account.refused) == (confirmed, 3 - confirmed)
    assert (outcome.error is None) == bool(confirmed)
    assert sorted(in_stream(streams, name)) == numbers(3)
