"""Durable consumers declared: made with acknowledgements, changed without losing anything, refused where they would take messages twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.registry import descriptors, settings_of
from brokercli.model.connection import Connection, Secret
from brokercli.model.declaration import Action
from brokercli.model.errors import Failed
from brokercli.settings.topology_file import read_topology
from brokercli.settings.topology_writing import write_topology
from tests.backends.nats_declarations import DAY, SECOND, a_consumer, apply_all, config, only, told
from tests.backends.nats_letters import wait_for
from tests.backends.nats_streams import Streams
from tests.brokers.nats import Nats
from tests.brokers.server import HOST


@pytest.fixture
def declarer(streams: Streams) -> Declarer:
    return streams.backend().declarer()


def test_a_consumer_is_made_with_explicit_acknowledgements_and_changed_without_losing_anything(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    apply_all(declarer, a_consumer(name, max_deliver=5, filter_subject=f"{name.lower()}.a", metadata={"team": "sales"}, inactive_threshold=DAY,
                                   headers_only=True))
    made = config(streams, name, "worker")
    assert (made["ack_policy"], made["durable_name"], made["max_deliver"]) == ("explicit", "worker", 5)
    change = only(apply_all(declarer, a_consumer(name, backoff=[SECOND, 2 * SECOND], filter_subjects=[f"{name.lower()}.a", f"{name.lower()}.b"])))
    assert [(difference.setting, difference.have) for difference in change.differences] == [("backoff", None), ("filter_subjects", [f"{name.lower()}.a"])]
    now = config(streams, name, "worker")
    assert (now["backoff"], now["ack_wait"], now["filter_subjects"]) == ([SECOND, 2 * SECOND], SECOND, [f"{name.lower()}.a", f"{name.lower()}.b"])
    untouched = set(made) - {"ack_wait", "filter_subject"}
    assert {key: now[key] for key in untouched} == {key: made[key] for key in untouched}
    assert only(declarer.plan([change.declaration])).action is Action.UNCHANGED


def test_what_is_named_as_empty_leaves_it_to_what_says_the_same_otherwise(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    one = a_consumer(name, filter_subject="", filter_subjects=[f"{name.lower()}.a"], ack_wait=0, backoff=[SECOND])
    assert only(apply_all(declarer, one)).action is Action.CREATE
    assert only(declarer.plan([one])).action is Action.UNCHANGED
    everything = a_consumer(name, filter_subject="")
    assert only(apply_all(declarer, everything)).action is Action.CHANGE
    assert only(declarer.plan([everything])).action is Action.UNCHANGED


@pytest.mark.parametrize("wanted", [{"ack_policy": "none"}, {"deliver_policy": "new"}, {"replay_policy": "original"}, {"max_waiting": 7}, {"mem_storage": True},
                                    {"deliver_subject": "pushed.here"}])
def test_what_a_consumer_is_made_with_cannot_be_changed_and_that_is_said_first(streams: Streams, declarer: Declarer, wanted: dict[str, Any]) -> None:
    name = streams.make()
    streams.worker(name)
    change = only(declarer.plan([a_consumer(name, **wanted)]))
    assert change.action is Action.CANNOT
    assert "made anew" in told(change)


def test_a_work_queue_refuses_what_would_take_messages_twice(streams: Streams, declarer: Declarer) -> None:
    name = streams.make("workqueue")
    low = name.lower()
    streams.worker(name, "first", filter_subject=f"{low}.a")
    for settings, why in (({}, "consumer first gets"), ({"filter_subject": f"{low}.*"}, "consumer first gets"),
                          ({"filter_subject": f"{low}.b", "ack_policy": "none"}, "each message must be"),
                          ({"filter_subject": f"{low}.b", "deliver_policy": "new"}, "begins with all there is")):
        change = only(declarer.plan([a_consumer(name, "second", **settings)]))
        assert change.action is Action.CANNOT
        assert why in told(change)
    assert only(apply_all(declarer, a_consumer(name, "second", filter_subject=f"{low}.b"))).action is Action.CREATE


def test_a_narrower_filter_on_an_interest_stream_says_that_it_deletes(streams: Streams, declarer: Declarer) -> None:
    name = streams.make("interest")
    streams.worker(name)
    streams.fill(f"{name.lower()}.a", [b"1"])
    streams.fill(f"{name.lower()}.b", [b"2"])
    change = only(declarer.plan([a_consumer(name, filter_subject=f"{name.lower()}.a")]))
    assert "no other consumer waits for, are deleted at once" in told(change)
    declarer.apply(change)
    # what is said is what the server does
    wait_for(lambda: streams.state(name)["messages"] == 1)


def test_a_filter_that_matches_nothing_is_remarked_on(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    assert "nothing is delivered of other.x" in told(only(declarer.plan([a_consumer(name, filter_subject="other.x")])))


@pytest.mark.parametrize("retention", ["limits", "workqueue", "interest"])
def test_a_consumer_that_acknowledges_by_flow_control_is_written_as_a_file_that_is_read(streams: Streams, declarer: Declarer, retention: str) -> None:
    name = streams.make(retention)
    nats = next(one for one in descriptors() if one.name == "nats")
    settings = {"durable_name": "pushed", "ack_policy": "flow_control", "flow_control": True, "idle_heartbeat": SECOND, "deliver_subject": f"{name}.out"}
    streams.api(f"CONSUMER.CREATE.{name}.pushed", stream_name=name, config=settings, action="create")
    found = [one for one in declarer.declared(["consumer"]) if one.name.startswith(f"{name}/")]
    read = read_topology(write_topology(found, "nats", settings_of(nats), ""), "a.toml", nats).declarations
    assert only(declarer.plan(read)).action is Action.UNCHANGED
    streams.api(f"CONSUMER.DELETE.{name}.pushed")
    assert only(apply_all(declarer, *read)).action is Action.CREATE
    assert config(streams, name, "pushed")["ack_policy"] == "flow_control"


def test_a_consumer_that_is_pulled_from_cannot_acknowledge_by_flow_control(streams: Streams, declarer: Declarer) -> None:
    change = only(declarer.plan([a_consumer(streams.make(), ack_policy="flow_control")]))
    assert change.action is Action.CANNOT
    assert "only a consumer with a deliver_subject acknowledges so" in told(change)


@pytest.mark.parametrize(("settings", "why"), [
    ({"deliver_policy": "last_per_subject"}, "last_per_subject needs a filter"),
    ({"flow_control": True}, "only a consumer with a deliver_subject has it"),
    ({"idle_heartbeat": SECOND}, "only a consumer with a deliver_subject has it"),
    ({"rate_limit_bps": 100}, "only a consumer with a deliver_subject has it"),
    ({"deliver_subject": "out.x", "flow_control": True}, "it needs an idle_heartbeat"),
    ({"deliver_subject": "out.x", "max_waiting": 5}, "only a consumer that is pulled from has it"),
    ({"deliver_subject": "out.x", "priority_groups": ["a"], "priority_policy": "overflow"}, "only a consumer that is pulled from has it"),
    ({"priority_timeout": SECOND}, "only a consumer with a priority_policy has it")])
def test_what_does_not_go_with_how_a_consumer_delivers_is_said_by_its_plan(streams: Streams, declarer: Declarer, settings: dict[str, Any], why: str) -> None:
    name = streams.make()
    change = only(declarer.plan([a_consumer(name, **settings)]))
    assert change.action is Action.CANNOT
    assert why in told(change)
    asked = {"durable_name": "worker", "ack_policy": "explicit", **settings}
    with pytest.raises(AssertionError, match="err_code"):  # the server would have refused it
        streams.api(f"CONSUMER.CREATE.{name}.worker", stream_name=name, config=asked, action="create")


def test_a_consumer_that_is_made_so_plans_to_unchanged_and_can_be_made_again(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    settings: list[dict[str, Any]] = [{"deliver_policy": "last_per_subject", "filter_subject": ">"},
                                      {"deliver_subject": f"{name}.out", "flow_control": True, "idle_heartbeat": SECOND, "rate_limit_bps": 100},
                                      {"priority_groups": ["a"], "priority_policy": "pinned_client", "priority_timeout": SECOND}]
    apply_all(declarer, *(a_consumer(name, f"w{index}", **each) for index, each in enumerate(settings)))
    found = [one for one in declarer.declared(["consumer"]) if one.name.startswith(f"{name}/")]
    assert {change.action for change in declarer.plan(found)} == {Action.UNCHANGED}
    for index in range(len(settings)):
        streams.api(f"CONSUMER.DELETE.{name}.w{index}")
    assert {change.action for change in apply_all(declarer, *found)} == {Action.CREATE}


def test_a_consumer_that_the_account_has_no_room_for_is_not_said_to_be_too_many_for_its_stream(servers: Callable[..., Nats]) -> None:
    server = servers(Nats, settings={"accounts": "{A: {jetstream: {max_consumers: 1}, users: [{user: all, password: pw}]}}"})
    made = Streams(server.address, {"user": "all", "pass": "pw"})
    name = made.make()
    with NatsBackend(Connection("nats", ((HOST, server.port),), user="all", password=Secret("pw"), connect_timeout=20.0)) as backend:
        apply_all(backend.declarer(), a_consumer(name, "one"))
        assert "the account allows 1 consumer of a stream" in told(only(backend.declarer().plan([a_consumer(name, "two")])))
        late = only(backend.declarer().plan([a_consumer(other := made.make(), "two")]))
        made.worker(other, "meanwhile")
        with pytest.raises(Failed, match=r"^NATS refused it: the stream, or the account, allows no more consumers \("):
            backend.declarer().apply(late)
    made.close()


def test_a_consumer_with_which_messages_would_go_that_came_since_its_deletion_was_planned_stays(streams: Streams, declarer: Declarer) -> None:
    name = streams.make("interest")
    streams.worker(name)
    planned = only(declarer.plan_removal([a_consumer(name)]))
    streams.fill(f"{name.lower()}.a", [b"1", b"2"])
    with pytest.raises(Failed, match="Messages have come to stream"):
        declarer.apply(planned)
    assert (streams.consumers(name), streams.state(name)["messages"]) == (["worker"], 2)
    anew = only(declarer.plan_removal([a_consumer(name)]))
    assert "deletes all 2 messages" in told(anew)
    streams.fill(f"{name.lower()}.a", [b"3"])
    declarer.apply(anew)
    assert streams.consumers(name) == []


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_a_consumer_with_which_no_messages_go_is_deleted_whatever_came(streams: Streams, declarer: Declarer, retention: str) -> None:
    name = streams.make(retention)
    streams.worker(name)
    planned = only(declarer.plan_removal([a_consumer(name)]))
    streams.fill(f"{name.lower()}.a", [b"1", b"2"])
    declarer.apply(planned)
    assert (streams.consumers(name), streams.state(name)["messages"]) == ([], 2)


def test_what_a_consumer_cannot_become_is_shown_with_what_it_is(streams: Streams, declarer: Declarer) -> None:
    name = streams.make("workqueue")
    low = name.lower()
    streams.worker(name, "one", filter_subject=f"{low}.a", max_deliver=3, backoff=[SECOND, SECOND])
    streams.worker(name, "two", filter_subject=f"{low}.b")
    for settings, setting, have in (({"max_deliver": 1}, "max_deliver", 3), ({"filter_subject": f"{low}.b"}, "filter_subject", f"{low}.a")):
        change = only(declarer.plan([a_consumer(name, "one", **settings)]))
        assert [difference.have for difference in change.differences if difference.setting == setting and difference.obstacle] == [have]
