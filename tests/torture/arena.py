"""Where a torture run takes place: one broker that may be killed, a proxy in front of it, and a home for brokercli."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests import loaded
from tests.brokers.kafka import Kafka
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import HOST, Server, free_port
from tests.brokers.watchdog import watched
from tests.commandline import Process, environment
from tests.environment import ROOT
from tests.faults.proxy import Proxy
from tests.torture.elsewhere import CONTEXT, Elsewhere
from tests.torture.kafka_site import OPEN_TO_ALL, KafkaGround
from tests.torture.nats_site import NatsGround
from tests.torture.rabbitmq_site import RabbitMQGround
from tests.torture.site import Ground

BROKERS = ("kafka", "nats", "rabbitmq")
_CHILD = "tests.torture.child"


@dataclass
class Arena:
    """A broker, and brokercli as a process that reaches it through the proxy."""

    broker: str
    server: Server
    proxy: Proxy
    ground: Ground
    home: Path
    elsewhere: Elsewhere
    """The other broker, and what is in front of it."""

    def start(self, orders: Mapping[str, Any], arguments: Sequence[str], output: Path, stdin: int = subprocess.DEVNULL) -> Process:
        """Start brokercli under orders for the child; what it prints goes to `output` with the endings .out and .err."""
        words, ours = [json.dumps({"broker": self.broker, **orders}), *arguments], environment(self.home)
        with output.with_suffix(".out").open("wb") as stdout, output.with_suffix(".err").open("wb") as stderr:
            return (loaded.start(_CHILD, words, environment=ours, folder=ROOT, stdin=stdin, stdout=stdout, stderr=stderr)
                    or subprocess.Popen([sys.executable, "-m", _CHILD, *words], stdin=stdin, stdout=stdout, stderr=stderr, cwd=ROOT, env=ours))

    def heal(self) -> None:
        """End every fault: both brokers run, and everything passes."""
        for side in (self, self.elsewhere):
            side.server.resume()
            if not side.server.running:
                side.server.start()
            side.proxy.heal()


def _kafka(directory: Path, opened: ExitStack) -> tuple[Server, Proxy, Ground]:
    # its clients are told where it is, so the proxy is there first
    port = free_port()
    proxy = opened.enter_context(Proxy((HOST, port)))
    server = Kafka(directory, ports={"client": port}, advertised=proxy.port, settings=OPEN_TO_ALL)
    return server, proxy, KafkaGround(server.address)


def _nats(directory: Path, opened: ExitStack) -> tuple[Server, Proxy, Ground]:
    server = Nats(directory)
    return server, opened.enter_context(Proxy((HOST, server.port))), NatsGround(server.address)


def _rabbitmq(directory: Path, opened: ExitStack) -> tuple[Server, Proxy, Ground]:
    server = RabbitMQ(directory, plugins=("rabbitmq_management",))
    server.erlang = ""
    return server, opened.enter_context(Proxy((HOST, server.port))), RabbitMQGround(server.address, server.management)


_MAKERS: dict[str, Callable[[Path, ExitStack], tuple[Server, Proxy, Ground]]] = {"kafka": _kafka, "nats": _nats, "rabbitmq": _rabbitmq}


@contextmanager
def open_arena(broker: str, base: Path | None = None) -> Iterator[Arena]:
    """Start a broker of one's own; it is stopped and deleted at the end. `base` is a folder that is watched already."""
    with ExitStack() as opened:
        if base is None:
            base = Path(opened.enter_context(TemporaryDirectory(prefix="brokercli-torture-")))
            opened.enter_context(watched(base))
        server, proxy, ground = _MAKERS[broker](base / f"torture-{broker}-{os.getpid()}", opened)
        opened.callback(server.kill)
        server.start()
        elsewhere = Elsewhere(base / f"torture-{broker}-elsewhere-{os.getpid()}", opened)
        home = base / f"home-{broker}-{os.getpid()}"
        write_contexts(home, {"arena": ground.context(proxy.port), CONTEXT: {"url": f"nats://{HOST}:{elsewhere.proxy.port}"}})
        yield Arena(broker, server, proxy, ground, home, elsewhere)


def write_contexts(home: Path, contexts: Mapping[str, Mapping[str, str]]) -> None:
    """Write the configuration that brokercli reads in a home; the first context is the chosen one."""
    folder = home / "config_home" / "brokercli"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"current = '{next(iter(contexts))}'"]
    for name, settings in contexts.items():
        lines += [f"[contexts.{name}]", *(f"{key} = '{value}'" for key, value in settings.items())]
    file = folder / "config.toml"
    # a password may be in it
    file.touch(0o600)
    file.write_text("\n".join([*lines, ""]))
