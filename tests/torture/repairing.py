"""Trials of letters that are put back, parked, dropped, put to another broker, or put back out of a file."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.torture.check import Content, Found, Letter, Promise, Run, bound, check_letters, duplicates
from tests.torture.disturbing import ANOTHER
from tests.torture.going import PATIENCE, Going
from tests.torture.letters import IDENTITY
from tests.torture.trial import Result

_AT_MOST = re.compile(r"at most ([\d,]+) letters? may be repeated|the letters of one step, up to ([\d,]+), are put back twice")


class Repairing(Going):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.site.bury(self.seeds)
        if not self.arena.ground.written_at_once and any(fault.name == "broker killed" for fault in self.trial.faults):
            self.arena.server.restart()
        self.letters = self.to_move()
        # those of the selection that cannot go anywhere
        self.homeless = sum(seed.chosen and not letter.chosen for seed, letter in zip(self.seeds, self.letters, strict=True))

    def to_move(self) -> list[Letter]:
        """Return what the command has to do with each letter."""
        return self.site.letters(self.seeds, self.trial.operation)

    def arguments(self, number: str) -> list[str]:
        return [*super().arguments(number), "--journal", str(self.folder / f"{number}.journal")]

    @property
    def exactly_once(self) -> bool:
        """Whether nothing may be repeated."""
        return self.arena.ground.exactly_once and self.site.permitted

    def finished(self, number: int, run: Run) -> Run:
        if self.exactly_once:
            return run
        # it says itself how many, before it touches the first; who was killed before that may repeat none
        said = _AT_MOST.search(run.stderr)
        window = int((said[1] or said[2]).replace(",", "")) if said is not None else 0
        if self.arena.ground.written_at_once:
            # two at once may both have put back the letters of one step, and both say so
            return replace(run, window=window, returned=window if self.happened[ANOTHER] and run.report is not None else 0)
        killed = self.happened["broker killed"] > 0
        return replace(run, window=len(self.seeds) if killed else window, returned=run.count("confirmed") if killed else 0)

    def done(self) -> bool:
        if not self._says_so(self.runs[-1]):
            return False
        if self.arena.ground.returned_at_once or not self.happened:
            return True
        # the letters that somebody held who was killed come back when the broker has noticed, and those that were taken out of a broker that was
        # killed before it wrote that down: once more, unless all is seen
        meant = {letter.identity for letter in self.letters if letter.chosen}
        forgotten = self.happened["broker killed"] and not self.arena.ground.written_at_once
        if self.trial.operation != "drop" and not forgotten and meant <= {found.identity for place in self.stored().values() for found in place}:
            return True
        return len(self.runs) > 2 and all(self._says_so(run) and not run.count("confirmed") for run in self.runs[-2:])

    def _says_so(self, run: Run) -> bool:
        if run.report is None or run.count("unknown"):
            return False
        # the program of --through fails for those that are not meant
        failing = len(self.seeds) - sum(seed.chosen for seed in self.seeds) if self.trial.operation == "through" else 0
        refused = self.homeless + failing
        # as many may have been refused because the broker was away, and those behind them were never read
        if failing and sum(run.report["left"].values()) != failing:
            return False
        return (run.code == 0 and (not run.count("skipped") or self.site.leaves_records)) or (
            run.code in (1, 3) and run.count("refused") == refused and not run.count("skipped")
            and run.count("read") == run.count("confirmed") + refused)

    def judge(self) -> Result:
        # two at once share a queue of RabbitMQ as its consumers do; on JetStream each does it all, and the ids see to it that it is once
        two = self.happened[ANOTHER] > 0
        promise = Promise(self.exactly_once, in_order=not self.disordered and not (two and self.arena.broker == "rabbitmq"),
                          shared=two and self.arena.broker == "nats")
        places = self.stored()
        violations = check_letters(self.letters, promise, self.runs, self.site.pending(), places, self._journal())
        return self.result(violations, duplicates(places), 0 if self.exactly_once else sum(bound(run) for run in self.runs))

    def _journal(self) -> dict[str, Content]:
        found: dict[str, Content] = {}
        for path in sorted(self.folder.glob("*.journal")):
            for line in path.read_bytes().split(b"\n"):
                # the last line of one who was killed may be half
                with suppress(json.JSONDecodeError):
                    envelope = json.loads(line)
                    # what only points at its message has it beside
                    envelope = envelope.get("original", envelope)
                    identity = next((bytes_of(header["value"]) for header in envelope.get("headers", ()) if header["name"] == IDENTITY), None)
                    if identity is not None:
                        found[identity.decode()] = Content(bytes_of(envelope["body"]), bytes_of(envelope.get("key")))
        return found


class FromAFile(Repairing):
    """The letters are dropped first, and put back out of the journal of that."""

    exactly_once = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        process = self.arena.start({}, ["dlq", "drop", self.site.dlq, "--yes", "--journal", str(self.folder / "letters")], self.folder / "dropped")
        assert process.wait(PATIENCE) == 0, (self.folder / "dropped.err").read_text()
        # whose home is gone is in the file for ever
        self.letters = [letter for letter in self.letters if letter.chosen]

    def arguments(self, number: str) -> list[str]:
        return Going.arguments(self, number)

    def finished(self, number: int, run: Run) -> Run:
        return replace(run, window=self.trial.window if "repeats at most one batch" in run.stderr else 0)

    def done(self) -> bool:
        return self._says_so(self.runs[-1])

    def judge(self) -> Result:
        promise = Promise(exactly_once=False, in_order=not self.disordered, journalled=False)
        places = self.stored()
        violations = check_letters(self.letters, promise, self.runs, self.site.pending(), places, {})
        return self.result(violations, duplicates(places), sum(bound(run) for run in self.runs))


class PutElsewhere(Repairing):
    """The letters go to another broker, and are marked here."""

    exactly_once = False

    def to_move(self) -> list[Letter]:
        return self.site.letters_for(self.seeds, self.there, self.site.carried)

    def finished(self, number: int, run: Run) -> Run:
        ended = super().finished(number, run)
        return replace(ended, window=max(ended.window, self.trial.window) if "repeats at most one batch" in run.stderr else 0)

    def stored(self) -> dict[str, list[Found]]:
        return {**self.site.stored(), self.there: self.arena.elsewhere.stored(self.run_name)}


def bytes_of(value: Any) -> bytes | None:
    """Return what an envelope says: text, base64, or null."""
    if value is None:
        return None
    return b64decode(value["base64"]) if isinstance(value, Mapping) and "base64" in value else str(value).encode()
