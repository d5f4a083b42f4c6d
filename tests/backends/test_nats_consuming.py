"""Consumers of JetStream: seen with what holds them up, and moved, paused and removed without taking a message from anybody."""

from __future__ import annotations

import time
from typing import Any

import pytest

from brokercli.backends.consumers import Consumers
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.streams import JetStream
from brokercli.model.address import Address
from brokercli.model.errors import Failed, NotAuthorised, NotFound, OutOfRange, Unsupported
from brokercli.model.position import NANOSECONDS, End, Last, Moment, Number, PerPartition, Start
from tests.backends.nats_letters import capture, wait_for
from tests.backends.nats_streams import Streams, stream
from tests.backends.nats_workers import KEEP, NAK, fail, work

SAID_AT_ONCE = 256
"""Consumers that a server says in one answer (JSApiListLimit)."""


@pytest.fixture
def consumers(streams: Streams) -> Consumers:
    return streams.backend().consumers()


def filled(streams: Streams, retention: str = "limits", count: int = 10, **consumer: Any) -> str:
    """Make a stream with messages 1 to `count` on `<name>.a` and a worker; return its name."""
    name = streams.make(retention)
    streams.worker(name, **consumer)
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(1, count + 1)])
    if "filter_subject" not in consumer:
        wait_for(lambda: state(streams, name)["num_pending"] == count)  # counted a moment after it is stored
    return name


def state(streams: Streams, name: str) -> dict[str, object]:
    info = streams.api(f"CONSUMER.INFO.{name}.worker")
    return {part: info.get(part) for part in ("delivered", "ack_floor", "num_pending", "num_ack_pending", "paused")}


def finish(streams: Streams, name: str, count: int) -> None:
    """Acknowledge the first messages; returns once they are gone, where they go: the consumer answers, and then the stream removes."""
    held, retention = streams.state(name)["messages"], streams.api(f"STREAM.INFO.{name}")["config"]["retention"]
    streams.wire.ask_all([(reply, b"+ACK", b"") for reply in streams.wire.take(name, "worker", count)])
    if retention != "limits":
        wait_for(lambda: streams.state(name)["messages"] == held - count)


def test_durable_and_passing_consumers_are_found_in_all_streams(streams: Streams, consumers: Consumers) -> None:
    one, two = filled(streams), filled(streams, "workqueue", filter_subject="x.y")
    streams.api(f"CONSUMER.CREATE.{one}.passing", stream_name=one, config={"name": "passing", "ack_policy": "explicit", "inactive_threshold": 60 * NANOSECONDS})
    streams.worker(one, "pushed", deliver_subject="nobody.listens")
    names = [f"{one}/passing", f"{one}/pushed", f"{one}/worker", f"{two}/worker"]
    assert [name for name in consumers.names() if name.partition("/")[0] in (one, two)] == sorted(names)
    found = {consumer.name: consumer for consumer in consumers.find() if consumer.name in names}
    assert {name: consumer.kind for name, consumer in found.items()} == dict.fromkeys(names, "durable consumer") | {f"{one}/passing": "ephemeral consumer"}
    assert (found[f"{one}/worker"].lag, found[f"{two}/worker"].lag) == (10, 0)
    assert found[f"{two}/worker"].facts["filter"] == "x.y"
    assert found[f"{one}/pushed"].facts["pushes to"] == "nobody.listens"
    assert [consumer.name for consumer in consumers.find([f"{one}/p*"])] == [f"{one}/passing", f"{one}/pushed"]
    assert list(consumers.find(["NOSUCH/worker", "no stream/at all"])) == []


def test_consumers_deleted_between_two_pages_of_a_list_hide_none_of_the_others(
        streams: Streams, consumers: Consumers, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make(storage="memory")
    names = [f"c{number:03}" for number in range(SAID_AT_ONCE + 40)]
    for consumer in names:
        streams.worker(name, consumer)
    ask, lists = JetStream.ask, []

    async def ask_while_some_go(self: JetStream, operation: str, *question: Any, **how: Any) -> Any:
        answer = await ask(self, operation, *question, **how)
        if operation == f"CONSUMER.LIST.{name}":
            if not lists:
                for consumer in names[:30]:
                    streams.api(f"CONSUMER.DELETE.{name}.{consumer}")
            lists.append(answer)
        return answer

    monkeypatch.setattr(JetStream, "ask", ask_while_some_go)
    assert [consumer.name for consumer in consumers.find([f"{name}/c*"])][30:] == [f"{name}/{consumer}" for consumer in names[30:]]
    assert len(lists) > 2, "no page failed to meet the one before"


def test_what_the_server_feeds_other_streams_with_is_nobodys_consumer(streams: Streams, consumers: Consumers) -> None:
    name = streams.make("interest")
    streams.make(subjects=[], sources=[{"name": name}])
    wait_for(lambda: len(streams.consumers(name)) == 1)
    backend = streams.backend()
    assert list(consumers.find([f"{name}/*"])) == []
    assert [found.name for found in backend.declarer().declared(["consumer"]) if found.name.startswith(f"{name}/")] == []
    assert not [id for id in backend.flow(stream(name)).nodes if id.startswith("consumer ")]
    assert "tries" not in backend.describe(stream(name)).facts


def test_what_is_in_hand_and_tried_again_is_counted(streams: Streams, consumers: Consumers, nats_address: str) -> None:
    name = filled(streams, count=4)
    taken: list[bytes] = []

    def answer(body: bytes) -> bytes | None:
        taken.append(body)
        return NAK if taken.count(body) == 1 else KEEP

    work(nats_address, name, "worker", answer)
    found = next(iter(consumers.find([f"{name}/worker"])))
    assert (found.lag, found.in_hand, found.state, found.facts["redelivered"]) == (4, 4, "active", 4)
    (lag,) = consumers.lag(f"{name}/worker")
    assert (lag.position, lag.end, lag.lag, lag.in_hand) == (1, 5, 4, 4)


def test_what_holds_a_consumer_up_is_said(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, max_ack_pending=3)
    streams.wire.take(name, "worker", 3)
    assert "as many as max_ack_pending allows" in str(consumers.describe(f"{name}/worker").facts["held up"])
    streams.worker(name, "pushed", deliver_subject="nobody.listens")
    assert "nobody listens on nobody.listens" in str(consumers.describe(f"{name}/pushed").facts["held up"])
    idle = filled(streams)
    assert "held up" not in consumers.describe(f"{idle}/worker").facts
    consumers.pause(f"{idle}/worker", time.time_ns() + 3600 * NANOSECONDS)
    assert "paused until" in str(consumers.describe(f"{idle}/worker").facts["held up"])


def test_what_caps_the_tries_and_where_dead_letters_go_is_said(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, max_deliver=5, backoff=[5 * NANOSECONDS, 60 * NANOSECONDS])
    facts = consumers.describe(f"{name}/worker").facts
    assert facts["tries"] == "given up after 5 deliveries"
    assert facts["delivered again after"] == "5s, 1m"
    assert f"brokercli dlq capture stream:{name}" in str(facts["dead letters"])
    recorder = capture(streams, name)
    assert consumers.describe(f"{name}/worker").facts["dead letters"] == f"recorded in stream {recorder}"
    endless = filled(streams)
    assert "for ever" in str(consumers.describe(f"{endless}/worker").facts["tries"])


def test_settings_beyond_the_defaults_are_shown_as_one_would_type_them(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, ack_wait=90 * NANOSECONDS, metadata={"team": "sales"})
    section = consumers.describe(f"{name}/worker").sections[-1]
    assert {row["setting"]: row["value"] for row in section.rows} == {"ack_wait": "90s", "metadata": '{"team":"sales"}'}


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


def test_removing_the_only_consumer_of_an_interest_stream_deletes_all_messages_and_that_is_said(streams: Streams, consumers: Consumers,
                                                                                             nats_address: str) -> None:
    """What it has given up is neither pending nor in hand, and goes as well."""
    name = filled(streams, "interest", count=3, max_deliver=1)
    fail(nats_address, name, alive=lambda body: body == b"1")
    streams.fill(f"{name.lower()}.a", [b"4", b"5", b"6"])
    streams.wire.take(name, "worker", 1)
    wait_for(lambda: state(streams, name)["num_pending"] == 2 and streams.state(name)["messages"] == 5)
    assert consumers.goes_with(f"{name}/worker") == [f"deletes all 5 messages of stream {name}: it keeps them only for this consumer"]
    assert streams.state(name)["messages"] == 5
    consumers.remove(f"{name}/worker")
    wait_for(lambda: streams.state(name)["messages"] == 0)


def test_where_others_wait_too_the_most_that_can_go_with_a_consumer_of_an_interest_stream_is_said(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, "interest", count=4)
    streams.worker(name, "other", filter_subject=f"{name.lower()}.b")
    streams.fill(f"{name.lower()}.b", [b"5", b"6"])
    streams.wait_pending(name, "other", 2)
    finish(streams, name, 1)
    streams.wire.take(name, "worker", 1)
    wait_for(lambda: state(streams, name)["num_pending"] == 4)
    most = f"deletes the messages of stream {name} that only this consumer waits for: 5 at most"
    assert consumers.goes_with(f"{name}/worker") == [most]
    assert consumers.goes_with(f"{name}/other") == [f"deletes the messages of stream {name} that only this consumer waits for: 2 at most"]
    consumers.remove(f"{name}/worker")
    wait_for(lambda: streams.state(name)["messages"] == 2)


def test_what_a_consumer_of_an_interest_stream_has_given_up_counts_to_the_most_that_can_go(streams: Streams, consumers: Consumers, nats_address: str) -> None:
    name = filled(streams, "interest", count=3, max_deliver=1)
    streams.worker(name, "other", filter_subject="nothing.here")
    fail(nats_address, name)
    assert state(streams, name)["num_pending"] == state(streams, name)["num_ack_pending"] == 0
    assert consumers.goes_with(f"{name}/worker") == [f"deletes the messages of stream {name} that only this consumer waits for: 3 at most"]


def test_what_a_removed_consumer_leaves_in_a_work_queue_is_said(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, "workqueue", count=4)
    finish(streams, name, 1)
    assert consumers.goes_with(f"{name}/worker") == [f"leaves 3 messages in stream {name} that nobody gets any more, until another consumer takes its place"]
    consumers.remove(f"{name}/worker")
    assert streams.state(name)["messages"] == 3


@pytest.mark.parametrize("retention", ["limits", "interest", "workqueue"])
def test_where_no_message_is_concerned_only_the_position_goes_with_a_consumer(streams: Streams, consumers: Consumers, retention: str) -> None:
    name = filled(streams, retention, count=2)
    if retention != "limits":
        finish(streams, name, 2)
    assert consumers.goes_with(f"{name}/worker") == []


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


@pytest.mark.parametrize("name", ["worker", "NO.SUCH/worker", "*/worker", "NOSUCH/worker", "NOSUCH/", "a b/c"])
def test_what_is_no_consumers_name_is_not_found(consumers: Consumers, name: str) -> None:
    for ask in (consumers.describe, consumers.lag, consumers.goes_with, consumers.remove, consumers.resume):
        with pytest.raises(NotFound):
            ask(name)


def test_a_pause_that_is_over_already_is_refused(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams)
    with pytest.raises(Failed, match="over already"):
        consumers.pause(f"{name}/worker", time.time_ns() - NANOSECONDS)


def test_who_may_only_look_sees_a_consumer_and_is_told_what_he_may_not_do(administered: Streams, who_looks: NatsBackend) -> None:
    name = filled(administered)
    with who_looks as backend:
        consumers = backend.consumers()
        assert [found.lag for found in consumers.find([f"{name}/worker"])] == [10]
        assert consumers.lag(f"{name}/worker")[0].lag == 10
        description = consumers.describe(f"{name}/worker")
        assert description.facts["lag"] == 10
        assert any("not permitted to publish to $JS.API.STREAM.NAMES" in reason for reason in description.missing)
        for attempt in (lambda: list(consumers.find()), consumers.names, lambda: consumers.pause(f"{name}/worker", time.time_ns() + 3600 * NANOSECONDS),
                        lambda: consumers.remove(f"{name}/worker")):
            with pytest.raises(NotAuthorised, match="'looks' is not permitted to publish"):
                attempt()
        planned = consumers.plan_seek(f"{name}/worker", End())
        with pytest.raises(NotAuthorised, match=r"CONSUMER\.RESET"):
            consumers.seek(planned)
    assert administered.consumers(name) == ["worker"]


def test_what_an_older_server_cannot_do_is_refused_with_its_version(streams: Streams, consumers: Consumers, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older server would not answer: what it says of its version is all there is. (Seen with 2.12.8 and 2.10.26.)"""
    name = filled(streams)
    before = state(streams, name)
    monkeypatch.setattr(Link, "server", property(lambda link: {"version": "2.10.26"}))
    with pytest.raises(Unsupported, match=r"\(2\.10\.26\) cannot move a consumer: nats-server 2\.14"):
        consumers.plan_seek(f"{name}/worker", End())
    for attempt in (lambda: consumers.pause(f"{name}/worker", time.time_ns() + 3600 * NANOSECONDS), lambda: consumers.resume(f"{name}/worker")):
        with pytest.raises(Unsupported, match=r"\(2\.10\.26\) cannot pause a consumer: nats-server 2\.11"):
            attempt()
    assert state(streams, name) == before
