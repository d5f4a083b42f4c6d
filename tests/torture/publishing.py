"""Trials of messages that are published, and of stored ones that are copied."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.torture.check import Found, Promise, Run, check_copied, check_published, duplicates
from tests.torture.going import Going
from tests.torture.letters import Seed
from tests.torture.trial import Result


class Publishing(Going):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rest: list[Seed] = list(self.seeds)

    def input(self) -> bytes | None:
        return b"".join(json.dumps(self.site.envelope(seed)).encode() + b"\n" for seed in self.rest)

    def finished(self, number: int, run: Run) -> Run:
        receipts = {}
        for line in (self.folder / f"{number}.out").read_bytes().split(b"\n"):
            with suppress(json.JSONDecodeError):
                said = json.loads(line)
                if isinstance(said.get("message"), int):
                    receipts[self.rest[said["message"] - 1].identity] = "duplicate" if said.get("duplicate") else str(said["verdict"])
        tried = tuple(seed.identity for seed in self.rest)
        self.rest = [seed for seed in self.rest if receipts.get(seed.identity) not in ("confirmed", "duplicate")]
        return replace(run, receipts=receipts, tried=tried)

    def done(self) -> bool:
        return not self.rest

    def judge(self) -> Result:
        stored = self.stored()
        messages = {seed.identity: self.site.published(seed) for seed in self.seeds}
        promise = Promise(exactly_once=self.trial.broker == "nats", journalled=False)
        violations = check_published(messages, promise, self.runs, stored[self.site.homes[0]])
        unknown = sum(len(run.tried) - len(run.receipts) if run.report is None else run.count("unknown") for run in self.runs)
        return self.result(violations, duplicates(stored), 0 if promise.exactly_once else unknown)


class Copying(Going):
    """Everything is copied to another broker; who is killed is followed by one who goes on from the journal."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # a copy stops at what cannot be carried: none of that is here
        self.seeds = [seed if self.site.replayed(seed) is not None else replace(seed, body=seed.body or b"", key=None) for seed in self.seeds]
        self.site.bury(self.seeds)

    def stored(self) -> dict[str, list[Found]]:
        return {self.there: self.arena.elsewhere.stored(self.run_name)}

    def done(self) -> bool:
        return self.runs[-1].code == 0

    def judge(self) -> Result:
        # whoever could not end by itself, or was told of no verdict, had one step under way
        allowed = self.trial.window * sum(run.code not in (0, 130, 143) or run.count("unknown") > 0 for run in self.runs)
        letters = self.site.letters_for(self.seeds, self.there, self.site.replayed)
        stored = self.stored()
        violations = check_copied(letters, self.runs, stored, allowed, in_order=not self.disordered)
        return self.result(violations, duplicates(stored), allowed)
