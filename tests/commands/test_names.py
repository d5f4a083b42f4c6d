"""What is no name is refused as that, whoever is asked about it and whatever the broker's client would do with it."""

from __future__ import annotations

import pytest

from tests.commandline import CommandLine

NO_TEXT = "shop\udcff"  # how the byte 0xff of a command line is read
COMMANDS = [["tail", "NAME"], ["publish", "NAME", "body"], ["describe", "NAME"], ["ls", "NAME"], ["dlq", "redrive", "NAME", "--yes"],
            ["consumers", "ls", "NAME"], ["consumers", "rm", "NAME", "--yes"], ["declare", "topic", "NAME"], ["declare", "binding", "NAME", "queue:q"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_bytes_that_are_not_utf_8_are_no_name(cli: CommandLine, command: list[str]) -> None:
    """Before anything connects: Kafka's client crashes over one."""
    cli.extra["BROKERCLI_URL"] = "kafka://127.0.0.1:1" if "topic" in command else "amqp://127.0.0.1:1"
    ended = cli(*(word.replace("NAME", NO_TEXT) for word in command))
    assert (ended.code, ended.stdout) == (2, b""), ended.stderr
    assert "A name holds bytes that are not UTF-8." in ended.stderr
