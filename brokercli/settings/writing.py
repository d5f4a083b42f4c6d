"""Changing the user's configuration file: comments and order stay, one step, for its owner alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from brokercli.local.on_disk import make_private, write_whole
from brokercli.model.errors import LocalIO, UsageProblem
from brokercli.settings.contexts import LOCAL
from brokercli.settings.file import read_configuration
from brokercli.settings.places import user_file
from brokercli.settings.schema import NAME, Misfit, Setting, check_document

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def add_context(name: str, settings: Mapping[str, Setting], *, replace: bool = False) -> Path:
    """Write a context down and return the file. Raises UsageProblem for a bad name, and for one that is taken unless `replace`."""
    if not NAME.fullmatch(name):
        raise UsageProblem(f"{name!r} is no name for a context.", hint="names: letters, digits, dot, dash and underscore, 64 at most")
    if name == LOCAL:
        raise UsageProblem("local is the built-in context and cannot be defined.", hint="give it another name")

    def added(path: Path, text: str, document: TOMLDocument) -> str:
        if name in document.get("contexts", {}):
            if not replace:
                raise UsageProblem(f"There is a context {name} already in {path}.", hint=f"brokercli context show {name}; --force replaces it")
            del document["contexts"][name]
            text = document.as_string()
        # behind everything else, where it cannot fall into another table
        return f"{text.rstrip()}\n\n{_table(name, settings)}".lstrip("\n")

    return _change(added)


def use_context(name: str) -> Path:
    """Choose a context where nothing else is said, and return the file. That it exists is for the caller to know."""

    def chosen(path: Path, text: str, document: TOMLDocument) -> str:
        if "current" in document:
            document["current"] = name
            return document.as_string()
        # in front of everything: behind a table's header it would belong to that table
        return f'current = "{name}"\n{text}'

    return _change(chosen)


def remove_context(name: str) -> tuple[Path, bool]:
    """Forget a context; return the file, and whether it was the chosen one (then none is chosen now).

    Raises UsageProblem where the user's file has no such context.
    """
    if name == LOCAL:
        raise UsageProblem("local is the built-in context and cannot be removed.", hint="brokercli local stop stops its broker")
    was_chosen = False

    def removed(path: Path, text: str, document: TOMLDocument) -> str:
        nonlocal was_chosen
        if name not in document.get("contexts", {}):
            raise UsageProblem(f"{path} has no context {name!r}.", hint="brokercli context ls shows where each one is written")
        del document["contexts"][name]
        was_chosen = bool(document.get("current") == name)
        if was_chosen:
            del document["current"]
        return document.as_string()

    return _change(removed), was_chosen


def _table(name: str, settings: Mapping[str, Setting]) -> str:
    import tomlkit

    nested: dict[str, object] = {}
    for key, value in settings.items():
        outer, dot, inner = key.partition(".")
        table = nested.setdefault(outer, {}) if dot else nested
        assert isinstance(table, dict)
        table[inner if dot else key] = list(value) if isinstance(value, tuple) else value
    written = tomlkit.document()
    written["contexts"] = tomlkit.table(is_super_table=True)
    written["contexts"][name] = nested
    return written.as_string()


def _change(edit: Callable[[Path, str, TOMLDocument], str]) -> Path:
    """Write what `edit` makes of the user's file, and return the file. Where somebody else changed it meanwhile it is made of what that left:
    of two changes at once neither undoes the other."""
    path = user_file()
    if path is None:
        raise LocalIO("There is no home directory to keep the configuration in.", hint="set BROKERCLI_CONFIG_DIR to a directory you can write to")
    import tomlkit  # 30 ms that only commands that write pay

    while True:
        text = _text_of(path)
        changed = edit(path, text, tomlkit.parse(text))
        _check(path, changed)
        try:
            make_private(path.parent)
            with _alone(path.parent):
                if _text_of(path) == text:
                    write_whole(path, changed.encode())
                    return path
        except OSError as problem:
            raise LocalIO(f"The configuration {path} cannot be written: {problem.strerror}.",
                          hint="set BROKERCLI_CONFIG_DIR to a directory you can write to") from None


def _text_of(path: Path) -> str:
    present = read_configuration(path)  # refuses to touch what it cannot read
    return present.text if present else ""


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold a lock on a directory: one on the file in it would be on what is no longer there once that is replaced. Raises OSError."""
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network file systems lock no directories
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check(path: Path, text: str) -> None:
    import tomllib

    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageProblem("A value is not UTF-8, which a configuration is written in.")
    try:
        check_document(tomllib.loads(text))
    except Misfit as misfit:
        raise UsageProblem(f"{misfit.message[0].upper()}{misfit.message[1:]}.", hint=misfit.hint) from None
    except tomllib.TOMLDecodeError:
        # tables written as dotted keys or in one line, which cannot be added to from outside; nothing is changed
        raise UsageProblem(f"{path} is laid out in a way that this change cannot be made to.", hint="change it by hand") from None
