"""What makes a file whole at every moment, and outlive a power cut: not only what is in it, also its name."""

from __future__ import annotations

import errno
import os
import re
import secrets
from pathlib import Path

_DESCRIPTORS = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd|/dev/fd")


def make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for their owner alone, whatever the umask lets others do. Raises OSError."""
    for missing in reversed([place for place in (directory, *directory.parents) if not place.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def write_whole(path: str | Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step: whoever opens it finds what it held before, or all of `content`, whatever happens meanwhile.

    A link stays a link; what is no file (a pipe) is written to, and so is what somebody has open (/dev/stdout, /dev/fd/63), also where that
    is a file: what stands in it stays. `mode` is less the umask. Raises OSError; then what it held before is still there.
    """
    if (opened := _opened(Path(path))) is not None:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
        return
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    write_new(temporary, content, mode=mode)
    try:
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def may_be_written(path: str | Path) -> bool:
    """Whether `write_whole` may write there, as far as permissions tell: into the folder of a file, to what is none itself. True as well where
    that cannot be told."""
    try:
        target = Path(path).resolve()
        if _DESCRIPTORS.fullmatch(os.path.realpath(Path(path).parent)) or not target.parent.is_dir():
            return True
        return os.access(target, os.W_OK) if target.exists() and not target.is_file() else os.access(target.parent, os.W_OK | os.X_OK)
    except (OSError, RuntimeError):  # links that lead in a circle
        return True


def write_new(path: str | Path, content: bytes, *, mode: int = 0o600) -> None:
    """Make a file that is not there yet. `mode` is less the umask. Raises FileExistsError where somebody has made it by now, and OSError where it
    cannot be written; then there is none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


def _opened(path: Path) -> int | None:
    """Return a descriptor of what a path leads to where that is not a file by its name but what a process has open; else None."""
    for _ in range(40):  # more links than that lead nowhere
        if not path.is_symlink() and path.parent != Path("/dev/fd"):
            return None
        folder = os.path.realpath(path.parent)
        if found := _DESCRIPTORS.fullmatch(folder):
            if path.name.isdecimal() and found[1] in (None, str(os.getpid())):
                return os.dup(int(path.name))  # where it is, which is where the next thing goes that is written there
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        path = Path(folder) / path.readlink()
    return None


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
