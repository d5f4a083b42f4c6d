"""A RabbitMQ that asks who is there: TLS with client certificates, EXTERNAL logins, and small messages only."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from tests.brokers.certificates import self_signed, signed
from tests.brokers.rabbitmq import PLUGINS, RabbitMQ
from tests.brokers.server import HOST

LARGEST_MESSAGE = 200_000


class GuardedRabbitMQ(RabbitMQ):
    """Its certificate is for `localhost` only; a client's certificate logs in as its common name, by EXTERNAL."""

    roles = (*RabbitMQ.roles, "tls")

    def __init__(self, directory: Path, *, ports: dict[str, int] | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, ports=ports, plugins=(*PLUGINS, "rabbitmq_auth_mechanism_ssl"), settings={
            "ssl_options.cacertfile": "/etc/rabbitmq/authority.pem", "ssl_options.certfile": "/etc/rabbitmq/server.pem",
            "ssl_options.keyfile": "/etc/rabbitmq/server.key", "ssl_options.verify": "verify_peer", "ssl_options.fail_if_no_peer_cert": "false",
            "auth_mechanisms.1": "PLAIN", "auth_mechanisms.2": "EXTERNAL", "ssl_cert_login_from": "common_name",
            "max_message_size": str(LARGEST_MESSAGE), **(settings or {})})
        self._settings["listeners.ssl.1"] = f"{HOST}:{self.ports['tls']}"

    @property
    def certificates(self) -> Path:
        """Folder of authority.pem, and of server, client and stranger as .pem and .key; nobody knows who signed the last one."""
        return self.directory / "etc"

    def answers(self) -> bool:
        """Whether it takes clients on both of its ports; it opens the one for TLS last."""
        if not super().answers():
            return False
        try:
            socket.create_connection((HOST, self.ports["tls"]), 1).close()
        except OSError:
            return False
        return True

    def prepare(self) -> None:
        super().prepare()
        if not (self.certificates / "server.pem").exists():
            _certify(self.certificates)


def _certify(folder: Path) -> None:
    self_signed(folder, "authority", "nobody")
    for name, authority, alternative in (("server", "authority", "DNS:localhost"), ("client", "authority", "DNS:client"), ("stranger", "nobody", "DNS:client")):
        signed(folder, name, authority, alternative)
    for path in folder.glob("*.key"):
        path.chmod(0o644)
