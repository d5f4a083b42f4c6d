"""The other broker of `dlq redrive --to @elsewhere/…`: a NATS of its own behind a proxy of its own, so that either side can be disturbed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.brokers.nats import Nats
from tests.brokers.server import HOST
from tests.faults.proxy import Proxy
from tests.native.nats import Wire
from tests.torture.check import Found
from tests.torture.nats_site import ask, found_in

CONTEXT = "elsewhere"


class Elsewhere:
    """One stream for each trial, on a server that may be killed as well."""

    def __init__(self, directory: Path, opened: ExitStack) -> None:
        self.server = Nats(directory)
        self.proxy = opened.enter_context(Proxy((HOST, self.server.port)))
        opened.callback(self.server.kill)
        self.server.start()

    def make(self, run: str) -> str:
        """Make the stream of a trial, and return its subject."""
        wire = self._wire()
        # without ids of ours nothing keeps a copy from being stored twice: the window has nothing to do with it
        ask(wire, f"STREAM.CREATE.{_stream(run)}", name=_stream(run), subjects=[f"{run}.elsewhere"], storage="file", allow_direct=True)
        wire.close()
        return f"{run}.elsewhere"

    def stored(self, run: str) -> list[Found]:
        """Return what has come there."""
        wire = self._wire()
        found = [found_in(message) for message in wire.stored(_stream(run))]
        wire.close()
        return found

    def clean(self, run: str) -> None:
        """Delete the stream of a trial."""
        wire = self._wire()
        ask(wire, f"STREAM.DELETE.{_stream(run)}")
        wire.close()

    def _wire(self) -> Wire:
        return Wire(HOST, self.server.port)


def _stream(run: str) -> str:
    return f"{run}-ELSEWHERE"
