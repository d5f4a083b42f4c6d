"""Three servers that are one cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from tests.brokers.nats import Nats
from tests.brokers.server import HOST, free_port, wait_until

SECONDS = 60.0


def start_cluster(servers: Callable[..., Nats]) -> list[Nats]:
    """Start three servers, `n0` to `n2`; return once they listen. Who leads is not decided then."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://{HOST}:{port}"' for port in ports)
    members = [servers(Nats, wait=False, settings={"server_name": f'"n{index}"', "cluster": f'{{name: "c", listen: "{HOST}:{port}", routes: [{routes}]}}'})
               for index, port in enumerate(ports)]
    for member in members:
        wait_until(partial(_listens, member.port), SECONDS, "a server")
    return members


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
