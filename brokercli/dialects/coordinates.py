"""Where a record lay that died, as Kafka and its own tools write it: topic, partition and offset in decimals, behind a prefix of theirs.

Each death adds its own, so of several the last is the latest. Which of their topics the message was published to cannot be told: one
that was read out of a topic of letters and died again came from the first, one that somebody put back elsewhere from the last.
"""

from __future__ import annotations

from dataclasses import dataclass

from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.values import text_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import Place

_MOST_DEATHS = 100


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a record lay. `place` holds partition and offset, None for what was not written or is not to be believed."""

    topic: str
    place: Place
    homes: tuple[Home | None, ...]
    journey: tuple[Hop, ...]

    @property
    def pointer(self) -> Place | None:
        """Where to fetch the record; None where that is not written whole, or no topic can have that name."""
        whole = self.homes[0] is not None and None not in self.place.values()
        return {"topic": self.topic, **self.place} if whole else None


def read_coordinates(reading: Reading, prefix: str) -> Coordinates:
    """Read the headers behind `prefix`; the latest death first among the homes, last in the journey."""
    topics = [text_of(value) for value in reading.all(f"{prefix}topic")[-_MOST_DEATHS:]] or [""]
    place: Place = {"partition": reading.partition(f"{prefix}partition", reading.last(f"{prefix}partition", decides=Decides.NOTHING)),
                    "offset": reading.offset(f"{prefix}offset", reading.last(f"{prefix}offset", decides=Decides.NOTHING))}
    latest, *others = dict.fromkeys(reversed(topics))
    homes = [reading.home(latest, f"{prefix}topic", Confidence.LIKELY if others else Confidence.CERTAIN, place=place)]
    homes += [reading.home(topic, f"{prefix}topic, of an earlier death", Confidence.GUESS) for topic in others]
    journey = (*map(Hop, topics[:-1]), Hop(latest, place=dict(place))) if latest else ()
    return Coordinates(latest, place, tuple(homes), journey)


def point_at(reading: Reading, letter: DeadLetter, origin: Coordinates) -> None:
    """Enter that the message is to be fetched from where it lay. A letter that does not say where is not complete either, unless it
    carries a copy of key or body."""
    letter.pointer = origin.pointer
    if letter.pointer is not None:
        return
    message = reading.record.message
    copied = message.body is not None or message.key is not None
    reading.remarks.append("it does not say where its original lies")
    reading.lost.append("the original's headers" if copied else "everything: the record is empty and points nowhere")
    if not copied:
        letter.pointer = {"topic": origin.topic}  # never complete: nothing of the original is at hand
