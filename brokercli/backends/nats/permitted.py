"""Which values a server takes of a setting, whatever else is set: with any other it would refuse the whole, or leave it out silently.

As nats-server 2.15 does it (stream.go, consumer.go; each seen).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from brokercli.backends.nats.configuration import setting_of
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, SettingValue
from brokercli.model.errors import UsageProblem
from brokercli.model.position import parse_time
from brokercli.model.setting_value import show

LONGEST_DESCRIPTION = 4096
LARGEST_METADATA = 128 << 10
_MILLISECOND = 1_000_000
SHORTEST = {"max_age": 100 * _MILLISECOND, "duplicate_window": 100 * _MILLISECOND, "subject_delete_marker_ttl": 1000 * _MILLISECOND,
            "idle_heartbeat": 100 * _MILLISECOND, "max_expires": _MILLISECOND}
"""Durations that are 0 or at least so long."""

_NEVER_NEGATIVE = {
    "stream": ("first_seq",),
    "consumer": ("ack_wait", "opt_start_seq", "inactive_threshold", "max_waiting", "max_batch", "max_bytes", "rate_limit_bps", "priority_timeout")}
_LARGEST = {"max_msg_size": 2**31 - 1}
_LARGEST_WHOLE = 2**63 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_PERCENTAGE = re.compile(r"\d+%?")
_GROUP = re.compile(r"[a-zA-Z0-9/_=-]{1,16}")


def check_values(declaration: Declaration) -> None:
    """Raise UsageProblem for a value that no server takes."""
    settings = declaration.settings
    for name, value in settings.items():
        if isinstance(value, int) and not isinstance(value, bool):
            _check_number(declaration, name, value)
    backoff = settings.get("backoff")
    if isinstance(backoff, list) and any(isinstance(wait, int) and wait < 0 for wait in backoff):
        raise UsageProblem(f"{declaration}: a wait in backoff cannot be negative.")
    pending = settings.get("max_ack_pending")
    if isinstance(pending, int) and pending < -1:
        raise UsageProblem(f"{declaration}: max_ack_pending cannot be {pending}.", hint="-1 is unlimited")
    if settings.get("sample_freq") and not _PERCENTAGE.fullmatch(str(settings["sample_freq"])):
        raise UsageProblem(f"{declaration}: sample_freq is a percentage, and {settings['sample_freq']} is none.", hint="100%, or 100")
    check_time(declaration, "opt_start_time", settings.get("opt_start_time"))
    groups = settings.get("priority_groups")
    for group in groups if isinstance(groups, list) else []:
        if not _GROUP.fullmatch(str(group)):
            raise UsageProblem(f"{declaration}: {str(group)[:200]!r} is no name for one of its priority_groups.",
                               hint="1 to 16 of A-Z, a-z, 0-9 and /_=-")
    _check_lengths(declaration, settings)


def check_time(declaration: Declaration, name: str, value: object) -> None:
    """Raise UsageProblem for what is no time to a server: it wants all of RFC 3339."""
    if not value:
        return
    if not _TIME.fullmatch(str(value)):
        raise UsageProblem(f"{declaration}: {name} is a time with its zone, and {str(value)[:200]!r} is not.", hint="2026-11-23T10:00:00Z")
    parse_time(str(value))


def _check_number(declaration: Declaration, name: str, value: int) -> None:
    setting = setting_of(declaration.kind, name)
    least = SHORTEST.get(name, 0)
    if name in SHORTEST and value < least and value != 0:
        raise UsageProblem(f"{declaration}: {name} cannot be shorter than {show(setting, least)}{' (0 is for ever)' if name == 'max_age' else ''}.")
    if value < 0 and name in _NEVER_NEGATIVE[declaration.kind]:
        raise UsageProblem(f"{declaration}: {name} cannot be negative.", hint=f"leave {name} out, or --unset it, for what the server has where nothing is said")
    largest = _LARGEST.get(name, _LARGEST_WHOLE)
    if value > largest:
        raise UsageProblem(f"{declaration}: {name} cannot be more than {show(setting, largest)}.")


def _check_lengths(declaration: Declaration, settings: Mapping[str, SettingValue]) -> None:
    if len(str(settings.get("description") or "").encode(errors="surrogateescape")) > LONGEST_DESCRIPTION:
        raise UsageProblem(f"{declaration}: its description cannot be longer than {amount(LONGEST_DESCRIPTION, 'byte')}.")
    metadata = settings.get("metadata")
    if isinstance(metadata, dict) and sum(len(f"{key}{text}".encode(errors="surrogateescape")) for key, text in metadata.items()) > LARGEST_METADATA:
        raise UsageProblem(f"{declaration}: its metadata cannot be more than {amount(LARGEST_METADATA, 'byte')}.")
