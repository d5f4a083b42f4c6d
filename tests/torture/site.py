"""The ground of one trial: a fresh place of dead letters, the homes its letters came from, a parking place, and one to publish to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from brokercli.dialects.redrive_headers import AT, COUNT, FROM
from tests.torture.check import Content, Found, Letter
from tests.torture.letters import IDENTITY, Seed

HOMES = 3
HOMEWARD = ("redrive", "selected", "through", "file")
"""Operations that put each letter back where it came from."""
MENDED = b"mended: "
"""What the program of `--through` puts before a body that it mends."""
STAMP = ("put back by brokercli, once",)
"""Stands for the three headers that say so, in what is compared."""


class Site(ABC):
    """Made, filled and read with the broker's own protocol; addresses are as `brokercli` takes them."""

    dlq: str
    parking: str
    """Where `dlq park` and `--to` go."""
    permitted = True
    """Whether brokercli may do here what its best guarantee needs."""
    leaves_records = False
    """Whether a run that is killed may leave letters that point at nothing any more, which every other run leaves and says so."""
    homes: list[str]
    """The names of the places letters came from, as the checker knows them."""

    @abstractmethod
    def bury(self, seeds: Sequence[Seed]) -> None:
        """Make dead letters of messages, in their order."""

    @abstractmethod
    def lies(self, seed: Seed) -> Content:
        """Return what the letter is among the dead letters."""

    @abstractmethod
    def copy(self, seed: Seed) -> Content:
        """Return what its copy is at home."""

    def parked(self, seed: Seed) -> Content:
        """Return what its copy is in the parking place."""
        return self.lies(seed)

    def filed(self, seed: Seed) -> Content:
        """Return what its copy is at home when it comes out of a file."""
        return self.copy(seed)

    @abstractmethod
    def carried(self, seed: Seed) -> Content | None:
        """Return what its copy is on NATS, where it is put by `--to` on another broker; None where NATS cannot carry it."""

    def replayed(self, seed: Seed) -> Content | None:
        """Return what its copy is on NATS, where the place of dead letters is replayed to there; None where NATS cannot carry it."""
        raise NotImplementedError("only what numbers its messages can be replayed")

    def lane(self, seed: Seed) -> str:
        """Return in which part of the dead letters it lies."""
        return ""

    @abstractmethod
    def pending(self) -> list[Found]:
        """Return the letters that are not handled; called once, at the end."""

    @abstractmethod
    def stored(self) -> dict[str, list[Found]]:
        """Return what came home and to the parking place until now."""

    @abstractmethod
    def published(self, seed: Seed) -> Content:
        """Return what a message is when `brokercli publish` has stored it in the first home."""

    @abstractmethod
    def envelope(self, seed: Seed) -> dict[str, Any]:
        """Return the message as `publish --input json` takes it."""

    @property
    @abstractmethod
    def target(self) -> str:
        """The first home, as `publish` takes it."""

    @abstractmethod
    def clean(self) -> None:
        """Delete it all."""

    def letters_for(self, seeds: Sequence[Seed], place: str, carried: Callable[[Seed], Content | None]) -> list[Letter]:
        """Return what the command has to do with each where all go to one place on another broker, as `carried` says."""
        copies = [carried(seed) for seed in seeds]
        return [Letter(seed.identity, self.lies(seed), self.lane(seed), place, copy, copy is not None) for seed, copy in zip(seeds, copies, strict=True)]

    def letters(self, seeds: Sequence[Seed], operation: str) -> list[Letter]:
        """Return what the command has to do with each."""
        made = []
        for seed in seeds:
            goes, copy = self.parking, self.copy(seed)
            if operation in HOMEWARD:
                goes = self.homes[seed.home] if seed.home >= 0 else ""
                copy = self.filed(seed) if operation == "file" else copy
                copy = replace(copy, body=MENDED + copy.body) if operation == "through" and copy.body is not None else copy
            elif operation == "park":
                copy = self.parked(seed)
            at_all = seed.chosen and bool(goes)
            made.append(Letter(seed.identity, self.lies(seed), self.lane(seed), None if operation == "drop" else goes or self.homes[0],
                               None if operation == "drop" else copy, at_all))
        return made


def split_stamp(headers: Sequence[tuple[Any, Any]]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the headers that are not brokercli's, and STAMP where its three are there, each once and saying `once`."""
    ours = [(name, value) for name, value in headers if name in (FROM, AT, COUNT)]
    rest = tuple(header for header in headers if header not in ours)
    said = dict(ours)
    whole = len(ours) == 3 and said.get(COUNT) == b"1" and b":" in (said.get(FROM) or b"") and (said.get(AT) or b"").startswith(b"20")
    return rest, STAMP if whole else tuple(ours)


def identity_in(headers: Sequence[tuple[Any, Any]]) -> str:
    """Return the identity that a message carries; empty where it has none, or two."""
    found = [value for name, value in headers if name == IDENTITY]
    return found[0].decode(errors="replace") if len(found) == 1 and isinstance(found[0], bytes) else ""


class Ground(ABC):
    """One broker with room for one trial after another, and the way for brokercli to reach it through a proxy."""

    exactly_once: bool
    """Whether its redrive repeats nothing, whoever is killed."""
    returned_at_once = True
    """Whether a run that begins finds every letter that is not handled, whatever happened to the run before it."""
    written_at_once = True
    """Whether dead letters that lie there survive the broker's death from the first moment on."""

    @abstractmethod
    def make(self, run: str, kind: str) -> Site:
        """Make the ground of a trial; `kind` is one of `kinds`."""

    @property
    @abstractmethod
    def kinds(self) -> Sequence[str]:
        """What a place of dead letters can be here."""

    @abstractmethod
    def context(self, port: int) -> Mapping[str, str]:
        """Return the settings of a context that reaches the broker through a port of this machine."""
