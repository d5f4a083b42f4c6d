"""Whether a trial kept every promise: contents against contents, and what each run said against what is there. Knows no broker."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.commandline import BUG


class Kind(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    PHANTOM = "phantom"
    """Said to be confirmed, or to be done, and is not there."""
    CORRUPTED = "corrupted"
    DUPLICATED = "duplicated"
    """More copies than the documented bound allows."""
    MISPLACED = "misplaced"
    DISORDERED = "disordered"
    UNTRUE = "untrue"
    """An account, exit code or receipt that contradicts itself or the facts."""
    UNJOURNALLED = "unjournalled"
    """Taken out, and in no journal."""
    UNFINISHED = "unfinished"
    BROKEN = "broken"
    """A traceback, or what brokercli itself calls a bug."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    kind: Kind
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"


@dataclass(frozen=True, slots=True)
class Content:
    """Everything about a message that has to survive; headers and properties in the broker's own terms."""

    body: bytes | None
    key: bytes | None = None
    headers: tuple[Any, ...] = ()
    properties: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One message that is stored. `lane` is the part of its place that keeps an order, a partition."""

    identity: str
    content: Content
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, and what the command has to do with it."""

    identity: str
    lies: Content
    lane: str = ""
    goes: str | None = None
    """The place where its copy belongs; None where it is taken out without one."""
    copy: Content | None = None
    chosen: bool = True
    """Whether the command is about it and it can go."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command. `report` is what it wrote, None where it was killed or never began."""

    code: int
    report: Mapping[str, Any] | None = None
    stderr: str = ""
    killed: bool = False
    window: int = 0
    """How many letters its end without a word may repeat."""
    returned: int = 0
    """How many letters that it said to be done the broker's own death may have brought back, to be repeated."""
    receipts: Mapping[str, str] = field(default_factory=dict)
    """Publishing: verdict of each message that got one, by identity; `duplicate` for what the broker had before."""
    tried: tuple[str, ...] = ()
    """Publishing: what was given to it."""

    def count(self, name: str) -> int:
        """Return one number of its account."""
        return int((self.report or {}).get(name, 0))

    @property
    def without_receipt(self) -> str:
        """Publishing: the verdict of a message that has no receipt. A second Ctrl-C may take a verdict from under its reader: it is counted
        as unknown then, and its receipt has no number."""
        return "unknown" if self.report is None or self.count("unknown") > list(self.receipts.values()).count("unknown") else "skipped"


@dataclass(frozen=True, slots=True)
class Promise:
    """What holds for the operation on this broker."""

    exactly_once: bool
    in_order: bool = False
    journalled: bool = True
    shared: bool = False
    """Whether of two runs at once both may say of a letter that it is done: it is, and each saw that."""


def check_letters(letters: Sequence[Letter], promise: Promise, runs: Sequence[Run], pending: Sequence[Found], places: Mapping[str, Sequence[Found]],
                  journal: Mapping[str, Content]) -> list[Violation]:
    """Compare what lay among the dead letters with what lies there, and everywhere else, after the last run."""
    wrong = [violation for run in runs for violation in check_account(run)]
    by_identity = {letter.identity: letter for letter in letters}
    left = Counter(found.identity for found in pending)
    copies = Counter(found.identity for place in places.values() for found in place)
    moved = 0
    for letter in letters:
        identity, away = letter.identity, not left[letter.identity]
        moved += away and letter.chosen
        if not letter.chosen and copies[identity]:
            wrong.append(Violation(Kind.MISPLACED, f"{identity} was not meant, and {copies[identity]} copies of it were put back"))
        if away and not copies[identity] and (letter.goes is not None or not letter.chosen):
            wrong.append(Violation(Kind.LOST, f"{identity} is nowhere"))
        if away and letter.chosen and promise.journalled:
            wrong += _check_journal(letter, journal)
        if left[identity] > 1:
            wrong.append(Violation(Kind.DUPLICATED, f"{identity} lies among the dead letters {left[identity]} times"))
    wrong += _check_claims(letters, runs, left, moved, shared=promise.shared)
    wrong += _check_contents(by_identity, pending, places)
    wrong += _check_excess(promise, runs, copies)
    if promise.in_order:
        wrong += _check_order(letters, places)
    return wrong


def bound(run: Run) -> int:
    """Return how many letters one run may repeat where the promise is at least once."""
    return run.returned + (run.window if run.report is None else run.count("unknown"))


def duplicates(places: Mapping[str, Sequence[Found]]) -> int:
    """Count the copies beyond the first of each message."""
    return sum(count - 1 for count in Counter(found.identity for place in places.values() for found in place).values())


_BUGS = ("Traceback", BUG)
"""What brokercli's own words for a bug begin with, and what Python prints where not even those came."""


def check_bugs(run: Run) -> list[Violation]:
    """Look for what no run may say."""
    return [Violation(Kind.BROKEN, run.stderr[-2000:])] if any(words in run.stderr for words in _BUGS) else []


def check_account(run: Run) -> list[Violation]:
    """Hold what one run said against itself."""
    wrong = check_bugs(run)
    report = run.report
    if report is None:
        if run.code == 0:
            wrong.append(Violation(Kind.UNTRUE, "it ended with 0 and without a report"))
        return wrong
    # one who was killed after the report had no chance to end with what it says
    code = int(report["exit_code"]) if run.killed else run.code
    read, confirmed, refused, unknown, skipped = (run.count(name) for name in ("read", "confirmed", "refused", "unknown", "skipped"))
    account = f"exit code {code}, {dict(report)}"
    if read != confirmed + refused + unknown + skipped:
        wrong.append(Violation(Kind.UNTRUE, f"read is not the sum of the others: {account}"))
    if report.get("exit_code") != code:
        wrong.append(Violation(Kind.UNTRUE, f"the report has another exit code: {account}"))
    if (code == 4) != (unknown > 0):
        wrong.append(Violation(Kind.UNTRUE, f"4 means that something is unknown: {account}"))
    if code == 0 and refused:
        wrong.append(Violation(Kind.UNTRUE, f"0 with something refused: {account}"))
    if code == 3 and not confirmed:
        wrong.append(Violation(Kind.UNTRUE, f"3 means partly done: {account}"))
    if code in (1, 5, 6, 7, 10) and confirmed:
        wrong.append(Violation(Kind.UNTRUE, f"it says that nothing was done, and something was: {account}"))
    return wrong


def _check_journal(letter: Letter, journal: Mapping[str, Content]) -> list[Violation]:
    kept = journal.get(letter.identity)
    if kept is None:
        return [Violation(Kind.UNJOURNALLED, f"{letter.identity} was taken out and is in no journal")]
    if (kept.body, kept.key) != (letter.lies.body, letter.lies.key):
        return [Violation(Kind.CORRUPTED, f"the journal has {letter.identity} as {_short(kept)}; it was {_short(letter.lies)}")]
    return []


def _check_claims(letters: Sequence[Letter], runs: Sequence[Run], left: Counter[str], moved: int, *, shared: bool) -> list[Violation]:
    wrong = []
    claims = [run.count("confirmed") for run in runs]
    claimed = max(claims, default=0) if shared else sum(claims)
    if claimed > moved + sum(run.returned for run in runs):
        wrong.append(Violation(Kind.PHANTOM, f"{claimed} letters were said to be confirmed, and {moved} are"))
    if all(run.report is not None for run in runs) and moved > sum(claims) + sum(run.count("unknown") for run in runs):
        wrong.append(Violation(Kind.UNTRUE, f"{moved} letters were moved; {sum(claims)} were said to be confirmed, and the rest to be refused"))
    still = [letter.identity for letter in letters if letter.chosen and left[letter.identity]]
    if still and runs and runs[-1].code == 0:
        wrong.append(Violation(Kind.PHANTOM, f"it ended with 0, and {len(still)} letters are left: {still[:3]}"))
    elif still:
        wrong.append(Violation(Kind.UNFINISHED, f"{len(still)} letters are left after {len(runs)} runs: {still[:3]}"))
    return wrong


def _check_contents(letters: Mapping[str, Letter], pending: Sequence[Found], places: Mapping[str, Sequence[Found]]) -> list[Violation]:
    wrong = []
    for found in pending:
        letter = letters.get(found.identity)
        if letter is None or found.content != letter.lies:
            wrong.append(_differs(found, "among the dead letters", letter and letter.lies))
    for place, stored in places.items():
        for found in stored:
            letter = letters.get(found.identity)
            if letter is None or (letter.chosen and found.content != letter.copy):
                wrong.append(_differs(found, f"in {place}", letter and letter.copy))
            elif letter.chosen and letter.goes != place:
                wrong.append(Violation(Kind.MISPLACED, f"{found.identity} is in {place}; it belongs to {letter.goes}"))
    return wrong


def _differs(found: Found, where: str, wanted: Content | None) -> Violation:
    if wanted is None:
        return Violation(Kind.CORRUPTED, f"{where} is {found.identity or 'a message without identity'}, which nobody put there: {_short(found.content)}")
    parts = [name for name in ("body", "key", "headers", "properties") if getattr(found.content, name) != getattr(wanted, name)]
    name = parts[0] if parts else "body"
    is_, was = getattr(found.content, name), getattr(wanted, name)
    return Violation(Kind.CORRUPTED, f"{found.identity} {where}: {', '.join(parts)}: {is_!r:.300} instead of {was!r:.300}")


def _check_excess(promise: Promise, runs: Sequence[Run], copies: Counter[str]) -> list[Violation]:
    excess = sum(count - 1 for count in copies.values())
    # whoever was told says itself which letters may be repeated; whoever was killed may have put back a window
    allowed = 0 if promise.exactly_once else sum(bound(run) for run in runs)
    if excess > allowed:
        twice = [identity for identity, count in copies.items() if count > 1]
        return [Violation(Kind.DUPLICATED, f"{excess} copies too many, {allowed} are allowed: {twice[:3]}")]
    return []


def _check_order(letters: Sequence[Letter], places: Mapping[str, Sequence[Found]]) -> list[Violation]:
    lay = {letter.identity: (letter.lane, number) for number, letter in enumerate(letters)}
    wrong = []
    for place, stored in places.items():
        last: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        for identity, lane in _first_copies(stored):
            if identity not in lay:
                continue
            source, number = lay[identity]
            if number < last[lane, source]:
                wrong.append(Violation(Kind.DISORDERED, f"{identity} is behind {letters[last[lane, source]].identity} in {place}"))
            last[lane, source] = max(last[lane, source], number)
    return wrong


def _first_copies(stored: Iterable[Found]) -> Iterable[tuple[str, str]]:
    found = list(stored)
    lanes: dict[str, set[str]] = defaultdict(set)
    for one in found:
        lanes[one.identity].add(one.lane)
    seen: set[str] = set()
    for one in found:
        # of copies in two lanes nothing says which was first
        if one.identity not in seen and len(lanes[one.identity]) == 1:
            seen.add(one.identity)
            yield one.identity, one.lane


def check_published(messages: Mapping[str, Content], promise: Promise, runs: Sequence[Run], stored: Sequence[Found]) -> list[Violation]:
    """Compare the receipts of every run with what is stored. Each run was given what had no confirmation before."""
    wrong = [violation for run in runs for violation in check_account(run)]
    copies = Counter(found.identity for found in stored)
    without = [(run, run.without_receipt) for run in runs]
    for identity in messages:
        verdicts = [run.receipts.get(identity, otherwise) for run, otherwise in without if identity in run.tried]
        confirmed = "confirmed" in verdicts or "duplicate" in verdicts
        most = sum(verdict in ("confirmed", "unknown") for verdict in verdicts)
        if confirmed and not copies[identity]:
            wrong.append(Violation(Kind.LOST, f"{identity} was confirmed and is not stored"))
        elif copies[identity] > most:
            kind = Kind.DUPLICATED if confirmed else Kind.UNTRUE
            wrong.append(Violation(kind, f"{identity} is stored {copies[identity]} times; its verdicts were {verdicts}"))
        elif promise.exactly_once and copies[identity] > 1:
            wrong.append(Violation(Kind.DUPLICATED, f"{identity} is stored {copies[identity]} times under one id"))
        if not confirmed:
            wrong.append(Violation(Kind.UNFINISHED, f"{identity} has no confirmation after {len(runs)} runs: {verdicts}"))
    for found in stored:
        wanted = messages.get(found.identity)
        if wanted is None or found.content != wanted:
            wrong.append(_differs(found, "at its destination", wanted))
    for run in runs:
        wrong += _check_receipts(run)
    return wrong


def check_copied(letters: Sequence[Letter], runs: Sequence[Run], stored: Mapping[str, Sequence[Found]], allowed: int, *, in_order: bool) -> list[Violation]:
    """Compare what was to be copied with what is stored there, after the last of several runs that went on from each other."""
    wrong = [violation for run in runs for violation in check_account(run)]
    copies = Counter(found.identity for place in stored.values() for found in place)
    wrong += [Violation(Kind.LOST, f"{letter.identity} was not copied, and the last run ended with {runs[-1].code}") for letter in letters
              if not copies[letter.identity]]
    wrong += _check_contents({letter.identity: letter for letter in letters}, [], stored)
    claimed = sum(run.count("confirmed") for run in runs)
    if claimed > copies.total():
        wrong.append(Violation(Kind.PHANTOM, f"{claimed} were said to be confirmed, and {copies.total()} are stored"))
    if copies.total() - len(copies) > allowed:
        twice = [identity for identity, count in copies.items() if count > 1]
        wrong.append(Violation(Kind.DUPLICATED, f"{copies.total() - len(copies)} copies too many, {allowed} are allowed: {twice[:3]}"))
    if in_order:
        wrong += _check_order(letters, stored)
    return wrong


def check_shown(letters: Sequence[Letter], run: Run, shown: Sequence[Found]) -> list[Violation]:
    """Hold what one run printed against what lies there: of each lane all from its first on, up to where it ended; all of it where that was with 0."""
    wrong = check_bugs(run)
    lanes: dict[str, list[Letter]] = defaultdict(list)
    for letter in letters:
        lanes[letter.lane].append(letter)
    places = {letter.identity: (letter.lane, number) for lane in lanes.values() for number, letter in enumerate(lane)}
    following: Counter[str] = Counter()
    for found in shown:
        lane, number = places.get(found.identity, ("", -1))
        expected = following[lane]
        if number < 0:
            wrong.append(Violation(Kind.CORRUPTED, f"it printed {found.identity or 'a message without identity'}, which nobody put there"))
        elif number < expected:
            wrong.append(Violation(Kind.DUPLICATED, f"it printed {found.identity} once more"))
        elif number > expected:
            wrong.append(Violation(Kind.LOST, f"it passed over {lanes[lane][expected].identity} and printed {found.identity}"))
        elif found.content != lanes[lane][number].copy:
            wrong.append(_differs(found, "as it was printed", lanes[lane][number].copy))
        following[lane] = max(expected, number + 1)
    if run.code == 0 and (missing := len(letters) - following.total()) > 0:
        wrong.append(Violation(Kind.PHANTOM, f"it ended with 0, and {missing} messages were not printed"))
    return wrong


def _check_receipts(run: Run) -> list[Violation]:
    if run.report is None:
        return []
    said = Counter("confirmed" if verdict == "duplicate" else verdict for verdict in run.receipts.values())
    counts = {name: run.count(name) for name in ("confirmed", "refused", "unknown")}
    if any(said[name] > counts[name] for name in counts) or said["confirmed"] < counts["confirmed"]:
        return [Violation(Kind.UNTRUE, f"its receipts say {dict(said)}, its account {counts}")]
    if run.code == 0 and counts["confirmed"] != len(run.tried):
        return [Violation(Kind.PHANTOM, f"it ended with 0 and confirmed {counts['confirmed']} of {len(run.tried)}")]
    return []


def _short(content: Content) -> str:
    return f"{content.body!r:.80}, key {content.key!r:.40}"
