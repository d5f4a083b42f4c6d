"""The records around a position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from brokercli.model.consumption import Lag
from brokercli.model.message import Record
from brokercli.terminal.peek import print_around


@dataclass
class Found:
    """What was found around one position."""

    lag: Lag
    before: list[Record] = field(default_factory=list)
    following: list[Record] = field(default_factory=list)
    lost: int = 0


def test_the_record_at_the_position_is_marked(capture: Callable[..., Any], kafka_record: Callable[..., Record]) -> None:
    captured = capture()
    lag = Lag("topic:orders", 3, 1200, 1500, 0, 300, member="worker-1 10.0.0.7")
    print_around(captured.streams, [Found(lag, [kafka_record(b"done", offset=1199)], [kafka_record(b"stuck"), kafka_record(b"next", offset=1201)])], "auto")
    heading, *lines = captured.out.decode().splitlines()
    assert heading == "topic:orders 3  position 1200  end 1500  300 behind  read by worker-1 10.0.0.7"
    assert [(line[:2], line.split()[-2:]) for line in lines] == [("  ", ["3:1199", "done"]), ("→ ", ["3:1200", "stuck"]), ("  ", ["3:1201", "next"])]


def test_an_end_and_a_loss_are_said(capture: Callable[..., Any], kafka_record: Callable[..., Record]) -> None:
    captured = capture()
    print_around(captured.streams, [Found(Lag("topic:a", 0, 7, 7, 0, 0)),
                                    Found(Lag("topic:a", 1, 5, 20, 17, 3), [], [kafka_record(offset=17)], lost=12)], "auto")
    lines = captured.out.decode().splitlines()
    assert lines[1] == "→ the end: nothing waits here"
    assert "  … 12 from 5 on are not stored any more, and will not be read" in lines


def test_as_json_each_envelope_says_its_distance(capture: Callable[..., Any], kafka_record: Callable[..., Record]) -> None:
    captured = capture()
    found = Found(Lag("topic:orders", 3, 1200, 1500), [kafka_record(offset=1198), kafka_record(offset=1199)], [kafka_record(), kafka_record(offset=1201)])
    print_around(captured.streams, [found], "json")
    told = [orjson.loads(line) for line in captured.out.splitlines()]
    assert [(envelope["offset"], envelope["distance"]) for envelope in told] == [(1198, -2), (1199, -1), (1200, 0), (1201, 1)]


def test_no_name_of_a_member_or_source_steers_the_terminal(capture: Callable[..., Any]) -> None:
    captured = capture(stdout_is_terminal=True)
    print_around(captured.streams, [Found(Lag("topic:a\x1b[31m", None, 7, 8, 0, 1, member="\u202eevil\n"))], "auto")
    assert captured.out.decode().splitlines()[0] == "topic:a\\x1b[31m  position 7  end 8  1 behind  read by \\u202eevil\\n"


def test_what_is_not_committed_yet_is_not_said_to_be_nothing(capture: Callable[..., Any]) -> None:
    captured = capture()
    print_around(captured.streams, [Found(Lag("topic:a", 0, 6, 8, 0, 2, readable=3))], "auto")
    heading, line = captured.out.decode().splitlines()
    assert (heading, line) == ("topic:a 0  position 6  end 8  2 behind", "→ what waits here is not committed yet, and cannot be shown")
