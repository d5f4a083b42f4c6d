"""Streams that store messages under another subject than they were published on: found under both, never passed off as empty."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.rewriting import rewriting_of, stored_as
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import NotFound, UsageProblem
from brokercli.model.position import End, Last, Span, Start
from tests.backends.nats_guarded import GuardedNats
from tests.backends.nats_streams import Streams, bodies, everything, some, subject
from tests.brokers.server import wait_until


def rewriting(streams: Streams, source: str, destination: str, **config: Any) -> tuple[str, str]:
    """Make a stream that captures what begins with a token nobody else uses and rewrites it, both in words of that token; return its name and the token."""
    token = streams.subject().replace(".", "")
    subjects = config.pop("subjects", ["{}.>"])
    name = streams.make(subjects=[one.format(token) for one in subjects],
                        subject_transform={"src": source.replace("T", token), "dest": destination.replace("T", token)}, **config)
    return name, token


def read(streams: Streams, where: str) -> list[bytes | None]:
    return bodies(everything(streams.look(subject(where))))


def subjects_in(streams: Streams, name: str) -> list[str]:
    return [where for where, _, _ in streams.stored(name)]


@pytest.mark.parametrize(("source", "destination"), [
    ("T.>", "xT.>"), (">", "xT.>"), ("", "xT.>"), ("T.*.>", "xT.$1.>"), ("T.*.*", "xT.$2.$1"), ("T.*.*", "xT.{{wildcard(2)}}.y.{{ Wildcard( 1 ) }}"),
    ("T.*.*", "$2.xT.$01"), ("T.*.*", "xT.a-$1.$2.$1.$y"), ("T.a.b", "xT.y"), ("T.>", "T.in.>"), ("T.c.*", "xT.$1"), ("T.>", ""), ("T.*.*", "xT.$1"),
    ("T.*.*", "xT.$0.$1.$2"), ("T.*.*", "xT.{{partition(3,1)}}.$1.$2"), ("T.*.*", "xT.$1.{{split(2,-)}}"), ("T.*.*", "xT.$1.{{left(2,1)}}"),
    ("T.a.*", "xT.$1y"), ("T.*.*", "xT.$1.{{wildcard(2)}}y"),
])
def test_where_a_subject_is_stored_is_told_as_the_server_does_it_or_not_at_all(streams: Streams, source: str, destination: str) -> None:
    name, token = rewriting(streams, source, destination)
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    asked = [f"{token}.a.b", f"{token}.a.c-d", f"{token}.c.d", f"{token}.a.b.e"]
    for one in asked:
        streams.fill(one, [one.encode()])
    told = [stored_as(config, one) for one in asked]
    assert all(expected in (None, actual) for expected, actual in zip(told, subjects_in(streams, name), strict=True))
    for one, expected in zip(asked, told, strict=True):
        if expected is None:
            with pytest.raises(UsageProblem, match=f"Stream {name} stores"):
                streams.look(subject(one))
        else:
            assert read(streams, one) == [one.encode()]


@pytest.mark.parametrize(("source", "destination", "asked", "expected"), [
    ("a.>", "x.>", "a.>", "x.>"), ("a.>", "x.>", "a.*.b", "x.*.b"), ("a.>", "x.>", "b.c", "b.c"), ("a.>", "x.>", ">", None), ("a.>", "x.>", "*.b", None),
    ("a.*.*", "x.$2.$1", "a.*.c", "x.c.*"), ("a.*.*", "x.$2.$1", "a.>", None), ("a.*.*", "x.$2.$1", "a.b", "a.b"),
    ("a.*.>", "$1.x.>", "a.b.>", "b.x.>"), ("a.*", "x.$1.$1", "a.b", None), ("a.*", "x", "a.b", None), ("a.b", "x", "a.b", "x"), ("a.b", "x", "a.*", None),
    ("a.b", "x", "a.c", "a.c"), ("a.*", "x.{{partition(3,1)}}", "a.b", None), ("a.*", "x.{{partition(3,1)}}", "b.b", "b.b"), ("a.*", "x.$-1", "a.b", None),
    (">", "a.>", "a.>", "a.a.>"), (">", "a.>", ">", "a.>"), ("a.>", "", "a.b", "a.b"),
])
def test_a_pattern_is_told_as_one_that_means_the_same_messages(source: str, destination: str, asked: str, expected: str | None) -> None:
    assert stored_as({"subject_transform": {"src": source, "dest": destination}}, asked) == expected


def test_a_stream_whose_subjects_are_all_asked_for_is_read_whole_whatever_it_makes_of_them(streams: Streams) -> None:
    name, token = rewriting(streams, "T.*", "xT.{{partition(10,1)}}")
    streams.fill(f"{token}.a", [b"1", b"2"])
    assert stored_as(streams.api(f"STREAM.INFO.{name}")["config"], f"{token}.>") == ">"
    assert read(streams, f"{token}.>") == [b"1", b"2"]


def test_a_stream_that_takes_from_others_as_well_is_not_read_whole_for_what_it_captures() -> None:
    transform = {"src": "a.*", "dest": "x.{{partition(10,1)}}"}
    assert stored_as({"subjects": ["a.*"], "subject_transform": transform}, "a.*") == ">"
    assert stored_as({"subjects": ["a.*"], "subject_transform": transform, "sources": [{"name": "OTHER"}]}, "a.*") is None


def test_a_rewritten_subject_is_read_under_both_names_and_that_is_said(streams: Streams) -> None:
    name, token = rewriting(streams, "T.>", "xT.>")
    for number in range(6):
        streams.fill(f"{token}.{number % 3}", [b"%d" % number])
    for where in (f"{token}.0", f"x{token}.0"):
        reader = streams.look(subject(where))
        assert bodies(everything(reader)) == [b"0", b"3"]
        assert [name in note and f"x{token}.0" in note for note in reader.notes] == [True]
        assert bodies(everything(streams.look(subject(where), Last(1)))) == [b"3"]
    assert read(streams, f"x{token}.*") == [b"%d" % number for number in range(6)]
    assert read(streams, f"{token}.9") == read(streams, f"x{token}.9") == []
    for where in (f"{token}.1", f"x{token}.1"):
        reader = streams.look(subject(where), Last(1), follow=True)
        earlier = some(reader, 1)
        streams.fill(f"{token}.1", [b"new"])
        assert bodies([*earlier, *some(reader, 1)])[1] == b"new"
    with pytest.raises(NotFound, match="No stream captures"):
        streams.look(subject(f"y{token}.1"), Start())


def test_what_cannot_be_told_names_the_stream_that_holds_it(streams: Streams) -> None:
    name, token = rewriting(streams, "T.*", "xT.{{partition(3,1)}}.$1")
    streams.fill(f"{token}.a", [b"1"])
    with pytest.raises(UsageProblem, match=f"Stream {name} stores") as refused:
        streams.look(subject(f"{token}.a"))
    assert f"stream:{name}" in str(refused.value.hint)
    stored = subjects_in(streams, name)[0]
    assert read(streams, stored) == [b"1"]
    with pytest.raises(NotFound, match="No stream captures"):
        streams.look(subject(f"{token}x.b"))


def test_messages_from_before_a_subject_was_rewritten_are_not_left_out_unsaid(streams: Streams) -> None:
    name = streams.make()
    low = name.lower()
    streams.fill(f"{low}.a", [b"old"])
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.UPDATE.{name}", **(config | {"subject_transform": {"src": f"{low}.>", "dest": f"x{low}.>"}}))
    streams.fill(f"{low}.a", [b"new"])
    streams.fill(f"{low}.b", [b"other"])
    with pytest.raises(UsageProblem, match=f"{low}.a as x{low}.a, and holds some as {low}.a") as refused:
        streams.look(subject(f"{low}.a"))
    assert f"stream:{name}" in str(refused.value.hint)
    assert read(streams, f"{low}.b") == [b"other"]
    assert read(streams, f"{low}.>") == [b"old", b"new", b"other"]
    assert streams.backend().describe(subject(f"{low}.a")).facts["messages"] == 2


def test_subjects_that_change_places_are_not_guessed(streams: Streams) -> None:
    name, token = rewriting(streams, "T.*.b", "T.b.$1")
    streams.fill(f"{token}.a.b", [b"1"])
    with pytest.raises(UsageProblem, match="published as what cannot be told") as refused:
        streams.look(subject(f"{token}.*.b"))
    assert f"stream:{name}" in str(refused.value.hint)
    assert read(streams, f"{token}.a.b") == [b"1"]


def test_a_subject_that_several_streams_rewrite_to_is_not_guessed(streams: Streams) -> None:
    first, token = rewriting(streams, "T.a", "xT.y", subjects=["{}.a"])
    second = streams.make(subjects=[f"{token}.b"], subject_transform={"src": f"{token}.b", "dest": f"x{token}.y"})
    with pytest.raises(UsageProblem, match="several hold messages of others as it") as asked:
        streams.look(subject(f"x{token}.y"))
    assert all(f"stream:{name}" in str(asked.value.hint) for name in (first, second))
    streams.fill(f"{token}.b", [b"1"])
    assert read(streams, f"x{token}.y") == [b"1"]


def test_a_subject_rewritten_on_its_way_from_another_stream_is_found(streams: Streams) -> None:
    origin = streams.make()
    low = origin.lower()
    streams.fill(f"{low}.a", [b"1", b"2"])
    name = streams.make(subjects=[], sources=[{"name": origin, "subject_transforms": [{"src": f"{low}.>", "dest": f"copy{low}.>"}]}])
    backend = streams.backend()
    wait_until(lambda: streams.state(name)["messages"] == 2, 60, "two copies")
    assert bodies(everything(streams.look(subject(f"copy{low}.a"), backend=backend))) == [b"1", b"2"]


@pytest.mark.parametrize("kind", ["mirror", "sources"])
def test_what_only_a_copy_of_a_stream_holds_is_read_from_there_and_that_is_said(streams: Streams, kind: str) -> None:
    origin = streams.make()
    low = origin.lower()
    streams.fill(f"{low}.a", [b"1", b"2"])
    streams.fill(f"{low}.b", [b"3"])
    name = streams.make(subjects=[], **{kind: {"name": origin} if kind == "mirror" else [{"name": origin}]})
    wait_until(lambda: streams.state(name)["messages"] == 3, 60, "three copies")
    backend = streams.backend()
    reader = streams.look(subject(f"{low}.a"), backend=backend)
    assert [record.place["stream"] for record in everything(reader)] == [origin, origin]
    assert list(reader.notes) == []
    described = backend.describe(subject(f"{low}.a"))
    assert (described.facts["captured by"], described.facts["stored in"], described.facts["messages"]) == (origin, name, 2)
    streams.api(f"STREAM.DELETE.{origin}")
    reader = streams.look(subject(f"{low}.a"), backend=backend)
    assert [(record.place["stream"], record.message.body) for record in everything(reader)] == [(name, b"1"), (name, b"2")]
    assert f"no stream captures {low}.a: stream {name} holds messages of others as it" in reader.notes[0]
    assert origin in reader.notes[0]
    described = backend.describe(subject(f"{low}.a"))
    assert (described.facts["captured by"], described.facts["stored in"], described.facts["messages"]) == (None, name, 2)
    with pytest.raises(NotFound, match="so nothing of it is stored"):
        streams.look(subject(f"{low}.c"), backend=backend)


def test_who_listens_to_a_subject_that_comes_to_a_stream_from_others_is_told_where_it_lies(streams: Streams) -> None:
    origin = streams.make()
    low = origin.lower()
    name = streams.make(subjects=[], sources=[{"name": origin, "subject_transforms": [{"src": f"{low}.>", "dest": f"x{low}.>"}]}])
    backend = streams.backend()
    reader = streams.look(subject(f"x{low}.a"), End(), follow=True, backend=backend)
    note, = reader.notes
    assert f"no stream captures x{low}.a, and stream {name} holds messages of others as it (filled from {origin})" in note
    assert f"tail stream:{name} shows what that stream gets" in note
    streams.wire.publish(f"x{low}.a", b"heard all the same")
    assert bodies(some(reader, 1)) == [b"heard all the same"]
    for heard in (f"{low}.a", f"y{low}.a"):
        assert list(streams.look(subject(heard), End(), follow=True, backend=backend).notes) == []


def test_of_a_subject_whose_stream_gives_up_what_is_handled_it_is_said_where_copies_lie(streams: Streams) -> None:
    origin = streams.make("interest")
    low = origin.lower()
    streams.worker(origin)
    backend = streams.backend()
    streams.fill(f"{low}.a", [b"1"])
    assert [note for note in streams.look(subject(f"{low}.a"), backend=backend).notes if "copies" in note] == []
    name = streams.make(subjects=[], sources=[{"name": origin}])
    streams.fill(f"{low}.a", [b"2"])
    wait_until(lambda: streams.state(name)["messages"] > 0, 60, "a copy")
    reader = streams.look(subject(f"{low}.a"), backend=backend)
    assert f"read from stream {origin}, which captures {low}.a and keeps what is not handled yet; copies lie in {name}" in reader.notes
    assert {record.place["stream"] for record in everything(reader)} == {origin}


def two_copies_of_what_is_gone(streams: Streams) -> tuple[str, list[str]]:
    """Make a stream with one message on `TOKEN.a` and two mirrors of it, and delete it; return the token and the mirrors."""
    origin = streams.make()
    low = origin.lower()
    streams.fill(f"{low}.a", [b"1"])
    copies = [streams.make(subjects=[], mirror={"name": origin}) for _ in range(2)]
    for name in copies:
        wait_until(lambda name=name: streams.state(name)["messages"] == 1, 60, "a copy")  # type: ignore[misc]
    streams.api(f"STREAM.DELETE.{origin}")
    return low, copies


def test_a_stream_that_is_deleted_while_it_is_looked_for_is_none_that_holds_anything(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    low, copies = two_copies_of_what_is_gone(streams)
    ask_all = JetStream.all

    async def all_that_were(jetstream: JetStream, silent: list[str] | None = None) -> list[Json]:
        found = await ask_all(jetstream, silent)
        await jetstream.ask(f"STREAM.DELETE.{copies[0]}", what="a copy")
        return found

    monkeypatch.setattr(JetStream, "all", all_that_were)
    assert [record.place["stream"] for record in everything(streams.look(subject(f"{low}.a")))] == [copies[1]]


def test_two_copies_of_a_stream_that_is_gone_are_not_guessed_between(streams: Streams) -> None:
    low, copies = two_copies_of_what_is_gone(streams)
    with pytest.raises(UsageProblem, match="several hold messages of others as it") as asked:
        streams.look(subject(f"{low}.a"))
    assert all(f"stream:{name}" in str(asked.value.hint) for name in copies)


def test_who_may_not_ask_for_all_streams_is_not_told_that_nothing_is_stored(administered: Streams, guarded_nats: GuardedNats) -> None:
    origin = administered.make()
    with NatsBackend(guarded_nats.login("names")) as backend, pytest.raises(NotFound, match="this login may not ask"):
        backend.look(subject(f"x{origin.lower()}.a"), Span(Start(), End()))


def test_describe_counts_what_is_stored_under_another_subject(streams: Streams) -> None:
    name, token = rewriting(streams, "T.>", "xT.>")
    for number in range(6):
        streams.fill(f"{token}.{number % 3}", [b"%d" % number])
    backend = streams.backend()
    captured = backend.describe(subject(f"{token}.0")).facts
    assert (captured["captured by"], captured["messages"], captured["stored as"]) == (name, 2, f"x{token}.0 in stream {name}")
    stored = backend.describe(subject(f"x{token}.*")).facts
    assert (stored["captured by"], stored["messages"], stored["stored in"]) == (None, 6, name)
    other, unclear = rewriting(streams, "T.*", "xT.{{partition(3,1)}}")
    streams.fill(f"{unclear}.a", [b"1"])
    description = backend.describe(subject(f"{unclear}.a"))
    assert "messages" not in description.facts
    assert f"stream:{other}" in " ".join(description.missing)


def test_what_a_configuration_says_of_no_rewriting_is_none() -> None:
    assert rewriting_of({"subjects": ["a"]}) is None
    assert rewriting_of({"subject_transform": {"src": "a", "dest": ""}}) is None
