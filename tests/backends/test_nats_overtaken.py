"""What a look does not show because it went before, and what it must not show although somebody still has it."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.nats.look_sequence import SequenceReader
from brokercli.backends.nats.overtaken import Overtaken
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream, Json
from tests.backends.nats_letters import letters_of
from tests.backends.nats_streams import Streams, bodies, everything, some, stream
from tests.backends.nats_workers import fail
from tests.brokers.server import wait_until


def test_a_look_that_follows_says_when_it_is_overtaken_and_when_it_is_over_by_how_many() -> None:
    config, state = {"config": {"name": "ORDERS", "retention": "limits"}}, {"first_seq": 11, "last_seq": 100, "messages": 88}

    def source(subject: str | None = None, **changes: Any) -> Source:
        return Source({"config": config["config"] | changes, "state": state}, subject)

    overtaken = Overtaken(source(), 11, None)
    # two were deleted before, one of which lies here
    assert overtaken.read(19, 31) == overtaken.read(69, 101) == overtaken.stopped() == []
    assert [note[:10] for note in overtaken.read(4, 106)] == ["1 message "]
    assert overtaken.read(1, 200) == []
    assert (overtaken.stopped(), overtaken.stopped()) == (["94 messages in all went unread"], [])
    untold = [Overtaken(source("a"), 11, None), Overtaken(source(mirror={"name": "X"}), 11, None), Overtaken(source(retention="interest"), 11, None),
              Overtaken(source(), 12, None), Overtaken(source(), 11, 50)]
    assert [one.read(1, 300) + one.at_the_end() + one.stopped() for one in untold] == [[]] * 5
    assert Overtaken(source(), 101, None).read(1, 105) != []


def test_what_a_look_that_follows_was_overtaken_by_is_among_its_notes(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"x"] * 20)
    info = JetStream.info

    async def asked(jetstream: JetStream, of: str, question: Json | None = None) -> Json:
        answer = await info(jetstream, of, question)
        streams.delete(name, 1, 2, 3)
        return answer

    monkeypatch.setattr(JetStream, "info", asked)
    reader = streams.look(stream(name), follow=True)
    some(reader, 17)
    reader.close()
    assert reader.notes == ["3 messages went unread (deleted, or by the stream's limits); how many in all is said at the end"]


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_a_mirror_still_has_is_no_message_of_its_origin(streams: Streams, retention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror of a stream with allow_direct answers for it unless told otherwise (mirror_direct), and keeps what is handled there."""
    name, mirror = streams.make(retention), streams.name()
    streams.worker(name, max_deliver=1)
    streams.api(f"STREAM.CREATE.{mirror}", name=mirror, mirror={"name": name}, allow_direct=True)
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(5)])
    wait_until(lambda: streams.state(mirror)["messages"] == 5, 60, "five messages in the mirror")
    fail(f"nats://{streams.host}:{streams.port}", name, alive=lambda body: body in b"123")
    wait_until(lambda: streams.state(name)["messages"] == 2, 60, "two messages that are left")
    monkeypatch.setattr(SequenceReader, "_asked_on", f"$JS.API.DIRECT.GET.{mirror}")
    assert bodies(everything(streams.look(stream(name)))) == [b"0", b"4"]
    assert bodies(letters_of(streams.backend(), name)) == [b"0", b"4"]
