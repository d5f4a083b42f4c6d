"""How a plan of declarations reads, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brokercli.model.declaration import Action, Change, Setting, Settings, SettingValue
from brokercli.model.errors import BrokercliError
from brokercli.model.setting_value import show
from brokercli.terminal.cells import hanging
from brokercli.terminal.escape import visible
from brokercli.terminal.streams import STYLES, Streams
from brokercli.terminal.tables import print_json

SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.UNCHANGED: "=", Action.CANNOT: "!", Action.DELETE: "-"}
_STYLES = {Action.CREATE: "green", Action.CHANGE: "yellow", Action.UNCHANGED: "dim", Action.CANNOT: "bold red", Action.DELETE: "red"}


def print_changes(streams: Streams, changes: Sequence[Change], settings: Settings, output: str = "auto") -> None:
    """Print a plan: a line for each thing with the sign of what is done about it, below it what it is made with or what
    differs. `json` is one object a line."""
    if output == "json":
        print_json(streams, [as_json(change) for change in changes])
        return
    lines: list[str] = []
    for change in changes:
        known = {setting.name: setting for setting in settings.get(change.declaration.kind, ())}
        head = f"{SIGNS[change.action]} {visible(str(change.declaration))}"
        lines.append(_style(streams, f"{head}: unchanged" if change.action is Action.UNCHANGED else head, _STYLES[change.action]))
        lines += [f"    {line}" for detail in _details(change, known) for line in _folded(streams, detail)]
    streams.write("".join(f"{line}\n" for line in lines).encode())


def as_json(change: Change, state: str | None = None, error: BrokercliError | None = None) -> dict[str, object]:
    """Return a change as data; with its `state` and `error` once it was tried."""
    differences = [{"setting": one.setting, "have": one.have, "want": one.want, **({"obstacle": one.obstacle} if one.obstacle else {})}
                   for one in change.differences]
    return {"action": str(change.action), "kind": change.declaration.kind, "name": change.declaration.name, "settings": dict(change.declaration.settings),
            "differences": differences, "remarks": list(change.remarks), **({} if state is None else {"state": state}),
            **({} if error is None else {"error": str(error), "hint": error.hint})}


def _details(change: Change, known: Mapping[str, Setting]) -> list[str]:
    if change.action is Action.CREATE:
        rows = [(name, _wanted(known.get(name), value, value), "") for name, value in change.declaration.settings.items()]
        if change.declaration.kind == "binding":
            rows = []  # its name says them all
    elif change.action is Action.DELETE:
        rows = []
    else:
        said = change.declaration.settings
        rows = [(one.setting, f"{_value(known.get(one.setting), one.have)} → {_wanted(known.get(one.setting), one.want, said.get(one.setting, one.want))}",
                 one.obstacle) for one in change.differences]
    width = max((len(name) for name, _, _ in rows), default=0)
    lines = []
    for name, value, obstacle in rows:
        lines.append(f"{visible(name).ljust(width)}  {visible(value)}")
        if obstacle:
            lines.append(f"{' ' * width}  {visible(obstacle)}")
    return lines + [f"({visible(remark)})" for remark in change.remarks]


def _wanted(setting: Setting | None, want: SettingValue, said: SettingValue) -> str:
    """Write what is wanted; `said` is what was declared, None to have the broker's default."""
    if said is not None:
        return _value(setting, want)
    return "(default)" if want in (None, "", [], {}) else f"{show(setting, want)} (default)"


def _value(setting: Setting | None, value: SettingValue) -> str:
    # an empty text is a value as well: a dead-letter-exchange that is the default exchange
    return show(setting, value) or '""'


def _folded(streams: Streams, text: str) -> list[str]:
    return hanging(text, streams.width - 4) if streams.stdout_is_terminal else [text]


def _style(streams: Streams, text: str, style: str) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if streams.colour else text
