"""The settings of the process that make moving many messages faster."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_HEAP = ((_M_TRIM_THRESHOLD, 64 << 20), (_M_TOP_PAD, 1 << 20), (_M_MMAP_THRESHOLD, 4 << 20))


def prepare_for_bulk() -> None:
    """Set the heap and the collector for a loop over millions of messages; called once, when a bulk command starts.

    glibc gives the top of the heap back between batches and takes it again: 2.3 s of page faults in a million envelopes. Once
    told not to, it no longer raises by itself the size from which each block is a mapping of its own, and every batch's output
    and every read from a socket would be one: 45,000 more page faults in a million bodies.
    The loops make no reference cycles, so the cyclic collector finds nothing; what exists at start is never looked at again.
    """
    if sys.platform == "linux":
        try:
            library = ctypes.CDLL(None)
            for setting, value in _HEAP:
                library.mallopt(setting, value)
        except (OSError, AttributeError):
            pass  # another C library, without these settings
    gc.freeze()
    gc.disable()
