"""Clients without what they import and we never use: put off until somebody asks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


class _Later(ModuleType):
    """Stands for a module until somebody asks it for something."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        own = self.__name__
        if sys.modules.get(own) is self:
            del sys.modules[own]
        return getattr(import_module(own), name)


@contextmanager
def put_off(name: str) -> Iterator[None]:
    """Let whoever imports a module within this have a stand-in for it, which loads it when it is first asked for something. Whoever
    imports it afterwards gets the module itself."""
    if name in sys.modules:
        yield
        return
    later = sys.modules[name] = _Later(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is later:
            del sys.modules[name]
            package, _, own = name.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], own, later)


@contextmanager
def instead_of(name: str, **content: object) -> Iterator[None]:
    """Let whoever imports a module within this have one that holds nothing but `content`; where it is loaded already, the module itself."""
    if name in sys.modules:
        yield
        return
    instead = sys.modules[name] = ModuleType(name)
    vars(instead).update(content)
    try:
        yield
    finally:
        if sys.modules.get(name) is instead:
            del sys.modules[name]
            package, _, own = name.rpartition(".")
            if getattr(sys.modules.get(package), own, None) is instead:
                delattr(sys.modules[package], own)
