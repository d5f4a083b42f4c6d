"""The named moments at which a process can be killed, and killing it there as a power cut would.

Read by the child only (`child.py`): brokercli itself has no hook for any of this.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Point(NamedTuple):
    """A moment before or after a call; `where` is `module:name` or `module:Class.name` below `brokercli.`."""

    where: str
    when: Literal["before", "after"]


_JOURNAL = "operations.letter_file:LetterFile.write_lines"
_END = "commands.dlq_end:End.say"
_SHARED = {
    "before the journal": Point(_JOURNAL, "before"),
    "journal half written": Point(_JOURNAL, "before"),
    "journal written, not forced to the disk": Point("operations.letter_file:os.fsync", "before"),
    "journal forced to the disk": Point(_JOURNAL, "after"),
    "before the report": Point(_END, "before"),
    "after the report": Point(_END, "after"),
}


def _repair(name: str) -> dict[str, Point]:
    return {
        "a batch was read": Point(f"{name}.read", "after"),
        "before closing": Point(f"{name}.close", "before"),
        "closed": Point(f"{name}.close", "after"),
    }


_KAFKA = "backends.kafka.transaction:Transactions"
_NATS = "backends.nats.publish:JetStreamPublisher"
_REMOVER = "backends.nats.removing:Remover"
_MOVER = "backends.rabbitmq.moving:Mover"
_HOLDING = "backends.rabbitmq.holding:Holding"
REPAIRING: dict[str, dict[str, Point]] = {
    "kafka": {
        **_SHARED, **_repair("backends.kafka.repair:KafkaRepair"),
        "before producing": Point(f"{_KAFKA}._produce", "before"),
        "produced, not committed": Point(f"{_KAFKA}._produce", "after"),
        "before committing": Point(f"{_KAFKA}:commit_transaction", "before"),
        "committed": Point(f"{_KAFKA}:commit_transaction", "after"),
    },
    "nats": {
        **_SHARED, **_repair("backends.nats.repair:NatsRepair"),
        "before publishing": Point(f"{_NATS}._accept", "before"),
        "given to the connection": Point(f"{_NATS}._accept", "after"),
        "written to the socket": Point("backends.nats.outbox:Outbox._write", "after"),
        "copies confirmed": Point(f"{_NATS}.finish", "after"),
        "before taking out": Point(f"{_REMOVER}.begin", "before"),
        "purged": Point(f"{_REMOVER}._purged", "after"),
        "taken out": Point("backends.nats.in_hand:InHand._taken_out", "after"),
    },
    "rabbitmq": {
        **_SHARED, **_repair("backends.rabbitmq.repair:RabbitMQRepair"),
        "before publishing": Point(f"{_MOVER}._begin", "before"),
        "given to the connection": Point(f"{_MOVER}._put", "after"),
        "copies confirmed": Point(f"{_MOVER}.finish", "after"),
        "before acknowledging": Point(f"{_HOLDING}.acknowledge", "before"),
        "acknowledgement written": Point("backends.rabbitmq.held_channels:HeldChannels._barrier", "before"),
        "acknowledged": Point(f"{_HOLDING}.acknowledge", "after"),
        "before giving back": Point(f"{_HOLDING}.give_back", "before"),
    },
}
_PUBLISHERS = {"kafka": "backends.kafka.publish:KafkaPublisher", "nats": _NATS, "rabbitmq": "backends.rabbitmq.publish:RabbitMQPublisher"}
PUBLISHING: dict[str, dict[str, Point]] = {
    broker: {
        "before publishing": Point(f"{name}.send", "before"),
        "given to the client": Point(f"{name}.send", "after"),
        "verdicts taken": Point(f"{name}.collect", "after"),
        "before the last verdicts": Point(f"{name}.finish", "before"),
        "before the report": Point("commands.publish_output:summarise", "before"),
    } for broker, name in _PUBLISHERS.items()}

_FILED = "operations.filed_letters:FiledRepair"
_HOMES = "operations.homes:Homes"
FROM_A_FILE = {
    "a batch was read": Point("operations.filed_letters:FiledReader.read", "after"),
    "before publishing": Point(f"{_HOMES}._settle", "before"),
    "some are on their way": Point("operations.settling:Settling.go_on", "after"),
    "copies confirmed": Point(f"{_HOMES}._tell", "before"),
    "resume half written": Point("operations.journal:Journal._append", "before"),
    "resume written, not forced to the disk": Point("operations.journal:os.fsync", "before"),
    "written down": Point(f"{_FILED}._enter", "after"),
    "before closing": Point(f"{_FILED}.close", "before"),
    "before the report": Point(_END, "before"),
    "after the report": Point(_END, "after"),
}
"""What can be come to while letters go back out of a file, on every broker."""
THROUGH = {
    "before the program": Point("operations.through:Through.transform", "before"),
    "while the program runs": Point("operations.through:subprocess.Popen", "after"),
    "after the program": Point("operations.through:Through.transform", "after"),
}
"""The same of `--through`, beside what comes on the broker."""
_AT_LEAST_ONCE = "backends.kafka.at_least_once:AtLeastOnce"
UNPERMITTED = {
    **{name: point for name, point in REPAIRING["kafka"].items() if _KAFKA not in point.where},
    "before publishing": Point(f"{_AT_LEAST_ONCE}._publish", "before"),
    "copies confirmed": Point(f"{_AT_LEAST_ONCE}._publish", "after"),
    "before marking": Point(f"{_AT_LEAST_ONCE}._mark", "before"),
    "marked": Point(f"{_AT_LEAST_ONCE}._mark", "after"),
}
"""What can be come to on a Kafka that permits no transactions."""
_PUTTING = "operations.settlers:PuttingElsewhere"
ELSEWHERE = {
    "before publishing there": Point("operations.settling:Settling.put", "before"),
    "given to the connection there": Point(f"{_NATS}._accept", "after"),
    "copies confirmed there": Point(f"{_PUTTING}._mark", "before"),
    "marked here": Point(f"{_PUTTING}._mark", "after"),
}
"""The same where letters are put to another broker, beside what comes on the one they lie on."""
_WRITTEN_DOWN = "operations.journal:Journal"
RESUMING = {
    "before publishing": Point(f"{_NATS}._accept", "before"),
    "given to the connection": Point(f"{_NATS}._accept", "after"),
    "copies confirmed": Point("operations.publishing:Publishing.settle", "after"),
    "resume half written": Point(f"{_WRITTEN_DOWN}._append", "before"),
    "resume written, not forced to the disk": Point("operations.journal:os.fsync", "before"),
    "written down": Point(f"{_WRITTEN_DOWN}.enter", "after"),
    "before the report": PUBLISHING["nats"]["before the report"],
}
"""What can be come to while stored messages are copied to another broker."""

ONCE = ("before the report", "after the report", "before closing", "closed", "before giving back", "before the last verdicts", "before publishing", "purged",
        "given to the client", "verdicts taken", "written to the socket")
"""Moments that come once in a run, or may: what a connection's thread comes to late it writes together. The others come with each batch."""
COPYING = ("before producing", "produced, not committed", "before publishing", "given to the connection", "written to the socket", "copies confirmed")
"""Moments that never come where letters are dropped."""
_COMMIT = ":commit_transaction"
_forced: dict[str, int] = {}
"""How much of each journal is on the disk for certain."""


def points_of(broker: str, operation: str) -> dict[str, Point]:
    """Return the moments that may come in an operation."""
    if operation == "publish":
        return PUBLISHING[broker]
    if operation == "file":
        return FROM_A_FILE
    if operation == "copy":
        return RESUMING
    return REPAIRING[broker] | THROUGH | ELSEWHERE | (UNPERMITTED if broker == "kafka" else {})


def crash_at(broker: str, name: str, count: int, *, operation: str) -> None:
    """Have this process killed when it comes to a moment for the `count`th time."""
    point = points_of(broker, operation)[name]
    seen = 0

    def reached() -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            cut_power()

    _watch_journals()
    if name == "journal half written":
        _halve(reached)
    elif name == "resume half written":
        _halve_an_entry(reached)
    elif point.where.endswith(_COMMIT):
        _around_commits(point, reached)
    elif point.where.endswith(":os.fsync"):
        _before_forcing(reached)
    else:
        _around(point, reached)


def cut_power() -> None:
    """End as a power cut would: what was not forced to the disk is gone from the journals, and nothing runs any more."""
    for path, size in _forced.items():
        if os.path.exists(path):  # noqa: PTH110  nothing that allocates much, this late
            os.truncate(path, size)
    os.kill(os.getpid(), signal.SIGKILL)


def find(where: str) -> tuple[Any, str]:
    """Return what has a function, and its name there; raises AttributeError or ImportError when there is none of that name."""
    module, _, path = where.removesuffix(_COMMIT).partition(":")
    owner: Any = importlib.import_module(f"brokercli.{module}")
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    getattr(owner, name)
    return owner, name


def replace(where: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` returns in the place of a function."""
    owner, name = find(where)
    setattr(owner, name, make(getattr(owner, name)))


def _around(point: Point, reached: Callable[[], None]) -> None:
    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if point.when == "before":
                reached()
            result = original(*arguments, **options)
            # a read that came back with nothing was none
            if point.when == "after" and not (result is None and point.where.endswith(".read")):
                reached()
            return result
        return call
    replace(point.where, wrapped)


def _around_commits(point: Point, reached: Callable[[], None]) -> None:
    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def until(self: Any, deadline: float, call: Callable[[float], object]) -> Any:
            commits = getattr(call, "__name__", "") == "commit_transaction"
            if commits and point.when == "before":
                reached()
            result = original(self, deadline, call)
            if commits and point.when == "after":
                reached()
            return result
        return until
    replace(f"{_KAFKA}._until", wrapped)


def _halve(reached: Callable[[], None]) -> None:
    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def write_lines(self: Any, lines: Any) -> Any:
            data = b"".join(line + b"\n" for line in lines)
            os.write(self._descriptor, data[:len(data) // 2])
            _forced[self.path] = os.fstat(self._descriptor).st_size
            reached()
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(data) // 2)
            os.lseek(self._descriptor, 0, os.SEEK_END)
            return original(self, lines)
        return write_lines
    replace(_JOURNAL, wrapped)


def _halve_an_entry(reached: Callable[[], None]) -> None:
    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def append(self: Any, entry: Any) -> Any:
            before = os.fstat(self._descriptor).st_size
            original(self, entry)
            whole = os.fstat(self._descriptor).st_size
            os.ftruncate(self._descriptor, before + (whole - before) // 2)
            _forced[str(Path(self.path).resolve())] = before + (whole - before) // 2
            reached()
            os.ftruncate(self._descriptor, before)
            return original(self, entry)
        return append
    replace("operations.journal:Journal._append", wrapped)


def _watch_journals() -> None:
    """Note of each journal how much of it was forced to the disk."""
    force = os.fsync

    def fsync(descriptor: int) -> None:
        force(descriptor)
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if path in _forced:
            _forced[path] = os.fstat(descriptor).st_size
    os.fsync = fsync

    def opened(original: Callable[..., Any]) -> Callable[..., Any]:
        def init(self: Any, path: Any, *more: Any) -> None:
            original(self, path, *more)
            self.path = str(Path(path).resolve())
            _forced[self.path] = 0
        return init
    replace("operations.letter_file:LetterFile.__init__", opened)

    def resumed(original: Callable[..., Any]) -> Callable[..., Any]:
        def init(self: Any, path: str, *more: Any) -> None:
            file = Path(path).resolve()
            _forced[str(file)] = file.stat().st_size if file.exists() else 0
            original(self, path, *more)
        return init
    replace("operations.journal:Journal.__init__", resumed)


def _before_forcing(reached: Callable[[], None]) -> None:
    force = os.fsync

    def fsync(descriptor: int) -> None:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()) in _forced:
            reached()
        force(descriptor)
    os.fsync = fsync
