"""Retries on JetStream: what a specification becomes, and that it does what it promises to a worker that always fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.model.declaration import Action, Declaration, RetrySpecification, RetryTopology, SettingValue
from brokercli.model.errors import Failed, UsageProblem
from brokercli.operations.letters import Recogniser
from tests.backends.nats_streams import Streams, stream
from tests.backends.nats_workers import Delivery, keep_failing

MILLISECOND = 1_000_000
DELAYS = (300 * MILLISECOND, 700 * MILLISECOND)


@pytest.fixture
def declarer(streams: Streams) -> Declarer:
    return streams.backend().declarer()


def specify(source: str, delays: Sequence[int] = DELAYS, attempts: int | None = None, **rest: SettingValue) -> RetrySpecification:
    return RetrySpecification(source, tuple(delays), attempts or len(delays) + 1, **rest)  # type: ignore[arg-type]


def declare(streams: Streams, declarer: Declarer, topology: RetryTopology) -> None:
    for change in declarer.plan(topology.declarations):
        assert change.action in (Action.CREATE, Action.CHANGE, Action.UNCHANGED), change
        if change.action is not Action.UNCHANGED:
            streams.deleted_at_the_end(change.declaration.name.partition("/")[0])
            declarer.apply(change)


def gaps(seen: Sequence[Delivery]) -> list[float]:
    """Return at least how long each delivery came after the one before it, in nanoseconds."""
    return [(later.came - earlier.asked) * 1e9 for earlier, later in pairwise(seen)]


@pytest.mark.parametrize("retention", ["limits", "workqueue", "interest"])
def test_a_worker_that_always_fails_gets_a_message_after_every_delay_and_then_its_death_is_recorded(
        streams: Streams, declarer: Declarer, nats_address: str, retention: str) -> None:
    name = streams.make(retention)
    declare(streams, declarer, declarer.retry(specify(name)))
    streams.fill(f"{name.lower()}.created", [b"poison"])
    recorder = f"{name}_DLQ"
    seen = keep_failing(nats_address, name, "worker", None, lambda: streams.state(recorder)["messages"] == 1)
    assert [(delivery.body, delivery.attempt) for delivery in seen] == [(b"poison", 1), (b"poison", 2), (b"poison", 3)]
    assert all(gap >= delay for gap, delay in zip(gaps(seen), DELAYS, strict=True)), (gaps(seen), DELAYS)
    backend = streams.backend()
    with backend.look_letters(stream(recorder)) as reader:
        batch = reader.read(20)
        assert batch is not None
        ((letter,),) = Recogniser(backend).read(batch)
    assert (letter.dialect, letter.reason, letter.attempts, letter.consumer) == ("jetstream advisory", "max deliveries", 3, "worker")
    assert letter.home is not None
    assert letter.home.address.name == f"{name.lower()}.created"
    assert letter.unwrapped is not None
    assert letter.unwrapped.body == b"poison"


def test_a_refusal_with_a_delay_is_delivered_after_that_and_a_plain_one_at_once(streams: Streams, declarer: Declarer, nats_address: str) -> None:
    """What the worker is told about -NAK is what the server does."""
    name = streams.make()
    topology = declarer.retry(specify(name, [60_000 * MILLISECOND], attempts=3))
    declare(streams, declarer, topology)
    streams.fill(f"{name.lower()}.a", [b"1"])
    seen: list[Delivery] = keep_failing(nats_address, name, "worker", b'-NAK {"delay": %d}' % DELAYS[0], lambda: streams.state(f"{name}_DLQ")["messages"] == 1)
    assert [delivery.attempt for delivery in seen] == [1, 2, 3]
    assert min(gaps(seen)) >= DELAYS[0]
    streams.fill(f"{name.lower()}.a", [b"2"])
    # three tries end long before the first delay has passed
    assert len(keep_failing(nats_address, name, "worker", b"-NAK", lambda: streams.state(f"{name}_DLQ")["messages"] == 2)) == 3
    assert any("plain -NAK" in sentence for sentence in topology.worker)


def test_what_is_given_up_with_term_is_recorded_too(streams: Streams, declarer: Declarer, nats_address: str) -> None:
    name = streams.make()
    declare(streams, declarer, declarer.retry(specify(name)))
    streams.fill(f"{name.lower()}.a", [b"1"])
    assert len(keep_failing(nats_address, name, "worker", b"+TERM", lambda: streams.state(f"{name}_DLQ")["messages"] == 1)) == 1


def test_a_specification_becomes_a_stream_that_records_and_a_consumer(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    topology = declarer.retry(specify(name, attempts=5, consumer="orders"))
    recorder, worker = topology.declarations
    assert worker == Declaration("consumer", f"{name}/orders", {"ack_policy": "explicit", "max_deliver": 5, "backoff": list(DELAYS)})
    assert (recorder.kind, recorder.name) == ("stream", f"{name}_DLQ")
    assert recorder.settings["subjects"] == [f"$JS.EVENT.ADVISORY.CONSUMER.{death}.{name}.>" for death in ("MAX_DELIVERIES", "MSG_TERMINATED")]
    assert streams.consumers(name) == []
    assert streams.exists(f"{name}_DLQ") is False
    declare(streams, declarer, topology)
    again = declarer.retry(specify(name, attempts=5, consumer="orders"))
    assert {change.action for change in declarer.plan(again.declarations)} == {Action.UNCHANGED}


def test_retries_of_a_subject_filter_by_it(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    worker = declarer.retry(specify(f"{name.lower()}.created")).declarations[-1]
    assert worker.name == f"{name}/worker"
    assert worker.settings["filter_subject"] == f"{name.lower()}.created"


def test_a_recorder_that_records_more_keeps_what_it_records(streams: Streams, declarer: Declarer) -> None:
    one, two = streams.make(), streams.make()
    shared = f"{one}_DEAD"
    for source in (one, two):
        declare(streams, declarer, declarer.retry(specify(source, dead_letter=shared)))
    subjects = streams.api(f"STREAM.INFO.{shared}")["config"]["subjects"]
    assert sorted({subject.split(".")[5] for subject in subjects}) == sorted([one, two])
    assert len(subjects) == 4


def test_deaths_that_another_stream_records_already_need_no_stream_more(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    other = streams.make(subjects=[f"$JS.EVENT.ADVISORY.CONSUMER.{death}.{name}.>" for death in ("MAX_DELIVERIES", "MSG_TERMINATED")])
    topology = declarer.retry(specify(name))
    assert [declaration.kind for declaration in topology.declarations] == ["consumer"]
    assert any(f"stream {other}" in sentence for sentence in topology.worker)


def test_a_source_that_is_declared_in_the_same_topology_need_not_be_there(streams: Streams, declarer: Declarer) -> None:
    name = streams.name()
    source = Declaration("stream", name, {"subjects": [f"{name.lower()}.>"], "retention": "workqueue"})
    topology = declarer.retry(specify(name, declared=dict(source.settings)))
    assert any("+TERM deletes" in sentence for sentence in topology.worker)
    planned = declarer.plan([*topology.declarations, source])
    assert [change.action for change in planned] == [Action.CREATE] * 3
    assert planned[-1].declaration.kind == "consumer"
    declare(streams, declarer, RetryTopology((source, *topology.declarations), ()))
    assert streams.consumers(name) == ["worker"]


def test_settings_go_to_what_has_them(streams: Streams, declarer: Declarer) -> None:
    recorder, worker = declarer.retry(specify(streams.make(), settings={"max_ack_pending": 5, "max_bytes": 1 << 20, "num_replicas": 1})).declarations
    assert (recorder.settings["max_bytes"], recorder.settings["num_replicas"], "max_ack_pending" in recorder.settings) == (1 << 20, 1, False)
    assert (worker.settings["max_ack_pending"], worker.settings["num_replicas"]) == (5, 1)


def test_what_cannot_be_had_is_refused(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    for specification, why in ((specify(name, attempts=2), "3 attempts"), (specify("NOSUCH"), "no stream of that name"),
                               (specify("no.such.subject"), "no stream"),
                               (specify(name, [0]), "cannot be nothing"), (specify(name, native=True), "no wait queues"),
                               (specify(name, consumer="a.b"), "no consumer name"), (specify(name, settings={"backoff": [1]}), "makes the retries"),
                               (specify(name, settings={"partitions": 3}), "Neither a stream nor a consumer")):
        with pytest.raises(UsageProblem, match=why):
            declarer.retry(specification)


def test_messages_that_are_gone_before_they_are_dead_are_warned_of(streams: Streams, declarer: Declarer) -> None:
    name = streams.make(max_age=1000 * MILLISECOND)
    assert any("gone before they are dead" in sentence for sentence in declarer.retry(specify(name)).worker)
    assert not any("gone before" in sentence for sentence in declarer.retry(specify(streams.make())).worker)


def test_deaths_that_another_stream_records_already_need_no_stream_of_the_usual_name(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    streams._made.append(f"{name}_DLQ")
    streams.api(f"STREAM.CREATE.{name}_DLQ", name=f"{name}_DLQ", subjects=[f"something.else.{name}"])
    with pytest.raises(Failed, match="for something else") as refused:
        declarer.retry(specify(name))
    assert "declare retry --dead-letter" in str(refused.value.hint)
    other = streams.make(subjects=[f"$JS.EVENT.ADVISORY.CONSUMER.*.{name}.>"])
    topology = declarer.retry(specify(name))
    assert [str(one) for one in topology.declarations] == [f"consumer {name}/worker"]
    assert f"Records lie in stream {other}" in " ".join(topology.worker)
