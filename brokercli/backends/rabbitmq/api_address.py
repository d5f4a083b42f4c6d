"""Where a broker's management API is likely to be, where nobody says it: at its usual ports, of the broker's own host. And where no address leads."""

from __future__ import annotations

from brokercli.backends.rabbitmq.connect import DEFAULT_PORT, port_of
from brokercli.model.connection import Connection, spell_place

USUAL_PORT, USUAL_TLS_PORT = 15672, 15671
# how far it lies from the port for messages; setups that shift one tend to shift the other
_DISTANCE = 10_000


def guessed(connection: Connection, host: tuple[str, int | None]) -> list[str]:
    """Return addresses, the likeliest first. `host` is the one that the connection leads to."""
    name, port = host
    shifted = port_of(connection, port) + _DISTANCE
    if connection.tls is not None:
        # a login that is to be encrypted is not tried in the clear
        ports, scheme = [USUAL_TLS_PORT, shifted], "https"
    else:
        ports, scheme = [USUAL_PORT, shifted] if port in (None, DEFAULT_PORT) else [shifted, USUAL_PORT], "http"
    return [f"{scheme}://{spell_place(name, number)}" for number in dict.fromkeys(ports) if number < 65536]


def leads_elsewhere(path: str) -> bool:
    """Whether a name in a path is one by which a web server goes up a folder, or stays: the answer is about something else then. Spelled %2E it is
    the same (seen on RabbitMQ 4.3.6)."""
    return not {".", ".."}.isdisjoint(path.partition("?")[0].split("/"))
