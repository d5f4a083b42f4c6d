"""One disturbance, described; `crash.py` and `disturbing.py` make it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance of one run. `share` is how much of what it has to send has gone to the broker when it begins."""

    name: str
    point: str = ""
    """Of a crash: the named moment, and `nth` how manieth time it comes. Of another run: where that one is killed, if at all."""
    nth: int = 1
    share: float = 0.0
    seconds: float = 0.0
    """How long it lasts, where it ends by itself."""
    slow: bool = False
    """Whether everything passes slowly meanwhile, so that its moment is one among many."""
    there: bool = False
    """Whether it is done to the other broker, where letters are put elsewhere."""

    def __str__(self) -> str:
        if self.name == "crash":
            return f"crash: {self.point}, time {self.nth}"
        if self.point:
            return f"{self.name} at {self.share:.0%}, killed: {self.point}, time {self.nth}" + (", slowly" if self.slow else "")
        side = " there" if self.there else ""
        return f"{self.name}{side} at {self.share:.0%}" + (f" for {self.seconds:.1f} s" if self.seconds else "") + (", slowly" if self.slow else "")

    def orders(self) -> dict[str, Any]:
        """Return what the child has to know of it."""
        return {"crash": [self.point, self.nth]} if self.name == "crash" else {}

    def as_json(self) -> dict[str, Any]:
        """Return it for a file."""
        return asdict(self)
