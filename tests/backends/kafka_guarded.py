"""A Kafka that asks who is there: logins, TLS and permissions; and one that compacts at once."""

from __future__ import annotations

from pathlib import Path

from brokercli.model.connection import TLS, Secret
from tests.brokers.certificates import openssl
from tests.brokers.kafka import LASTING, PASSWORD, USER, Kafka
from tests.brokers.server import HOST

READER, READER_PASSWORD = "reader", "may-only-look"
CLIENT, KEY_PASSWORD = "client", "opens-the-key"


class GuardedKafka(Kafka):
    """USER may do everything and READER only what a test allows, both through PLAIN. SCRAM users are added by the test, and
    a token that nobody signed is believed. On the plain and the TLS listener anybody may do everything; on the mutual one,
    TLS as well, whoever has a certificate of its authority is known by it, and may do what a test allows. Who comes to the
    misleading one is told to go to a port where nothing listens."""

    roles = ("client", "login", "controller", "tls", "mutual", "misleading", "nothing")

    @property
    def authority(self) -> str:
        """Path of the certificate that signed the one of the TLS listener, which is for `localhost` only."""
        return str(self.directory / "authority.pem")

    def certificate(self, name: str, *, key_password: str | None = None) -> TLS:
        """Return what shows the certificate of `client`, or of a `stranger` whose authority nobody knows."""
        key = f"{name}.key" if key_password is None else f"{name}.locked.key"
        return TLS(ca=self.authority, certificate=str(self.directory / f"{name}.crt"), key=str(self.directory / key),
                   key_password=None if key_password is None else Secret(key_password))

    def prepare(self) -> None:
        if not Path(self.authority).exists():
            _certify(self.directory)
        super().prepare()

    def _configuration(self) -> dict[str, str]:
        ours = super()._configuration()
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return ours | LASTING | {
            "listeners": ours["listeners"] + f",TLS://{HOST}:{self.ports['tls']},MUTUAL://{HOST}:{self.ports['mutual']},"
                         f"MISLEADING://{HOST}:{self.ports['misleading']}",
            "advertised.listeners": ours["advertised.listeners"] + f",TLS://localhost:{self.ports['tls']},MUTUAL://localhost:{self.ports['mutual']},"
                                    f"MISLEADING://{HOST}:{self.ports['nothing']}",
            "listener.security.protocol.map": ours["listener.security.protocol.map"] + ",TLS:SSL,MUTUAL:SSL,MISLEADING:PLAINTEXT",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": self.authority,
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
    key = ("-newkey", "rsa:2048", "-nodes")
    for authority in ("authority", "nobody"):
        openssl(directory, "req", "-x509", *key, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days", "30", "-subj", f"/CN={authority}")
    for name, authority in (("localhost", "authority"), (CLIENT, "authority"), ("stranger", "nobody")):
        openssl(directory, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (directory / "names").write_text(f"subjectAltName=DNS:{name}\n")
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial",
                "-out", f"{name}.crt", "-days", "30", "-extfile", "names")
    openssl(directory, "pkcs8", "-topk8", "-in", f"{CLIENT}.key", "-out", f"{CLIENT}.locked.key", "-passout", f"pass:{KEY_PASSWORD}")
    (directory / "server.pem").write_text((directory / "localhost.key").read_text() + (directory / "localhost.crt").read_text())
