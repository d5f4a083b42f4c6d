"""Writing a topology file: what `read_topology` reads as the same declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from brokercli.model.declaration import KINDS, Declaration, Form, Setting, Settings, SettingValue
from brokercli.model.setting_value import show


def write_topology(declarations: Iterable[Declaration], broker: str, settings: Settings, comment: str) -> str:
    """Return the text of a file, by kind and name, with durations and sizes as people write them."""
    import tomlkit  # 30 ms that only commands that write pay

    document = tomlkit.document()
    document.add(tomlkit.comment(comment))
    document["broker"] = broker
    found = sorted(declarations, key=lambda one: (KINDS.index(one.kind), one.name))
    for kind in KINDS:
        known = {setting.name: setting for setting in settings.get(kind, ())}
        of_kind = [one for one in found if one.kind == kind]
        if kind == "binding":
            bindings = tomlkit.aot()
            for one in of_kind:
                table = tomlkit.table()
                table.update({name: value for name, value in _spelled(one, known).items() if value not in ("", {})})
                bindings.append(table)
            if of_kind:
                document[kind] = bindings
        elif of_kind:
            tables = tomlkit.table(is_super_table=True)
            for one in of_kind:
                table = tomlkit.table()
                table.update(_spelled(one, known))
                tables[one.name] = table
            document[kind] = tables
    return tomlkit.dumps(document)


def _spelled(declaration: Declaration, known: Mapping[str, Setting]) -> dict[str, object]:
    import tomlkit

    spelled: dict[str, object] = {}
    for name, value in declaration.settings.items():
        if value is None:
            continue
        if isinstance(value, dict):
            table = tomlkit.inline_table()
            table.update(_without_nulls(value))
            spelled[name] = table
        else:
            spelled[name] = _spell(known.get(name), value)
    return spelled


def _spell(setting: Setting | None, value: SettingValue) -> object:
    if isinstance(value, list):
        item = None if setting is None else Setting(setting.name, setting.items, setting.help, setting.unit)
        return [_spell(item, one) for one in value]
    if setting is not None and setting.form in (Form.DURATION, Form.SIZE) and isinstance(value, int):
        text = show(setting, value)
        return value if text == str(value) else text
    return _without_nulls(value) if isinstance(value, dict) else value


def _without_nulls(table: Mapping[str, SettingValue]) -> dict[str, object]:
    # TOML has none
    return {name: _without_nulls(value) if isinstance(value, dict) else value for name, value in table.items() if value is not None}
