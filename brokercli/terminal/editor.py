"""Let somebody edit one body in their own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from brokercli.model.errors import Failed, LocalIO, UsageProblem


def edit(body: bytes, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return what $VISUAL, $EDITOR or vi makes of `body`; waits until the editor ends.

    The file it edits is for its owner only and is removed. A line end that an editor adds at the very end is taken off
    again where the body had none. Raises UsageProblem where there is no editor, Failed where it ends with anything but 0.
    """
    words = shlex.split(environment.get("VISUAL") or environment.get("EDITOR") or "vi")
    try:
        with tempfile.TemporaryDirectory(prefix="brokercli-") as folder:
            file = Path(folder) / f"body{'.json' if body.lstrip()[:1] in (b'{', b'[') else '.txt'}"
            file.write_bytes(body)
            code = subprocess.run([*words, str(file)], check=False).returncode
            edited = file.read_bytes()
    except FileNotFoundError:
        raise UsageProblem(f"The editor {words[0]} is not there. Nothing was changed.", hint="EDITOR names the one to use: EDITOR=nano") from None
    except OSError as problem:
        raise LocalIO(f"The body cannot be edited: {problem.strerror}. Nothing was changed.") from None
    if code:
        raise Failed(f"{words[0]} ended with exit code {code}: nothing was changed.")
    return edited[:-1] if edited.endswith(b"\n") and not body.endswith(b"\n") else edited
