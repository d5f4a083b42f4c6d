"""The parts of librdkafka's C interface that its Python client does not reach: messages taken many at a time, headers as bytes.

What is called here is public and versioned (rdkafka.h: "produce_batch", the event interface, the simple consumer, message headers), in
the library that confluent-kafka brings along or was built with. Nothing of the Python client's own objects is touched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, cimpl

PRODUCER, CONSUMER = 0, 1
COPY = 0x2
"""The library keeps a copy of what it is given."""
DELIVERED, ERROR, STATISTICS = 0x1, 0x8, 0x40
"""Kinds of events."""
QUEUED, ON_THE_WAY = 0x1, 0x2
"""What is given up by a purge."""

_INT, _SIZE, _TEXT, _POINTER = ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p


class Message(ctypes.Structure):
    """`rd_kafka_message_t`: one message, to be sent or reported on."""

    _fields_ = (("err", _INT), ("topic", _POINTER), ("partition", ctypes.c_int32), ("payload", _POINTER), ("length", _SIZE), ("key", _POINTER),
                ("key_length", _SIZE), ("offset", ctypes.c_int64), ("opaque", _POINTER))


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "conf_new": (_POINTER, ()),
    "conf_set": (_INT, (_POINTER, _TEXT, _TEXT, _TEXT, _SIZE)),
    "conf_set_events": (None, (_POINTER, _INT)),
    "conf_set_log_cb": (None, (_POINTER, _POINTER)),
    "conf_destroy": (None, (_POINTER,)),
    "new": (_POINTER, (_INT, _POINTER, _TEXT, _SIZE)),
    "destroy": (None, (_POINTER,)),
    "topic_new": (_POINTER, (_POINTER, _TEXT, _POINTER)),
    "topic_destroy": (None, (_POINTER,)),
    "metadata": (_INT, (_POINTER, _INT, _POINTER, _POINTER, _INT)),
    "metadata_destroy": (None, (_POINTER,)),
    "produce_batch": (_INT, (_POINTER, ctypes.c_int32, _INT, _POINTER, _INT)),
    "outq_len": (_INT, (_POINTER,)),
    "purge": (_INT, (_POINTER, _INT)),
    "fatal_error": (_INT, (_POINTER, _TEXT, _SIZE)),
    "queue_get_main": (_POINTER, (_POINTER,)),
    "queue_destroy": (None, (_POINTER,)),
    "queue_poll": (_POINTER, (_POINTER, _INT)),
    "event_type": (_INT, (_POINTER,)),
    "event_error": (_INT, (_POINTER,)),
    "event_error_string": (_TEXT, (_POINTER,)),
    "event_stats": (_TEXT, (_POINTER,)),
    "event_message_next": (ctypes.POINTER(Message), (_POINTER,)),
    "event_destroy": (None, (_POINTER,)),
    "consume_start": (_INT, (_POINTER, ctypes.c_int32, ctypes.c_int64)),
    "consume": (ctypes.POINTER(Message), (_POINTER, ctypes.c_int32, _INT)),
    "consume_stop": (_INT, (_POINTER, ctypes.c_int32)),
    "message_destroy": (None, (ctypes.POINTER(Message),)),
    "message_headers": (_INT, (ctypes.POINTER(Message), ctypes.POINTER(_POINTER))),
    "header_get_all": (_INT, (_POINTER, _SIZE, ctypes.POINTER(_TEXT), ctypes.POINTER(_POINTER), ctypes.POINTER(_SIZE))),
}
TEXT_BYTES = 512
"""Room for what the library says of an error."""


class Library:
    """Its functions, without `rd_kafka_` before their names. A call lets other threads run."""

    def __init__(self) -> None:
        """Raises AttributeError or OSError where they cannot be reached through the Python client's own module."""
        library = ctypes.CDLL(cimpl.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, f"rd_kafka_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def open(self, kind: int, settings: Mapping[str, Any], events: int = 0) -> int:
        """Return a handle, a PRODUCER or a CONSUMER, that logs nothing and tells of these events. Raises KafkaException for settings that
        are refused."""
        said = ctypes.create_string_buffer(TEXT_BYTES)
        configuration = self.conf_new()
        for name, value in settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if self.conf_set(configuration, name.encode(), text.encode(), said, TEXT_BYTES):
                self.conf_destroy(configuration)
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, said.value.decode(errors="replace")))
        self.conf_set_events(configuration, events)
        self.conf_set_log_cb(configuration, None)
        handle: int | None = self.new(kind, configuration, said, TEXT_BYTES)
        if handle is None:
            self.conf_destroy(configuration)
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, said.value.decode(errors="replace")))
        return handle


def load() -> Library | None:
    """Return the library; None where this system does not show it (Windows), or has another layout than 64 bits."""
    if ctypes.sizeof(_POINTER) != ctypes.sizeof(ctypes.c_uint64):
        return None
    try:
        return Library()
    except (AttributeError, OSError):
        return None
