"""An outside package adds a broker by an entry point, and every command works on it without brokercli knowing its name."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.commandline import CommandLine
from tests.native.memory import MemoryBroker


def test_the_plugins_broker_is_listed_with_its_support_table(cli: CommandLine) -> None:
    ended = cli("brokers")
    assert (ended.code, ended.stderr) == (0, "")
    assert b"memory" in ended.stdout.lower()
    assert b"kafka" in ended.stdout.lower()


def test_its_reasons_for_every_no_are_printed(cli: CommandLine) -> None:
    ended = cli("brokers", "memory", "-o", "json")
    assert ended.code == 0
    assert "nothing dies in a memory broker" in json.dumps(json.loads(ended.stdout))


def test_messages_go_there_and_come_back_by_its_scheme(cli: CommandLine, memory_address: str, unique: Callable[[str], str]) -> None:
    host, _, port = memory_address.partition("://")[2].partition(":")
    broker = MemoryBroker(host, int(port))
    name = unique("orders")
    broker.ask("create", kind="topic", name=name)
    published = cli("publish", f"{memory_address}/topic:{name}", stdin=b"one\ntwo\n")
    assert published.code == 0, published.stderr
    replayed = cli("replay", f"{memory_address}/topic:{name}")
    assert (replayed.code, replayed.stdout) == (0, b"one\ntwo\n"), replayed.stderr
    broker.ask("delete", kind="topic", name=name)
    broker.close()


def test_a_scheme_that_no_package_brings_is_refused_with_those_that_are_there(cli: CommandLine) -> None:
    ended = cli("replay", "carrier-pigeon://loft/orders")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "memory://" in ended.stderr
    assert "kafka://" in ended.stderr
