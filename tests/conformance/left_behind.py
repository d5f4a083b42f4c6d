"""What a connection leaves behind in its process: opened, used and closed again and again in one that does nothing else, so that
nobody else's threads and sockets are counted."""

from __future__ import annotations

import gc
import json
import sys
import threading
from pathlib import Path

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.registry import open_backend
from brokercli.model.address import Address
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import BrokercliError
from brokercli.model.position import End, Span
from tests.brokers.server import wait_until
from tests.commandline import run_module
from tests.conformance.driving import PATIENCE


def check_nothing_is_left(connection: Connection, ends: tuple[Address, Address] | None) -> None:
    """Fail where a thread, a socket or a file is left of this connection; `ends` is where to publish and where to look, None for a
    connection that cannot be made."""
    asked = {"scheme": connection.scheme, "hosts": connection.hosts, "user": connection.user, "virtual_host": connection.virtual_host,
             "management": connection.management, "connect_timeout": connection.connect_timeout,
             "password": None if connection.password is None else connection.password.reveal(),
             "ends": None if ends is None else [[end.name, end.kind, end.route] for end in ends]}
    ended = run_module("tests.conformance.left_behind", stdin=json.dumps(asked).encode(), timeout=4 * PATIENCE)
    assert ended.code == 0, ended.stderr


def main() -> None:
    """Fail with what is left of the connection that standard input tells of."""
    asked = json.load(sys.stdin)
    ends = asked.pop("ends")
    password = asked.pop("password")
    connection = Connection(**{**asked, "hosts": tuple((host, port) for host, port in asked["hosts"])}, password=None if password is None else Secret(password))
    _use(connection, ends)  # what is loaded the first time stays
    gc.collect()
    threads, files = threading.active_count(), _open_files()
    for _ in range(3):
        _use(connection, ends)
    gc.collect()
    wait_until(lambda: threading.active_count() <= threads, PATIENCE, "the end of its threads")
    wait_until(lambda: len(_open_files()) <= len(files), PATIENCE, "the end of its sockets and files")


def _use(connection: Connection, ends: list[list[str | None]] | None) -> None:
    if ends is None:
        try:
            open_backend(connection).close()
        except BrokercliError:
            return
        raise AssertionError(f"{connection} can be reached")
    destination, address = (Address(*end) for end in ends)  # type: ignore[arg-type]
    with open_backend(connection) as backend:
        with backend.publisher(destination, PublishPolicy()) as publisher:
            publisher.send_bodies([b"x"])
            publisher.finish(PATIENCE)
        with backend.look(address, Span(End(), None)) as reader:
            reader.read(0)


def _open_files() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


if __name__ == "__main__":
    main()
