"""A cluster whose stream loses its leader while we publish through another server: nothing is refused because nobody leads for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from brokercli.model.message import Message
from tests.backends.nats_cluster import SECONDS, start_cluster
from tests.backends.nats_streams import Streams, stored_bodies, subject
from tests.backends.test_nats_faults import check, publish_while
from tests.brokers.nats import Nats
from tests.brokers.server import wait_until


@pytest.fixture(scope="module")
def members(servers: Callable[..., Nats]) -> list[Nats]:
    return start_cluster(servers)


@pytest.fixture
def leader(members: list[Nats]) -> Iterator[tuple[Streams, str, Nats]]:
    """Streams of a server that does not lead, a stream of three replicas, and the server that leads it."""
    def makes(member: Nats) -> str:
        streams = Streams(member.address)
        try:
            return streams.make(num_replicas=3)
        except (AssertionError, OSError):
            return ""
        finally:
            streams.wire.close()

    made: list[str] = []
    wait_until(lambda: made.append(makes(members[0])) or made[-1], SECONDS, "a stream of three replicas")
    looking = Streams(members[0].address)
    leading = members[int(looking.api(f"STREAM.INFO.{made[-1]}")["cluster"]["leader"][1:])]
    looking.wire.close()
    streams = Streams(next(member for member in members if member is not leading).address)
    try:
        yield streams, made[-1], leading
    finally:
        streams.close()


def _is_led(streams: Streams, name: str) -> bool:
    """Whether a stream has a leader. Nobody answers for one that has none, and the question is not kept until there is one."""
    streams.reconnect()
    streams.wire._socket.settimeout(3.0)
    try:
        return bool(streams.api(f"STREAM.INFO.{name}")["cluster"].get("leader"))
    except (AssertionError, TimeoutError):
        return False


@pytest.mark.parametrize("with_ids", [False, True], ids=["killed, without ids", "frozen, with ids"])
def test_a_leader_that_goes_leaves_nothing_refused_and_what_has_an_id_is_stored_once(leader: tuple[Streams, str, Nats], with_ids: bool) -> None:
    streams, name, leading = leader
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    messages = [Message(b"%d" % number, id=f"m-{number}" if with_ids else None) for number in range(20_000)]

    def disturb() -> None:
        if with_ids:
            leading.pause()
            time.sleep(10)
            leading.resume()
        else:
            leading.kill()
            time.sleep(3)
            leading.start()

    receipts = publish_while(publisher, messages, disturb, 3000)
    wait_until(lambda: _is_led(streams, name), SECONDS, "a leader")
    check(receipts, len(messages), stored_bodies(streams, name))
    assert receipts.refused == 0, receipts.problems[:3]
    if with_ids:
        assert (receipts.confirmed, receipts.unknown) == (len(messages), 0), receipts.problems[:3]
