"""Declarations of one's own on a RabbitMQ that others use as well, and a login that may do little."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from brokercli.backends.declaring import Declarer
from brokercli.model.connection import Connection, Secret
from brokercli.model.declaration import Action, Change, Declaration
from tests.backends.rabbitmq_places import Places


class Declared:
    """Applies plans, and takes away at the end whatever they made, policies included."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.prefix = f"d-{uuid.uuid4().hex[:12]}"
        self._users: list[str] = []
        self._policies: list[str] = []

    def name(self, what: str) -> str:
        """Return a name that is nobody else's."""
        return f"{self.prefix}.{what}"

    def declarer(self, connection: Connection | None = None) -> Declarer:
        """Open a declarer."""
        return self.places.open(connection).declarer()

    def apply(self, *wanted: Declaration, connection: Connection | None = None) -> list[Change]:
        """Plan and do it; return the plan."""
        declarer = self.declarer(connection)
        changes = declarer.plan(wanted)
        for change in changes:
            if change.action not in (Action.UNCHANGED, Action.CANNOT):
                declarer.apply(change)
        return changes

    def policy(self, name: str, pattern: str, apply_to: str = "queues", priority: int = 0, **definition: Any) -> str:
        """Make a policy for names of one's own alone."""
        assert self.prefix in pattern
        self._policies.append(name)
        self.places.api(f"policies/%2F/{quote(name, safe='')}", "PUT", pattern=pattern, definition=definition, priority=priority, **{"apply-to": apply_to})
        return name

    def policies(self) -> dict[str, Any]:
        """Return what the policies of one's own names say."""
        return {policy["name"]: policy for policy in self.places.api("policies/%2F") if self.prefix in policy["name"]}

    def restricted(self, tags: str = "", configure: str = ".*", write: str = ".*", read: str = ".*") -> Connection:
        """Make a login with these permissions and tags."""
        user = f"user-{uuid.uuid4().hex[:12]}"
        self._users.append(user)
        self.places.api(f"users/{user}", "PUT", password="secret", tags=tags)
        self.places.api(f"permissions/%2F/{user}", "PUT", configure=configure, write=write, read=read)
        return replace(self.places.connection, user=user, password=Secret("secret"))

    def close(self) -> None:
        for user in self._users:
            self.places.api(f"users/{user}", "DELETE")
        for what in ("queue", "exchange"):
            for facts in self.places.api(f"{what}s/%2F?disable_stats=true&enable_queue_totals=true" if what == "queue" else "exchanges/%2F"):
                if self.prefix in facts["name"]:
                    (self.places.wire.delete_queue if what == "queue" else self.places.wire.delete_exchange)(facts["name"])
        for name in {*self.policies(), *self._policies}:
            self.places.api(f"policies/%2F/{quote(name, safe='')}", "DELETE")


def actions(changes: Sequence[Change]) -> list[tuple[str, Action]]:
    """Return what is done about each thing, in order."""
    return [(str(change.declaration), change.action) for change in changes]


def only(changes: Sequence[Change]) -> Change:
    """Return the one change there is."""
    (change,) = changes
    return change
