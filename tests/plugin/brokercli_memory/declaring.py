"""The contract of `brokercli.backends.declaring` over one `Line`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from brokercli.backends.declaring import Declarer
from brokercli.model.declaration import Action, Change, Declaration, Difference, RetrySpecification, SettingValue
from brokercli.model.errors import Unsupported, UsageProblem
from brokercli_memory.settings import DEFAULTS, SETTINGS
from brokercli_memory.wire import Line

Key = tuple[str, str]


class MemoryDeclarer(Declarer):
    """Topics and queues as they ought to be."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def plan(self, wanted: Sequence[Declaration]) -> list[Change]:
        there = self._there()
        asked: dict[Key, Declaration] = {}
        for one in wanted:
            if one.kind not in SETTINGS:
                raise UsageProblem(f"A memory broker has no {one.kind}.")
            if asked.setdefault((one.kind, one.name), one) != one:
                raise UsageProblem(f"The {one} is declared twice, with other settings.")
        return [self._compare(one, there.get((one.kind, one.name))) for one in asked.values()]

    def apply(self, change: Change) -> None:
        what = {"kind": change.declaration.kind, "name": change.declaration.name}
        match change.action:
            case Action.CREATE:
                given = {name: value for name, value in change.declaration.settings.items() if value is not None}
                self._line.ask({"do": "create", **what, "new": True, "settings": given})
            case Action.CHANGE:
                settings = {one.setting: one.want for one in change.differences}
                self._line.ask({"do": "configure", **what, "settings": settings, "was": change.handle})
            case Action.DELETE:
                self._line.ask({"do": "delete", **what})

    def declared(self, kinds: Sequence[str] = ()) -> Iterator[Declaration]:
        for (kind, name), settings in self._there().items():
            if not kinds or kind in kinds:
                yield Declaration(kind, name, {setting: value for setting, value in settings.items() if DEFAULTS[kind].get(setting) != value})

    def plan_removal(self, unwanted: Sequence[Declaration]) -> list[Change]:
        counts = {(log["kind"], log["name"]): log["next"] - log["first"] for log in self._line.ask({"do": "list"})["logs"]}
        return [Change(one, Action.DELETE, remarks=(f"{counts[one.kind, one.name]:,} messages go with it",))
                for one in unwanted if (one.kind, one.name) in counts]

    def retry(self, specification: RetrySpecification) -> NoReturn:
        raise Unsupported("A memory broker delays nothing.")

    def _there(self) -> dict[Key, Mapping[str, SettingValue]]:
        return {(log["kind"], log["name"]): log["settings"] for log in self._line.ask({"do": "list"})["logs"]}

    @staticmethod
    def _compare(one: Declaration, stored: Mapping[str, SettingValue] | None) -> Change:
        if stored is None:
            return Change(one, Action.CREATE)
        have = {**DEFAULTS[one.kind], **stored}
        fixed = {setting.name: setting.fixed for setting in SETTINGS[one.kind]}
        want = {name: DEFAULTS[one.kind].get(name) if value is None else value for name, value in one.settings.items()}
        differences = tuple(Difference(name, have.get(name), value, fixed[name]) for name, value in want.items() if have.get(name) != value)
        action = Action.UNCHANGED if not differences else Action.CANNOT if any(each.obstacle for each in differences) else Action.CHANGE
        return Change(one, action, differences, handle=stored)
