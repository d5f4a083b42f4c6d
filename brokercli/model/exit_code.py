"""What a script can rely on: one number for one outcome."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The promise of `brokercli help exit-codes`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3
    IN_DOUBT = 4
    UNREACHABLE = 5
    NOT_AUTHORISED = 6
    UNSUPPORTED = 7
    CHANGES_PENDING = 8
    NOTHING_MATCHED = 9
    LOCAL_IO = 10
    ABOVE = 11
    TIMED_OUT = 124
    HUNG_UP = 129
    INTERRUPTED = 130
    READER_LEFT = 141
    TERMINATED = 143
