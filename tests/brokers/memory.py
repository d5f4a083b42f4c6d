"""The broker of the plugin in tests/plugin: starts at once, forgets everything when it ends."""

from __future__ import annotations

from tests.brokers.server import HOST, Server, conversation, python


class Memory(Server):
    """One server."""

    name = "memory"
    roles = ("client",)

    @property
    def address(self) -> str:
        return f"memory://{HOST}:{self.port}"

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def command(self) -> list[str]:
        return [python(), "-m", "brokercli_memory", str(self.port)]

    def answers(self) -> bool:
        return conversation(self.port, b"memory 1\n", 9) == b"memory 1\n"
