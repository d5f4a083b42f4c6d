"""Where configuration and state live on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brokercli.model.errors import LocalIO, UsageProblem

if TYPE_CHECKING:
    from brokercli.local.state import Files

PROJECT_FILE = "brokercli.toml"
USER_FILE = "config.toml"
# what marks the top of a repository: the search for a project file ends there
_ROOTS = (".git", ".hg", ".jj", ".svn")


def whole_path(text: str, what: str, base: Path | None = None) -> Path:
    """Return a path from the top, with ~ filled in; a relative one lies below `base`, the working directory without it.

    Raises UsageProblem, which calls the path `what`, where there is no such home or no working directory any more.
    """
    try:
        path = Path(text).expanduser()
        return path if path.is_absolute() else (base or Path.cwd()) / path
    except RuntimeError:
        raise UsageProblem(f"{what} begins with a home directory that is not known: {text}.",
                           hint="~ is your own home, ~NAME that of a user of this machine") from None
    except OSError as problem:
        raise UsageProblem(f"{what} is the relative path {text}, and the working directory is gone: {problem.strerror}.",
                           hint="give the whole path, or cd to a directory that is there") from None


def configuration_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the user's configuration directory, whether or not it exists; None when there is no home either.

    The same on Linux and macOS: $BROKERCLI_CONFIG_DIR, $XDG_CONFIG_HOME/brokercli, ~/.config/brokercli.
    """
    if said := environment.get("BROKERCLI_CONFIG_DIR"):
        return whole_path(said, "BROKERCLI_CONFIG_DIR")
    return _below("XDG_CONFIG_HOME", ".config", environment)


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where brokercli keeps what it made itself ($XDG_STATE_HOME/brokercli, ~/.local/state/brokercli).

    Raises LocalIO when there is no home directory.
    """
    if said := environment.get("BROKERCLI_STATE_DIR"):
        return whole_path(said, "BROKERCLI_STATE_DIR")
    directory = _below("XDG_STATE_HOME", ".local/state", environment)
    if directory is None:
        raise LocalIO("There is no home directory to keep state in.", hint="set BROKERCLI_STATE_DIR to a directory you can write to")
    return directory


def local_files(environment: Mapping[str, str] = os.environ) -> Files:
    """Return where the local broker lives, whether or not it was ever started."""
    from brokercli.local.state import Files

    return Files(state_directory(environment) / "local")


def user_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of the user's configuration file, whether or not it exists."""
    directory = configuration_directory(environment)
    return directory / USER_FILE if directory else None


def project_file(start: Path | None = None) -> Path | None:
    """Return the nearest brokercli.toml from `start` (the working directory) upwards to the top of the repository.

    Outside a repository only the directory itself is looked at: a file in /tmp or above a home is nobody's project.
    """
    try:
        directory = (start or Path.cwd()).resolve()
    except OSError:  # the working directory was deleted
        return None
    searched = []
    for place in (directory, *directory.parents):
        searched.append(place)
        # False as well where we may not look, as after `sudo -u app` in /root: what is there is no project of ours. Path.exists() raises
        if any(os.path.exists(place / root) for root in _ROOTS):  # noqa: PTH110
            break
    else:
        searched = [directory]
    return next((place / PROJECT_FILE for place in searched if os.path.lexists(place / PROJECT_FILE)), None)


def _below(variable: str, below_home: str, environment: Mapping[str, str]) -> Path | None:
    base = environment.get(variable, "")
    if base.startswith("/"):  # the XDG specification: a relative path is ignored
        return Path(base) / "brokercli"
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return Path(home) / below_home / "brokercli" if home.startswith("/") else None
