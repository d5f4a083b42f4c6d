"""Consumers of JetStream: seen with what holds them up, and paused and removed without taking a message from anybody."""

from __future__ import annotations

import time
from typing import Any

import pytest

from brokercli.backends.consumers import Consumers
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.streams import JetStream
from brokercli.model.errors import Failed, NotAuthorised, NotFound, Unsupported
from brokercli.model.position import NANOSECONDS, End
from tests.backends.nats_consumers import filled, finish, state
from tests.backends.nats_letters import capture, wait_for
from tests.backends.nats_streams import Streams, stream
from tests.backends.nats_workers import KEEP, NAK, fail, work

SAID_AT_ONCE = 256
"""Consumers that a server says in one answer (JSApiListLimit)."""


@pytest.fixture
def consumers(streams: Streams) -> Consumers:
    return streams.backend().consumers()


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


def test_which_client_is_pinned_in_each_group_is_said(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, priority_groups=["jobs"], priority_policy="pinned_client", priority_timeout=3600 * NANOSECONDS)
    assert consumers.describe(f"{name}/worker").facts["pinned"] == "jobs: nobody"
    streams.wire.take(name, "worker", 1, group="jobs")
    (group,) = streams.api(f"CONSUMER.INFO.{name}.worker")["priority_groups"]
    assert consumers.describe(f"{name}/worker").facts["pinned"] == f"jobs: whoever has the Nats-Pin-Id {group['pinned_client_id']}, since {group['pinned_ts']}"
    overflow = filled(streams, priority_groups=["jobs"], priority_policy="overflow")
    assert "pinned" not in consumers.describe(f"{overflow}/worker").facts


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


@pytest.mark.parametrize("name", ["worker", "NO.SUCH/worker", "*/worker", "NOSUCH/worker", "NOSUCH/", "a b/c"])
def test_what_is_no_consumers_name_is_not_found(consumers: Consumers, name: str) -> None:
    for ask in (consumers.describe, consumers.lag, consumers.goes_with, consumers.remove, consumers.resume):
        with pytest.raises(NotFound):
            ask(name)


def test_a_pause_that_is_over_already_is_refused(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams)
    with pytest.raises(Failed, match="over already"):
        consumers.pause(f"{name}/worker", time.time_ns() - NANOSECONDS)


def test_the_time_a_pause_ends_by_is_the_servers(streams: Streams, consumers: Consumers, monkeypatch: pytest.MonkeyPatch) -> None:
    name, right = filled(streams), time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() - 3600 * NANOSECONDS)
    assert abs(consumers.now(f"{name}/worker") - right()) < 60 * NANOSECONDS
    with pytest.raises(NotFound):
        consumers.now(f"{name}/nobody")


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


def test_a_consumer_that_nothing_was_to_go_with_is_not_removed_once_messages_have_come(streams: Streams, consumers: Consumers) -> None:
    name = filled(streams, "interest", count=0)
    assert consumers.goes_with(f"{name}/worker") == []
    streams.fill(f"{name.lower()}.a", [b"1"])
    with pytest.raises(Failed, match="Messages have come to stream"):
        consumers.remove(f"{name}/worker")
    assert (streams.consumers(name), streams.state(name)["messages"]) == (["worker"], 1)
    assert consumers.goes_with(f"{name}/worker") != []
    consumers.remove(f"{name}/worker")
    assert streams.consumers(name) == []
