"""Declarations by the thousand: what is asked is asked together, and what is compared is not all with all."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from brokercli.backends.nats import obstacles, subjects
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.backends.nats.subjects import overlap, overlaps
from brokercli.model.declaration import Action, Declaration
from tests.backends.nats_declarations import a_consumer
from tests.backends.nats_streams import Streams


def test_overlapping_subjects_are_found_wherever_their_wildcards_are() -> None:
    drawing = random.Random(7)
    for _ in range(300):
        drawn = [".".join(drawing.choices(["a", "b", "*"], k=drawing.randint(1, 3))) + drawing.choice(["", "", ".>"]) for _ in range(12)]
        expected = {(one, other) for one, other in combinations(range(12), 2) if overlap(drawn[one], drawn[other])}
        assert set(overlaps(drawn)) == expected, drawn


def test_subjects_of_many_streams_are_not_compared_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(subjects, "overlap", lambda *pair: compared.append(pair) or overlap(*pair))
    many = {f"S{number}": Declaration("stream", f"S{number}", {"subjects": [f"orders.{number}.>", f"bills.{number}"]}) for number in range(500)}
    obstacles.check_together(many)
    assert len(compared) <= len(many)


def test_the_consumers_of_many_streams_are_asked_for_together(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0
    consumers = JetStream.consumers

    async def counted(self: JetStream, stream: str, silent: list[str] | None = None) -> list[Json]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await consumers(self, stream, silent)
        finally:
            under_way -= 1

    monkeypatch.setattr(JetStream, "consumers", counted)
    planned = streams.backend().declarer().plan([a_consumer(streams.make()) for _ in range(3)])
    assert [change.action for change in planned] == [Action.CREATE] * 3
    assert most == 3
