"""What is deleted on RabbitMQ goes only as planned: with what was said to go with it, and nothing that came since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from brokercli.model.connection import Connection
from brokercli.model.declaration import Action, Declaration, binding
from brokercli.model.errors import Failed, NotAuthorised, UsageProblem
from tests.backends.rabbitmq_declared import Declared, actions, only
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import fail, numbered
from tests.brokers.server import wait_until
from tests.native.amqp import Wire


@pytest.fixture(params=["management", "AMQP alone"])
def connection(request: pytest.FixtureRequest, places: Places) -> Connection:
    return places.connection if request.param == "management" else places.without_management


@pytest.fixture
def worker(places: Places) -> Iterator[Wire]:
    """Another connection."""
    broker = places.broker
    wire = Wire(broker.host, broker.port, broker.user, broker.password, broker.virtual_host)
    yield wire
    wire.close()


def there(declared: Declared) -> set[str]:
    return {one.name for one in declared.declarer().declared() if declared.prefix in one.name}


def test_bindings_go_before_queues_and_queues_before_exchanges(declared: Declared, connection: Connection) -> None:
    exchange, name = declared.name("x"), declared.name("q")
    wanted = [Declaration("exchange", exchange, {"type": "topic", "alternate-exchange": "amq.fanout"}), Declaration("queue", name, {"max-length": 5}),
              binding(exchange, f"queue:{name}", "#")]
    declared.apply(*wanted)
    declarer = declared.declarer(connection)
    changes = declarer.plan_removal(wanted)
    assert actions(changes) == [(f"binding {exchange}/# -> queue:{name}", Action.DELETE), (f"queue {name}", Action.DELETE),
                                (f"exchange {exchange}", Action.DELETE)]
    assert there(declared) == {exchange, name, f"{exchange}/# -> queue:{name}"}
    for change in changes:
        declarer.apply(change)
    assert there(declared) == set()


def test_the_policy_of_ours_goes_with_what_it_was_for(declared: Declared) -> None:
    name, kept = declared.name("q"), declared.policy(declared.name("theirs"), f"^{declared.prefix}", **{"message-ttl": 100_000})
    wanted = Declaration("queue", name, {"max-length": 5})
    declared.apply(wanted)
    declarer = declared.declarer()
    declarer.apply(only(declarer.plan_removal([wanted])))
    assert set(declared.policies()) == {kept}


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_goes_with_a_queue_is_said_before(declared: Declared, places: Places, worker: Wire, kind: str) -> None:
    dead, exchange = places.queue(kind, name=declared.name("dead")), places.exchange()
    work = places.queue("classic", name=declared.name("work"), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dead.encode()))
    places.bind(dead, exchange)
    places.put("", dead, [b"1", b"2"])
    worker.consume(work, "w")
    declarer = declared.declarer()
    changes = declarer.plan_removal([Declaration("queue", dead), Declaration("queue", work)])
    assert changes[0].remarks == ("2 messages are lost with it", "1 binding goes with it")
    assert changes[1].remarks == ("1 consumer is cut off",)
    alone = only(declarer.plan_removal([Declaration("queue", dead)]))
    assert alone.remarks == ("2 messages are lost with it", f"dead letters of {work} come here, and would be lost", "1 binding goes with it")
    for change in changes:
        declarer.apply(change)
    assert there(declared) == set()


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_that_got_messages_or_consumers_since_is_not_deleted(declared: Declared, places: Places, worker: Wire, connection: Connection,
                                                                     kind: str) -> None:
    name = places.queue(kind, name=declared.name("q"))
    declarer = declared.declarer(connection)
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    places.put("", name, [b"1"])
    with pytest.raises(Failed, match="has got 1 message since"):
        declarer.apply(change)
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    worker.consume(name, "w")
    with pytest.raises(Failed, match="has got 1 consumer since"):
        declarer.apply(change)
    assert name in there(declared)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_consumers_have_in_hand_is_said_to_go_with_a_queue(declared: Declared, places: Places, worker: Wire, kind: str) -> None:
    name = places.queue(kind, name=declared.name("q"))
    places.put("", name, [b"1", b"2", b"3"])
    worker.consume(name, "w", 2)
    declarer = declared.declarer()

    def said() -> tuple[str, ...]:
        return only(declarer.plan_removal([Declaration("queue", name)])).remarks

    # what is in hand of a quorum queue the broker counts once a second
    wait_until(lambda: len(said()) > 2, 15, "the count of what is in hand")
    assert said() == ("1 message is lost with it", "2 messages in the hands of consumers go with it: what they do not finish is lost",
                      "1 consumer is cut off")
    unseen = only(declared.declarer(places.without_management).plan_removal([Declaration("queue", name)]))
    waits = "what waits in it for another try or for its dead-letter exchange goes with it, and only the management API says how much"
    assert unseen.remarks == ("1 message is lost with it", *([waits] if kind == "quorum" else []),
                              "1 consumer is cut off; what they have in hand goes with it, and only the management API says how much")


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_whose_consumers_got_messages_since_is_not_deleted(declared: Declared, places: Places, worker: Wire, kind: str) -> None:
    name = places.queue(kind, name=declared.name("q"))
    worker.consume(name, "w", 10)
    declarer = declared.declarer()
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    assert change.remarks == ("1 consumer is cut off",)
    places.put("", name, [b"1"])
    if kind == "quorum":
        wait_until(lambda: (places.api(f"queues/%2F/{name}?disable_stats=true&enable_queue_totals=true") or {}).get("messages_unacknowledged"), 15,
                   "the count of what is in hand")
    with pytest.raises(Failed, match="have got 1 message in hand since"):
        declarer.apply(change)
    assert name in there(declared)


def test_dead_letters_that_nobody_took_yet_are_said_to_go_with_their_queue_and_keep_it_where_they_came_since(declared: Declared, places: Places) -> None:
    name = places.queue("quorum", name=declared.name("q"), x_dead_letter_exchange=("S", b"is-not-there"), x_dead_letter_strategy=("S", b"at-least-once"),
                        x_overflow=("S", b"reject-publish"))
    declarer = declared.declarer()
    before = only(declarer.plan_removal([Declaration("queue", name)]))
    assert before.remarks == ()
    fail(places, name, numbered(3))
    wait_until(lambda: (places.api(f"queues/%2F/{name}?disable_stats=true&enable_queue_totals=true") or {}).get("messages") == 3, 15, "the count of all")
    assert places.counts(name) == (0, 0)
    with pytest.raises(Failed, match="3 messages wait since it was looked at"):
        declarer.apply(before)
    assert name in there(declared)
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    assert change.remarks == ("3 messages wait in it, for another try or for their dead-letter exchange, and are lost with it",)
    unseen = only(declared.declarer(places.without_management).plan_removal([Declaration("queue", name)]))
    assert unseen.remarks == ("what waits in it for another try or for its dead-letter exchange goes with it, and only the management API says how much",)
    declarer.apply(change)
    assert there(declared) == set()


def test_an_exchange_that_something_was_bound_to_since_is_not_deleted(declared: Declared, places: Places) -> None:
    exchange, name = places.exchange(name=declared.name("x")), places.queue(name=declared.name("q"))
    declarer = declared.declarer()
    change = only(declarer.plan_removal([Declaration("exchange", exchange)]))
    assert change.remarks == ()
    places.bind(name, exchange)
    with pytest.raises(Failed, match=r"bound to .* since it was looked at"):
        declarer.apply(change)
    assert f"{exchange}/# -> queue:{name}" in there(declared)


def test_an_exchange_whose_bindings_go_before_it_is_not_deleted_where_another_came_since(declared: Declared, places: Places) -> None:
    exchange, going, staying = places.exchange(name=declared.name("x")), places.queue(name=declared.name("q1")), places.queue(name=declared.name("q2"))
    places.bind(going, exchange)
    places.bind(staying, exchange)
    declarer = declared.declarer()
    unwanted = [binding(exchange, f"queue:{staying}", "#"), Declaration("queue", going), Declaration("exchange", exchange)]
    *before, last = declarer.plan_removal(unwanted)
    for change in before:
        declarer.apply(change)
    places.bind(staying, exchange)
    with pytest.raises(Failed, match=r"bound to .* since it was looked at"):
        declarer.apply(last)
    for change in declarer.plan_removal(unwanted[:1] + unwanted[2:]):
        declarer.apply(change)
    assert f"{exchange}/# -> queue:{staying}" not in there(declared)


def test_what_is_not_there_is_not_deleted(declared: Declared) -> None:
    exchange = declared.places.exchange()
    wanted = [Declaration("queue", declared.name("q")), Declaration("stream", declared.name("s")), Declaration("exchange", declared.name("x")),
              binding(exchange, f"queue:{declared.name('q')}", "#")]
    assert declared.declarer().plan_removal(wanted) == []


def test_a_queue_of_another_connection_is_not_deleted(declared: Declared, places: Places) -> None:
    import pika

    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as other:
        other.channel().queue_declare(declared.name("own"), exclusive=True)
        with pytest.raises(UsageProblem, match="exclusive queue of another connection"):
            declared.declarer().plan_removal([Declaration("queue", declared.name("own"))])


def test_a_login_that_may_not_delete_it_is_told_so(declared: Declared, places: Places) -> None:
    name = places.queue(name=declared.name("q"))
    declarer = declared.declarer(declared.restricted("management", configure="^$"))
    change = only(declarer.plan_removal([Declaration("queue", name)]))
    with pytest.raises(NotAuthorised, match="No permission for deleting the queue"):
        declarer.apply(change)
    assert name in there(declared)


def test_dead_letters_that_would_have_nowhere_to_go_are_said_before(declared: Declared, places: Places) -> None:
    exchange = places.exchange("fanout", declared.name("dlx"))
    dead = places.queue("classic", name=declared.name("dead"))
    places.bind(dead, exchange, "")
    work = places.queue("classic", name=declared.name("work"), x_dead_letter_exchange=("S", exchange.encode()))
    change = only(declared.declarer().plan_removal([Declaration("exchange", exchange)]))
    assert change.remarks == (f"dead letters of {work} go through it, and would be lost", "1 binding goes with it")
    both = declared.declarer().plan_removal([Declaration("exchange", exchange), Declaration("queue", work)])
    assert both[1].remarks == ("1 binding goes with it",)


@pytest.mark.parametrize("arguments", [{"t": ("T", 1_767_225_600)}, {"f": ("d", b"?\xf8\0\0\0\0\0\0")}, {"n": ("V", None)}, {"b": ("x", b"\xff")},
                                       {"s": ("s", 5), "x-match": ("S", b"any")}],
                         ids=["timestamp", "fraction", "null", "bytes", "short"])
def test_a_binding_goes_whatever_its_arguments_are_made_of(declared: Declared, places: Places, arguments: dict[str, Any]) -> None:
    exchange, name = places.exchange("headers", declared.name("x")), places.queue(name=declared.name("q"))
    places.bind(name, exchange, "", list(arguments.items()))
    places.bind(name, exchange, "")
    declarer = declared.declarer()
    found = [one for one in declarer.declared(["binding"]) if one.settings["source"] == exchange and one.settings.get("arguments")]
    declarer.apply(only(declarer.plan_removal(found)))
    assert [one for one in there(declared) if "->" in one] == [f"{exchange}/ -> queue:{name}"]
    declarer.apply(only(declarer.plan_removal([binding(exchange, f"queue:{name}")])))
    assert not [one for one in there(declared) if "->" in one]
