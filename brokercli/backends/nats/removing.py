"""Taking messages out of a stream by their sequences: one purge where everything up to a sequence goes, else deletes, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from brokercli.backends.nats.failures import NO_MESSAGE, NOT_AVAILABLE, api_failure, reason
from brokercli.backends.nats.origins import named, way_to
from brokercli.backends.nats.questions import Answers, Questions, decode
from brokercli.backends.nats.streams import JetStream, Json, told_in
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, TimedOut, Unreachable

# fewer are as fast one by one
WORTH_A_PURGE = 32
_DELETED = b'"success":true'
# nats-server's errors.json: no message found; a sequence that was never there answers 10057 "stream store EOF" (seen on 2.15.1)
_GONE = (NO_MESSAGE, 10043)
_GONE_WORDS = ("no message found", "deleted message", "stream store EOF")
_NEVER_THERE = 2**62


@dataclass(slots=True)
class Removed:
    """What became of the messages."""

    gone_before: set[int] = field(default_factory=set)
    """Sequences that somebody else had removed. What is missing is not told from what was removed by a question whose answer was lost: where
    one had to be asked again, there are none here."""
    failed: dict[int, str] = field(default_factory=dict)
    """Sequence → why it is still there, or may be."""
    over: BrokercliError | None = None
    """Why nothing more can be removed: the stream that the sequences count in is not there any more, or has come to deny it, or this login may
    not any more."""
    unanswered: BrokercliError | None = None
    """Why nobody said what became of them, though the question was asked again: what is put home now would not be taken out either."""

    @property
    def ends_the_run(self) -> BrokercliError | None:
        """Why no letter is to be put home any more; None where the next ones can be taken out."""
        return self.over or self.unanswered

    def fail(self, sequences: Sequence[int], problem: BrokercliError) -> None:
        """Enter why these are still there, or may be."""
        self.failed.update(dict.fromkeys(sequences, str(problem).rstrip(".")))
        if isinstance(problem, NotAuthorised):
            self.over = problem
        elif isinstance(problem, (TimedOut, Unreachable)):
            self.unanswered = problem


def refusal_to_remove(info: Json) -> Failed | None:
    """Return why nothing can be taken out of a stream; None where it can."""
    config = info["config"]
    name = config["name"]
    if config.get("mirror"):
        origin = config["mirror"]
        return Failed(f"Stream {name} is a mirror: the letters lie in stream {named(origin)}.", hint=way_to(origin))
    if config.get("sealed"):
        return Failed(f"Stream {name} is sealed: nothing can be taken out of it, so a letter that was put back would stay pending.")
    if config.get("deny_delete"):
        return Failed(f"Stream {name} denies deleting messages (deny_delete), so a letter that was put back would stay pending.",
                      hint="deny_delete cannot be taken back; a stream made without it can be filled from this one (sources)")
    return None


class Remover:
    """Removes from one stream. `no_erase` leaves out overwriting the bytes, as an acknowledgement would (43,000 a second measured).

    JetStream deletes by name and sequence, whichever stream has the name now: before each removal it is asked when that was made. What somebody
    makes anew in the instant between the two questions is not noticed.
    """

    def __init__(self, jetstream: JetStream, questions: Questions, info: Json) -> None:
        self._jetstream = jetstream
        self._questions = questions
        self._stream = str(info["config"]["name"])
        self._created = info["created"]
        self._may_purge = not info["config"].get("deny_purge")

    def check_permission(self) -> None:
        """Raise NotAuthorised where this login may not delete. Changes nothing: it asks for a message that cannot be there."""
        self._jetstream.link.run(self._questions.ask(self._operation("MSG.DELETE"), [self._question(_NEVER_THERE)]))

    def _operation(self, name: str) -> str:
        return f"{self._jetstream.prefix}.STREAM.{name}.{self._stream}"

    @staticmethod
    def _question(sequence: int) -> bytes:
        return b'{"seq":%d,"no_erase":true}' % sequence

    def remove(self, sequences: Sequence[int], purge_below: int = 0) -> Removed:
        """Remove messages, those below `purge_below` by one purge: nothing else may lie there. Raises nothing."""
        return self.begin(sequences, purge_below)()

    def begin(self, sequences: Sequence[int], purge_below: int = 0) -> Callable[[], Removed]:
        """Begin to remove, and return what waits until it is done."""
        finish = self._jetstream.link.begin(self._removing(sequences, purge_below))

        def removed() -> Removed:
            try:
                return finish()
            except BrokercliError as problem:
                failed = Removed()
                failed.fail(sequences, problem)
                return failed
        return removed

    async def _removing(self, sequences: Sequence[int], purge_below: int) -> Removed:
        removed = Removed(over=await self._ended())
        if removed.over is not None:
            removed.fail(sequences, removed.over)
            return removed
        below = [sequence for sequence in sequences if sequence < purge_below]
        rest, in_doubt = list(sequences), False
        if len(below) >= WORTH_A_PURGE and self._may_purge:
            if await self._purge(below, purge_below, removed):
                rest = [sequence for sequence in sequences if sequence >= purge_below]
            else:
                in_doubt = self._may_purge  # nobody said that it was not done
        if rest:
            await self._delete(rest, removed)
        if in_doubt:
            removed.gone_before.clear()
        return removed

    async def _ended(self) -> Failed | None:
        """Say so where the stream was deleted, is another one by now, or lets nothing be taken out any more."""
        now = told_in(decode((await self._questions.ask(self._operation("INFO"), [b""])).bodies[0]), self._stream)
        if now is not None and now["created"] == self._created:
            return refusal_to_remove(now)
        return Failed(f"Stream {self._stream} was deleted{'' if now is None else ' and made anew'} meanwhile.")

    async def _purge(self, sequences: Sequence[int], below: int, removed: Removed) -> bool:
        try:
            answers = await self._questions.ask(self._operation("PURGE"), [b'{"seq":%d}' % below])
        except NotAuthorised:
            self._may_purge = False
            return False
        except BrokercliError:
            return False  # deleting says what is still there
        return self._purged(answers, sequences, removed)

    def _purged(self, answers: Answers, sequences: Sequence[int], removed: Removed) -> bool:
        """Return whether it was done. The answer says how many messages went (`purged`, seen on 2.15.1), not which: where these are fewer,
        the first are taken for those that somebody else had removed, because every run goes from the first on."""
        answer = decode(answers.bodies[0])
        self._may_purge = "error" not in answer
        if self._may_purge and not answers.asked_again:
            removed.gone_before.update(sorted(sequences)[:max(0, len(sequences) - int(answer.get("purged", len(sequences))))])
        return self._may_purge

    async def _delete(self, sequences: Sequence[int], removed: Removed) -> None:
        try:
            answers = await self._questions.ask(self._operation("MSG.DELETE"), [self._question(sequence) for sequence in sequences])
        except BrokercliError as problem:
            removed.fail(sequences, problem)
            return
        for sequence, answer in zip(sequences, answers.bodies, strict=True):
            if _DELETED in answer:
                continue
            error = decode(answer).get("error") or {}
            if error.get("err_code") in _GONE or any(words in str(error.get("description")) for words in _GONE_WORDS):
                if not answers.asked_again:
                    removed.gone_before.add(sequence)
                continue
            removed.failed[sequence] = reason(error)
            if error.get("err_code") == NOT_AVAILABLE:
                removed.unanswered = api_failure(error, f"stream {self._stream}")
