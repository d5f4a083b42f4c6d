"""Ctrl-C, SIGTERM and SIGHUP: the first asks to stop, the second stops."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType, TracebackType
from typing import Any, Self

from brokercli.model.exit_code import ExitCode
from brokercli.terminal.streams import Streams

# how long a clean stop may take before it is explained, in seconds
PATIENCE = 0.4
# a user who hammers on Ctrl-C means the second one, not a third that cuts its report short; in seconds
HAMMERING = 1.0
# so long nothing cuts the last words short; somebody who does not read them would keep us from ending for ever; in seconds
LAST_WORDS = 5.0
_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED, signal.SIGHUP: ExitCode.HUNG_UP}


class StopNow(BaseException):
    """The second signal: stop at once and say what is unknown."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class Interrupt:
    """While it is open, the first signal sets `requested` and the second raises StopNow in the main thread.
    A hang-up is never the second: a terminal that closes sends two, the shell's and the kernel's, and systemd may send one behind SIGTERM.

    A signal that was ignored when we were started (nohup, a background job) stays ignored. On another thread than the main
    one nothing is installed and nothing is ever requested. Ask questions before it is opened: an answer that is waited
    for does not look at `requested`.
    """

    def __init__(self, streams: Streams, *, connecting: bool = False, only_prints: bool = False) -> None:
        """`connecting`: nothing is in flight until `connected` is called, and the first signal stops at once. `only_prints`: nothing is but what
        is written to standard output, and a reader of that who takes nothing is not waited for: StopNow."""
        self.requested = False
        self._connecting = connecting
        self._only_prints = only_prints
        self.exit_code = 0
        """129, 130 or 143 once requested."""
        self._streams = streams
        self._before: dict[signal.Signals, Any] = {}
        self._stopped_at: float | None = None
        self._last_words_at: float | None = None
        self._closed = _thread.allocate_lock()
        self._explains = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._closed.acquire()
            self._explains = True
            for number in _CODES:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._explain_no_more()
        self._streams.hurry_no_more()

    def connected(self) -> AbstractContextManager[None]:
        """Say that from here on something may be in flight. What is returned does nothing: it lets this stand in a `with`."""
        self._connecting = False
        return nullcontext()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let the first signal stop at once while an answer is waited for: nothing is in flight."""
        self._connecting = True
        try:
            yield
        finally:
            self._connecting = False

    def last_words(self) -> None:
        """Say that everything is known and about to be told. From now on no signal changes `requested` or raises StopNow, except one that
        comes after `LAST_WORDS` seconds."""
        if self._last_words_at is None:
            self._last_words_at = time.monotonic()
        self._explain_no_more()

    def stopping(self) -> bool:
        """Return `requested`, for the operations that ask."""
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._streams.moving:
            self._streams.end_line()
        now = time.monotonic()
        if self._last_words_at is not None:
            if now - self._last_words_at > LAST_WORDS:
                raise StopNow(self.exit_code or int(_CODES[signal.Signals(number)]))
            return
        if not self.requested:
            # in this order: the second may come in between
            self.exit_code = int(_CODES[signal.Signals(number)])
            self.requested = True
            if self._connecting:
                self._stopped_at = now
                raise StopNow(self.exit_code)
            if self._only_prints:
                self._streams.hurry(StopNow(self.exit_code))
                if self._streams.writing:
                    return  # nothing is in flight but that, and it ends by itself
            # not threading.Thread: its locks may be held by the code this handler interrupted
            _thread.start_new_thread(self._explain, ())
            return
        if number != signal.SIGHUP and (self._stopped_at is None or now - self._stopped_at > HAMMERING):
            self._stopped_at = now
            raise StopNow(self.exit_code)

    def _explain_no_more(self) -> None:
        # once: whoever was about to explain takes the lock for a moment
        if self._explains:
            self._explains = False
            self._closed.release()

    def _explain(self) -> None:
        if self._closed.acquire(timeout=PATIENCE):
            self._closed.release()
        elif self._stopped_at is None:
            self._streams.say("stopping once what is in flight is settled; Ctrl-C again stops now")
