"""Start, stop, kill, pause or resume one broker by hand: `python3 -m tests.brokers kafka start DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.brokers.downloads import FetchFailed, Missing
from tests.brokers.kafka import Kafka
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import BrokerFailed, Server

BROKERS: dict[str, type[Server]] = {"kafka": Kafka, "nats": Nats, "rabbitmq": RabbitMQ}


def main() -> int:
    """Do what the command line says; a started broker goes on running."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.brokers", description=__doc__)
    parser.add_argument("broker", choices=BROKERS)
    parser.add_argument("verb", choices=("start", "stop", "kill", "pause", "resume"))
    parser.add_argument("directory", type=Path, help="folder of its data and log; start uses again what is there")
    parser.add_argument("--port", type=int, help="the port clients connect to; a free one without it")
    asked = parser.parse_args()
    kind = BROKERS[asked.broker]
    try:
        server = kind(asked.directory, ports={kind.roles[0]: asked.port} if asked.port else None)
        getattr(server, asked.verb)()
    except (Missing, FetchFailed, BrokerFailed) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{server.address}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
