"""A check-up on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brokercli.model.checkup import Check, Health
from brokercli.terminal.checkup import print_check


def test_what_is_too_long_for_a_line_goes_on_below_what_was_found_and_fills_its_lines(capture: Callable[..., Any]) -> None:
    captured = capture(stdout_is_terminal=True, width=40)
    print_check(captured.streams, Check("broker", Health.OK, "Apache Kafka at kafka://127.0.0.1:9092, the context k (chosen by the address)"))
    assert captured.out.decode().splitlines() == [
        "ok       broker: Apache Kafka at",
        "         kafka://127.0.0.1:9092, the",
        "         context k (chosen by the",
        "         address)",
    ]


def test_in_a_pipe_it_is_one_line(capture: Callable[..., Any]) -> None:
    captured = capture(width=40)
    print_check(captured.streams, Check("broker", Health.OK, "Apache Kafka at kafka://127.0.0.1:9092, the context k (chosen by the address)"))
    assert len(captured.out.splitlines()) == 1
