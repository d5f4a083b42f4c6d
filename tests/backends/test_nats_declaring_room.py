"""What an account lets its streams have is known before one is made: half a topology is made where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.backends.nats.account import Room
from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.connection import Connection, Secret
from brokercli.model.declaration import Action, Declaration
from brokercli.model.errors import Failed
from brokercli.model.message import Message
from tests.backends.nats_declarations import a_consumer, a_stream, apply_all, config, only, told
from tests.backends.nats_streams import Streams, publish, stream
from tests.brokers.nats import Nats
from tests.brokers.server import HOST

_ACCOUNTS = ("{FEW: {jetstream: {max_streams: 2, max_consumers: 5, max_file: 10000, max_mem: 5000}, users: [{user: few, password: pw}]}, "
             "SIZED: {jetstream: {max_bytes_required: true, max_ack_pending: 100, max_file: 100000, store_max_stream_bytes: 2000}, "
             "users: [{user: sized, password: pw}]}}")


@pytest.fixture(scope="module")
def accounts(servers: Callable[..., Nats]) -> Nats:
    return servers(Nats, settings={"accounts": _ACCOUNTS})


@pytest.fixture
def as_user(accounts: Nats) -> Iterator[Callable[[str], tuple[Streams, Declarer]]]:
    opened: list[Any] = []

    def login(user: str) -> tuple[Streams, Declarer]:
        backend = NatsBackend(Connection("nats", ((HOST, accounts.port),), user=user, password=Secret("pw"), connect_timeout=20.0))
        streams = Streams(accounts.address, {"user": user, "pass": "pw"})
        opened.extend([backend, streams])
        return streams, backend.declarer()

    yield login
    for one in reversed(opened):
        one.close()


def test_more_streams_than_an_account_allows_are_refused_before_the_first_is_made(as_user: Callable[[str], tuple[Streams, Declarer]]) -> None:
    streams, declarer = as_user("few")
    three = [a_stream(streams) for _ in range(3)]
    planned = declarer.plan(three)
    assert [change.action for change in planned] == [Action.CREATE, Action.CREATE, Action.CANNOT]
    assert told(planned[2]) == "the account allows 2 streams"
    apply_all(declarer, *three[:2])
    assert {change.action for change in declarer.plan(three[:2])} == {Action.UNCHANGED}
    with pytest.raises(AssertionError, match="10027"):  # as the server says it
        streams.make()


@pytest.mark.parametrize(("settings", "why"), [
    ([{"max_bytes": 11_000}], "the account has 10,000 bytes left in files, of 10,000"),
    ([{"max_bytes": 6000}, {"max_bytes": 6000}], "the account has 4,000 bytes left in files, of 10,000"),
    ([{"max_bytes": 10_000}, {}], "the account has 0 bytes left in files, of 10,000"),
    ([{"max_bytes": 6000, "storage": "memory"}], "the account has 5,000 bytes left in memory, of 5,000")])
def test_what_is_set_aside_for_streams_has_to_be_there(
        as_user: Callable[[str], tuple[Streams, Declarer]], settings: list[dict[str, Any]], why: str) -> None:
    streams, declarer = as_user("few")
    wanted = [a_stream(streams, **each) for each in settings]
    assert why in told(declarer.plan(wanted)[-1])
    apply_all(declarer, *wanted[:-1])
    assert why in told(declarer.plan(wanted)[-1])
    config = {"name": wanted[-1].name, **wanted[-1].settings}
    with pytest.raises(AssertionError, match="insufficient"):
        streams.api(f"STREAM.CREATE.{wanted[-1].name}", **config)


@pytest.mark.parametrize(("user", "there", "settings", "why"), [
    ("few", {}, {"max_bytes": 11_000}, "the account has 10,000 bytes left in files, of 10,000"),
    ("few", {"max_bytes": 4000}, {"max_bytes": 11_000}, "10,000 bytes left in files, with what this stream has, of 10,000: max_bytes is set aside when a"),
    ("few", {}, {"max_consumers": 8}, "the account allows 5 consumers of a stream"),
    ("sized", {"max_bytes": 2000}, {"max_bytes": -1}, "the account takes no stream without a max_bytes"),
    ("sized", {"max_bytes": 1000}, {"max_bytes": 3000}, "the account takes no stream of more than 2,000 bytes in files")])
def test_a_stream_grows_no_further_than_its_account_allows(
        as_user: Callable[[str], tuple[Streams, Declarer]], user: str, there: dict[str, Any], settings: dict[str, Any], why: str) -> None:
    streams, declarer = as_user(user)
    name = streams.make(**there)
    wanted = Declaration("stream", name, settings)
    change = only(declarer.plan([wanted]))
    assert change.action is Action.CANNOT
    assert why in told(change)
    assert [difference.setting for difference in change.differences] == list(settings)
    with pytest.raises(AssertionError):  # as the server says it
        streams.api(f"STREAM.UPDATE.{name}", **config(streams, name) | settings)
    assert only(declarer.plan([Declaration("stream", name, {"description": "as large as it was"})])).action is Action.CHANGE


@pytest.mark.parametrize("there", [False, True], ids=["made", "changed"])
def test_a_consumer_has_no_more_without_an_acknowledgement_than_its_account_allows(
        as_user: Callable[[str], tuple[Streams, Declarer]], there: bool) -> None:
    streams, declarer = as_user("sized")
    name = streams.make(max_bytes=1000)
    if there:
        apply_all(declarer, a_consumer(name, max_ack_pending=100))
    change = only(declarer.plan([a_consumer(name, max_ack_pending=101)]))
    assert (change.action, told(change)) == (Action.CANNOT, "the account allows 100")
    with pytest.raises(AssertionError, match="max ack pending exceeds"):  # as the server says it
        streams.api(f"CONSUMER.CREATE.{name}.worker", stream_name=name,
                    config={"name": "worker", "durable_name": "worker", "ack_policy": "explicit", "max_ack_pending": 101})
    # without one it has what is allowed
    assert only(apply_all(declarer, a_consumer(name, "usual"))).action is Action.CREATE


def test_what_one_stream_gives_up_another_may_have(as_user: Callable[[str], tuple[Streams, Declarer]]) -> None:
    streams, declarer = as_user("few")
    large, small = streams.make(max_bytes=8000), streams.make(max_bytes=1000)
    grown = Declaration("stream", small, {"max_bytes": 5000})
    assert "the account has 2,000 bytes left in files, with what this stream has" in told(only(declarer.plan([grown])))
    assert {change.action for change in apply_all(declarer, Declaration("stream", large, {"max_bytes": 5000}), grown)} == {Action.CHANGE}


def test_an_account_may_want_every_stream_to_say_how_large_it_gets(as_user: Callable[[str], tuple[Streams, Declarer]]) -> None:
    streams, declarer = as_user("sized")
    for settings, why in (({}, "the account takes no stream without a max_bytes"), ({"max_bytes": 3000}, "no stream of more than 2,000 bytes in files")):
        assert why in told(only(declarer.plan([a_stream(streams, **settings)])))
    assert only(apply_all(declarer, a_stream(streams, max_bytes=2000))).action is Action.CREATE


def test_where_an_account_wants_that_what_records_deaths_is_declared_with_its_size(accounts: Nats, as_user: Callable[[str], tuple[Streams, Declarer]]) -> None:
    streams, declarer = as_user("sized")
    name = streams.make(max_bytes=2000)
    with NatsBackend(Connection("nats", ((HOST, accounts.port),), user="sized", password=Secret("pw"))) as backend:
        with pytest.raises(Failed, match="takes no stream without a max_bytes") as refused:
            backend.capture(backend.plan_capture(stream(name), None))
        hint = str(refused.value.hint)
        assert hint.startswith(f"brokercli declare stream {name}_DLQ --subjects '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.>,")
        streams.deleted_at_the_end(f"{name}_DLQ")
        apply_all(declarer, Declaration("stream", f"{name}_DLQ", {"subjects": list(hint.split("'")[1].split(",")), "max_bytes": 1000}))
        assert not backend.plan_capture(stream(name), None).changes


def test_where_an_account_goes_by_replicas_each_number_of_them_has_limits_of_its_own() -> None:
    limits = {"max_streams": 1, "max_storage": -1, "max_memory": -1, "max_consumers": 7}
    room = Room({"streams": 4, "limits": {}, "tiers": {"R1": {"streams": 1, "limits": limits}, "R3": {"streams": 0, "limits": limits}}})
    assert [one.obstacle for one in room.take(Declaration("stream", "A"), {})] == ["the account allows 1 stream of tier R1"]
    assert list(room.take(Declaration("stream", "B", {"num_replicas": 3}), {})) == []
    assert [one.obstacle for one in room.take(Declaration("stream", "C", {"num_replicas": 3}), {})] == ["the account allows 1 stream of tier R3"]
    assert room.consumers({"num_replicas": 3}) == 7


def test_a_message_that_the_account_has_no_room_for_is_refused_in_words(as_user: Callable[[str], tuple[Streams, Declarer]]) -> None:
    streams, _ = as_user("few")
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"x" * 9000])
    with NatsBackend(Connection("nats", ((HOST, streams.port),), user="few", password=Secret("pw"))) as backend:
        receipts = publish(streams.publisher(stream(name), backend), [Message(b"x" * 5000, route=f"{name.lower()}.a")])
    assert "the account has used up what it may store (resource limits exceeded for account, NATS error 10002)" in (receipts.problems[0].reason or "")
