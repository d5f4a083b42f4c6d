"""The headers of one record as bytes, by librdkafka itself. Leaves no trace: no group is named, nothing is committed."""

from __future__ import annotations

import ctypes
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from brokercli.backends.kafka.connect import client_configuration
from brokercli.backends.kafka.librdkafka import CONSUMER, Library, load
from brokercli.backends.kafka.odd_headers import Place
from brokercli.model.connection import Connection
from brokercli.model.errors import Failed
from brokercli.model.message import Header

_SETTINGS = {"enable.auto.commit": False, "auto.commit.enable": False, "auto.offset.reset": "error",
             "isolation.level": "read_uncommitted", "fetch.wait.max.ms": 10}
_DELETED = "it was deleted meanwhile"
_STEP_MILLISECONDS = 200
_GOES_ON = (KafkaError._TRANSPORT, KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN)


class HeaderBytes:
    """Reads records one by one, over a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._library: Library | None = None
        self._handle: int | None = None

    def read(self, place: Place) -> tuple[Header, ...]:
        """Return a record's headers; raises Failed as `ReadAnew`."""
        topic, partition, offset = place
        library, handle = self._open(place)
        named = library.topic_new(handle, topic.encode(), None)
        try:
            if library.consume_start(named, partition, offset):
                raise _unreadable(place, "it cannot be read once more")
            try:
                return self._consume(library, named, place)
            finally:
                library.consume_stop(named, partition)
        finally:
            library.topic_destroy(named)

    def _open(self, place: Place) -> tuple[Library, int]:
        # a token is asked for by a callback, which only the Python client has
        if self._library is None and self._connection.token is None:
            self._library = load()
        if self._library is None:
            raise _unreadable(place, "Kafka's Python client cannot read it")
        if self._handle is None:
            try:
                self._handle = self._library.open(CONSUMER, client_configuration(self._connection) | _SETTINGS)
            except KafkaException as problem:
                raise _unreadable(place, problem.args[0].str()) from None
        return self._library, self._handle

    def _consume(self, library: Library, named: Any, place: Place) -> tuple[Header, ...]:
        _, partition, offset = place
        deadline = monotonic() + 2 * self._connection.connect_timeout
        while monotonic() < deadline:
            message = library.consume(named, partition, _STEP_MILLISECONDS)
            if not message:
                continue
            try:
                code, found = message.contents.err, message.contents.offset
                if not code and found == offset:
                    return _headers_of(library, message)
                if (code and code not in _GOES_ON) or (not code and found > offset):
                    raise _unreadable(place, _DELETED if code in (0, KafkaError._AUTO_OFFSET_RESET) else KafkaError(code).str())
            finally:
                library.message_destroy(message)
        raise _unreadable(place, "the broker did not answer when it was read once more")

    def close(self) -> None:
        """Let go of the connection. May be called twice."""
        handle, self._handle = self._handle, None
        if handle is not None and self._library is not None:
            self._library.destroy(handle)


def _headers_of(library: Library, message: Any) -> tuple[Header, ...]:
    held = ctypes.c_void_p()
    if library.message_headers(message, ctypes.byref(held)):
        return ()
    found: list[Header] = []
    name, value, size = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
    while not library.header_get_all(held, len(found), ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)):
        content = None if value.value is None else ctypes.string_at(value.value, size.value)
        found.append(((name.value or b"").decode(errors="surrogateescape"), content))
    return tuple(found)


def _unreadable(place: Place, why: str) -> Failed:
    topic, partition, offset = place
    return Failed(f"The record {partition}:{offset} of {topic} has a header whose name is not UTF-8: {why}.",
                  hint=f"its body can be read with -o raw; --from {partition}:{offset + 1} goes on behind it")
