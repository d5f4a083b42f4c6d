"""Streams that end in files, and records to print."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brokercli.model.message import Header, Message, Record
from brokercli.operations.record_list import RecordList
from brokercli.terminal.streams import Streams


@dataclass
class Captured:
    """Streams, and what was printed through them."""

    streams: Streams
    _directory: Path

    @property
    def out(self) -> bytes:
        return (self._directory / "out").read_bytes()

    @property
    def err(self) -> str:
        return (self._directory / "err").read_bytes().decode()


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Callable[..., Captured]]:
    """Make streams: `capture(stdout_is_terminal=True, width=40)`; not a terminal and without colour unless said."""
    opened = []

    def make(**facts: Any) -> Captured:
        out, err = (os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("out", "err"))
        opened.extend((out, err))
        usual = {
            "stdin": None,
            "stdout_fd": out,
            "stderr_fd": err,
            "stdin_is_terminal": False,
            "stdout_is_terminal": False,
            "stderr_is_terminal": False,
            "colour": False,
            "width": 80,
        }
        return Captured(Streams(**{**usual, **facts}), tmp_path)

    yield make
    for descriptor in opened:
        os.close(descriptor)


@pytest.fixture
def kafka_record() -> Callable[..., Record]:
    """Make a Kafka record: `kafka_record(b"body", key=b"k")`."""

    def make(
        body: bytes | None = b"hello",
        *,
        key: bytes | None = None,
        headers: tuple[Header, ...] = (),
        time: int | None = 1_795_428_000_123_000_000,
        offset: int = 1200,
    ) -> Record:
        return Record("kafka", {"topic": "orders", "partition": 3, "offset": offset}, f"3:{offset}", time, Message(body, key, headers))

    return make


@pytest.fixture
def batch() -> Callable[..., RecordList]:
    """Make a batch of records."""
    return lambda *records: RecordList(records)
