"""Many questions at once, to a cluster that is choosing a leader when they come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest

from brokercli.backends.nats.questions import ATTEMPTS, Questions
from brokercli.model.errors import Unreachable
from tests.backends.nats_streams import Streams
from tests.native.nats import Wire

# an answer of nats-server 2.15.1 to STREAM.MSG.DELETE while its stream had no leader
LEADERLESS = (b'{"type":"io.nats.jetstream.api.v1.stream_msg_delete_response","error":{"code":503,"err_code":10008,'
              b'"description":"JetStream system temporarily unavailable"},"success":false}')


def ask(streams: Streams, leaderless: dict[bytes, int]) -> tuple[list[bytes], Counter[bytes]]:
    """Ask two questions, each of which has no leader so many times; return the answers, and how often each was asked."""
    subject, answering = streams.subject(), Wire(streams.host, streams.port)
    asked: Counter[bytes] = Counter()

    def answer() -> None:
        with suppress(OSError, AssertionError, ValueError):
            while True:
                _, reply, _, body = answering._next()
                asked[body] += 1
                answering.publish(reply, LEADERLESS if asked[body] <= leaderless[body] else b'{"success":true}')

    answering.send(f"SUB {subject} 7\r\nPING\r\n".encode())
    while answering._file.readline() != b"PONG\r\n":
        pass
    threading.Thread(target=answer, daemon=True).start()
    questions = Questions(streams.backend()._link)
    questions.answer_within(9.0)
    try:
        return questions._link.run(questions.ask(subject, list(leaderless))).bodies, asked
    finally:
        answering._socket.shutdown(2)


def test_what_has_no_leader_is_asked_again_and_nothing_else_is(streams: Streams) -> None:
    assert ask(streams, {b"1": 0, b"2": 1}) == ([b'{"success":true}'] * 2, Counter({b"1": 1, b"2": 2}))


def test_what_stays_without_a_leader_is_answered_so(streams: Streams) -> None:
    assert ask(streams, {b"1": 0, b"2": ATTEMPTS}) == ([b'{"success":true}', LEADERLESS], Counter({b"1": 1, b"2": ATTEMPTS}))


def test_what_nobody_hears_for_a_moment_is_asked_again(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API of another domain, while the link to its leaf node is away."""
    questions, once = Questions(streams.backend()._link), Questions._round
    away: list[str] = []

    async def asked(self: Questions, subject: bytes, payloads: Sequence[bytes], first: int, numbers: Sequence[int]) -> None:
        # a server that is busy gets its time the last time
        self.silence = 60.0 if self._last_time else 0.1
        await once(self, away.pop().encode() if away else subject, payloads, first, numbers)

    monkeypatch.setattr(Questions, "_round", asked)
    with pytest.raises(Unreachable, match=r"^Nobody answers JetStream's API under \$JS\.hub\.API\.$"):
        questions._link.run(questions.ask("$JS.hub.API.STREAM.PURGE.X", [b""]))
    away.append("$JS.hub.API.INFO")
    answers = questions._link.run(questions.ask("$JS.API.INFO", [b""]))
    assert (b"account_info_response" in answers.bodies[0], away) == (True, [])


def test_a_question_to_a_connection_that_is_gone_and_not_known_to_be_waits_for_the_next_one(streams: Streams) -> None:
    link = streams.backend()._link
    questions = Questions(link)
    link.run(questions.ask("$JS.API.INFO", [b""]))

    async def cut_and_ask() -> list[bytes]:
        # the client hears of it a moment later, and until then calls itself connected
        link._transport.abort()
        assert link.connected
        return (await questions.ask("$JS.API.INFO", [b""])).bodies

    assert b"account_info_response" in link.run(cut_and_ask())[0]
