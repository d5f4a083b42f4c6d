"""Fixtures for every test: brokers and their addresses, names nobody else uses, the command line, a terminal."""

from __future__ import annotations

import gc
import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from brokercli.backends.registry import descriptors
from brokercli.model.capability import Capability, Support
from tests.brokers.kafka import Kafka
from tests.brokers.memory import Memory
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import HOST, Server
from tests.brokers.watchdog import watched
from tests.commandline import CommandLine, Terminal
from tests.native.harness import Broker, Resource
from tests.native.kafka import KafkaBroker
from tests.native.memory import MemoryBroker
from tests.native.nats import NatsBroker
from tests.native.rabbitmq import RabbitBroker

BROKERS = ("kafka", "nats", "rabbitmq", "memory")
_OF_ADDRESS = re.compile(rf"(?:private_)?({'|'.join(BROKERS)})(?:_address|_management)?")

_AT_ONCE = 3
"""So many of the workers begin with tests that are kept together: half of them."""
SomeServer = TypeVar("SomeServer", bound=Server)
StartServer = Callable[..., SomeServer]


# six tests run at a time on two cores: an example that took long, or was long in the making, says nothing
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broker", action="append", choices=BROKERS, default=[], help="leave out tests that need another broker; may be repeated")
    parser.addoption("--regenerate", action="store_true", help="write the files that are made from the program (docs/commands.md, completions/…)")


def pytest_configure(config: pytest.Config) -> None:
    # as brokercli itself does
    gc.set_threshold(50_000)
    for broker in BROKERS:
        config.addinivalue_line("markers", f"{broker}: needs {broker}; put on by itself when a test asks for one of its fixtures")


    config.addinivalue_line("markers", "needs(*capabilities, without=(), where=None): run for the rows of the support tables that have these capabilities,"
                                       " have none of `without`, and for which where(broker, row) is true")


def pytest_collection_finish() -> None:
    # the tests themselves are no garbage, and there are more of them than of all else
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # xdist looks at the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with the brokers it needs and narrow; keep together what shares something costly, and spread it among the others."""
    wanted = set(config.getoption("--broker"))
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if match := _OF_ADDRESS.fullmatch(fixture):
                item.add_marker(match[1])
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
        needed = {broker for broker in BROKERS if item.get_closest_marker(broker)}
        (left_out if wanted and needed - wanted else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    # several workers take them as they become free; alone, one follows the files
    items[:] = _spread(kept) if hasattr(config, "workerinput") else kept


def _spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in the order in which workers take them. Many wait most of the time, for a broker that is killed or silent, and those of
    one file alike: where all workers have such ones at once the machine does nothing. So tests of all files are mixed, the same way on every
    worker. Among those that are kept together are the longest, which begun last would be waited for alone: some workers begin with these, and
    the others come among the first half of the rest."""
    alone: list[pytest.Item] = []
    together: dict[str, list[pytest.Item]] = {}
    for item in items:
        group = item.get_closest_marker("xdist_group")
        (alone if group is None else together.setdefault(group.args[0], [])).append(item)
    alone.sort(key=lambda item: crc32(item.nodeid.encode()))
    names = sorted(together, key=lambda name: not name.startswith("private_"))
    first, others = names[:_AT_ONCE], names[_AT_ONCE:]
    ordered = [item for name in first for item in together[name]]
    between = max(1, len(alone) // 2 // max(1, len(others)))
    for number, name in enumerate(others):
        ordered += [*alone[number * between:(number + 1) * between], *together[name]]
    return ordered + alone[len(others) * between:]


def _group(item: pytest.Item) -> str | None:
    """What a test shares with others, so that it is made on one worker only: a killable broker, or a fixture that a module or
    a folder makes once. What this file makes once for a session is either shared by all workers or cheap."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009  pytest has no public name for it
    shared = [name for name, (*_, fixture) in definitions.items()
              if name.startswith("private_") or (fixture.scope in ("module", "session") and fixture.baseid not in ("", "tests"))]
    return min(shared, default=None)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer[SomeServer]]:
    """Start a broker for this worker: `servers(Nats, settings=…)`. What is started is stopped at the end."""
    given = os.environ.get("BROKERCLI_TEST_RUN")
    base = Path(given) if given else tmp_path_factory.mktemp("brokers")
    with ExitStack() as started:
        if not given:
            started.enter_context(watched(base))

        def start(kind: type[SomeServer], *, wait: bool = True, **options: object) -> SomeServer:
            server = kind(base / f"{kind.name}-{uuid.uuid4().hex[:8]}", **options)  # type: ignore[arg-type]
            started.callback(server.kill)
            server.start(wait=wait)
            return server

        yield start


@pytest.fixture(scope="session")
def _kafka(servers: StartServer[Kafka]) -> Kafka:
    return servers(Kafka)


@pytest.fixture(scope="session")
def kafka_address(request: pytest.FixtureRequest) -> str:
    """`host:port` of the Kafka all tests share: never stop it, use unique names."""
    return os.environ.get("BROKERCLI_TEST_KAFKA") or str(request.getfixturevalue("_kafka").address)


@pytest.fixture(scope="session")
def kafka_login_address(request: pytest.FixtureRequest) -> str:
    """`host:port` where a Kafka wants the login of `tests.brokers.kafka`, by SASL PLAIN without TLS."""
    return os.environ.get("BROKERCLI_TEST_KAFKA_LOGIN") or str(request.getfixturevalue("_kafka").login_address)


@pytest.fixture(scope="session")
def nats_address(servers: StartServer[Nats]) -> str:
    """`nats://host:port` of the NATS all tests share."""
    return os.environ.get("BROKERCLI_TEST_NATS") or servers(Nats).address


@pytest.fixture(scope="session")
def _rabbitmq(servers: StartServer[RabbitMQ]) -> tuple[str, str]:
    if address := os.environ.get("BROKERCLI_TEST_RABBITMQ"):
        return address, os.environ.get("BROKERCLI_TEST_RABBITMQ_MANAGEMENT") or f"http://{urlsplit(address).hostname}:15672"
    server = servers(RabbitMQ)
    return server.address, server.management


@pytest.fixture(scope="session")
def rabbitmq_address(_rabbitmq: tuple[str, str]) -> str:
    """`amqp://user:password@host:port/` of the RabbitMQ all tests share."""
    return _rabbitmq[0]


@pytest.fixture(scope="session")
def rabbitmq_management(_rabbitmq: tuple[str, str]) -> str:
    """`http://host:port` of its management API; same login."""
    return _rabbitmq[1]


@pytest.fixture(scope="session")
def memory_address(servers: StartServer[Memory]) -> str:
    """`memory://host:port` of this worker's memory broker."""
    return servers(Memory).address


@pytest.fixture(scope="session")
def _private(servers: StartServer[Server]) -> Callable[[type[Server]], Server]:
    started: dict[type[Server], Server] = {}

    def private(kind: type[Server]) -> Server:
        server = started.get(kind)
        if server is None:
            server = started[kind] = servers(kind)
        server.resume()
        if not server.running:
            server.start()
        return server

    return private


@pytest.fixture
def private_kafka(_private: Callable[[type[Kafka]], Kafka]) -> Kafka:
    """A Kafka to kill, freeze and restart: runs when the test starts, whatever the test before did to it."""
    return _private(Kafka)


@pytest.fixture
def private_nats(_private: Callable[[type[Nats]], Nats]) -> Nats:
    """A NATS to kill, freeze and restart."""
    return _private(Nats)


@pytest.fixture
def private_rabbitmq(_private: Callable[[type[RabbitMQ]], RabbitMQ]) -> RabbitMQ:
    """A RabbitMQ to kill, freeze and restart."""
    return _private(RabbitMQ)


@pytest.fixture
def private_memory(_private: Callable[[type[Memory]], Memory]) -> Memory:
    """A memory broker to kill, freeze and restart; it forgets everything when it is killed."""
    return _private(Memory)


@pytest.fixture(scope="session")
def _harnesses(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Broker]]:
    made: dict[str, Broker] = {}

    def harness(name: str) -> Broker:
        if name not in made:
            made[name] = _harness(name, request.getfixturevalue)
        return made[name]

    yield harness
    for broker in made.values():
        broker.close()


def _harness(name: str, fixture: Callable[[str], Any]) -> Broker:
    address = fixture(f"{name}_address")
    if name == "rabbitmq":
        return RabbitBroker(address, fixture("rabbitmq_management"))
    parts = urlsplit(address if "://" in address else f"//{address}")
    kinds: dict[str, type[KafkaBroker | NatsBroker | MemoryBroker]] = {"kafka": KafkaBroker, "nats": NatsBroker, "memory": MemoryBroker}
    return kinds[name](parts.hostname or "127.0.0.1", parts.port or 0)


@pytest.fixture
def broker(request: pytest.FixtureRequest, _harnesses: Callable[[str], Broker]) -> Iterator[Broker]:
    """Each broker in turn, beside and behind brokercli: `broker.make(row)`, `broker.open()`, `broker.url`."""
    harness = _harnesses(request.param)
    yield harness
    harness.clean()


@pytest.fixture
def row() -> str:
    """The row of the support table under test, where a test asks for `resource`."""
    raise AssertionError("pytest_generate_tests gives the rows")


@pytest.fixture
def resource(broker: Broker, row: str) -> Resource:
    """An empty topic, stream, queue or subject, of each row of each broker's table in turn; see `needs`."""
    return broker.make(row)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each broker, or for each row of each broker's table that `needs` picks."""
    given = {name for mark in metafunc.definition.iter_markers("parametrize")
             for name in ([mark.args[0]] if isinstance(mark.args[0], str) else mark.args[0])}
    if "broker" not in metafunc.fixturenames or "broker" in given:
        return
    tables = _tables()
    if "row" not in metafunc.fixturenames:
        metafunc.parametrize("broker", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in tables], indirect=True)
        return
    marks = list(metafunc.definition.iter_markers("needs"))
    picked = [pytest.param(name, row, marks=getattr(pytest.mark, name), id=f"{name}-{row.replace(' ', '-')}")
              for name, table in tables.items() for row, answers in table.items() if all(_picks(mark, name, row, answers) for mark in marks)]
    assert picked, f"no row of any broker has what {metafunc.function.__name__} needs"
    metafunc.parametrize(("broker", "row"), picked, indirect=["broker"])


@cache
def _tables() -> dict[str, dict[str, dict[Capability, Support]]]:
    """The support tables by broker: every worker asks for them for hundreds of tests."""
    return {descriptor.name: descriptor.support for descriptor in descriptors() if descriptor.name in BROKERS}


def _picks(mark: pytest.Mark, broker: str, row: str, answers: dict[Capability, Support]) -> bool:
    where: Callable[[str, str], bool] | None = mark.kwargs.get("where")
    without: tuple[Capability, ...] = mark.kwargs.get("without", ())
    fits = all(answers[capability] for capability in mark.args) and not any(answers[capability] for capability in without)
    return fits and (where is None or where(broker, row))


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Make a name that no other test uses: `unique("orders")`."""


    def name(prefix: str) -> str:
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    return name


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that answers no connection any more: those that wait for one are as many as may."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((HOST, 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    """Run brokercli as its users do: `cli("publish", "orders", "hello", server=…)`."""
    with CommandLine(tmp_path) as command_line:
        yield command_line


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Run brokercli on a terminal of its own: `terminal("tail", "orders").wait_for(b"hello")`."""
    with ExitStack() as opened:

        def run(*arguments: str, **options: Any) -> Terminal:
            return opened.enter_context(Terminal(tmp_path, arguments, **options))

        yield run
