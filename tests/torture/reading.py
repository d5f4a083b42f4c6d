"""Trials of a replay to standard output: whatever happens on the way, nothing is passed over, and nothing printed twice."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.torture.check import Content, Found, Letter, Run, Violation, check_shown
from tests.torture.going import WORDS, Going
from tests.torture.letters import IDENTITY
from tests.torture.repairing import bytes_of
from tests.torture.trial import Result


class Reading(Going):
    """Every run prints all that lies there, or says that it could not."""

    direction = "to client"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.size = self.volume
        self.site.bury(self.seeds)
        self.letters = [Letter(seed.identity, lies := self.site.lies(seed), self.site.lane(seed) if self.arena.broker == "kafka" else "",
                               copy=Content(lies.body, lies.key)) for seed in self.seeds]
        self.wrong: list[Violation] = []

    def arguments(self, number: str) -> list[str]:
        return [word.format(dlq=self.site.dlq) for word in WORDS["read"]]

    def finished(self, number: int, run: Run) -> Run:
        shown = []
        for line in (self.folder / f"{number}.out").read_bytes().split(b"\n"):
            # the last line of one who was killed may be half
            with suppress(json.JSONDecodeError):
                envelope = json.loads(line)
                identity = next((bytes_of(header["value"]) for header in envelope["headers"] if header["name"] == IDENTITY), None) or b""
                shown.append(Found(identity.decode(), Content(bytes_of(envelope["body"]), bytes_of(envelope.get("key")))))
        self.wrong += check_shown(self.letters, run, shown)
        return replace(run, report={})

    def done(self) -> bool:
        return self.runs[-1].code == 0

    def judge(self) -> Result:
        return self.result(self.wrong, 0, 0)
