"""A second node of a Kafka: what only it keeps has no leader once it is killed."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from tests.brokers.kafka import Kafka
from tests.brokers.server import HOST, conversation


class SecondKafka(Kafka):
    """A broker that joins the cluster of another node, which is its controller as well."""

    roles = ("client", "login")

    def __init__(self, directory: Path, *, first: Kafka) -> None:
        super().__init__(directory, ports={"controller": first.ports["controller"]})
        self.ports["controller"] = first.ports["controller"]
        self._settings = {"process.roles": "broker", "node.id": "2",
                          "controller.quorum.voters": f"1@{HOST}:{first.ports['controller']}",
                          "listeners": f"PLAINTEXT://{HOST}:{self.port},LOGIN://{HOST}:{self.ports['login']}"}

    def prepare(self) -> None:
        super().prepare()
        # every node begins with the same data, which say whose they are
        properties = self.directory / "data" / "meta.properties"
        own = re.sub(r"(?m)^node\.id=.*$", "node.id=2", properties.read_text())
        properties.write_text(re.sub(r"(?m)^directory\.id=.*$", "directory.id=AAAAAAAAQACAAAAAAAAAAg", own))

    def answers(self) -> bool:
        # as of one node, and it is let in once there are two
        body = struct.pack(">hhih", 3, 1, 7, 5) + b"tests" + struct.pack(">i", 0)
        answer = conversation(self.port, struct.pack(">i", len(body)) + body, 12)
        return len(answer) >= 12 and struct.unpack(">ii", answer[4:12]) == (7, 2)
