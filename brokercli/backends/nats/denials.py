"""The subjects that a login turned out not to be permitted to publish to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.failures import not_permitted
from brokercli.model.connection import Connection
from brokercli.model.errors import NotAuthorised

_WHY = "this login is not permitted to publish to {}"


class Denials:
    """What one publisher was told. Its lock guards this as well."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._subjects: dict[bytes, NotAuthorised] = {}
        self._told: Counter[bytes] = Counter()

    def take(self, subject: bytes, waiting: Sequence[int]) -> Sequence[int]:
        """Take one permission violation, while messages with these numbers wait on that subject; return those that are known to be refused.
        Each message that is hit gets one and no acknowledgement: once there are as many as messages, those are the ones."""
        if not waiting:
            return ()
        self._subjects[subject] = not_permitted("publish", subject.decode(errors="surrogateescape"), self._connection)
        self._told[subject] += 1
        if self._told[subject] < len(waiting):
            return ()
        del self._told[subject]
        return waiting

    def check(self, subject: bytes) -> None:
        """Raise Refusal for a subject that is denied."""
        if subject in self._subjects:
            raise Refusal(self.reason(subject))

    @staticmethod
    def reason(subject: bytes) -> str:
        """Return why a message is refused."""
        return _WHY.format(subject.decode(errors="surrogateescape"))

    def of(self, subject: bytes | None) -> NotAuthorised | None:
        """Return the failure of a subject, None where it is not denied."""
        return None if subject is None else self._subjects.get(subject)

    @property
    def first(self) -> NotAuthorised | None:
        """Return the failure of the first subject that was denied, None where none was."""
        return next(iter(self._subjects.values()), None)
