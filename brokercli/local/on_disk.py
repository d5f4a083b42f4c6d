"""What makes a file whole at every moment, and outlive a power cut: not only what is in it, also its name."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path


def make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for their owner alone, whatever the umask lets others do. Raises OSError."""
    for missing in reversed([place for place in (directory, *directory.parents) if not place.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def write_whole(path: str | Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step: whoever opens it finds what it held before, or all of `content`, whatever happens meanwhile.

    A link stays a link; what is no file (a pipe, /dev/stdout) is written to. `mode` is less the umask. Raises OSError; then what it
    held before is still there.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep_name(path: str | Path) -> None:
    """Force the entry of a file that was just made to the disk. A folder that cannot be forced (some network file systems) is let be."""
    descriptor = os.open(Path(path).resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
