"""Letters that were put home and come straight back: what killed them still does, and a run that goes on would only make more of them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from brokercli.backends.contract import Reader
from brokercli.backends.dead_letters import Repair
from brokercli.dialects.redrive_headers import AT
from brokercli.model.amount import amount
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.errors import BrokercliError, Failed
from brokercli.model.position import format_time
from brokercli.operations.letters import Recogniser

# letters that come back faster than this share of those put back stop the run: they are not cured
RETURNED_SHARE = 0.5
RETURNED_LEAST = 20
ASK_SECONDS = 0.2
"""How old a count of the new letters may be: another costs as much as a tenth of a batch."""
_FIRST_SECONDS = 1.0
"""How long the new letters are waited for the first time that they are looked at; later those count that are here by then."""
_BODIES = 1 << 22


class ComingBack:
    """Stops a run when too many of the letters it put back have died again.

    A new letter has come back when it, or the message it points at or wraps, bears what this run wrote on it. Some who file letters leave
    headers out, so a letter with a body that was put back counts as well. So does one of which nothing tells: it cannot be looked at
    without being taken, or its message is gone.
    """

    def __init__(self, repair: Repair, recogniser: Recogniser) -> None:
        self._repair = repair
        self._recogniser = recogniser
        self._written: set[bytes] = set()
        self._bodies = bytearray(_BODIES)
        """A byte for each remainder of a body's hash, however many there are."""
        self._look: Reader | None = None
        self._opened = False
        self._arrived: int | None = None
        self._ask_again = 0.0
        self._came = 0
        """How many of the new letters have been looked at."""
        self._back = 0

    def now(self) -> int:
        """Return the time to be written on letters that are put back next."""
        at = time.time_ns()
        self._written.add(format_time(at).encode())
        return at

    def note(self, bodies: Iterable[bytes]) -> None:
        """Remember what is put back; a null body is empty here."""
        known = self._bodies
        for number in map(hash, bodies):
            known[number % _BODIES] = 1

    def check(self, confirmed: int) -> None:
        """Raise Failed where too many of those that were confirmed came back. The new letters are counted; they are looked at only where
        there are enough of them for that."""
        arrived = self._count() if confirmed >= RETURNED_LEAST else None
        most = max(RETURNED_LEAST, confirmed * RETURNED_SHARE)
        if arrived is None or arrived <= most:
            return
        back = self._look_at(arrived)
        if (arrived if back is None else back) > most:
            came = f"{amount(arrived, 'new one')} came meanwhile" if back is None else f"{back:,} of them came back meanwhile"
            raise Failed(f"Stopped: {amount(confirmed, 'letter was', 'letters were')} put back, and {came}. What killed them still does.",
                         hint="mend the consumer first; the same command goes on with what is left")

    def _count(self) -> int | None:
        """Return how many new letters there are, or were a moment ago."""
        if time.monotonic() >= self._ask_again:
            self._arrived = self._repair.arrived()
            self._ask_again = time.monotonic() + ASK_SECONDS
        return self._arrived

    def _look_at(self, arrived: int) -> int | None:
        """Return how many of the new letters have come back, as far as they can be read by now; None where they cannot be looked at."""
        try:
            deadline = 0.0
            if not self._opened:
                self._opened = True
                self._look = self._repair.newcomers()
                deadline = time.monotonic() + _FIRST_SECONDS
            while self._look is not None and self._came < arrived:
                batch = self._look.read(max(0.0, deadline - time.monotonic()))
                if batch is None:
                    break
                self._came += len(batch)
                self._back += sum(self._is_back(letter) for letters in self._recogniser.read(batch) for letter in letters)
        except BrokercliError:
            # what is wrong with it shows where letters are moved
            self._look = None
        return None if self._look is None else self._back

    def _is_back(self, letter: DeadLetter) -> bool:
        message = letter.unwrapped or letter.record.message
        return (not letter.complete or any(name == AT and value in self._written for name, value in message.headers)
                or bool(self._bodies[hash(message.body or b"") % _BODIES]))
