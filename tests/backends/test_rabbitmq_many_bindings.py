"""Bindings by the thousand are found by key, as RabbitMQ finds them one by one."""

from __future__ import annotations

import random

import pytest

from brokercli.backends.rabbitmq import topology
from brokercli.backends.rabbitmq.topology import Bindings, matches


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers", "x-consistent-hash"])
def test_bindings_that_take_a_key_are_those_that_match_it(kind: str) -> None:
    drawing = random.Random(3)
    keys = ["", *(".".join(drawing.choices(["a", "b", "*", "#", "a*"], k=drawing.randint(1, 3))) for _ in range(60))]
    bindings = [{"routing_key": key, "destination": str(number)} for number, key in enumerate(keys * 2)]
    found = Bindings(bindings)
    for key in keys:
        taking = sorted(str(binding["destination"]) for binding in found.taking(kind, key))
        assert taking == sorted(binding["destination"] for binding in bindings if matches(kind, binding["routing_key"], key)), key
    assert list(found.taking(kind, None)) == bindings


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_a_key_is_not_compared_with_every_binding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = [{"routing_key": f"orders.{number}", "destination": f"letters.{number}"} for number in range(500)] + [{"routing_key": "#", "destination": "all"}]
    compared = []
    monkeypatch.setattr(topology, "matches", lambda *asked: compared.append(asked) or matches(*asked))
    found = Bindings(bindings)
    assert [binding["destination"] for binding in found.taking(kind, "orders.77")] == ["letters.77", "all"][:1 + (kind == "topic")]
    assert len(compared) <= 1
