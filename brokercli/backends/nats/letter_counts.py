"""The letters that have come to a stream since a run over it was opened: how many they are, and a look at them."""

from __future__ import annotations

from brokercli.backends.nats.dead_letters import count_on
from brokercli.backends.nats.letters import Letters, NatsLetterReader
from brokercli.backends.nats.look_stored import open_stored
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream
from brokercli.backends.nats.unrecorded import ask_consumers, count
from brokercli.model.errors import BrokercliError


class LetterCounts:
    """Compares with the moment it was made. `taken` is what the run itself has taken out."""

    def __init__(self, jetstream: JetStream, letters: Letters) -> None:
        self.taken = 0
        self._jetstream = jetstream
        self._letters = letters
        self._last = int(letters.info["state"]["last_seq"])
        self._before = None if letters.whole else self._count()

    def arrived(self) -> int | None:
        """Return how many came; None where that cannot be told."""
        try:
            if self._letters.whole:
                return max(0, int(self._jetstream.link.run(self._jetstream.info(self._letters.stream))["state"]["last_seq"]) - self._last)
            now = self._count()
        except BrokercliError:
            return None
        return None if now is None or self._before is None else max(0, now + self.taken - self._before)

    def look(self) -> NatsLetterReader | None:
        """Open a look at them and at those that follow; None where only the consumers say which messages are letters."""
        letters = self._letters
        if letters.consumers is not None:
            return None
        reader = open_stored(self._jetstream, Source(letters.info), self._last + 1, None, of_leader=True)
        return NatsLetterReader(reader, letters)

    def _count(self) -> int | None:
        letters, link = self._letters, self._jetstream.link
        if letters.consumers is not None:
            return link.run(count(self._jetstream, link.run(ask_consumers(self._jetstream, letters.stream))))
        return sum(link.run(count_on(self._jetstream, letters.stream, subject)) for subject in letters.marks.subjects)
