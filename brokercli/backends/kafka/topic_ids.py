"""What tells a topic from another of the same name: the id that the broker gave it when it was made (KIP-516, since Kafka 2.8)."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Collection
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, TopicCollection

from brokercli.backends.kafka.failures import no_answer, translate
from brokercli.backends.kafka.span import PATIENCE_SECONDS, RETRY_SECONDS
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound

if TYPE_CHECKING:
    # looks ask only where they last
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient

_ASKING = "asking for the id of"
_BRIEFLY = 3
_SHARE = 0.15
"""So often it is asked for this share of the time, before it is waited for as long as there is."""


def ids_of(admin: AdminClient, topics: Collection[str], seconds: float) -> dict[str, str | BrokercliError]:
    """Return the id of each topic, empty where the broker gives topics none. Where it cannot be told, what is to be raised stands in its
    place.

    After a fault that may pass it asks again, for `seconds` in all; after the answer that there is no such topic for a shorter time: a
    broker may not have heard yet of one that was just made. A fault is never taken for a topic without an id.
    """
    found: dict[str, str | BrokercliError] = {}
    left, began, asked = list(topics), monotonic(), 0
    while left:
        remaining = max(RETRY_SECONDS, began + seconds - monotonic())
        if asked < _BRIEFLY:
            # whoever the client asks may be mute while others answer
            remaining = min(remaining, max(RETRY_SECONDS, seconds * _SHARE))
        asked += 1
        answers = admin.describe_topics(TopicCollection(left), request_timeout=remaining)
        found |= {topic: answered(topic, answer, remaining) for topic, answer in answers.items()}
        left = [topic for topic in left if _may_come(found[topic], monotonic() - began, seconds)]
        if left:
            sleep(RETRY_SECONDS)
            if not all(isinstance(found[topic], NotFound) for topic in left):
                _choose_another(admin, seconds * _SHARE)
    return found


def _choose_another(admin: AdminClient, seconds: float) -> None:
    """Have the client learn whom to ask: each time metadata name another of the brokers (KRaft's own controller talks to no clients)."""
    with suppress(KafkaException):
        admin.list_topics(timeout=seconds)


def id_of(admin: AdminClient, topic: str, seconds: float) -> str:
    """Return the id of one topic. Raises what is in its place."""
    found = ids_of(admin, [topic], seconds)[topic]
    if isinstance(found, BrokercliError):
        raise found
    return found


def tags_of(admin: AdminClient, topics: Collection[str], seconds: float) -> dict[str, int | BrokercliError]:
    """Return a number for each topic, made from its id; 0 where the broker gives topics none. In its place what is to be raised
    where that cannot be told."""
    return {topic: found if isinstance(found, BrokercliError) else tag(found) for topic, found in ids_of(admin, topics, seconds).items()}


def tag_of(admin: AdminClient, topic: str, seconds: float) -> int:
    """Return the number of one topic. Raises what is in its place."""
    return tag(id_of(admin, topic, seconds))


def tag(identity: str) -> int:
    """Return the number that is made from an id."""
    return (crc32(identity.encode()) or 1) if identity else 0


def answered(topic: str, answer: Future[Any], seconds: float) -> str | BrokercliError:
    """Return the id that an answer tells, or what is to be raised: the client was given so many seconds for it."""
    try:
        # the client gives up by itself after `seconds`; what it then says is more precise
        identity = answer.result(seconds + 1).topic_id
    except KafkaException as problem:
        return translate(problem.args[0], _ASKING, topic)
    except TimeoutError:
        return no_answer(_ASKING, topic, seconds)
    if identity is None or not (identity.get_most_significant_bits() or identity.get_least_significant_bits()):
        return ""
    return str(identity)


def _may_come(found: str | BrokercliError, passed: float, seconds: float) -> bool:
    """Whether asking again can help after so many seconds."""
    if not isinstance(found, BrokercliError) or isinstance(found, NotAuthorised):
        return False
    return passed < (min(seconds, PATIENCE_SECONDS) if isinstance(found, NotFound) else seconds)
