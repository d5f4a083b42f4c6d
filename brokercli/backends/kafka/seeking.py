"""Moving a group: where each partition would go on, and committing that while nobody is a member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from brokercli.backends.dead_letters import some_of
from brokercli.backends.kafka.ends import held
from brokercli.backends.kafka.failures import AUTHORISATION, no_answer, translate, while_coming_back
from brokercli.backends.kafka.groups import Coordinators, Group, Member, Place
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.span import LastOf, Offsets, Range, check_stored, named_by, offsets_of
from brokercli.model.address import Address
from brokercli.model.consumption import Seek, SeekStep
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, UsageProblem
from brokercli.model.position import Last, Number, PerPartition, Position

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

Look = Callable[[str], tuple[Sequence[int], Offsets, LastOf]]
"""Of a topic: its partitions, its offsets, and the way to find its newest records. Raises NotFound."""


class Seeker:
    """Plans seeks and does them. `look` reads topics without joining."""

    def __init__(self, admin: AdminClient, look: Look, seconds: float) -> None:
        self._admin = admin
        self._look = look
        self._seconds = seconds

    def plan(self, group: Group, position: Position, source: Address | None) -> Seek:
        """Say where each partition would go on. Raises OutOfRange, and UsageProblem for a position that means nothing in several topics."""
        topics = [source.name] if source is not None else group.topics
        if not topics:
            raise UsageProblem(f"{group.name} has committed nothing yet and nobody reads for it, so it is not known which topic is meant.",
                               hint="--address topic:NAME says it")
        if len(topics) > 1 and isinstance(position, Number | PerPartition | Last):
            raise UsageProblem(f"{group.name} reads {len(topics)} topics, and {position} means something else in each: {some_of(topics, 5)}.",
                               hint=f"--address topic:{topics[0]}")
        steps: list[SeekStep] = []
        remarks: list[str] = []
        for topic in topics:
            moved, gone = self._steps(group, topic, position)
            steps += moved
            if gone:
                remarks.append(f"where {group.name} is in {topic} is not stored in partition {', '.join(map(str, gone))}: no seek leads back to that")
        if source is not None and source.name not in group.topics:
            remarks.append(f"{group.name} has not read {source.name} so far")
        return Seek(group.name, tuple(steps), tuple(map(str, group.members)), tuple(remarks))

    def _steps(self, group: Group, topic: str, position: Position) -> tuple[list[SeekStep], list[int]]:
        """Return the steps in one topic, and the partitions of these in which the committed offset is not stored (any more)."""
        partitions, offsets, last = self._look(topic)
        partitions = named_by([position], partitions, topic)
        ranges = offsets.ranges(partitions)
        reach = ranges | self._written(topic, [number for number in partitions if (_offset(group, (topic, number)) or 0) > ranges[number].high])
        # the newest records are those that can be read here
        wanted = offsets_of(position, ranges if isinstance(position, Last) else reach, offsets, last)
        ranges = reach | self._written(topic, [number for number, want in wanted.items() if want > reach[number].high])
        check_stored(wanted, ranges)
        address = str(Address(topic, "topic"))
        steps = [_step(address, number, group.committed.get((topic, number)), want, ranges[number]) for number, want in sorted(wanted.items())]
        return steps, [number for number in sorted(wanted) if (committed := group.committed.get((topic, number))) is not None
                       and not ranges[number].low <= committed.offset <= ranges[number].high]

    def _written(self, topic: str, partitions: Sequence[int]) -> dict[int, Range]:
        """Return what partitions hold with what open transactions have written: whoever reads that may be there, and go there."""
        there = held(self._admin, {(topic, number) for number in partitions}, self._seconds, committed=False) if partitions else {}
        return {number: found for (_, number), found in there.items()}

    def seek(self, planned: Seek) -> None:
        """Commit the planned offsets, in one request, where no member is at work and everything is still where it was planned on.

        The broker refuses by itself when a member comes in between. Raises Failed or NotAuthorised, after which the group is
        where it was.
        """
        coordinators = Coordinators(self._admin, Patience(self._seconds))
        group = coordinators.find(planned.name)
        if group is None:
            raise Failed(f"{planned.name} is gone. Nothing was moved.", hint="brokercli consumers ls shows them")
        if group.members:
            raise _at_work(planned.name, group.members)
        moves = {_place(step): step for step in planned.steps if step.have != step.want}
        elsewhere = [f"{topic} {partition}" for (topic, partition), step in moves.items() if _offset(group, (topic, partition)) != step.have]
        if elsewhere:
            raise Failed(f"{planned.name} is no longer where it was when this was planned: {some_of(elsewhere, 5)}. Nothing was moved.", hint="plan again")
        refused = self._commit(planned.name, {place: step.want for place, step in moves.items()})
        if refused:
            raise self._taken_back(planned.name, moves, refused)

    def _taken_back(self, name: str, moves: dict[Place, SeekStep], refused: dict[Place, KafkaError]) -> BrokercliError:
        """Put back what was moved beside something that was refused, and return what to raise."""
        moved = {place: step.have for place, step in moves.items() if place not in refused}
        back = {place: have for place, have in moved.items() if have is not None}
        stuck = [place for place, have in moved.items() if have is None]
        if back:
            stuck += list(self._commit(name, back))
        place, error = next(iter(refused.items()))
        left = f" It has an offset now in {', '.join(f'{topic} {partition}' for topic, partition in stuck)}." if stuck else " Nothing was moved."
        if error.code() == KafkaError.UNKNOWN_MEMBER_ID:
            return _at_work(name, Coordinators(self._admin, Patience(self._seconds)).members(name))
        if error.code() in AUTHORISATION:
            return NotAuthorised(f"No permission to move {name} in {place[0]}: {error.str()}.{left}", hint="READ on the group and on the topic would do")
        return Failed(f"Kafka refuses to move {name} in {place[0]}: {error.str()} ({error.name()}).{left}")

    def _commit(self, name: str, wanted: dict[Place, int]) -> dict[Place, KafkaError]:
        """Commit offsets; return what was said against each that was refused."""
        if not wanted:
            return {}
        request = ConsumerGroupTopicPartitions(name, [TopicPartition(topic, partition, offset) for (topic, partition), offset in wanted.items()])
        try:
            answer: Any = while_coming_back(
                lambda: self._admin.alter_consumer_group_offsets([request], request_timeout=self._seconds)[name].result(self._seconds + 1), self._seconds)
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP):
                return dict.fromkeys(wanted, error)
            raise translate(error, "moving the group", name) from None
        except TimeoutError:
            raise no_answer("moving the group", name, self._seconds) from None
        return {(place.topic, place.partition): place.error for place in answer.topic_partitions if place.error is not None}


def _step(source: str, partition: int, committed: TopicPartition | None, want: int, there: Range) -> SeekStep:
    have = committed.offset if committed is not None else None
    # what is not stored any more is not read from there either
    skipped = want - max(have, there.low) if have is not None and have <= there.high else None
    return SeekStep(source, partition, have, want, skipped)


def _place(step: SeekStep) -> Place:
    assert step.partition is not None
    return step.source.partition(":")[2], step.partition


def _offset(group: Group, place: Place) -> int | None:
    committed = group.committed.get(place)
    return committed.offset if committed is not None else None


def _at_work(name: str, members: Sequence[Member]) -> Failed:
    who = ", ".join(map(str, members)) or "it has members that are not told, or somebody joined just now"
    return Failed(f"{name} is at work, so it was not moved: {who}.", hint="stop its members, then repeat the command")
