"""What tells a topic from the next one of its name is learnt from the first answer where nobody knew it before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from brokercli.backends.kafka.still_there import StillThere
from brokercli.backends.kafka.topic_ids import tag
from brokercli.model.errors import Failed
from tests.backends.kafka_answers import answered

OLD, NEW, NONE = Uuid(1, 1), Uuid(1, 2), Uuid(0, 0)
MUTE = KafkaException(KafkaError(KafkaError._TIMED_OUT))


def asking(*answers: Uuid | KafkaException) -> tuple[Callable[[], Any], list[str]]:
    """Return an administrator that answers in this order, and what is asked of it."""
    left, asked = list(answers), list[str]()

    def describe_topics(topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        asked.append("the id of t")
        now = left.pop(0)
        return {"t": answered(now if isinstance(now, Exception) else SimpleNamespace(topic_id=now))}

    return lambda: SimpleNamespace(describe_topics=describe_topics), asked


@pytest.mark.parametrize("number", [None, tag(str(OLD))], ids=["learnt", "known"])
def test_another_topic_of_the_name_is_told_again_and_again(number: int | None) -> None:
    admin, _ = asking(MUTE, OLD, MUTE, OLD, NEW)
    there = StillThere(admin, "t", 1.0, Failed("made anew"), number)
    assert there.known is (number is not None)
    for _ in range(4):
        there.ask()
        there.check()
        there.check()
    assert there.known
    there.ask()
    for _ in range(2):
        with pytest.raises(Failed, match="made anew"):
            there.check()


@pytest.mark.parametrize("number", [None, 0], ids=["learnt", "known"])
def test_topics_without_ids_are_not_asked_for_them_again(number: int | None) -> None:
    admin, asked = asking(NONE)
    there = StillThere(admin, "t", 1.0, Failed("made anew"), number)
    for _ in range(3):
        there.ask()
        there.check()
    assert not there.known
    assert len(asked) == (number is None)
