"""Apache Kafka from its Maven artifacts: KRaft, one node, one plain listener and one that wants a login."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from functools import cache as cache_result
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.brokers.downloads import Missing, cache, fetched, need, run
from tests.brokers.server import HOST, Server, conversation

VERSION = "4.4.0"
LASTING = {"broker.session.timeout.ms": "60000", "broker.heartbeat.interval.ms": "2000"}
"""Settings of a broker that nobody kills: one that a busy machine holds up for longer than its session is shut out of its cluster."""
USER, PASSWORD = "operator", "kafka-secret"
_ARTIFACTS = (("org.apache.kafka", "kafka_2.13", VERSION), ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5"))
_LOGGING = """<Configuration status="ERROR"><Appenders><Console name="c"><PatternLayout pattern="%d %p %c %m%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="c"/></Root></Loggers></Configuration>
"""


def java() -> str:
    """Return the path of a Java that runs Kafka 4. Raises Missing."""
    found = need("java", "default-jre-headless", "Apache Kafka")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 17:
        what = said.partition("\n")[0] or "no Java"
        raise Missing(f"Apache Kafka needs Java 17 or newer, and {found} is {what}: apt-get install default-jre-headless")
    return found


def check() -> None:
    """Raise Missing for what the machine lacks."""
    java()
    if not _libraries().exists():
        need("mvn", "maven", "fetching Apache Kafka")


def fetch() -> Path:
    """Return the folder of Kafka's jars, fetched through Maven the first time."""
    libraries = fetched(_libraries(), _fetch)
    fetched(_classes(), _archive_classes)
    return libraries


class Kafka(Server):
    """One node. `advertised` says which port clients are told instead of ours: that of a proxy in front of it."""

    name = "Kafka"
    roles = ("client", "login", "controller")

    def __init__(self, directory: Path, *, ports: dict[str, int] | None = None, advertised: int | None = None,
                 settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, ports=ports)
        self._advertised = advertised
        self._sharing = f"-XX:SharedArchiveFile={_classes()}"
        self._settings = dict(settings or {})

    @property
    def address(self) -> str:
        return f"{HOST}:{self._advertised or self.port}"

    @property
    def login_address(self) -> str:
        """Where USER and PASSWORD are asked for, by SASL PLAIN."""
        return f"{HOST}:{self.ports['login']}"

    def archive_classes(self, path: Path) -> None:
        """Start it and stop it, and write what it loaded where the next ones read it."""
        self._sharing = f"-XX:ArchiveClassesAtExit={path}"
        self.start()
        self.stop()

    def prepare(self) -> None:
        if "ArchiveClassesAtExit" not in self._sharing:
            fetch()
        (self.directory / "log4j2.xml").write_text(_LOGGING)
        configuration = self.directory / "server.properties"
        configuration.write_text("".join(f"{name}={value}\n" for name, value in self._configuration().items()))
        if not (self.directory / "data").exists():
            shutil.copytree(fetched(_formatted(), self._format), self.directory / "data")

    def _format(self, part: Path) -> None:
        # nothing in it is about ports: every node begins with the same, and saves a start of Java
        configuration = part.with_name(f"{part.name}.properties")
        configuration.write_text("".join(f"{name}={value}\n" for name, value in (self._configuration() | {"log.dirs": str(part)}).items()))
        made = subprocess.run([*self._java(), "kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw", "-c", str(configuration)],
                              capture_output=True, text=True, check=False)
        configuration.unlink()
        assert made.returncode == 0, made.stdout + made.stderr

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self.directory / "server.properties")]

    def answers(self) -> bool:
        # Metadata of no topic, version 1: a 4-byte length, our correlation number, how many brokers there are. Its port is open before its
        # controller lets it in: until then there is none, and no topic can be made
        body = struct.pack(">hhih", 3, 1, 7, 5) + b"tests" + struct.pack(">i", 0)
        answer = conversation(self.port, struct.pack(">i", len(body)) + body, 12)
        return len(answer) >= 12 and struct.unpack(">ii", answer[4:12]) == (7, 1)

    def _java(self) -> list[str]:
        # the first compiler and classes read before: a third of the time to the first answer, and these brokers do not live long
        return [need("java", "default-jre-headless", "Apache Kafka"), "-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                self._sharing, "-cp", f"{_libraries()}/*", f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}"]

    def _configuration(self) -> dict[str, str]:
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self.ports['controller']}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},LOGIN://{HOST}:{self.ports['login']},CONTROLLER://{HOST}:{self.ports['controller']}",
            "advertised.listeners": f"PLAINTEXT://{self.address},LOGIN://{self.login_address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}";',
            "log.dirs": str(self.directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # a killed broker's registration ends this soon; until then it is not let in again
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "300",
            # 3 and 8 as it comes, each of which looks three times a second whether there is something to do
            "num.network.threads": "2",
            "num.io.threads": "3",
            # 128 MB as it comes, all of it written to at the start
            "log.cleaner.dedupe.buffer.size": str(2 * 1024 * 1024),
            # nothing is deleted or forgotten while a test looks at it, because it is old
            "log.retention.check.interval.ms": str(24 * 3_600_000),
            "offsets.retention.check.interval.ms": str(24 * 3_600_000),
            # nobody follows this controller who would have to be told twice a second that there is nothing new
            "metadata.max.idle.interval.ms": "0",
        } | self._settings


def _libraries() -> Path:
    return cache() / "kafka" / f"libs-{VERSION}"


def _formatted() -> Path:
    return cache() / "kafka" / f"formatted-{VERSION}"


@cache_result
def _classes() -> Path:
    said = subprocess.run([java(), "-version"], capture_output=True, check=True).stderr
    return cache() / "kafka" / f"classes-{VERSION}-{hashlib.sha256(said).hexdigest()[:12]}.jsa"


def _archive_classes(part: Path) -> None:
    with TemporaryDirectory(prefix="brokercli-tests-") as folder:
        Kafka(Path(folder)).archive_classes(part)
    # Java that cannot do this still runs Kafka, only slower
    part.touch()


def _fetch(part: Path) -> None:
    dependencies = "".join(f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
                           for group, name, version in _ARTIFACTS)
    part.parent.mkdir(parents=True, exist_ok=True)
    project = part.parent / "pom.xml"
    project.write_text('<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId>'
                       f"<artifactId>kafka-for-tests</artifactId><version>1</version><dependencies>{dependencies}</dependencies></project>\n")
    run([need("mvn", "maven", "fetching Apache Kafka"), "-q", "-B", "-f", str(project), "dependency:copy-dependencies", f"-DoutputDirectory={part}"],
        part.parent / "maven.log")
