"""Notes that come while something goes on: each is said, once, in whatever order they come."""

from __future__ import annotations

from dataclasses import dataclass, field

from brokercli.terminal.notes import Notes


@dataclass
class Source:
    notes: list[str] = field(default_factory=list)


def test_each_note_is_said_once_wherever_in_the_list_it_comes() -> None:
    said: list[str] = []
    source = Source(["first", "last"])
    notes = Notes(source, said.append)
    notes.say_new()
    notes.say_new()
    source.notes.insert(1, "between")
    notes.say_new()
    source.notes = [*source.notes, "first"]
    notes.say_new()
    assert said == ["first", "last", "between", "first"]


def test_who_is_to_be_quiet_says_none() -> None:
    said: list[str] = []
    Notes(Source(["first"]), said.append, quiet=True).say_new()
    assert said == []
