"""What was taken out of a stream, what somebody else had taken out, and what is still there or may be: by what JetStream answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from brokercli.backends.nats.questions import Answers
from brokercli.backends.nats.removing import WORTH_A_PURGE, Removed, Remover, refusal_to_remove
from brokercli.model.errors import BrokercliError, NotAuthorised, TimedOut, Unreachable

INFO = {"config": {"name": "DLQ"}, "created": "monday"}
DONE, GONE = {"success": True}, {"error": {"code": 400, "err_code": 10037, "description": "no message found"}}
NEVER = {"error": {"code": 500, "err_code": 10057, "description": "stream store EOF"}}
DENIED = {"error": {"code": 500, "err_code": 10110, "description": "message delete not permitted"}}
MANY = list(range(1, 35))


class Asked:
    """Answers each question by its operation: `answers(INFO=…)`; an exception is raised. A question for a sequence is looked up by that."""

    def __init__(self, *, again: bool = False, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"INFO": INFO, **answers}
        self.again = again
        self.questions: list[tuple[str, list[bytes]]] = []

    async def ask(self, subject: str, payloads: Sequence[bytes]) -> Answers:
        operation = subject.removeprefix("$JS.API.STREAM.").removesuffix(".DLQ")
        self.questions.append((operation, list(payloads)))
        answer = self.answers[operation.replace("MSG.", "")]
        if isinstance(answer, BrokercliError):
            raise answer
        each = [answer.get(orjson.loads(payload)["seq"], DONE) if operation == "MSG.DELETE" else answer for payload in payloads]
        # as the server writes it
        return Answers([orjson.dumps(one) for one in each], self.again)

    def asked(self) -> list[str]:
        return [operation for operation, _ in self.questions]


class Link:
    @staticmethod
    def begin(work: Coroutine[Any, Any, Removed]) -> Callable[[], Removed]:
        return lambda: asyncio.run(work)

    run = staticmethod(asyncio.run)


def remover(questions: Asked, **config: object) -> Remover:
    info = {**INFO, "config": {"name": "DLQ", **config}}
    return Remover(SimpleNamespace(prefix="$JS.API", link=Link), questions, info)  # type: ignore[arg-type]


def test_each_message_is_deleted_gone_before_or_still_there() -> None:
    questions = Asked(DELETE={2: GONE, 3: DENIED, 4: NEVER})
    assert remover(questions).remove([1, 2, 3, 4]) == Removed(gone_before={2, 4}, failed={3: "message delete not permitted (NATS error 10110)"})
    assert questions.questions[1:] == [("MSG.DELETE", [b'{"seq":%d,"no_erase":true}' % sequence for sequence in (1, 2, 3, 4)])]


def test_what_is_missing_when_a_question_had_to_be_asked_again_may_have_been_removed_by_us() -> None:
    assert remover(Asked(again=True, DELETE={2: GONE})).remove([1, 2]) == Removed()


@pytest.mark.parametrize(("now", "said"), [
    ({**INFO, "created": "tuesday"}, "Stream DLQ was deleted and made anew meanwhile"),
    ({"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}, "Stream DLQ was deleted meanwhile")])
def test_nothing_is_taken_out_of_another_stream_of_the_same_name(now: object, said: str) -> None:
    questions = Asked(INFO=now)
    removed = remover(questions).remove([1, 2], purge_below=9)
    assert (removed.failed, str(removed.over)) == ({1: said, 2: said}, f"{said}.")
    assert questions.asked() == ["INFO"]


def test_where_nobody_answers_all_may_still_be_there() -> None:
    for failure in (Unreachable("gone."), TimedOut("gone.")):
        for questions in (Asked(INFO=failure), Asked(DELETE=failure)):
            assert remover(questions).remove([1, 2]) == Removed(failed={1: "gone", 2: "gone"}, unanswered=failure)
    removed = remover(Asked(DELETE={2: {"error": {"code": 503, "err_code": 10008, "description": "temporarily unavailable"}}})).remove([1, 2])
    assert (removed.failed, removed.over) == ({2: "temporarily unavailable (NATS error 10008)"}, None)
    assert "too few of its servers are there" in str(removed.unanswered)


def test_many_go_by_one_purge_and_only_what_lies_below_it() -> None:
    assert len(MANY) > WORTH_A_PURGE
    questions = Asked(PURGE={"success": True, "purged": len(MANY)}, DELETE={99: DENIED})
    removed = remover(questions).remove([*MANY, 35, 99], purge_below=35)
    assert removed == Removed(failed={99: "message delete not permitted (NATS error 10110)"})
    assert questions.questions[1:] == [("PURGE", [b'{"seq":35}']),
                                       ("MSG.DELETE", [b'{"seq":35,"no_erase":true}', b'{"seq":99,"no_erase":true}'])]


@pytest.mark.parametrize(("sequences", "below", "config"), [
    (MANY[:WORTH_A_PURGE - 1], 99, {}), (MANY, 0, {}), (MANY, WORTH_A_PURGE, {}), (MANY, 99, {"deny_purge": True})])
def test_what_a_purge_may_not_reach_or_is_not_worth_it_is_deleted_one_by_one(sequences: list[int], below: int, config: dict[str, object]) -> None:
    questions = Asked(DELETE={})
    assert remover(questions, **config).remove(sequences, purge_below=below) == Removed()
    assert questions.asked() == ["INFO", "MSG.DELETE"]
    assert len(questions.questions[1][1]) == len(sequences)


def test_what_a_purge_did_not_find_had_been_removed_before_unless_it_was_asked_for_twice() -> None:
    answer = {"success": True, "purged": len(MANY) - 2}
    assert remover(Asked(PURGE=answer)).remove(list(reversed(MANY)), purge_below=99) == Removed(gone_before={1, 2})
    assert remover(Asked(again=True, PURGE=answer)).remove(MANY, purge_below=99) == Removed()
    more = {"success": True, "purged": len(MANY) + 2}
    assert remover(Asked(PURGE=more)).remove(MANY, purge_below=99) == remover(Asked(PURGE=DONE)).remove(MANY, purge_below=99) == Removed()


@pytest.mark.parametrize(("answer", "gone", "tried_again"), [
    (TimedOut("no answer"), set(), True), (NotAuthorised("no"), {2}, False), ({"error": {"code": 500, "err_code": 1, "description": "no"}}, {2}, False)])
def test_where_a_purge_is_refused_each_is_deleted_and_where_it_may_have_been_done_nothing_had_gone_before(answer: object, gone: set[int],
                                                                                                        tried_again: bool) -> None:
    questions = Asked(PURGE=answer, DELETE={2: GONE})
    removing = remover(questions)
    assert removing.remove(MANY, purge_below=99) == Removed(gone_before=gone)
    assert (questions.asked(), len(questions.questions[2][1])) == (["INFO", "PURGE", "MSG.DELETE"], len(MANY))
    removing.remove(MANY, purge_below=99)
    assert ("PURGE" in questions.asked()[3:]) is tried_again


def test_the_permission_is_asked_for_a_message_that_cannot_be_there() -> None:
    questions = Asked(DELETE={2**62: NEVER})
    remover(questions).check_permission()
    assert questions.questions == [("MSG.DELETE", [b'{"seq":4611686018427387904,"no_erase":true}'])]
    with pytest.raises(NotAuthorised):
        remover(Asked(DELETE=NotAuthorised("no"))).check_permission()


@pytest.mark.parametrize(("config", "why"), [
    ({}, None), ({"mirror": {"name": "ORIGIN"}}, "Stream DLQ is a mirror: the letters lie in stream ORIGIN"), ({"sealed": True}, "Stream DLQ is sealed"),
    ({"deny_delete": True}, "Stream DLQ denies deleting messages"), ({"sealed": False, "deny_delete": False, "deny_purge": True}, None)])
def test_a_stream_that_gives_nothing_up_is_told_before(config: dict[str, object], why: str | None) -> None:
    refusal = refusal_to_remove({"config": {"name": "DLQ", **config}})
    assert (refusal is None) is (why is None)
    assert str(refusal).startswith(str(why))
