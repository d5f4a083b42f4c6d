"""Where a look at NATS begins and ends, where the server does not say so at once: times in gaps, counts that grow, a stream that is silent."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.nats import look_consumer, span
from brokercli.backends.nats.link import Link
from brokercli.model.errors import TimedOut, Unreachable
from brokercli.model.position import Last, Moment, Number, Start, parse_time
from tests.backends.nats_streams import Streams, bodies, everything, stream, subject


@pytest.mark.parametrize(("asked", "first"), [(10, 291), (300, 1), (1000, 1)])
def test_the_last_are_those_before_the_end_however_many_come_while_they_are_counted(streams: Streams, monkeypatch: pytest.MonkeyPatch, asked: int,
                                                                                   first: int) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(1, 301)])
    counted = span.count_from

    async def busy(*question: Any) -> int:
        streams.fill(f"{name.lower()}.a", [b"later"] * 3)
        return await counted(*question)

    monkeypatch.setattr(span, "count_from", busy)
    assert bodies(everything(streams.look(subject(f"{name.lower()}.*"), Last(asked)))) == [b"%d" % number for number in range(first, 301)]


def test_a_stream_that_does_not_answer_for_a_moment_when_its_end_is_asked_for_ends_no_look(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"1", b"2", b"3"])
    fetched, silent = look_consumer.fetch_next, [Unreachable("The servers that keep the stream do not answer."), TimedOut("No answer came.")]

    async def asked(*question: Any) -> Any:
        if silent:
            raise silent.pop()
        return await fetched(*question)

    # what is missing at the end makes the stream be asked
    streams.delete(name, 3)
    monkeypatch.setattr(look_consumer, "fetch_next", asked)
    reader = streams.look(subject(f"{name.lower()}.*"), Start(), Number(4))
    assert bodies(everything(reader)) == [b"1", b"2"]
    assert not silent


def test_a_stream_that_says_for_too_long_nothing_of_its_end_fails_the_look(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"1", b"2", b"3"])
    streams.delete(name, 3)

    async def asked(*question: Any) -> Any:
        raise TimedOut("No answer came.")

    monkeypatch.setattr(look_consumer, "fetch_next", asked)
    monkeypatch.setattr(Link, "patience", 0.5)
    with pytest.raises(TimedOut, match="No answer came"):
        everything(streams.look(subject(f"{name.lower()}.*"), Start(), Number(4)))


@pytest.mark.parametrize("gone", [(13, 14), (10, 11, 12, 13, 14, 15)])
def test_a_time_at_which_what_lay_there_was_deleted_is_where_the_next_message_lies(streams: Streams, gone: tuple[int, ...]) -> None:
    # 13 of them fill one of the server's files: of what was deleted at its end, and behind it, the server says that nothing lies there or later
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [bytes(600_000)] * 17)
    times = [parse_time(streams.api(f"STREAM.MSG.GET.{name}", seq=number)["message"]["time"]) for number in range(1, 18)]
    streams.delete(name, *gone)
    stored = [str(number) for number in range(1, 18) if number not in gone]
    for asked in (9, 10, 13, 14, 16, 17):
        behind = [record.position for record in everything(streams.look(stream(name), Moment(times[asked - 1])))]
        before = [record.position for record in everything(streams.look(stream(name), Start(), Moment(times[asked - 1])))]
        assert (before + behind, all(int(position) >= asked for position in behind)) == (stored, True)
        assert all(int(position) < asked for position in before)
    assert everything(streams.look(stream(name), Moment(times[-1] + 1))) == []
