"""The plan of a redrive, a drop or a park, as it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from brokercli.operations.planning import Plan
from brokercli.terminal.plan import print_plan
from tests.terminal.conftest import Captured


def test_what_is_not_named_among_what_is_taken_off_is_counted(capture: Callable[..., Captured]) -> None:
    for many, more in ((12, ""), (13, ", and 1 more (-o json names all)"), (20, ", and 8 more (-o json names all)")):
        screen = capture()
        plan = Plan()
        plan.letters, plan.destinations = 3, Counter({"topic:orders": 3})
        plan.stripped = Counter({f"header-{number}": 3 for number in range(many)})
        print_plan(screen.streams, "redrive", "topic:orders.dlq", plan, {})
        (line,) = [line for line in screen.err.splitlines() if line.startswith("taken off: ")]
        assert line.endswith(f"header-11 (3){more}")
