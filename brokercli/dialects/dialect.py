"""What a dialect is: how it is told from the others, how it is read, and what it adds to a message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brokercli.dialects.reading import Reading
from brokercli.model.dead_letter import DeadLetter


@dataclass(frozen=True, eq=False)
class Dialect:
    """How one framework or broker writes down a dead letter. Compared by identity."""

    name: str
    read: Callable[[Reading], DeadLetter | None]
    """Read a record that has one of the signs; None: it is not one of ours after all. Raises nothing."""
    brokers: frozenset[str]
    signs: frozenset[str] = frozenset()
    """Headers of which at least one is there; empty: told by something else, and every record is offered."""
    sign_prefixes: tuple[str, ...] = ()
    """The same as beginnings of names."""
    adds: frozenset[str] = frozenset()
    """Headers it adds, and which do not go back."""
    adds_prefixes: tuple[str, ...] = ()
    keeps: frozenset[str] = frozenset()
    """Headers that begin so and are the sender's: they go back."""
    may_hold: Callable[[bytes | None, bytes | None], bool] | None = None
    """Where it is told by a record's key and body: whether such ones are worth reading."""
    reserved: bool = False
    """Whether no producer uses its names for anything else: they are stripped even where another dialect wrote last,
    or else a letter that was put back by other tools would grow with each death."""
    body_sign: bytes = b""
    """What every body of its holds; a record whose body does not is not offered."""
    by_headers: bool = False
    """Whether `read` looks at nothing but the headers, where the record lies, and the facts: letters that have the same are alike."""
    ignores_case: bool = False
    """Whether names are compared in lower case; signs and additions are then written so."""

    def may_be(self, names: tuple[str, ...]) -> bool:
        """Whether a record with headers of these names is worth reading."""
        if not self.signs and not self.sign_prefixes:
            return True
        names = tuple(name.lower() for name in names) if self.ignores_case else names
        return any(name in self.signs or name.startswith(self.sign_prefixes or ("\0",)) for name in names)

    def added(self, name: str) -> bool:
        """Whether a header of this name is its addition."""
        name = name.lower() if self.ignores_case else name
        return name in self.adds or (bool(self.adds_prefixes) and name.startswith(self.adds_prefixes) and name not in self.keeps)
