"""Stored Kafka messages as bodies, envelopes and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from confluent_kafka import Message as KafkaMessage

from brokercli.backends.contract import Batch, Outline
from brokercli.backends.envelope import VERSION, write_header_lists, write_strings
from brokercli.backends.kafka.odd_headers import OddHeaders, Stored
from brokercli.model.message import Header, Message, Record
from brokercli.model.position import format_time

_MILLISECOND = 1_000_000
_REMEMBERED = 20_000
_value_of = KafkaMessage.value
_seconds: dict[int, str] = {}
_times: dict[tuple[int, int], bytes] = {}


def time_of(timestamp: tuple[int, int]) -> int | None:
    """Return the milliseconds of what the client gives for a record's time; None for none: the oldest records have no room for one, and a
    producer may say -1, which the broker takes as no time."""
    kind, milliseconds = timestamp
    return milliseconds if kind and milliseconds != -1 else None


def write_time(milliseconds: int) -> str:
    """Write a time as `format_time` does, remembering the seconds that were written before."""
    seconds, rest = divmod(milliseconds, 1000)
    prefix = _seconds.get(seconds)
    if prefix is None:
        whole = format_time(seconds * 1000 * _MILLISECOND)
        if not whole.endswith(".000Z"):
            # beyond the years that have names
            return format_time(milliseconds * _MILLISECOND)
        if len(_seconds) > _REMEMBERED:
            _seconds.clear()
        prefix = _seconds[seconds] = whole[:-4]
    return f"{prefix}{rest:03d}Z"


def _time_and_key(timestamp: tuple[int, int]) -> bytes:
    """Write the time as it stands in an envelope, up to the key. Neighbours often share their millisecond."""
    time = time_of(timestamp)
    if len(_times) > _REMEMBERED:
        _times.clear()
    text = _times[timestamp] = (',"time":null,"key":' if time is None else f',"time":"{write_time(time)}","key":').encode()
    return text


class KafkaBatch(Batch):
    """Messages of one topic as librdkafka delivered them; those of one partition are in its order."""

    __slots__ = ("_headers", "_messages", "_odd")

    def __init__(self, messages: list[Stored], odd: OddHeaders) -> None:
        """`odd` reads headers that the client cannot read."""
        self._messages = messages
        self._odd = odd
        self._headers: list[Sequence[Header]] | None = None
        """Asked for once: each time the client makes all of them anew."""

    def __len__(self) -> int:
        return len(self._messages)

    def bodies(self) -> list[bytes]:
        values: list[Any] = list(map(_value_of, self._messages))
        return values if all(values) else [value or b"" for value in values]

    def lines(self) -> bytes:
        values: list[Any] = list(map(_value_of, self._messages))
        values.append(b"")
        try:
            return b"\n".join(values)
        except TypeError:
            return super().lines()  # a body is null

    def envelopes(self) -> list[bytes]:
        """Return one JSON envelope each. Raises Failed as `ReadAnew`."""
        messages = self._messages
        if not messages:
            return []
        start = b'{"v":%d,"broker":"kafka","topic":%b,"partition":' % (VERSION, orjson.dumps(messages[0].topic()))
        starts: dict[int, bytes] = {}
        written = _times.get
        lines: list[bytes] = []
        # formatted by hand: a dictionary for each message costs a third more
        for partition, offset, timestamp, headers, key, body in zip(
                map(KafkaMessage.partition, messages), map(KafkaMessage.offset, messages), map(KafkaMessage.timestamp, messages),
                write_header_lists(self._header_lists()), write_strings([message.key() for message in messages]),
                write_strings([message.value() for message in messages]), strict=True):
            place = starts.get(partition)
            if place is None:
                place = starts[partition] = b'%b%d,"offset":' % (start, partition)
            lines.append(b'%b%d%b%b,"headers":%b,"body":%b}' % (place, offset, written(timestamp) or _time_and_key(timestamp), key, headers, body))
        return lines

    def outlines(self) -> list[Outline]:
        """Return an outline of each. Raises Failed as `ReadAnew`."""
        messages = self._messages
        topic = messages[0].topic() if messages else ""
        found: list[Outline] = []
        for message, headers in zip(messages, self._header_lists(), strict=True):
            time = time_of(message.timestamp())
            found.append((headers, message.key(), message.value(), None if time is None else time * _MILLISECOND, topic))
        return found

    def records(self) -> list[Record]:
        """Return them as objects. Raises Failed as `ReadAnew`."""
        return [_record(message, headers) for message, headers in zip(self._messages, self._header_lists(), strict=True)]

    def _header_lists(self) -> list[Sequence[Header]]:
        if self._headers is not None:
            return self._headers
        self._headers = self._odd.of(self._messages)
        return self._headers

    def stamps(self) -> list[tuple[int, int, int]]:
        """Return partition, offset and time in milliseconds of each."""
        return [(message.partition(), message.offset(), message.timestamp()[1]) for message in self._messages]

    def epoch(self, index: int) -> int:
        """Return the epoch of the leader under which one was stored; -1 where the broker does not tell."""
        epoch = self._messages[index].leader_epoch()
        return -1 if epoch is None else epoch

    def positions(self) -> list[str]:
        return [f"{message.partition()}:{message.offset()}" for message in self._messages]

    def payloads(self) -> list[tuple[bytes | None, bytes | None]]:
        """Return value and key of each."""
        return [(message.value(), message.key()) for message in self._messages]

    def select(self, indices: Sequence[int]) -> KafkaBatch:
        messages, headers = self._messages, self._headers
        chosen = KafkaBatch([messages[index] for index in indices], self._odd)
        chosen._headers = None if headers is None else [headers[index] for index in indices]
        return chosen


def _record(message: Stored, headers: Sequence[Header]) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    time = time_of(message.timestamp())
    return Record("kafka", {"topic": topic, "partition": partition, "offset": offset}, f"{partition}:{offset}",
                  None if time is None else time * _MILLISECOND,
                  Message(body=message.value(), key=message.key(), headers=tuple(headers), origin="kafka"))
