"""An HTTP answer with an end to it: what http.client waits for is each piece, and an answer that drips has ever another one."""

from __future__ import annotations

from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from socket import socket
from time import monotonic
from typing import Any


class TooSlow(Exception):
    """The deadline has passed, and the answer is not there."""


class TimelyAnswer(HTTPResponse):
    """Reads status, headers and body until `deadline`, and waits for each piece `silence` seconds at most. Raises TooSlow, and
    TimeoutError where nothing comes at all."""

    def __init__(self, connection: socket, *told: Any, silence: float, deadline: float, **named: Any) -> None:
        super().__init__(connection, *told, **named)
        self.fp.close()
        self.fp = BufferedReader(_Timely(connection, silence, deadline))


class _Timely(RawIOBase):
    def __init__(self, connection: socket, silence: float, deadline: float) -> None:
        self._connection, self._silence, self._deadline = connection, silence, deadline
        # keeps the socket open where http.client lets go of it before the body is read
        self._pieces = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TooSlow
        self._connection.settimeout(min(self._silence, left))
        try:
            return self._pieces.readinto(buffer)
        except TimeoutError:
            if left < self._silence:
                raise TooSlow from None
            raise

    def close(self) -> None:
        self._pieces.close()
        super().close()
