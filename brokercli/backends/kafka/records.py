"""Stored Kafka messages as bodies, envelopes and records."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import orjson

from brokercli.backends.contract import Batch
from brokercli.backends.envelope import VERSION, encode_name, text_or_base64
from brokercli.model.message import Message, Record
from brokercli.model.position import format_time

_MILLISECOND = 1_000_000

Stored = Any
"""A `confluent_kafka.Message` of a consumer; its type says of every part that it may be missing, which is not so here."""

_times: dict[int, str] = {}
_seconds: dict[int, str] = {}
_REMEMBERED = 50_000


def write_time(milliseconds: int) -> str:
    """Write a time as `format_time` does. Neighbours share their second, often their millisecond: both are remembered."""
    seconds, rest = divmod(milliseconds, 1000)
    prefix = _seconds.get(seconds)
    if prefix is None:
        whole = format_time(seconds * 1000 * _MILLISECOND)
        if not whole.endswith(".000Z"):
            return format_time(milliseconds * _MILLISECOND)
        if len(_seconds) > _REMEMBERED:
            _seconds.clear()
        prefix = _seconds[seconds] = whole[:-4]
    if len(_times) > _REMEMBERED:
        _times.clear()
    text = _times[milliseconds] = f"{prefix}{rest:03d}Z"
    return text


class KafkaBatch(Batch):
    """Messages as librdkafka delivered them; those of one partition are in its order, all without errors."""

    __slots__ = ("_messages",)

    def __init__(self, messages: list[Stored]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def bodies(self) -> list[bytes]:
        return [message.value() or b"" for message in self._messages]

    def envelopes(self) -> list[bytes]:
        dumps, known = orjson.dumps, _times.get
        lines: list[bytes] = []
        for message in self._messages:
            value, key, headers = message.value(), message.key(), message.headers()
            kind, milliseconds = message.timestamp()
            body: Any = value
            if value is not None:
                try:
                    body = value.decode()
                except UnicodeDecodeError:
                    body = {"base64": b64encode(value).decode()}
            lines.append(dumps({
                "v": VERSION, "broker": "kafka", "topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
                "time": known(milliseconds) or write_time(milliseconds) if kind else None,
                "key": None if key is None else text_or_base64(key),
                "headers": [{"name": encode_name(name), "value": text_or_base64(content)} for name, content in headers] if headers else (),
                "body": body}))
        return lines

    def records(self) -> list[Record]:
        return [_record(message) for message in self._messages]

    def stamps(self) -> list[tuple[int, int, int]]:
        """Return partition, offset and time in milliseconds of each."""
        return [(message.partition(), message.offset(), message.timestamp()[1]) for message in self._messages]

    def select(self, indices: Sequence[int]) -> KafkaBatch:
        messages = self._messages
        return KafkaBatch([messages[index] for index in indices])


def _record(message: Stored) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    kind, milliseconds = message.timestamp()
    return Record("kafka", {"topic": topic, "partition": partition, "offset": offset}, f"{partition}:{offset}",
                  milliseconds * _MILLISECOND if kind else None,
                  Message(body=message.value(), key=message.key(), headers=tuple(message.headers() or ()), origin="kafka"))
