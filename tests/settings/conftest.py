"""A home of one's own for every test of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home directory; the working directory is `work` below it, and no variable of ours is set."""
    for name in ("BROKERCLI_CONTEXT", "BROKERCLI_URL", "BROKERCLI_CONFIG_DIR", "BROKERCLI_STATE_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


@pytest.fixture
def user_configuration(home: Path) -> Path:
    """Return the path of the user's configuration file, which only its owner can read; nothing is in it yet."""
    path = home / ".config" / "brokercli" / "config.toml"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    return path


@pytest.fixture
def project_configuration(home: Path) -> Path:
    """Return the path of a project's configuration file above the working directory, in a repository."""
    repository = home / "work"
    (repository / ".git").mkdir()
    path = repository / "brokercli.toml"
    path.touch()
    return path
