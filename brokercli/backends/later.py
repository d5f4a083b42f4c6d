"""Clients without what they import and we never use: put off until somebody asks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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


def put_off(name: str) -> AbstractContextManager[None]:
    """Let whoever imports a module within this have a stand-in for it, which loads it when it is first asked for something. Whoever
    imports it afterwards gets the module itself."""
    return _in_its_place(_Later(name), stays=True)


def instead_of(name: str, **content: object) -> AbstractContextManager[None]:
    """Let whoever imports a module within this have one that holds nothing but `content`; where it is loaded already, the module itself."""
    instead = ModuleType(name)
    vars(instead).update(content)
    return _in_its_place(instead, stays=False)


@contextmanager
def _in_its_place(stand_in: ModuleType, *, stays: bool) -> Iterator[None]:
    """Have a module that is not loaded stood in for. `stays`: its package goes on having the stand-in."""
    name = stand_in.__name__
    if name in sys.modules:
        yield
        return
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
            package, _, own = name.rpartition(".")
            if stays and package in sys.modules:
                setattr(sys.modules[package], own, stand_in)
