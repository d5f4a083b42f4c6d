"""Two settings of the process that make moving many messages faster."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD = -1


def prepare_for_bulk() -> None:
    """Set the heap and the collector for a loop over millions of messages; called once, when a bulk command starts.

    glibc gives the top of the heap back between batches and takes it again: 2.3 s of page faults in a million envelopes.
    The loops make no reference cycles, so the cyclic collector finds nothing; what exists at start is never looked at again.
    """
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        except (OSError, AttributeError):
            pass  # another C library, without this setting
    gc.freeze()
    gc.disable()
