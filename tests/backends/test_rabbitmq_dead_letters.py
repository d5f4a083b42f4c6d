"""RabbitMQ's dead letters behind the contract: looked at without a trace or refused, put back and only then taken out."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pika
import pytest

from brokercli.backends.dead_letters import DeadLetterSource, RepairPolicy, State
from brokercli.backends.rabbitmq.management import Management
from brokercli.dialects import Facts, recognise
from brokercli.model.address import Address
from brokercli.model.errors import Failed, Unsupported
from tests.backends.rabbitmq_places import Places, bodies_of, records_of
from tests.backends.rabbitmq_redrive import count, fail, make, numbered, queue, redrive, wear_out, work_and_letters
from tests.brokers.server import wait_until

PATIENCE = 60.0


def sources(places: Places, *patterns: str) -> dict[str, DeadLetterSource]:
    """Find what there is, by name."""
    return {source.address.name: source for source in places.open().dead_letter_sources(patterns)}


def text(value: str) -> tuple[str, bytes]:
    return "S", value.encode()


def test_letters_are_found_by_the_arguments_of_the_queues_they_come_from(places: Places) -> None:
    work, dlq = work_and_letters(places, "quorum")
    places.put("", dlq, numbered(3))
    found = sources(places)[dlq]
    assert (found.address, found.resource, found.depth, found.pending, found.feeds) == (queue(dlq), "quorum queue", 3, 3, (f"queue:{work}",))
    assert found.found_by == f"x-dead-letter-routing-key of queue {work}"
    assert work not in sources(places)


def test_letters_are_found_through_exchanges_and_their_bindings(places: Places) -> None:
    dlq, other, stream = make(places, "classic"), make(places, "classic"), places.stream()
    outer, inner = places.exchange("direct"), places.exchange("fanout")
    places.bind(dlq, outer, "dead")
    places.bind(other, outer, "alive")
    places.bind(stream, inner, "")
    first = places.queue("classic", x_dead_letter_exchange=text(outer), x_dead_letter_routing_key=text("dead"))
    second = places.queue("classic", x_dead_letter_exchange=text(inner))
    found = sources(places)
    assert found[dlq].feeds == (f"queue:{first}",)
    assert found[dlq].found_by == f"x-dead-letter-exchange {outer} of queue {first}"
    assert found[stream].address == Address(stream, "stream")
    assert found[stream].feeds == (f"queue:{second}",)
    assert other not in found


def test_letters_that_wait_where_they_died_are_told_and_are_no_consumers_lag(places: Places) -> None:
    exchange, dlq = places.exchange("fanout"), make(places, "quorum")
    work = places.queue("quorum", x_dead_letter_exchange=text(exchange), x_dead_letter_strategy=text("at-least-once"), x_overflow=text("reject-publish"))
    fail(places, work, numbered(3))
    wait_until(lambda: places.api(f"queues/{places.virtual_host}/{work}").get("messages_dlx") == 3, PATIENCE, "3 letters that lead nowhere")
    with places.open() as backend:
        unseen: list[str] = []
        assert dlq not in {source.address.name for source in backend.dead_letter_sources((), unseen)}
        assert [said for said in unseen if work in said] == [f"3 dead letters wait in queue:{work}, because what it sends them to does not exist or leads"
                                                             f" nowhere; brokercli describe queue:{work} says what that is"]
        assert backend.describe(queue(work)).facts["dead letters go to"] == "nowhere: they stay in it until they lead somewhere"
        consumers = backend.consumers()
        assert [lag.lag for lag in consumers.lag(work)] == [one.lag for one in consumers.find([work])] == [0]
        # RabbitMQ tries again only minutes later
        places.bind(dlq, exchange, "")
        unseen.clear()
        (found,) = [source for source in backend.dead_letter_sources((), unseen) if source.address.name == dlq]
        assert (found.pending, list(found.remarks)) == (0, [f"3 dead letters wait in queue:{work} to come here"])
        assert not any(work in said for said in unseen)


def test_where_a_letter_lies_in_several_queues_that_is_said_and_where_it_may_it_is_not(places: Places) -> None:
    """Put back from each, a message would come home as often."""
    everywhere, by_key = places.exchange("fanout"), places.exchange("topic")
    copied, alone = (make(places, "classic"), make(places, "classic")), (make(places, "classic"), make(places, "classic"))
    for number, (one, other) in enumerate(zip(copied, alone, strict=True)):
        places.bind(one, everywhere, "")
        places.bind(one, by_key, "#.dead")
        places.bind(other, by_key, f"key.{number}")
    places.queue("classic", x_dead_letter_exchange=text(everywhere))
    places.queue("classic", x_dead_letter_exchange=text(by_key), x_dead_letter_routing_key=text("a.dead"))
    places.queue("classic", x_dead_letter_exchange=text(by_key))
    found = sources(places)
    for one, other in (copied, copied[::-1]):
        assert list(found[one].remarks) == [f"letters lie in queue:{other} as well: put back from both, they come home twice"]
    assert [found[name].remarks for name in alone] == [(), ()]


def test_letters_are_found_by_the_policies_that_hold_for_the_queues_they_come_from(places: Places) -> None:
    work, dlq, exchange = make(places, "quorum"), make(places, "classic"), places.exchange("topic")
    places.bind(dlq, exchange, "#.failed")
    policy = f"policies/%2F/letters-of-{work}"
    places.api(policy, "PUT", pattern=f"^{work}$", definition={"dead-letter-exchange": exchange, "dead-letter-routing-key": "orders.failed"})
    try:
        wait_until(lambda: dlq in sources(places), PATIENCE, "the policy seen")
        assert sources(places)[dlq].feeds == (f"queue:{work}",)
    finally:
        places.api(policy, "DELETE")


@pytest.mark.parametrize("lasting", [True, False], ids=["ttl of the queue", "ttl of each message"])
def test_a_queue_that_only_holds_messages_back_is_none_and_neither_is_the_work_it_returns_them_to(places: Places, lasting: bool) -> None:
    work, wait = f"{make(places, 'classic')}-work", make(places, "classic") + "-wait"
    places.queue("classic", name=work, x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(wait))
    expiring: dict[str, Any] = {"x_message_ttl": ("l", 60_000)} if lasting else {}
    places.queue("classic", name=wait, x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(work), **expiring)
    found = sources(places)
    assert work not in found
    assert wait not in found
    feeding = places.open().feeding()
    assert feeding is not None
    assert work not in feeding.wait_queues
    assert feeding.wait_queues.get(wait) == (work if lasting else None)


def test_where_nothing_tells_which_of_two_queues_is_worked_on_it_is_said_that_one_may_hold_letters(places: Places) -> None:
    one, other = sorted(make(places, "classic") + "-pair" for _ in range(2))
    for name, target in ((one, other), (other, one)):
        places.queue("classic", name=name, x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(target))
    with places.open() as backend:

        def said() -> list[str]:
            unseen: list[str] = []
            assert {one, other}.isdisjoint(source.address.name for source in backend.dead_letter_sources((), unseen))
            return [reason for reason in unseen if one in reason]

        assert said() == []
        fail(places, one, numbered(3))
        wait_until(lambda: bool(said()), PATIENCE, "the letters counted")
        assert f"queue:{one} and queue:{other} dead-letter into each other, neither has a TTL" in said()[0]
        # whoever works on one of them tells
        with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
            connection.channel().basic_consume(one, lambda *delivery: None)
            wait_until(lambda: not said(), PATIENCE, "the consumer seen")


def test_letters_go_home_also_while_nobody_works_there_and_somebody_watches_the_letters(places: Places) -> None:
    dlq, backend = make(places, "classic"), places.open()
    work = places.queue("classic", x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(dlq), x_message_ttl=("l", 600_000))
    places.put("", work, numbered(1))

    def waiting() -> Mapping[str, str | None]:
        feeding = backend.feeding()
        return {} if feeding is None else feeding.wait_queues

    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        for method, _, _ in channel.consume(work):
            channel.basic_reject(method.delivery_tag, requeue=False)
            break
        channel.cancel()
        wait_until(lambda: count(places, dlq) == 1, PATIENCE, "the letter")
        channel.basic_consume(dlq, lambda *delivery: None)
        wait_until(lambda: waiting().get(work) == dlq, PATIENCE, "what expires there taken for something that somebody works on next")
        facts = Facts(waiting(), frozenset({dlq}))
    wait_until(lambda: count(places, dlq) == 1, PATIENCE, "the letter back")
    (record,) = records_of(backend.look_letters(queue(dlq)))
    letter = recognise(record, facts=facts)
    assert (letter.reason, letter.home and letter.home.address) == ("rejected", queue(work))


def test_which_of_the_queues_that_letters_come_from_got_a_message_its_exchange_and_key_tell(places: Places) -> None:
    dlq, outer, inner = make(places, "classic"), places.exchange("topic"), places.exchange("fanout")
    billing, stock = (places.queue("classic", x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text(dlq)) for _ in range(2))
    other = make(places, "classic")
    for name, key in ((billing, "orders.*"), (other, "#"), (stock, "stock.#")):
        places.bind(name, outer, key)
    places.bind(stock, inner, "")
    places.wire.bind_exchange(inner, outer, "orders.both")
    feeding = places.open().feeding()
    assert feeding is not None
    assert [feeding.origins(dlq, outer, key) for key in ("orders.created", "stock.low", "orders.both", "else")] == [
        (billing,), (stock,), tuple(sorted((billing, stock))), ()]
    assert feeding.origins(f"{dlq}-gone", outer, "orders.created") is None


def test_error_queues_of_frameworks_are_found_by_their_names(places: Places) -> None:
    work = make(places, "classic")
    named = [places.queue("classic", name=f"{work}{ending}") for ending in ("_error", "_skipped", ".XQ", "-dlq", ".group.dlq")]
    found = sources(places)
    assert set(named) <= set(found)
    assert found[f"{work}_error"].feeds == (f"queue:{work}",)
    assert found[f"{work}_error"].found_by == "name matches *_error (MassTransit)"


def test_names_of_ones_own_are_found_by_patterns(places: Places) -> None:
    name = places.queue("classic", name=f"{make(places, 'classic')}-kaputt")
    assert name not in sources(places)
    assert sources(places, "*-kaputt")[name].found_by == "name matches *-kaputt"


def test_without_the_management_api_finding_says_what_it_takes(places: Places) -> None:
    with pytest.raises(Failed, match="takes the management API") as refusal:
        list(places.open(places.without_management).dead_letter_sources())
    assert "dlq inspect queue:NAME" in str(refusal.value.hint)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_look_says_what_it_costs(places: Places, kind: str) -> None:
    name = make(places, kind)
    places.put("", name, numbered(3))
    with places.open().look_letters(queue(name)) as reader:
        assert {reader.state(record) for record in records_of(reader)} == {State.PENDING}
    assert reader.side_effects.startswith("3 letters are marked as redelivered")
    assert ("x-acquired-count" in reader.side_effects) is (kind == "quorum")


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_that_come_during_a_look_are_not_seen_and_stay_behind_the_others(places: Places, kind: str) -> None:
    name = make(places, kind)
    places.put("", name, numbered(40))
    reader = places.open().look_letters(queue(name))
    assert reader.read(PATIENCE)
    places.put("", name, [b"late"])
    assert b"late" not in bodies_of(reader)
    reader.close()
    assert places.taken(name) == [*numbered(40), b"late"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_look_given_up_half_way_puts_everything_back_in_order(places: Places, kind: str) -> None:
    name = make(places, kind)
    places.put("", name, numbered(500))
    with places.open().look_letters(queue(name)) as reader:
        assert reader.expected == 500
        assert reader.read(PATIENCE)
    assert count(places, name) == 500
    assert places.taken(name) == numbered(500)


def test_a_look_at_many_letters_takes_them_in_parts_and_keeps_their_order(places: Places) -> None:
    name = make(places, "quorum")
    bodies = [b"%06d" % number for number in range(12_000)]
    places.put("", name, bodies)
    with places.open().look_letters(queue(name)) as reader:
        assert bodies_of(reader) == bodies
    with places.open().look_letters(queue(name)) as reader:
        assert bodies_of(reader) == bodies


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_look_whose_process_is_killed_costs_no_letter(places: Places, kind: str) -> None:
    name = make(places, kind)
    places.put("", name, numbered(30))
    program = ("import os, signal, sys; from tests.backends.rabbitmq_places import Places; from brokercli.model.address import Address\n"
               "reader = Places(*sys.argv[1:3]).open().look_letters(Address(sys.argv[3], 'queue')); reader.read(20); os.kill(os.getpid(), signal.SIGKILL)")
    killed = subprocess.run([sys.executable, "-c", program, places.broker.url, places.broker.management, name], capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    wait_until(lambda: count(places, name) == 30, PATIENCE, "all letters back in the queue")
    assert places.taken(name) == numbered(30)


def test_a_look_at_an_empty_queue_is_over_at_once(places: Places) -> None:
    with places.open().look_letters(queue(make(places, "quorum"))) as reader:
        assert reader.read(0) is None
        assert reader.finished
    assert reader.side_effects == "none"


def test_a_letter_that_died_by_a_delivery_limit_is_neither_looked_at_nor_taken_where_its_return_would_delete_it(places: Places) -> None:
    dlq = places.queue("quorum")
    work = places.queue("quorum", x_delivery_limit=("l", 21), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    wear_out(places, work, dlq, b"worn out")
    backend = places.open()
    with pytest.raises(Unsupported, match=f"{dlq} is a quorum queue with a delivery limit of 20") as looking:
        backend.look_letters(queue(dlq))
    with pytest.raises(Unsupported, match="delivery limit of 20"):
        backend.repair(queue(dlq), RepairPolicy())
    assert looking.value.hint is not None
    assert "rabbitmqctl set_policy" in looking.value.hint
    assert '{"delivery-limit":-1}' in looking.value.hint
    assert count(places, dlq) == 1
    lift = f"policies/%2F/lift-{dlq}"
    places.api(lift, "PUT", **{"pattern": f"^{dlq}$", "definition": {"delivery-limit": -1}, "apply-to": "quorum_queues"})
    try:
        for _ in range(3):
            with backend.look_letters(queue(dlq)) as reader:
                assert bodies_of(reader) == [b"worn out"]
        with backend.repair(queue(dlq), RepairPolicy()) as repair:
            assert redrive(repair).confirmed == 1
    finally:
        places.api(lift, "DELETE")
    assert places.taken(work) == [b"worn out"]
    assert count(places, dlq) == 0


def test_a_limit_that_is_an_argument_is_not_said_to_be_liftable(places: Places) -> None:
    dlq = places.queue("quorum", x_delivery_limit=("l", 5))
    with pytest.raises(Unsupported, match="delivery limit of 5") as refusal:
        places.open().look_letters(queue(dlq))
    assert "no policy raises" in str(refusal.value.hint)


def test_the_policy_that_would_lift_a_limit_keeps_what_the_present_one_says(places: Places) -> None:
    dlq = places.queue("quorum")
    policy = f"policies/%2F/present-{dlq}"
    places.api(policy, "PUT", pattern=f"^{dlq}$", definition={"max-length": 7, "delivery-limit": 9})
    try:
        with pytest.raises(Unsupported, match="delivery limit of 9") as refusal:
            places.open().look_letters(queue(dlq))
    finally:
        places.api(policy, "DELETE")
    assert '{"delivery-limit":-1,"max-length":7}' in str(refusal.value.hint)


def test_a_quorum_queue_whose_limit_cannot_be_found_out_is_not_touched(places: Places) -> None:
    name = make(places, "quorum")
    places.put("", name, [b"letter"])
    with pytest.raises(Unsupported, match="its delivery limit cannot be found out"):
        places.open(places.without_management).look_letters(queue(name))
    assert places.wire.get(name) is not None


def test_a_classic_queue_is_looked_at_without_the_management_api(places: Places) -> None:
    name = make(places, "classic")
    places.put("", name, numbered(3))
    with places.open(places.without_management).look_letters(queue(name)) as reader:
        assert bodies_of(reader) == numbered(3)
    assert places.taken(name) == numbered(3)


def test_a_queue_with_a_single_active_consumer_is_not_looked_at(places: Places) -> None:
    name = places.queue("classic", x_single_active_consumer=("t", True))
    with pytest.raises(Unsupported, match="single active consumer"):
        places.open().look_letters(queue(name))


def test_a_queue_that_is_worked_on_and_holds_no_letters_is_not_looked_at(places: Places) -> None:
    name = make(places, "classic")
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        connection.channel().basic_consume(name, lambda *delivery: None)
        for connect in (places.connection, places.without_management):
            with pytest.raises(Failed, match=r"has 1 consumer, and .*: its messages are work"):
                places.open(connect).look_letters(queue(name))


def test_letters_that_others_take_as_well_are_looked_at_and_that_is_said(places: Places) -> None:
    _, dlq = work_and_letters(places)
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(dlq, lambda *delivery: None)
        places.put("", dlq, numbered(5))
        with places.open().look_letters(queue(dlq)) as reader:
            assert "1 other consumer takes from" in reader.notes[0]
            assert bodies_of(reader) == numbered(5)[1:]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_who_takes_from_letters_is_said_as_it_is_now_and_not_as_it_was(places: Places, kind: str) -> None:
    _, dlq = work_and_letters(places, kind)
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        tag = channel.basic_consume(dlq, lambda *delivery: None)
        assert "1 consumer takes from it" in sources(places)[dlq].remarks
        listed = Management(places.connection, None, PATIENCE)
        wait_until(lambda: any(facts["name"] == dlq and facts.get("consumers") for facts in listed.queues_in_use()), PATIENCE, "the statistics")
        channel.basic_cancel(tag)
        assert not any("from it" in remark for remark in sources(places)[dlq].remarks)


def test_letters_of_a_stream_are_read_and_nothing_changes(places: Places) -> None:
    name = places.stream(numbered(5))
    with places.open().look_letters(Address(name, "stream")) as reader:
        assert bodies_of(reader) == numbered(5)
        assert reader.side_effects == "none"


def test_an_exchange_holds_no_letters(places: Places) -> None:
    with pytest.raises(Unsupported, match="an exchange keeps nothing"):
        places.open().look_letters(Address(places.exchange(), "exchange"))


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_look_at_letters_asks_for_its_queue_once(places: Places, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq = make(places, kind)
    places.put("", dlq, [b"letter"])
    asked: list[str] = []
    exchange = Management._exchange
    monkeypatch.setattr(Management, "_exchange", lambda self, method, path, body=None: asked.append(path) or exchange(self, method, path, body))
    backend = places.open()
    assert backend.resource(queue(dlq)) == f"{kind} queue"
    asked.clear()
    with backend.look_letters(queue(dlq)) as reader:
        assert bodies_of(reader) == [b"letter"]
    assert [path.partition("?")[0] for path in asked] == [f"queues/{places.virtual_host}/{dlq}"]
