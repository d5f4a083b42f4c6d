"""Streams that lie elsewhere: in another JetStream domain, or in another account whose API is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.nats import look_consumer, recovery
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.streams import JetStream
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import Failed, TimedOut, Unreachable
from brokercli.model.message import Message
from brokercli.model.position import End, Span, Start
from tests.backends.nats_letters import redrive
from tests.backends.nats_streams import Streams, bodies, everything, publish, some, stream, subject
from tests.brokers.nats import Nats
from tests.brokers.server import HOST

PASSWORD = "nats-s3cret"


def connection_of(server: Nats, user: str) -> Connection:
    return Connection("nats", ((HOST, server.port),), user=user, password=Secret(PASSWORD), connect_timeout=20.0)


def test_a_jetstream_domain_and_another_api_prefix_are_used(servers: Callable[..., Nats]) -> None:
    server = servers(Nats, settings={"jetstream": '{domain: "hub", store_dir: "domain-data"}'})
    made = Streams(server.address)
    name = made.make()
    for options in ({"domain": "hub"}, {"js_api_prefix": "$JS.hub.API"}, {}):
        with NatsBackend(replace(made.connection, options=options)) as backend:
            assert publish(backend.publisher(subject(f"{name.lower()}.a"), PublishPolicy()), [Message(b"x")] * 10).confirmed == 10
    with NatsBackend(replace(made.connection, options={"domain": "hub"})) as backend:
        assert len(everything(backend.look(stream(name), Span(Start(), End())))) == 30
    with NatsBackend(made.connection) as backend, pytest.raises(Failed, match=r"^No stream in the JetStream domain hub listens on x\.y\.$") as nobody:
        backend.publisher(subject("x.y"), PublishPolicy())
    assert "option domain" in str(nobody.value.hint)
    with NatsBackend(replace(made.connection, options={"domain": "nowhere"})) as backend, pytest.raises(Unreachable, match=r"under \$JS\.nowhere\.API"):
        backend.resolve(stream(name), "look")
    made.close()


def test_another_domain_that_does_not_answer_is_not_called_a_cluster(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unanswered(*arguments: object, **options: object) -> None:
        raise TimedOut("no answer")

    monkeypatch.setattr(JetStream, "try_ask", unanswered)
    with (NatsBackend(replace(streams.connection, options={"domain": "hub"})) as backend,
          pytest.raises(Unreachable, match=r"^Nobody in the JetStream domain hub answers about stream X: the leaf node")):
        backend.describe(stream("X"))


def two_accounts(servers: Callable[..., Nats], response: str, *, own: str = "") -> Nats:
    """A server where account B asks the API of account A under `a.API`; `own` enables JetStream for B, too."""
    return servers(Nats, settings={"accounts": f"""{{
        A: {{jetstream: enabled, users: [{{user: all, password: {PASSWORD}}}],
             exports: [{{service: "$JS.API.>", response: {response}}}, {{service: "orders.>"}}]}}
        B: {{{own}users: [{{user: other, password: {PASSWORD}}}], imports: [{{service: {{account: A, subject: "$JS.API.>"}}, to: "a.API.>"}}
                                                                 {{service: {{account: A, subject: "orders.>"}}, to: "a.orders.>"}}]}}}}"""})


def test_streams_of_another_account_are_reached_by_the_prefix_its_api_is_imported_under(
        servers: Callable[..., Nats], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "OUT_OF_REACH_SECONDS", 0.2)
    server = two_accounts(servers, "stream")
    made = Streams(server.address, {"user": "all", "pass": PASSWORD})
    name = made.make(subjects=["orders.>"])
    with NatsBackend(replace(connection_of(server, "other"), options={"js_api_prefix": "a.API"})) as backend:
        publisher = backend.publisher(subject("a.orders.new"), PublishPolicy())
        assert "the account that it belongs to may call it otherwise" in publisher.notes[0]
        assert publish(publisher, [Message(b"x")] * 3).confirmed == 3
        assert publish(backend.publisher(subject("nobody.new"), PublishPolicy()), [Message(b"x")]).problems[0].reason == "no stream listens on its subject"
        out_of_reach = publish(backend.publisher(subject("orders.new"), PublishPolicy()), [Message(b"x")]).problems[0]
        assert out_of_reach.reason.startswith(f"nobody heard it: stream {name} listens on its subject, but what this login publishes there does not reach it")
        records = everything(backend.look(stream(name), Span(Start(), End())))
        assert [(record.place["subject"], record.message.body) for record in records] == [("orders.new", b"x")] * 3
    made.close()


def test_an_import_that_brings_one_answer_to_each_question_is_read_message_by_message_and_not_followed(
        servers: Callable[..., Nats], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_consumer, "SILENCE_SECONDS", 0.5)
    server = two_accounts(servers, "singleton")
    made = Streams(server.address, {"user": "all", "pass": PASSWORD})
    name = made.make(subjects=["orders.>"])
    made.fill("orders.new", [b"1", b"2", b"3", b"4"])
    with NatsBackend(replace(connection_of(server, "other"), options={"js_api_prefix": "a.API"})) as backend:
        assert bodies(everything(backend.look(stream(name), Span(Start(), End())))) == [b"1", b"2", b"3", b"4"]
        reader = backend.look(stream(name), Span(Start(), None))
        with pytest.raises(Failed, match="no more came") as ended:
            some(reader, 4)
        assert "response: stream" in str(ended.value.hint)
    made.close()


def test_a_stream_of_the_same_name_in_the_own_account_is_not_taken_for_the_one_that_is_meant(servers: Callable[..., Nats]) -> None:
    server = two_accounts(servers, "stream", own="jetstream: enabled, ")
    made, own = (Streams(server.address, {"user": user, "pass": PASSWORD}) for user in ("all", "other"))
    home = made.make(subjects=["orders.>"])
    dlq = made.make(subjects=["dlq.orders.>"])
    made.fill("dlq.orders.new", [b"letter"], b"NATS/1.0\r\nX-Original-Subject: orders.new\r\n\r\n")
    own.api(f"STREAM.CREATE.{home}", name=home, subjects=["orders.>"])
    with NatsBackend(replace(connection_of(server, "other"), options={"js_api_prefix": "a.API"})) as backend:
        _, receipts = redrive(backend, dlq)
        assert (receipts.confirmed, receipts.refused) == (0, 1)
        assert "has a stream" in receipts.problems[0].reason
        with pytest.raises(Failed, match=f"has a stream {home} as well, and that one listens on orders.new: nothing would tell"):
            backend.publisher(subject("orders.new"), PublishPolicy())
        own.api(f"STREAM.UPDATE.{home}", name=home, subjects=["own.orders.>"])
        backend.publisher(subject("orders.new"), PublishPolicy()).close()
    assert (made.state(dlq)["messages"], own.state(home)["messages"]) == (1, 0)
    made.close()


def test_letters_that_are_copied_from_another_domain_are_not_said_to_come_from_the_stream_that_has_the_name_here(streams: Streams) -> None:
    here = streams.make(subjects=[f"dlq.{streams.name().lower()}.>"])
    names = [f"{streams.name()}_DLQ" for _ in range(2)]
    origin = {"name": here, "external": {"api": "$JS.leaf.API"}}
    for name, config in zip(names, ({"sources": [origin]}, {"mirror": origin}), strict=True):
        streams.deleted_at_the_end(name)
        streams.api(f"STREAM.CREATE.{name}", name=name, **config)
    filled, mirror = names
    backend, there = streams.backend(), f"{here} of the JetStream domain leaf"
    stays = f"filled from stream {there}: what is put back or dropped here stays a letter there, unless that is a work queue"
    sources = {source.address.name: source.remarks for source in backend.dead_letter_sources([])}
    assert sources[filled] == (stays,)
    assert sources[mirror] == (f"is a mirror: its letters lie in stream {there}",)
    with backend.look_letters(stream(filled)) as reader:
        assert stays in reader.notes
    with pytest.raises(Failed, match=f"the letters lie in stream {there}") as refusal:
        backend.repair(stream(mirror), RepairPolicy())
    assert refusal.value.hint == f"name stream:{here} in a context with the option domain=leaf"
    assert str(backend.describe(stream(filled)).facts["filled from"]).startswith(there)
    assert f"stream:{here}" not in backend.flow(stream(filled)).nodes


def test_letters_that_are_copied_from_another_account_are_reached_by_the_prefix_of_its_api(streams: Streams) -> None:
    mirror = f"{streams.name()}_DLQ"
    streams.deleted_at_the_end(mirror)
    streams.api(f"STREAM.CREATE.{mirror}", name=mirror, mirror={"name": "ORIGIN", "external": {"api": "a.API"}})
    with pytest.raises(Failed, match=r"the letters lie in stream ORIGIN of the account whose API is imported under a\.API") as refusal:
        streams.backend().repair(stream(mirror), RepairPolicy())
    assert refusal.value.hint == "name stream:ORIGIN in a context with the option js_api_prefix=a.API"
