"""Letters made by the real frameworks and brokers, kept as envelopes in `letters/`; each file says how it was made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from brokercli.backends.envelope import PLACE_KEYS, decode_envelope
from brokercli.model.message import Message, Record
from brokercli.model.position import parse_time

FOLDER = Path(__file__).with_name("letters")
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def read_letter(name: str) -> Record:
    """Return the record a file holds."""
    return _record(json.loads((FOLDER / f"{name}.json").read_text())["letter"])


def read_original(name: str) -> Record | None:
    """Return the record that the letter was made of, where it was kept."""
    original = json.loads((FOLDER / f"{name}.json").read_text()).get("original")
    return None if original is None else _record(original)


def _record(envelope: dict[str, Any]) -> Record:
    message: Message = decode_envelope(json.dumps(envelope).encode(), 1)
    time = envelope.get("time")
    place = {name: envelope[name] for name in PLACE_KEYS if name in envelope}
    return Record(envelope["broker"], place, str(envelope.get("offset") or envelope.get("sequence") or ""), None if time is None else parse_time(time),
                  replace(message, route=None, id=None, time=None, partition=None))
