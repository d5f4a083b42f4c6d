"""What can be declared, and with which settings. Loads no client."""

from __future__ import annotations

from brokercli.model.declaration import Settings

SETTINGS: Settings = {}
