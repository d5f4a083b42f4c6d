"""A Kafka that asks who is there: logins, TLS and permissions; and one that compacts at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.brokers.kafka import PASSWORD, USER, Kafka
from tests.brokers.server import HOST

READER, READER_PASSWORD = "reader", "may-only-look"


class GuardedKafka(Kafka):
    """USER may do everything and READER only what a test allows, both through PLAIN. SCRAM users are added by the test, and
    a token that nobody signed is believed. On the plain and the TLS listener anybody may do everything."""

    roles = ("client", "login", "controller", "tls")

    @property
    def authority(self) -> str:
        """Path of the certificate that signed the one of the TLS listener, which is for `localhost` only."""
        return str(self.directory / "authority.pem")

    def prepare(self) -> None:
        if not Path(self.authority).exists():
            _certify(self.directory)
        super().prepare()

    def _configuration(self) -> dict[str, str]:
        ours = super()._configuration()
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return ours | {
            "listeners": ours["listeners"] + f",TLS://{HOST}:{self.ports['tls']}",
            "advertised.listeners": ours["advertised.listeners"] + f",TLS://localhost:{self.ports['tls']}",
            "listener.security.protocol.map": ours["listener.security.protocol.map"] + ",TLS:SSL",
            "listener.name.login.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,OAUTHBEARER",
            "listener.name.login.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "listener.name.login.oauthbearer.sasl.jaas.config":
                'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
            "listener.name.login.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}" user_{READER}="{READER_PASSWORD}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.directory / "server.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER}",
            "log.cleaner.backoff.ms": "100",
            "log.initial.task.delay.ms": "0",
        }


def _certify(directory: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "authority.key", "-out", "authority.pem", "-days", "30", "-subj", "/CN=tests")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-out", "server.crt",
            "-days", "30", "-extfile", "names")
    (directory / "server.pem").write_text((directory / "server.key").read_text() + (directory / "server.crt").read_text())
