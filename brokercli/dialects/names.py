"""Names that a letter gives as its origin. They are untrusted text: only one that its broker can have becomes a home."""

from __future__ import annotations

import re
from functools import lru_cache

_KAFKA = re.compile(r"[A-Za-z0-9._-]{1,249}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_NATS = 4000
# topics the broker keeps its own state in: a copy there would corrupt it
_KAFKA_INTERNAL = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"})


@lru_cache(maxsize=4096)
def problem_with(kind: str, name: str) -> str | None:
    """Return why no message can go to `name`, or None. `kind` is the kind of address: topic, subject, queue, exchange."""
    if not name and kind != "exchange":
        return "it is empty"
    if _CONTROL.search(name):
        return "it holds control characters"
    if kind == "topic":
        return _problem_with_topic(name)
    if kind == "subject":
        return _problem_with_subject(name)
    if len(name.encode()) > 255:
        return "it is longer than the 255 bytes a name may have"
    if name.startswith("amq.rabbitmq."):
        return "it belongs to the broker"
    return None


def shown(name: str) -> str:
    """Return a name short and harmless enough for a remark."""
    start = name[:60]
    visible = start if start.isprintable() else "".join(letter if letter.isprintable() else _escape(letter) for letter in start)
    return f"{visible}…" if len(name) > 60 else visible


def _escape(letter: str) -> str:
    return ascii(letter)[1:-1]


def _problem_with_topic(name: str) -> str | None:
    if name in _KAFKA_INTERNAL:
        return "it belongs to the broker"
    if not _KAFKA.fullmatch(name) or name in (".", ".."):
        return "no topic can have that name"
    return None


def _problem_with_subject(name: str) -> str | None:
    # a forged origin under $JS.API would delete streams instead of putting a letter back
    if name.startswith("$") or name.startswith("_INBOX."):
        return "it belongs to the server"
    if len(name) > _LONGEST_NATS:
        return "no subject is that long"
    if " " in name or any(not token or token in ("*", ">") for token in name.split(".")):
        return "no message can be published to that subject"
    return None
