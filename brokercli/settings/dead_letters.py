"""What the configuration says about dead letters: names of their destinations, and dialects of the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from brokercli.dialects import UserDialect, parse_user_dialect
from brokercli.model.errors import UsageProblem
from brokercli.settings.contexts import read_contexts
from brokercli.settings.file import ConfigurationFile


def dead_letter_patterns(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names (with * and ?) that both files take for destinations of dead letters."""
    return tuple(dict.fromkeys(pattern for file in _files(environment) for pattern in file.document.dead_letters))


def user_dialects(environment: Mapping[str, str] = os.environ) -> tuple[UserDialect, ...]:
    """Return the dialects of both files; the project's hides the user's of the same name.

    Raises UsageProblem, naming file and line, for what no dialect can say.
    """
    found: dict[str, UserDialect] = {}
    for file in _files(environment):
        for name, table in file.document.dialects.items():
            if name not in found:
                found[name] = _parse(file, name, table)
    return tuple(found.values())


def _parse(file: ConfigurationFile, name: str, table: Mapping[str, object]) -> UserDialect:
    try:
        return parse_user_dialect(name, table)
    except UsageProblem as problem:
        setting = next((key for key in table if f"dialects.{name}.{key} " in f"{problem} " or repr(key) in str(problem)), None)
        path = ("dialects", name) if setting is None else ("dialects", name, setting)
        raise file.problem(path, str(problem).removesuffix("."), problem.hint) from None


def _files(environment: Mapping[str, str]) -> list[ConfigurationFile]:
    contexts = read_contexts(environment)
    return [file for file in (contexts.project, contexts.user) if file is not None]
