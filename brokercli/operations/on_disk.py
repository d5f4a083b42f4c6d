"""What makes a file outlive a power cut: not only what is in it, also its name."""

from __future__ import annotations

import errno
import os
from pathlib import Path


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
