"""How the plan of a redrive, a drop or a park reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from brokercli.model.amount import amount
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import check_output, print_json, print_table

SAID = 12
"""How many of the things that are counted are named."""


class Counted(Protocol):
    """A plan; see `operations/planning.py`."""

    letters: int
    destinations: Counter[str]
    left: Counter[str]
    stripped: Counter[str]
    lost: Counter[str]
    counters: set[str]
    derived: Counter[str]
    withheld: Counter[str]


def print_plan(streams: Streams, verb: str, source: str, plan: Counted, obstacles: Mapping[str, str], fates: Sequence[str] = (), output: str = "auto", *,
               quiet: bool = False) -> None:
    """Print where how many letters go, what is left and why, what is taken off; one JSON object with `json`. `obstacles` says of
    destinations why nothing can be put there, and is said with `quiet` as well; `fates` what becomes there of what is."""
    check_output(output)
    if output == "json":
        print_json(streams, [{"verb": verb, "dlq": source, "letters": plan.letters, "destinations": dict(plan.destinations), "left": dict(plan.left),
                              "stripped": dict(plan.stripped), "lost": dict(plan.lost), "counters": sorted(plan.counters), "derived": dict(plan.derived),
                              "withheld": dict(plan.withheld), "obstacles": dict(obstacles), "fates": list(fates)}])
        return
    print_table(streams, [{"to": name, "messages": count} for name, count in plan.destinations.most_common()]
                + [{"to": f"stays: {reason}", "messages": count} for reason, count in plan.left.most_common()])
    for destination, reason in obstacles.items():
        count = plan.destinations[destination]
        streams.say(f"{destination}: {amount(count, 'letter')} would be refused and stay{'' if count > 1 else 's'} pending: {reason}")
    if quiet:
        return
    if obstacles and verb == "redrive":
        streams.say("such letters go elsewhere with --to ADDRESS (--origin NAME chooses them), or out of the way with dlq park")
    for fate in fates:
        streams.say(fate)
    for title, counts in (("home read from", plan.derived), ("taken off", plan.stripped), ("cannot be put back as it was", plan.lost),
                          ("do not go along, because they steer the broker", plan.withheld)):
        if counts:
            more = f", and {len(counts) - SAID:,} more (-o json names all)" if len(counts) > SAID else ""
            streams.say(f"{title}: " + ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(SAID)) + more)
    if plan.counters and verb == "redrive":
        names = sorted(plan.counters)[:SAID]
        one = len(names) == 1
        streams.say(f"{', '.join(names)} {'goes back as it was' if one else 'go back as they were'}: whoever counts tries there takes the next failure for the "
                    f"last; --strip {names[0]} takes {'it' if one else 'the first of them'} off")
    if plan.destinations and verb == "redrive":
        compaction = "; on a compacted topic an older value replaces a newer one of its key" if any(map(_is_topic, plan.destinations)) else ""
        streams.say(f"letters that go back come after what was published meanwhile{compaction}")
    if not plan.destinations:
        streams.say(f"nothing to {verb} in {source}")


def _is_topic(destination: str) -> bool:
    return destination.rpartition("/")[2].startswith("topic:")
