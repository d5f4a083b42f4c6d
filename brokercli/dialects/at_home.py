"""Dead letters that lie where they were published, and of which nobody wrote anything down (JetStream's work-queue and interest
streams): the broker's own word that they are dead is all there is, and their own subject is their home."""

from __future__ import annotations

from brokercli.dialects.restore import note_additions
from brokercli.model.address import Address
from brokercli.model.dead_letter import Confidence, DeadLetter, Home
from brokercli.model.message import Record

NAME = "jetstream without record"


def died_at_home(record: Record) -> DeadLetter:
    """Return what can be said of such a letter. Headers that speak of a death are of an earlier one, and stay."""
    subject = str(record.place.get("subject") or "")
    homes = (Home(Address(subject, "subject"), "its own subject", Confidence.CERTAIN, dict(record.place)),) if subject else ()
    letter = DeadLetter(record, NAME, reason="not delivered any more", homes=homes, original_time=record.time)
    note_additions(letter, None)
    return letter
