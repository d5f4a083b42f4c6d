"""What is declared or moved while the connection breaks: done or not done or not known, and never said otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.declaration import Action, Declaration
from brokercli.model.errors import Unreachable
from brokercli.model.position import NANOSECONDS, End
from tests.backends.nats_letters import wait_for
from tests.backends.nats_streams import Streams
from tests.faults.proxy import Proxy


@pytest.fixture
def proxy(streams: Streams) -> Iterator[Proxy]:
    """The way there, to be disturbed."""
    with Proxy((streams.host, streams.port)) as made:
        yield made


@pytest.fixture
def backend(streams: Streams, proxy: Proxy) -> NatsBackend:
    return streams.backend(hosts=(proxy.address,))


def test_a_stream_whose_making_nobody_confirmed_is_said_to_be_in_doubt(streams: Streams, proxy: Proxy, backend: NatsBackend) -> None:
    wanted = Declaration("stream", streams.name(), {"subjects": [streams.subject()]})
    declarer = backend.declarer()
    change, = declarer.plan([wanted])
    # the answer to "has it come meanwhile?" is shorter than that, the one to what makes it begins with its whole configuration
    proxy.cut_after(500, "to client")
    with pytest.raises(Unreachable, match="dropped the connection"):
        declarer.apply(change)
    assert streams.exists(wanted.name)
    (again,) = backend.declarer().plan([wanted])
    assert again.action is Action.UNCHANGED


def test_a_pause_that_nobody_confirmed_is_said_to_be_in_doubt(streams: Streams, proxy: Proxy, backend: NatsBackend) -> None:
    name = streams.make()
    streams.worker(name)
    consumers = backend.consumers()
    proxy.cut_after(20, "to client")
    with pytest.raises(Unreachable, match=r"Whether it was done .* is not known"):
        consumers.pause(f"{name}/worker", time.time_ns() + 3600 * NANOSECONDS)
    wait_for(lambda: bool(streams.api(f"CONSUMER.INFO.{name}.worker").get("paused")))


def test_a_connection_that_broke_before_a_seek_is_made_anew_and_the_seek_is_done(streams: Streams, proxy: Proxy, backend: NatsBackend) -> None:
    name = streams.make()
    streams.worker(name)
    streams.fill(f"{name.lower()}.a", [b"1", b"2"])
    consumers = backend.consumers()
    planned = consumers.plan_seek(f"{name}/worker", End())
    proxy.reset()
    consumers.seek(planned)
    assert consumers.lag(f"{name}/worker")[0].lag == 0
