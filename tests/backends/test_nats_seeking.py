"""Consumers of JetStream moved: where to, what that skips or delivers again, and when it is refused."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.backends.consumers import Consumers
from brokercli.backends.nats import seeking
from brokercli.backends.nats.seeking import WRITTEN_SECONDS
from brokercli.backends.nats.streams import JetStream
from brokercli.model.address import Address
from brokercli.model.errors import Failed, NotFound, OutOfRange, Unsupported
from brokercli.model.position import NANOSECONDS, End, Last, Moment, Number, PerPartition, Start, format_time, parse_time
from tests.backends.nats_consumers import filled, finish, state
from tests.backends.nats_letters import wait_for
from tests.backends.nats_streams import Streams, stream
from tests.backends.nats_workers import fail, work


@pytest.fixture
def consumers(streams: Streams) -> Consumers:
    return streams.backend().consumers()


def test_a_seek_counts_what_it_skips_where_messages_were_deleted(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams)
    streams.delete(name, 4, 5)
    step = consumers.plan_seek(f"{name}/worker", Number(7)).steps[0]
    assert (step.have, step.want, step.skipped) == (1, 7, 4)
    # a number that is not stored any more leads to the next one that is
    assert consumers.plan_seek(f"{name}/worker", Number(4)).steps[0].want == 6
    assert streams.consumers(name) == ["worker"]


def test_a_seek_of_a_filtered_consumer_goes_to_what_it_gets(streams: Streams, consumers: Consumers) -> None:
    name = streams.make()
    low = name.lower()
    for _ in range(3):
        streams.fill(f"{low}.a", [b"a"])
        streams.fill(f"{low}.b", [b"b"])
    streams.worker(name, filter_subject=f"{low}.b")
    assert [(lag.position, lag.next) for lag in consumers.lag(f"{name}/worker")] == [(1, 2)]
    step = consumers.plan_seek(f"{name}/worker", Number(3)).steps[0]
    assert (step.want, step.skipped) == (4, 1)
    assert consumers.plan_seek(f"{name}/worker", Last(1)).steps[0].want == 6
    streams.worker(name, "both", filter_subjects=[f"{low}.a", f"{low}.c"])
    assert consumers.plan_seek(f"{name}/both", Number(5)).steps[0].skipped == 2
    with pytest.raises(Unsupported, match="cannot be counted"):
        consumers.plan_seek(f"{name}/both", Last(1))


def test_a_time_is_looked_up_in_the_stream(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, count=3)
    third = streams.look(stream(name), Number(3)).read(20)
    assert third is not None
    moment = third.records()[0].time
    assert moment is not None
    assert consumers.plan_seek(f"{name}/worker", Moment(moment)).steps[0].want == 3
    assert consumers.plan_seek(f"{name}/worker", Moment(moment + 1)).steps[0].want == 4


def test_on_a_work_queue_a_move_back_brings_letters_to_life(streams: Streams, consumers: Consumers, nats_address: str) -> None:
    name = filled(streams, "workqueue", count=4, max_deliver=2)
    fail(nats_address, name, alive=lambda body: body in (b"1", b"3"))
    assert state(streams, name)["num_pending"] == 0
    planned = consumers.plan_seek(f"{name}/worker", Start())
    assert "given up" in " ".join(planned.remarks)
    consumers.seek(planned)
    assert work(nats_address, name, "worker", lambda body: b"+ACK") == [b"2", b"4"]
    wait_for(lambda: streams.state(name)["messages"] == 0)


def test_on_a_work_queue_what_is_skipped_stays_and_can_be_gone_back_to(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, "workqueue", count=4)
    planned = consumers.plan_seek(f"{name}/worker", End())
    assert "stays in stream" in " ".join(planned.remarks)
    consumers.seek(planned)
    assert streams.state(name)["messages"] == 4
    consumers.seek(consumers.plan_seek(f"{name}/worker", Number(1)))
    assert consumers.lag(f"{name}/worker")[0].lag == 4


def test_on_an_interest_stream_nothing_is_skipped_because_it_would_be_deleted(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, "interest", count=4)
    with pytest.raises(Unsupported, match="deletes what it skips"):
        consumers.plan_seek(f"{name}/worker", End())
    assert streams.state(name)["messages"] == 4
    # what the refusal says is what the server does
    streams.api(f"CONSUMER.RESET.{name}.worker", seq=5)
    wait_for(lambda: streams.state(name)["messages"] == 0)


def test_on_an_interest_stream_a_way_back_does_not_pass_over_letters_either(streams: Streams, consumers: Consumers, nats_address: str) -> None:
    """What was given up is not acknowledged: it lies before the position, and a reset to a place behind it would delete it."""
    name = filled(streams, "interest", count=6, max_deliver=2)
    fail(nats_address, name, alive=lambda body: body == b"1")
    wait_for(lambda: streams.state(name)["messages"] == 5)
    (lag,) = consumers.lag(f"{name}/worker")
    assert (lag.position, lag.lag) == (7, 0)
    for position in (Number(4), End()):
        with pytest.raises(Unsupported, match="from 2 on"):
            consumers.plan_seek(f"{name}/worker", position)
    consumers.seek(consumers.plan_seek(f"{name}/worker", Number(2)))
    assert streams.state(name)["messages"] == 5
    assert work(nats_address, name, "worker", lambda body: b"+ACK") == [b"2", b"3", b"4", b"5", b"6"]


def test_a_reset_never_comes_while_the_server_may_still_write_what_was_acknowledged(streams: Streams, consumers: Consumers,
                                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """2.15.1 drops the write of a reset that falls into another: one of eight that came 0 to 0.12 s after an acknowledgement."""
    name = filled(streams)
    asked, ask = [], JetStream.try_ask

    async def watched(self: JetStream, operation: str, *arguments: Any, **named: Any) -> Any:
        if operation.startswith("CONSUMER.RESET"):
            asked.append(time.time_ns())
        return await ask(self, operation, *arguments, **named)

    monkeypatch.setattr(JetStream, "try_ask", watched)
    finish(streams, name, 3)
    finished = parse_time(streams.api(f"CONSUMER.INFO.{name}.worker")["ack_floor"]["last_active"])
    consumers.seek(consumers.plan_seek(f"{name}/worker", Start()))
    (moment,) = asked
    assert moment - finished >= WRITTEN_SECONDS * 10**9
    assert consumers.lag(f"{name}/worker")[0].position == 1


def test_a_seek_does_not_wait_for_a_clock_that_was_set_back_to_catch_up(streams: Streams, consumers: Consumers, monkeypatch: pytest.MonkeyPatch) -> None:
    name = filled(streams)
    finish(streams, name, 3)
    slept, ask = [], JetStream.consumer_or_none

    async def an_hour_back(self: JetStream, stream: str, consumer: str) -> Any:
        info = await ask(self, stream, consumer)
        assert info is not None
        return info | {"ts": format_time(parse_time(info["ts"]) - 3600 * NANOSECONDS)}

    async def watched(seconds: float) -> None:
        assert not slept, "it waits for the clock"
        slept.append(seconds)
        await asyncio.sleep(min(seconds, WRITTEN_SECONDS))

    monkeypatch.setattr(JetStream, "consumer_or_none", an_hour_back)
    monkeypatch.setattr(seeking, "asyncio", SimpleNamespace(sleep=watched))
    consumers.seek(consumers.plan_seek(f"{name}/worker", Start()))
    assert slept == [WRITTEN_SECONDS]
    assert consumers.lag(f"{name}/worker")[0].position == 1


def test_a_consumer_with_messages_in_hand_is_not_moved(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams)
    streams.wire.take(name, "worker", 2)
    planned = consumers.plan_seek(f"{name}/worker", End())
    assert planned.active == ("2 messages delivered and not acknowledged",)
    before = state(streams, name)
    with pytest.raises(Failed, match="2 messages delivered"):
        consumers.seek(planned)
    assert state(streams, name) == before


def test_a_paused_consumer_is_moved_though_its_workers_left_messages_in_hand(streams: Streams, consumers: Consumers) -> None:
    """What a worker that died had in hand stays in hand until somebody pulls: that must not keep it from being moved."""
    name = filled(streams, count=4)
    acknowledgements = streams.wire.take(name, "worker", 3)
    consumers.pause(f"{name}/worker", time.time_ns() + 3600 * NANOSECONDS)
    planned = consumers.plan_seek(f"{name}/worker", Start())
    assert (planned.active, planned.steps[0].have, planned.steps[0].want) == ((), 1, 1)
    assert "3 messages delivered and not acknowledged" in " ".join(planned.remarks)
    consumers.seek(planned)
    consumers.resume(f"{name}/worker")
    assert consumers.lag(f"{name}/worker")[0].in_hand == 0
    streams.wire.publish(acknowledgements[2], b"+ACK")
    assert len(streams.wire.take(name, "worker", 4)) == 4


def test_a_paused_consumer_is_moved_while_its_workers_wait(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, count=2)
    finish(streams, name, 2)
    streams.wire.wait_for_more(name, "worker")
    wait_for(lambda: streams.api(f"CONSUMER.INFO.{name}.worker")["num_waiting"] == 1)
    planned = consumers.plan_seek(f"{name}/worker", Start())
    assert planned.active == ("1 waiting request",)
    assert f"brokercli consumers pause {name}/worker" in " ".join(planned.remarks)
    consumers.pause(f"{name}/worker", time.time_ns() + 3600 * NANOSECONDS)
    planned = consumers.plan_seek(f"{name}/worker", Start())
    assert planned.active == ()
    consumers.seek(planned)
    consumers.resume(f"{name}/worker")
    # nats-server 2.15 serves those who waited through a pause at the next request or message, not before
    streams.wire.wait_for_more(name, "worker")
    assert streams.wire.next()[2] == b"1"


def test_only_consumers_that_began_somewhere_can_be_moved(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams)
    for number, policy in enumerate(("new", "last", "last_per_subject")):
        streams.worker(name, f"w{number}", deliver_policy=policy, **({"filter_subject": ">"} if policy == "last_per_subject" else {}))
        with pytest.raises(Unsupported, match=f"deliver_policy {policy}"):
            consumers.plan_seek(f"{name}/w{number}", Start())
    streams.worker(name, "from5", deliver_policy="by_start_sequence", opt_start_seq=5)
    with pytest.raises(OutOfRange, match="begins at 5"):
        consumers.plan_seek(f"{name}/from5", Number(4))
    for position, want in ((Start(), 5), (Number(7), 7), (End(), 11)):
        planned = consumers.plan_seek(f"{name}/from5", position)
        assert planned.steps[0].want == want
        consumers.seek(planned)
        assert consumers.lag(f"{name}/from5")[0].lag == 11 - want
    streams.worker(name, "later", deliver_policy="by_start_time", opt_start_time="2100-01-01T00:00:00Z")
    with pytest.raises(OutOfRange, match="begins at 11"):
        consumers.plan_seek(f"{name}/later", Number(4))


def test_positions_and_sources_that_a_consumer_does_not_have_are_refused(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams)
    with pytest.raises(Unsupported, match="no partitions"):
        consumers.plan_seek(f"{name}/worker", PerPartition(((0, 1),)))
    with pytest.raises(NotFound, match=f"reads stream:{name}"):
        consumers.plan_seek(f"{name}/worker", Start(), Address("OTHER", "stream"))
    assert consumers.plan_seek(f"{name}/worker", Start(), stream(name)).steps[0].source == f"stream:{name}"
