"""The JSON Schema of topology files, for editors: made from the settings that each broker's descriptor names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from brokercli.backends.registry import Descriptor, settings_of
from brokercli.model.declaration import KINDS, Form, Setting
from brokercli.model.retrying import retry_settings
from brokercli.settings.topology_file import BINDING, RETRY, UNSET

_TYPES: dict[Form, dict[str, Any]] = {
    Form.TEXT: {"type": "string"}, Form.WHOLE: {"type": "integer"}, Form.REAL: {"type": "number"}, Form.FLAG: {"type": "boolean"},
    Form.DURATION: {"oneOf": [{"type": "string", "pattern": r"^(-?[0-9]+|([0-9]+(\.[0-9]+)?(ms|[smhdw]))+)$"}, {"type": "integer"}]},
    Form.SIZE: {"oneOf": [{"type": "string", "pattern": r"^(-?[0-9]+|[0-9]+(\.[0-9]+)?\s*(B|[kKMGT]i?B))$"}, {"type": "integer"}]},
    Form.TABLE: {"type": "object"},
}


def topology_schema(descriptors: Iterable[Descriptor]) -> dict[str, Any]:
    """Return the schema for files of these brokers: each thing takes the settings of one of the brokers that have it."""
    brokers = [descriptor for descriptor in descriptors if settings_of(descriptor)]
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {
        "broker": {"enum": [descriptor.name for descriptor in brokers], "description": "The broker this file is for; another is refused."},
        "prune": {"type": "array", "items": {"type": "string", "minLength": 1},
                  "description": "What --prune deletes where nothing here declares it: names with * and ?, a kind may stand before (queue:orders.*)."},
    }
    for kind in KINDS:
        having = [descriptor for descriptor in brokers if kind in settings_of(descriptor)]
        if not having:
            continue
        if kind == "binding":
            definitions["binding"] = _thing(BINDING, "A binding.") | {"required": ["source", "destination"]}
            properties["binding"] = {"type": "array", "items": {"$ref": "#/$defs/binding"}}
            continue
        for descriptor in having:
            definitions[f"{descriptor.name}-{kind}"] = thing = _thing(settings_of(descriptor)[kind], f"A {kind} on {descriptor.title}.")
            changeable = [setting.name for setting in settings_of(descriptor)[kind] if not setting.fixed]
            thing["properties"][UNSET] = {"type": "array", "items": {"enum": changeable},
                                          "description": "Settings that are to be as the broker has them by default."}
        references = [{"$ref": f"#/$defs/{descriptor.name}-{kind}"} for descriptor in having]
        properties[kind] = {"type": "object", "description": f"Each {kind} by its name.",
                            "additionalProperties": references[0] if len(references) == 1 else {"anyOf": references}}
    definitions["retry"] = _retry(brokers)
    properties["retry"] = {"type": "object", "description": "Retries, by the name of their source.", "additionalProperties": {"$ref": "#/$defs/retry"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "brokercli topology", "type": "object", "additionalProperties": False,
            "properties": properties, "$defs": definitions}


def _retry(brokers: Sequence[Descriptor]) -> dict[str, Any]:
    made = _thing(RETRY, "Tried, tried again after each delay, then into the dead letters.")
    made["properties"]["delays"] = {"type": "array", "minItems": 1, "items": _TYPES[Form.DURATION]["oneOf"][0], "description": RETRY[1].help}
    made["properties"]["settings"] = {"description": RETRY[5].help, "anyOf": [_thing(retry_settings(settings_of(one)), f"On {one.title}.") for one in brokers]}
    return made | {"required": ["delays"]}


def _thing(settings: Sequence[Setting], description: str) -> dict[str, Any]:
    thing: dict[str, Any] = {"type": "object", "description": description, "additionalProperties": False, "properties": {}}
    for setting in settings:
        thing["properties"][setting.name] = _value(setting)
        *outer, last = setting.name.split(".")
        inner = thing
        for part in outer:  # retention.ms without quotes is a table in TOML
            inner = inner["properties"].setdefault(part, {"type": "object", "additionalProperties": False, "properties": {}})
        inner["properties"][last] = _value(setting)
    return thing


def _value(setting: Setting) -> dict[str, Any]:
    choices = {"enum": list(setting.choices)} if setting.choices else {}
    if setting.form is Form.LIST:
        made: dict[str, Any] = {"type": "array", "items": _TYPES[setting.items] | choices}
    else:
        made = _TYPES[setting.form] | choices
    made["description"] = setting.help + (f"; never changes: {setting.fixed}" if setting.fixed else "")
    return made
