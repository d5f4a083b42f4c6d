"""The virtual environment the tests run in: outside the checkout, made once for each pyproject, Python and checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import tomllib
from pathlib import Path

from tests.brokers.downloads import cache, fetched, run

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "tests" / "plugin"
EXTRAS = "local,cel,credentials"
_UNUSED_SECONDS = 14 * 24 * 3600


def python() -> Path:
    """Return the interpreter of the environment, made where it is not there yet."""
    environments = cache() / "environments"
    folder = fetched(environments / _key(), _make) / "bin" / "python"
    os.utime(folder.parent.parent)
    _forget_unused(environments)
    return folder


def _key() -> str:
    what = hashlib.sha256()
    for part in (sys.version, sys.executable, str(ROOT), EXTRAS, (ROOT / "pyproject.toml").read_text(), (PLUGIN / "pyproject.toml").read_text()):
        what.update(part.encode() + b"\0")
    return what.hexdigest()[:16]


def _make(part: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    log = part.parent / "pip.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    run([sys.executable, "-m", "venv", str(part)], log, environment=environment)
    # the environment is renamed when it is whole, and scripts in its bin name the interpreter they were made for
    final = part.with_name(part.name.removesuffix(".part"))
    # what is never imported need not be compiled
    install = [str(part / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
    # what builds the two packages, once and not for each of them; hatchling wants the second one where a package is to be editable
    # nkeys comes as source alone, and what builds that is its own business
    sources = project["project"]["optional-dependencies"]["credentials"]
    run([*install, *project["build-system"]["requires"], "editables", *sources], log, environment=environment)
    run([*install, "--no-build-isolation", "-e", f"{ROOT}[{EXTRAS}]", *project["dependency-groups"]["dev"], "-e", str(PLUGIN)], log,
        environment=environment)
    for script in (part / "bin").iterdir():
        _rename_inside(script, part, final)


def _rename_inside(script: Path, before: Path, after: Path) -> None:
    if script.is_symlink() or not script.is_file():
        return
    content = script.read_bytes()
    if content.startswith(b"#!") or script.suffix in (".csh", ".fish") or script.name == "activate":
        script.write_bytes(content.replace(str(before).encode(), str(after).encode()))


def _forget_unused(environments: Path) -> None:
    for folder in environments.iterdir():
        if folder.is_dir() and not folder.name.endswith(".part") and time.time() - folder.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
