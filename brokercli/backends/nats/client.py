"""NATS's client, loaded without its JetStream, and the backend made of it.

nats-py imports a class for each question and answer of JetStream's API, which nobody here makes: it is asked over the core
connection, in JSON. That is a third of what its import takes, and every command on NATS pays it. To tell the server its version it has what is
installed looked through, for which Python loads its mail and archive libraries; the name of a folder says the same.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress

from brokercli.backends.later import instead_of, put_off

_BEFORE, _BEHIND = "nats_py-", ".dist-info"


def _version() -> str | None:
    """Return the version of nats-py as it is installed; None where that is not to be seen so."""
    # site-packages, or dist-packages: nobody's own folder, which may have any number of files
    for folder in [folder for folder in sys.path if folder.endswith("-packages")]:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(_BEFORE) and entry.name.endswith(_BEHIND):
                    return entry.name[len(_BEFORE):-len(_BEHIND)]
    return None


_found = _version()
with put_off("nats.js"), nullcontext() if _found is None else instead_of("importlib.metadata", version=lambda package: _found):
    from brokercli.backends.nats.backend import NatsBackend

__all__ = ["NatsBackend"]
