"""A producer of bodies that are given to librdkafka a thousand at a time, which costs less Python than one by one."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from sys import byteorder
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from brokercli.backends.kafka.librdkafka import COPY, DELIVERED, ERROR, ON_THE_WAY, PRODUCER, QUEUED, STATISTICS, TEXT_BYTES, Library, Message, load

_ENDS_A_BATCH = (KafkaError._QUEUE_FULL, KafkaError._FATAL)
_OURS = ("error_cb", "stats_cb")
_WORDS = ctypes.sizeof(Message) // 8
_PAYLOAD, _LENGTH, _OPAQUE = (getattr(Message, name).offset // 8 for name in ("payload", "length", "opaque"))
_NUMBERS = 1 << 16
"""After so many consecutive numbers more than their lowest two bytes changes."""
_LOWEST = _OPAQUE * 4 + (0 if byteorder == "little" else 3)
PART = 1000
"""How many bodies are handed over at once, at most."""
_NOTICED_SECONDS = 300.0
"""After so long librdkafka would have noticed that a topic has got more partitions (topic.metadata.refresh.interval.ms)."""

library: Callable[[], Library | None] = cache(load)


@cache
def _lowest_halves() -> memoryview:
    """Return the lowest two bytes of consecutive numbers: all of them from 0 on, and then the first PART once more. Made this way it takes
    0.1 ms; counting takes 2.5."""
    halves = bytearray(2 * _NUMBERS)
    low = 0 if byteorder == "little" else 1
    halves[low::2] = bytes(range(256)) * 256
    halves[1 - low::2] = b"".join(bytes((number,)) * 256 for number in range(256))
    return memoryview(bytes(halves + halves[:2 * PART])).cast("H")


class Failed:
    """A message that was not delivered. It has those methods of the Python client's messages that are asked of one that failed."""

    def __init__(self, partition: int, value: bytes) -> None:
        self._partition = partition
        self._value = value

    def partition(self) -> int:
        """Return the partition; negative where none was chosen yet."""
        return self._partition

    def value(self) -> bytes:
        """Return the body."""
        return self._value

    def key(self) -> None:
        """Tell none: all messages have the same, so that none was refused for what is wrong with the key of another one."""


class BulkProducer:
    """One handle, for one topic, key and partition, that behaves as the Python client's `Producer` does where it has the same methods.

    Failures are reported from `poll`, one by one; deliveries are not, they only leave `len()`, when `poll` is called.
    """

    _handle: int | None = None

    def __init__(self, configuration: Mapping[str, Any], logger: object, *, topic: str, key: bytes | None, partition: int, alone: bool,
                 report: Callable[[int, KafkaError, Failed], None]) -> None:
        """`partition` -1 leaves it to the partitioner; `alone` says that the topic has one only. Raises KafkaException for settings that librdkafka
        refuses. Nothing is logged: `logger` is there because the Python client's takes one."""
        found = library()
        assert found is not None
        self._library = found
        self._partition = partition
        self._alone_until = monotonic() + _NOTICED_SECONDS if alone else 0.0
        self._room = 2 * int(configuration["batch.size"]) if alone else 0
        """How many bytes may wait: those of two requests."""
        self._report = report
        self._on_error: Callable[[KafkaError], None] = configuration["error_cb"]
        self._on_statistics: Callable[[str], None] = configuration["stats_cb"]
        self._event: int | None = None
        """The event that is being served; it is kept until all of it is told, whatever comes in between."""
        # kept, because the rows point at it
        self._key = None if key is None else ctypes.create_string_buffer(key, len(key) + 1)
        self._row = Message(partition=partition, key=ctypes.addressof(self._key) if self._key is not None else None, key_length=len(key or b""))
        settings = {name: value for name, value in configuration.items() if name not in _OURS}
        self._handle = found.open(PRODUCER, settings, DELIVERED | ERROR | STATISTICS)
        self._topic: int = found.topic_new(self._handle, topic.encode(), None)
        self._queue: int = found.queue_get_main(self._handle)

    def list_topics(self, topic: str, timeout: float) -> None:
        """Ask for the topic's metadata, which is not returned: waits for a broker. Raises KafkaException where none answers in time."""
        found = ctypes.c_void_p()
        code = self._library.metadata(self._handle, 0, self._topic, ctypes.byref(found), int(timeout * 1000))
        if code:
            raise KafkaException(KafkaError(code))
        self._library.metadata_destroy(found)

    def produce_bodies(self, bodies: Sequence[bytes], first: int) -> tuple[int, list[tuple[int, KafkaError]]]:
        """Queue up to PART bodies, the first of which is reported on as number `first`. Returns how many from the front are done with, and which
        of them were refused by their index, and why; the others did not fit."""
        count = len(bodies)
        joined = b"".join(bodies)
        partition, waiting = self._partition, len(self)
        if monotonic() < self._alone_until:
            # while there is more than a request on its way and the next one, librdkafka's thread looks for work without a pause
            if waiting and (waiting + count) * len(joined) > self._room * count:
                return 0, []
            # librdkafka would choose the same, message by message
            if partition < 0 and count == PART:
                partition = 0
        # an array is filled faster from a list than from an iterator
        lengths = list(map(len, bodies))
        starts = list(accumulate(lengths, initial=ctypes.cast(ctypes.c_char_p(joined), ctypes.c_void_p).value or 0))
        starts.pop()
        at = first % _NUMBERS
        alike = min(count, _NUMBERS - at)
        rows = array("Q", self._row_of(first - at) * alike + self._row_of(first - at + _NUMBERS) * (count - alike))
        rows[_PAYLOAD::_WORDS] = array("Q", starts)
        rows[_LENGTH::_WORDS] = array("Q", lengths)
        memoryview(rows).cast("B").cast("H")[_LOWEST::_WORDS * 4] = _lowest_halves()[at:at + count]
        if self._library.produce_batch(self._topic, partition, COPY, rows.buffer_info()[0], count) == count:
            return count, []
        # the error is what a row begins with
        codes = memoryview(rows).cast("B").cast("i")[::_WORDS * 2].tolist()
        taken = next((index for index, code in enumerate(codes) if code in _ENDS_A_BATCH), count)
        if (fatal := self._fatal()) is not None:
            self._on_error(fatal)
        return taken, [(index, KafkaError(code)) for index, code in enumerate(codes[:taken]) if code]

    def _row_of(self, number: int) -> bytes:
        self._row.opaque = number
        return bytes(self._row)

    def poll(self, timeout: float) -> int:
        """Tell what there is to tell, and wait for it for a moment, `timeout` seconds at most. Returns the number of events."""
        told, wait = 0, int(timeout * 1000)
        while self._next(0 if told else wait):
            told += 1
        return told

    def flush(self, timeout: float) -> int:
        """Poll until nothing is queued, `timeout` seconds at most. Returns how many messages are."""
        deadline = monotonic() + timeout
        while len(self) and (remaining := deadline - monotonic()) > 0:
            self.poll(remaining)
        return len(self)

    def purge(self) -> None:
        """Give up everything that is queued or on its way; each is reported as failed."""
        if self._handle is not None:
            self._library.purge(self._handle, QUEUED | ON_THE_WAY)

    def __len__(self) -> int:
        """How many messages have no verdict or were not told of, and events."""
        return 0 if self._handle is None else int(self._library.outq_len(self._handle)) + (self._event is not None)

    def _next(self, milliseconds: int) -> bool:
        if self._event is None and self._handle is not None:
            self._event = self._library.queue_poll(self._queue, milliseconds)
        if self._event is None:
            return False
        kind, failed = self._library.event_type(self._event), self._library.event_error(self._event)
        # what an event says is said of each of its messages
        if kind == DELIVERED and failed:
            while message := self._library.event_message_next(self._event):
                self._tell(message.contents)
        elif kind == ERROR:
            self._on_error(self._error())
        elif kind == STATISTICS:
            self._on_statistics(self._library.event_stats(self._event).decode(errors="replace"))
        # only now: until then its messages are counted as queued
        event, self._event = self._event, None
        self._library.event_destroy(event)
        return True

    def _tell(self, message: Message) -> None:
        if message.err:
            self._report(message.opaque or 0, KafkaError(message.err), Failed(message.partition, ctypes.string_at(message.payload, message.length)))

    def _error(self) -> KafkaError:
        code, text = self._library.event_error(self._event), self._library.event_error_string(self._event)
        # the event may have the fatal error's own code
        return self._fatal() or KafkaError(code, text.decode(errors="replace"))

    def _fatal(self) -> KafkaError | None:
        """Return the error after which nothing is sent any more, if there was one."""
        said = ctypes.create_string_buffer(TEXT_BYTES)
        code = self._library.fatal_error(self._handle, said, TEXT_BYTES)
        return KafkaError(code, said.value.decode(errors="replace"), fatal=True) if code else None

    def close(self) -> None:
        """End the handle; what is still queued is lost, and nothing tells of it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            event, self._event = self._event, None
            if event is not None:
                self._library.event_destroy(event)
            self._library.queue_destroy(self._queue)
            self._library.topic_destroy(self._topic)
            self._library.destroy(handle)

    def __del__(self) -> None:
        self.close()
