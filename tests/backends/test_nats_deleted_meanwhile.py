"""A stream that somebody deletes between two questions of ours about many of them is left out, and nothing fails for it; one that is read is missed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.failures import silent
from brokercli.backends.nats.flowing import CORE
from brokercli.backends.nats.link import Link
from brokercli.backends.nats.look_consumer import ConsumerReader
from brokercli.backends.nats.streams import JetStream
from brokercli.model.declaration import Action, Declaration
from brokercli.model.errors import NotFound, Unreachable
from brokercli.model.position import Start
from tests.backends.nats_declarations import a_stream, only
from tests.backends.nats_letters import source_of
from tests.backends.nats_streams import Streams, some, stream, subject


@pytest.fixture
def backend(streams: Streams) -> NatsBackend:
    return streams.backend()


def delete_once_told(streams: Streams, monkeypatch: pytest.MonkeyPatch, question: str, name: str) -> None:
    """Delete a stream as soon as JetStream has told of it in answer to a question (`all`, `capturing`)."""
    ask = getattr(JetStream, question)

    async def ask_and_delete(self: JetStream, *about: Any) -> Any:
        told = await ask(self, *about)
        if any(name in (one, one["config"]["name"] if isinstance(one, dict) else None) for one in told) and streams.exists(name):
            streams.api(f"STREAM.DELETE.{name}")
        return told

    monkeypatch.setattr(JetStream, question, ask_and_delete)


def test_the_other_streams_that_capture_a_subject_are_described(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    base = streams.subject()
    gone, there = streams.make(subjects=[f"{base}.a"]), streams.make(subjects=[f"{base}.b"])
    streams.fill(f"{base}.b", [b"1", b"2"])
    delete_once_told(streams, monkeypatch, "capturing", gone)
    described = backend.describe(subject(f"{base}.*"))
    assert (described.facts["captured by"], described.facts["messages"]) == (there, 2)
    assert [reason.partition(":")[0] for reason in described.missing] == ["core subscribers"]


def test_nothing_is_said_to_be_missing_of_it_where_a_subject_leads(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    base = streams.subject()
    gone, there = streams.make(subjects=[f"{base}.a"]), streams.make(subjects=[f"{base}.b"])
    for name in (gone, there):
        streams.worker(name)
    delete_once_told(streams, monkeypatch, "all", gone)
    flow = backend.flow(subject(f"{base}.*"))
    assert [id for id in flow.nodes if id.startswith("consumer ")] == [f"consumer {there}/worker"]
    assert flow.missing == [CORE]


def test_its_letters_are_not_listed(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    base = streams.subject()
    name = streams.make(subjects=[f"{base}.work", f"{base}.dlq"])
    streams.fill(f"{base}.dlq", [b"1"])
    assert source_of(backend, name) is not None
    delete_once_told(streams, monkeypatch, "all", name)
    assert source_of(backend, name) is None


def test_nothing_is_said_of_its_consumers_where_what_is_declared_is_told(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make()
    streams.worker(name)
    delete_once_told(streams, monkeypatch, "all", name)
    declarer = backend.declarer()
    assert [found for found in declarer.declared(["consumer"]) if found.name.startswith(f"{name}/")] == []
    assert [note for note in declarer.notes if name in note] == []


def test_there_is_nothing_of_it_left_to_remove(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = streams.make(), streams.make()
    delete_once_told(streams, monkeypatch, "all", gone)
    planned = backend.declarer().plan_removal([Declaration("stream", name) for name in (gone, there)])
    assert [change.declaration.name for change in planned] == [there]


def test_it_is_not_in_the_way_of_another_one(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make()
    wanted = a_stream(streams, subjects=[f"{name.lower()}.a"])
    assert only(backend.declarer().plan([wanted])).action is Action.CANNOT
    delete_once_told(streams, monkeypatch, "capturing", name)
    assert only(backend.declarer().plan([wanted])).action is Action.CREATE


def test_what_it_recorded_is_to_be_recorded(streams: Streams, backend: NatsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make()
    both = [f"$JS.EVENT.ADVISORY.CONSUMER.{death}.{name}.>" for death in ("MAX_DELIVERIES", "MSG_TERMINATED")]
    recorder = streams.make(subjects=both)
    assert not backend.plan_capture(stream(name), None).changes
    delete_once_told(streams, monkeypatch, "capturing", recorder)
    planned = backend.plan_capture(stream(name), None)
    assert (planned.name, planned.changes) == (f"{name}_DLQ", True)
    assert all(subject in planned.words for subject in both)


@pytest.mark.parametrize("retention", ["limits", "workqueue", "interest"])
def test_a_stream_made_anew_while_it_is_followed_is_not_waited_for_until_it_has_got_as_far(streams: Streams, retention: str,
                                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make(retention)
    streams.worker(name)
    streams.fill(f"{name.lower()}.a", [b"x", b"y", b"z"])
    reader = streams.look(stream(name), Start(), follow=True)
    some(reader, 3)
    made_anew, ask = threading.Event(), Link.ask

    async def ask_afterwards(self: Link, *arguments: Any, **named: Any) -> Any:
        while not made_anew.is_set():
            await asyncio.sleep(0.01)
        return await ask(self, *arguments, **named)

    monkeypatch.setattr(Link, "ask", ask_afterwards)
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.DELETE.{name}")
    streams.api(f"STREAM.CREATE.{name}", **config)
    made_anew.set()
    streams.fill(f"{name.lower()}.a", [b"new"])
    # whoever was just being asked knew of the deletion alone
    with pytest.raises(NotFound, match=r"deleted (and made anew )?while it was read"):
        reader.read(60)


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_a_look_at_a_stream_about_which_nobody_answers_any_more_ends_as_one_whose_connection_is_lost(streams: Streams, retention: str,
                                                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Its servers have lost their majority, or the leaf node that leads to it is away."""
    name = streams.make(retention)
    streams.fill(f"{name.lower()}.a", [b"x", b"y", b"z"])
    reader = streams.look(stream(name), Start(), follow=True, backend=streams.backend(options={"give_up_after": "0.2"}))
    some(reader, 3)

    async def unanswered(self: JetStream, operation: str, *arguments: Any, **named: Any) -> Any:
        raise silent("the stream")

    monkeypatch.setattr(JetStream, "try_ask", unanswered)
    if isinstance(reader, ConsumerReader):
        reader.link.post(reader._replace)
    with pytest.raises(Unreachable, match="Nobody in the cluster answers"):
        reader.read(30)
