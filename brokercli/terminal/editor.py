"""Let somebody edit one body in their own editor."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from brokercli.model.errors import Failed, LocalIO, UsageProblem


def edit(body: bytes, environment: Mapping[str, str]) -> bytes:
    """Return what $VISUAL, $EDITOR or vi makes of `body`; waits until the editor ends. It runs with that environment and nothing else.

    The file it edits is for its owner only and is removed. A line end that an editor adds at the very end is taken off
    again where the body had none. Ctrl-C is the editor's as long as it runs. Raises UsageProblem where there is no editor,
    Failed where it ends with anything but 0, or leaves nothing of a body: so one leaves an editor that asked for nothing.
    """
    said = environment.get("VISUAL") or environment.get("EDITOR") or "vi"
    try:
        words = shlex.split(said)
    except ValueError as problem:
        raise UsageProblem(f"EDITOR {said!r} cannot be read as a command: {problem}. Nothing was changed.", hint="EDITOR=nano") from None
    if not words or shutil.which(words[0], path=environment.get("PATH")) is None:
        raise UsageProblem(f"The editor {words[0] if words else said!r} is not there. Nothing was changed.", hint="EDITOR names the one to use: EDITOR=nano")
    try:
        with tempfile.TemporaryDirectory(prefix="brokercli-") as folder:
            file = Path(folder) / f"body{'.json' if body.lstrip()[:1] in (b'{', b'[') else '.txt'}"
            file.write_bytes(body)
            with _deaf():
                code = subprocess.run([*words, str(file)], check=False, env=environment).returncode
            edited = file.read_bytes()
    except OSError as problem:
        raise LocalIO(f"The body cannot be edited: {problem.strerror}. Nothing was changed.") from None
    if code:
        raise Failed(f"{words[0]} ended with exit code {code}: nothing was changed.")
    edited = edited[:-1] if edited.endswith(b"\n") and not body.endswith(b"\n") else edited
    if body and not edited:
        raise Failed(f"{words[0]} left nothing of the body: nothing was changed.")
    return edited


@contextmanager
def _deaf() -> Iterator[None]:
    """Leave Ctrl-C to the program that has the terminal; it reaches us as well. Not by ignoring it: what is ignored stays so in a child."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
