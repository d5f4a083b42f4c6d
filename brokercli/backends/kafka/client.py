"""Kafka's client, loaded without asyncio, and the backend made of it.

confluent-kafka (2.13 on) imports asyncio for clients that nobody here makes; that is a third of what its import takes, and every
command on Kafka pays it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

_NAME = "asyncio"


class _Later(ModuleType):
    """Stands for a module until somebody asks it for something."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(import_module(_NAME), name)


@contextmanager
def _asyncio_put_off() -> Iterator[None]:
    if _NAME in sys.modules:
        yield
        return
    later = sys.modules[_NAME] = _Later(_NAME)
    try:
        yield
    finally:
        # whoever imports it from now on gets it
        if sys.modules.get(_NAME) is later:
            del sys.modules[_NAME]


with _asyncio_put_off():
    from brokercli.backends.kafka.backend import KafkaBackend

__all__ = ["KafkaBackend"]
