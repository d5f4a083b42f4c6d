"""What can be declared, and with which settings: each form of a setting occurs."""

from __future__ import annotations

from collections.abc import Mapping

from brokercli.model.declaration import Form, Setting, Settings, SettingValue

_ORDER = Setting("order", Form.TEXT, "by when messages were sent, or by the time they carry", choices=("sent", "time"),
                 fixed="what is stored is not sorted again; make the topic anew")
_KEEP = Setting("keep", Form.WHOLE, "how many messages are kept; 0 keeps all")

SETTINGS: Settings = {
    "topic": (
        _KEEP, _ORDER,
        Setting("max.age", Form.DURATION, "how old messages are still of use; told to readers"),
        Setting("max.size", Form.SIZE, "how large messages ought to be at most; told to writers"),
        Setting("sample", Form.REAL, "which part of the messages is worth a look; told to readers"),
        Setting("closed", Form.FLAG, "nothing is to be published any more; told to writers"),
        Setting("owners", Form.LIST, "who answers for it"),
        Setting("steps", Form.LIST, "after how long to look again; told to readers", items=Form.DURATION),
        Setting("labels", Form.TABLE, "anything else"),
    ),
    "queue": (_KEEP, Setting("exclusive", Form.FLAG, "for one reader at a time", fixed="readers rely on it; make the queue anew")),
}
DEFAULTS: Mapping[str, Mapping[str, SettingValue]] = {"topic": {"keep": 0, "order": "sent", "closed": False}, "queue": {"keep": 0, "exclusive": False}}
