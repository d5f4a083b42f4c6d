"""Explaining a stream to somebody on call: what is set, what caps the tries, where the dead go, how a message can be lost."""

from __future__ import annotations

import pytest

from brokercli.backends.nats import listing
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import Failed, NotAuthorised
from tests.backends.nats_guarded import GuardedNats
from tests.backends.nats_letters import capture
from tests.backends.nats_streams import Streams, stream, subject
from tests.brokers.server import wait_until

SECOND = 1_000_000_000


def facts(streams: Streams, name: str) -> dict[str, object]:
    return dict(streams.backend().describe(stream(name)).facts)


def test_what_was_set_is_shown_apart_from_what_every_stream_has(streams: Streams) -> None:
    name = streams.make(max_age=3600 * SECOND, metadata={"team": "sales"}, republish={"src": ">", "dest": "copy.>"})
    sections = {section.title: section.rows for section in streams.backend().describe(stream(name)).sections}
    assert {row["setting"]: row["value"] for row in sections["set on the stream"]} == {
        "subjects": f"{name.lower()}.>", "max_age": "1h", "allow_direct": True, "metadata": '{"team":"sales"}', "republish": '{"src":">","dest":"copy.>"}'}


def test_what_caps_the_tries_is_said_for_each_consumer(streams: Streams) -> None:
    name = streams.make()
    assert "tries" not in facts(streams, name)
    streams.worker(name, "a", max_deliver=5)
    streams.worker(name, "b", max_deliver=5)
    streams.worker(name, "c")
    streams.worker(name, "d", ack_policy="none")
    assert facts(streams, name)["tries"] == ("given up after 5 deliveries (a, b); no limit: a message that always fails comes for ever (c); "
                                             "delivered once, and never waited for (d)")


def test_where_dead_letters_go_is_said_or_how_to_have_them_recorded(streams: Streams) -> None:
    name = streams.make(max_age=60 * SECOND)
    streams.worker(name, max_deliver=5)
    assert f"brokercli dlq capture stream:{name}" in str(facts(streams, name)["dead letters"])
    recorder = capture(streams, name)
    assert facts(streams, name)["dead letters"] == f"recorded in stream {recorder}; a record points at a message that is gone after 1m"
    assert f"brokercli dlq inspect stream:{recorder}" in str(facts(streams, recorder)["holds dead letters"])
    half = streams.make("workqueue")
    streams.worker(half, max_deliver=5)
    other = streams.make(subjects=[f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{half}.>"])
    assert str(facts(streams, half)["dead letters"]).startswith(f"recorded in stream {other}, but for MSG_TERMINATED; what is given up stays in the stream")


def test_how_a_confirmed_message_can_be_lost_is_said(streams: Streams) -> None:
    assert "what was not synced yet" in str(facts(streams, streams.make())["at risk"])
    memory = str(facts(streams, streams.make(storage="memory", no_ack=True, max_msgs=5))["at risk"])
    for words in ("gone when its server stops", "not told whether", "old messages go"):
        assert words in memory


def test_subjects_of_a_stream_that_holds_too_many_are_not_asked_for_and_that_is_said(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SUBJECTS_ASKED_FOR", 2)
    name, backend = streams.make(), streams.backend()
    for number in range(3):
        streams.fill(f"{name.lower()}.{number}", [b"x"])
    listed = [found for found in backend.list() if found.name.startswith((name, name.lower()))]
    assert [(found.name, found.facts.get("not listed")) for found in listed] == [(name, "3 subjects")]
    assert "messages by subject: 3 are too many to ask for" in backend.describe(stream(name)).missing


def test_what_lies_on_more_subjects_than_the_server_tells_at_once_is_not_counted_by_those(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name, backend = streams.make(), streams.backend()
    streams.fill(f"{name.lower()}.a", [b"x", b"y"])
    assert backend.describe(subject(f"{name.lower()}.*")).facts["messages"] == 2
    info = JetStream.info_or_none

    async def first_page(jetstream: JetStream, stream: str, question: Json | None = None) -> Json | None:
        answer = await info(jetstream, stream, question)
        return answer if answer is None else answer | {"total": 1_000_000}

    monkeypatch.setattr(JetStream, "info_or_none", first_page)
    described = backend.describe(subject(f"{name.lower()}.*"))
    assert "messages" not in described.facts
    assert f"messages in stream {name}: they lie on 1,000,000 subjects, too many to count" in described.missing


def test_how_far_a_stream_is_from_what_it_is_filled_from_is_said_where_it_is_behind_or_hears_nothing(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name, origin = streams.name(), streams.make()
    streams.api(f"STREAM.CREATE.{name}", name=name, sources=[{"name": origin}, {"name": "NOTTHERE"}])
    # each is heard, or not found, a moment after
    wait_until(lambda: facts(streams, name)["filled from"] == f"{origin}, NOTTHERE (not heard so far, stream not found)", 60, "what is known of both")
    info = JetStream.info

    async def cut_off(jetstream: JetStream, of: str, question: Json | None = None) -> Json:
        return await info(jetstream, of, question) | {"sources": [{"name": origin, "lag": 1200, "active": 17 * SECOND}]}

    monkeypatch.setattr(JetStream, "info", cut_off)
    assert facts(streams, name)["filled from"] == f"{origin} (1,200 behind, not heard for 17 s), NOTTHERE"


def test_subjects_that_may_not_be_seen_are_not_said_to_be_none(administered: Streams, guarded_nats: GuardedNats) -> None:
    administered.deleted_at_the_end("UNTOLD")
    administered.api("STREAM.CREATE.UNTOLD", name="UNTOLD", subjects=["untold.>"])
    administered.fill("untold.a", [b"1"])
    with NatsBackend(guarded_nats.login("puts")) as backend:
        listed = next(one for one in backend.list() if one.name == "UNTOLD")
        assert listed.facts["not listed"] == "1 subject"
        administered.api("STREAM.PURGE.UNTOLD")
        assert "not listed" not in next(one for one in backend.list() if one.name == "UNTOLD").facts
        administered.fill("untold.a", [b"2"])
        with pytest.raises(NotAuthorised, match=r"not permitted to publish to \$JS\.API\.STREAM\.INFO\.UNTOLD"):
            list(backend.list(["subject"]))


def test_subjects_that_are_more_than_are_listed_are_not_left_out_without_a_word(private: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SUBJECTS_SHOWN", 2)
    name = private.make()
    for token in "abc":
        private.fill(f"{name.lower()}.{token}", [b"1"])
    backend = private.backend()
    assert [(one.kind, one.facts.get("not listed")) for one in backend.list()] == [("stream", "1 subject"), ("subject", None), ("subject", None)]
    assert len(list(backend.list(["subject"]))) == 3
    monkeypatch.setattr(listing, "SUBJECTS_ASKED_FOR", 2)
    with pytest.raises(Failed, match=f"Stream {name} holds messages of 3 subjects, which are too many to list"):
        list(backend.list(["subject"]))
