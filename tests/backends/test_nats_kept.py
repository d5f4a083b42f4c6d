"""What a stream has confirmed and does not keep is not taken away where it lay: it was deleted meanwhile, made anew, or keeps only what is wanted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.nats import wanted
from brokercli.backends.nats.interest import Interest
from brokercli.backends.nats.unrecorded import consumer_of
from brokercli.model.errors import Failed, NotAuthorised
from brokercli.model.message import Message
from brokercli.model.position import NANOSECONDS
from brokercli.model.receipt import Verdict
from brokercli.operations.settling import Settling
from tests.backends.nats_letters import dlq_of, fill_dlq, in_stream, numbers, read_all, redrive
from tests.backends.nats_streams import Streams, publish, stream, subject


def delete(streams: Streams, name: str) -> None:
    streams.api(f"STREAM.DELETE.{name}")


def make_anew(streams: Streams, name: str) -> None:
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    delete(streams, name)
    streams.api(f"STREAM.CREATE.{name}", **(config | {"retention": "interest"}))


def keep_what_is_wanted(streams: Streams, name: str) -> None:
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.UPDATE.{name}", **(config | {"retention": "interest"}))


@pytest.mark.parametrize(("meanwhile", "said"), [(make_anew, "was deleted and made anew meanwhile"),
                                                 (keep_what_is_wanted, "has come to keep only what a consumer wants meanwhile")])
def test_a_home_that_has_come_to_confirm_and_drop_during_the_run_takes_no_letter_away(
        streams: Streams, meanwhile: Callable[[Streams, str], None], said: str) -> None:
    home = streams.make()
    name = dlq_of(streams, home)
    fill_dlq(streams, home, 4)
    with streams.backend().repair(stream(name), RepairPolicy()) as repair:
        moves = [Move(record, record.message, subject(f"{home.lower()}.a")) for record in read_all(repair)]
        assert repair.settle(moves[:1]).confirmed == 1
        meanwhile(streams, home)
        receipts = repair.settle(moves[1:3])
        assert (receipts.confirmed, receipts.unknown) == (0, 2)
        assert f"{home} confirmed it, and {said}" in receipts.problems[0].reason
        # another home's letters would go on
        (refused,) = repair.settle(moves[3:]).problems
        assert (refused.verdict, f"Stream {home} {said}" in refused.reason) == (Verdict.REFUSED, True)
        assert isinstance(repair.failure, Failed)
    assert in_stream(streams, name) == numbers(4)[1:]
    outcome, receipts = redrive(streams.backend(), name)
    assert (outcome.account.refused, "none wants" in receipts.problems[0].reason) == (3, True)
    # the server knows the ids of the two that it dropped
    streams.worker(home)
    outcome, receipts = redrive(streams.backend(), name)
    assert (outcome.account.confirmed, outcome.account.unknown) == (1, 2)
    assert f"{home} has had it before and does not keep it now" in receipts.problems[0].reason
    assert (in_stream(streams, home), in_stream(streams, name)) == (numbers(4)[3:], numbers(4)[1:3])


def test_that_a_copy_from_before_is_not_kept_is_not_said_where_it_could_not_be_read(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    async def denied(*_: object) -> None:
        raise NotAuthorised("This login may not read it.")

    home = streams.make("interest")
    streams.worker(home)
    message = Message(b"0", headers=(("Nats-Msg-Id", b"1"),))
    publisher = streams.publisher(subject(f"{home.lower()}.a"), only_wanted=True, keep_control_headers=True)
    assert publish(publisher, [message]).confirmed == 1
    assert publish(publisher, [message]).duplicates == 1
    monkeypatch.setattr(wanted, "fetch_message", denied)
    (receipt,) = publish(publisher, [message]).problems
    assert (receipt.verdict, receipt.reason) == (Verdict.UNKNOWN, f"stream {home} has had it before, and whether it keeps it now could not be asked: "
                                                                 "This login may not read it")


def test_whoever_publishes_what_is_taken_away_elsewhere_is_told_as_well(streams: Streams) -> None:
    home = streams.make()
    settling = Settling(streams.publisher(subject(f"{home.lower()}.a"), only_wanted=True), 30.0)
    assert settling.put([Message(b"0")] * 2).confirmed == 2
    assert settling.failure is None
    delete(streams, home)
    streams.api(f"STREAM.CREATE.{home}", name=home, subjects=[f"{home.lower()}.>"])
    receipts = settling.put([Message(b"1")] * 2)
    assert (receipts.confirmed, receipts.unknown, [receipt.index for receipt in receipts.problems]) == (0, 2, [0, 1])
    assert f"Stream {home} was deleted and made anew meanwhile" in str(settling.failure)


def test_an_id_that_came_before_is_believed_where_a_consumer_has_wanted_it_for_longer_than_ids_are_remembered() -> None:
    """A consumer that is done with a message removes it, and the server remembers its id alone: most such copies were stored."""
    told = {"delivered": {"stream_seq": 0}, "ack_floor": {"stream_seq": 0}, "num_ack_pending": 0, "num_pending": 0, "created": "2026-11-27T10:00:00Z"}
    interest = Interest([consumer_of(told | {"name": name, "config": {"filter_subject": subject}, "ts": f"2026-11-27T10:0{minutes}:00.5Z"})
                         for name, subject, minutes in (("old", "a", 2), ("new", "b", 1))], rewrites=False)
    assert [interest.wanted_for(name, 120 * NANOSECONDS) for name in "abc"] == [True, False, False]
