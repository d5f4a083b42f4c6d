"""Retries that RabbitMQ makes by itself, with a worker that fails every message: each delay is kept, and then it is a dead letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from time import monotonic
from typing import Any

import pika
import pytest

from brokercli.backends.contract import Backend
from brokercli.backends.dead_letters import LetterReader
from brokercli.backends.rabbitmq.survivable import version_of
from brokercli.dialects import recognise
from brokercli.dialects.facts import Facts
from brokercli.model.address import Address
from brokercli.model.declaration import Action, RetrySpecification, RetryTopology
from brokercli.model.errors import Unsupported, UsageProblem
from brokercli.model.message import Record
from tests.backends.rabbitmq_declared import Declared, actions
from tests.backends.rabbitmq_places import records_of
from tests.backends.rabbitmq_redrive import count
from tests.brokers.server import wait_until

PATIENCE = 30.0
MILLISECOND = 1_000_000
Fail = Callable[[Any, int], None]


def specification(source: str, *milliseconds: int, attempts: int, **more: Any) -> RetrySpecification:
    return RetrySpecification(source, tuple(number * MILLISECOND for number in milliseconds), attempts, **more)


def make(declared: Declared, wanted: RetrySpecification) -> RetryTopology:
    topology = declared.declarer().retry(wanted)
    assert Action.CANNOT not in {action for _, action in actions(declared.apply(*topology.declarations))}
    return topology


def reject(channel: Any, tag: int) -> None:
    channel.basic_reject(tag, requeue=False)


def give_back(channel: Any, tag: int) -> None:
    channel.basic_reject(tag, requeue=True)


def times_of_tries(declared: Declared, work: str, dead: str, fail: Fail = reject, *, body: bytes = b"order", exchange: str = "", key: str | None = None,
                   headers: dict[str, Any] | None = None) -> list[float]:
    """Publish one message and be the worker who fails it until it lies in the dead letters; return when it was tried, in seconds."""
    tried: list[float] = []
    with pika.BlockingConnection(pika.URLParameters(declared.places.broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, work if key is None else key, body, pika.BasicProperties(delivery_mode=2, headers=headers), mandatory=True)
        deadline = monotonic() + PATIENCE
        for method, _, _ in channel.consume(work, inactivity_timeout=0.05):
            if method is not None:
                tried.append(monotonic())
                fail(channel, method.delivery_tag)
            elif count(declared.places, dead):
                return tried
            assert monotonic() < deadline, f"no dead letter after {len(tried)} tries"
    raise AssertionError("the worker was sent home")


def only_letter(backend: Backend, dead: str) -> Record:
    """Return the letter there is."""
    readers: list[LetterReader] = []

    def opened() -> bool:
        # before 4.2.5 the broker does not say at once which limits a new queue has
        with suppress(Unsupported):
            readers.append(backend.look_letters(Address(dead, "queue")))
        return bool(readers)

    wait_until(opened, PATIENCE, f"{dead} to be safe to look at")
    with readers[0] as reader:
        (record,) = records_of(reader)
    return record


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_a_message_that_is_always_rejected_waits_every_delay_and_is_a_dead_letter_then(declared: Declared, kind: str) -> None:
    work = declared.places.queue(kind, name=declared.name("orders"))
    make(declared, specification(work, 300, 900, attempts=4))
    tried = times_of_tries(declared, work, f"{work}.dlq")
    assert len(tried) == 4
    # never earlier; how much later is the machine's matter
    assert [gap >= least for gap, least in zip(gaps(tried), (0.3, 0.9, 0.9), strict=True)] == [True, True, True], gaps(tried)


def test_its_letter_says_where_it_came_from_and_how_often_it_was_tried(declared: Declared) -> None:
    work, exchange = declared.places.queue("quorum", name=declared.name("orders")), declared.places.exchange()
    declared.places.bind(work, exchange, "created.*")
    make(declared, specification(work, 100, 200, attempts=3))
    times_of_tries(declared, work, f"{work}.dlq", exchange=exchange, key="created.de", headers={"CC": ["also"], "kept": 1})
    backend = declared.places.open()
    record = only_letter(backend, f"{work}.dlq")
    deaths = dict(record.message.headers)["x-death"]
    assert b"created.de" in repr(deaths).encode()
    feeding = backend.feeding()
    assert feeding is not None
    letter = recognise(record, facts=Facts(wait_queues=feeding.wait_queues))
    assert (letter.dialect, letter.reason, letter.home and letter.home.address) == ("rabbitmq", "rejected", Address(work, "queue"))
    assert count(declared.places, f"{work}.dlq") == 1
    assert {source.address.name for source in backend.dead_letter_sources() if declared.prefix in source.address.name} == {f"{work}.dlq"}
    assert {name: home for name, home in feeding.wait_queues.items() if declared.prefix in name} == {
        f"{work}.retry.1.100ms": work, f"{work}.retry.2.200ms": work}


def test_what_comes_back_fans_out_to_nobody_else(declared: Declared) -> None:
    work, exchange, other = declared.places.queue("quorum", name=declared.name("orders")), declared.places.exchange("fanout"), declared.places.queue()
    declared.places.bind(work, exchange)
    declared.places.bind(other, exchange)
    make(declared, specification(work, 100, attempts=3))
    assert len(times_of_tries(declared, work, f"{work}.dlq", exchange=exchange, key="k")) == 3
    assert declared.places.taken(other) == [b"order"]


def test_a_message_that_dies_of_another_cause_is_a_dead_letter_at_once_and_not_lost(declared: Declared) -> None:
    # what returns to where it died is dropped by the broker unless it was rejected
    work = declared.places.queue("quorum", name=declared.name("orders"), x_delivery_limit=("l", 2))
    make(declared, specification(work, 60_000, attempts=3))
    assert len(times_of_tries(declared, work, f"{work}.dlq", give_back)) == 3


def test_one_that_was_rejected_before_it_wore_out_is_not_lost_either(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"), x_delivery_limit=("l", 3))
    make(declared, specification(work, 100, 100, attempts=3))
    fails = iter([reject, *[give_back] * 10])

    def fail(channel: Any, tag: int) -> None:
        next(fails)(channel, tag)

    # before 4.3 the delivery from before it waited is not counted
    assert len(times_of_tries(declared, work, f"{work}.dlq", fail)) in (4, 5)


def test_messages_that_wait_do_not_hold_up_those_that_wait_less(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    make(declared, specification(work, 200, 60_000, attempts=3))
    with pika.BlockingConnection(pika.URLParameters(declared.places.broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        tries: dict[bytes, int] = {}
        for number in (b"1", b"2"):
            channel.basic_publish("", work, number, pika.BasicProperties(delivery_mode=2), mandatory=True)
            for method, _, body in channel.consume(work, inactivity_timeout=PATIENCE):
                assert method is not None
                tries[body] = tries.get(body, 0) + 1
                reject(channel, method.delivery_tag)
                if tries.get(number) == 2:
                    break
            channel.cancel()
    assert tries == {b"1": 2, b"2": 2}


def test_the_same_again_changes_nothing_and_deleting_it_leaves_nothing(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    wanted = specification(work, 5000, 30_000, attempts=5)
    topology = make(declared, wanted)
    names = [one.name for one in topology.declarations if one.kind == "queue"]
    assert names == [f"{work}.dlq", f"{work}.retry.1.5s", f"{work}.retry.2.30s", f"{work}.retry.3.30s", f"{work}.retry.4.30s", work]
    declarer = declared.declarer()
    assert {action for _, action in actions(declarer.plan(declarer.retry(wanted).declarations))} == {Action.UNCHANGED}
    for change in declarer.plan_removal([one for one in topology.declarations if one.name != work]):
        declarer.apply(change)
    left = [one for one in declared.declarer().declared() if declared.prefix in one.name]
    assert [(one.kind, one.name) for one in left] == [("queue", work)]


def test_the_work_queue_is_changed_last_when_all_that_takes_its_letters_is_there(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"), x_max_length=("l", 1000))
    declarer = declared.declarer()
    changes = declarer.plan(declarer.retry(specification(work, 100, attempts=2)).declarations)
    assert (changes[-1].declaration.name, changes[-1].action) == (work, Action.CHANGE)
    assert {change.action for change in changes[:-1]} == {Action.CREATE}
    assert {one.setting: one.want for one in changes[-1].differences} == {
        "dead-letter-exchange": f"{work}.dlx", "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}


def test_a_source_that_the_same_topology_declares_need_not_be_there(declared: Declared) -> None:
    work = declared.name("orders")
    topology = make(declared, specification(work, 100, attempts=2, declared={"type": "quorum", "max-length": 1000}))
    assert {one.name: dict(one.settings) for one in topology.declarations}[work] == {
        "type": "quorum", "max-length": 1000, "dead-letter-exchange": f"{work}.dlx", "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}
    assert len(times_of_tries(declared, work, f"{work}.dlq")) == 2


def test_without_the_management_api_retries_are_made_of_arguments(declared: Declared) -> None:
    work = declared.name("orders")
    alone = declared.places.without_management
    topology = declared.declarer(alone).retry(specification(work, 200, attempts=2, declared={"type": "quorum"}))
    declared.apply(*topology.declarations, connection=alone)
    assert declared.policies() == {}
    tried = times_of_tries(declared, work, f"{work}.dlq")
    assert [gap >= 0.2 for gap in gaps(tried)] == [True]
    again = declared.declarer(alone).plan(topology.declarations)
    assert {change.action for change in again if change.declaration.kind != "binding"} == {Action.UNCHANGED}


def test_letters_that_are_there_already_stay_in_the_queue_they_are_in(declared: Declared) -> None:
    work, dead = declared.places.queue("quorum", name=declared.name("orders")), declared.places.queue("classic", name=declared.name("dead"))
    make(declared, specification(work, 100, attempts=2, dead_letter=dead))
    assert len(times_of_tries(declared, work, dead)) == 2


def test_a_routing_key_of_dead_letters_is_taken_away_since_the_key_counts_the_tries(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    declared.policy(declared.name("theirs"), f"^{declared.prefix}", **{"dead-letter-exchange": "", "dead-letter-routing-key": "elsewhere", "max-length": 1000})
    make(declared, specification(work, 100, attempts=3))
    assert len(times_of_tries(declared, work, f"{work}.dlq")) == 3
    assert declared.policies()[f"brokercli:queue:{work}"]["definition"]["max-length"] == 1000


def test_the_worker_is_told_what_to_do(declared: Declared) -> None:
    work = declared.places.queue("classic", name=declared.name("orders"))
    worker = declared.declarer().retry(specification(work, 5000, 30_000, attempts=4)).worker
    assert "reject it without requeueing" in worker[0]
    assert "after 5s, 30s, 30s, and after 4 tries" in worker[0]
    assert "hands dead letters over at most once" in worker[-1]


@pytest.mark.parametrize(("delays", "attempts", "why"), [((5000,), 1, "0 delays"), ((5000, 6000, 7000), 3, "2 delays"), ((1000,), 100, "more than 50")])
def test_retries_that_cannot_be_had_are_refused(declared: Declared, delays: Sequence[int], attempts: int, why: str) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    with pytest.raises(UsageProblem, match=why):
        declared.declarer().retry(specification(work, *delays, attempts=attempts))


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("behind", ["", ".retry.1.5s"])
def test_dead_letters_that_would_go_round_for_ever_are_refused(declared: Declared, behind: str, native: bool) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    with pytest.raises(UsageProblem, match="round for ever"):
        declared.declarer().retry(specification(work, 5000, attempts=2, dead_letter=work + behind, native=native))


def test_a_source_that_is_missing_or_a_stream_has_no_retries(declared: Declared) -> None:
    with pytest.raises(UsageProblem, match="There is no queue"):
        declared.declarer().retry(specification(declared.name("none"), 100, attempts=2))
    with pytest.raises(UsageProblem, match="is a stream"):
        declared.declarer().retry(specification(declared.places.stream(), 100, attempts=2))


def delays_retries(declared: Declared) -> bool:
    """Whether quorum queues of this broker hold back what is returned; where they do not, native retries are refused."""
    if version_of({"version": declared.places.api("overview")["rabbitmq_version"]}) >= (4, 3, 1):
        return True
    with pytest.raises(Unsupported, match=r"came with RabbitMQ 4\.3\.1"):
        declared.declarer().retry(specification(declared.places.queue("quorum"), 100, attempts=2, native=True))
    return False


def test_native_retries_hold_back_longer_each_time_and_end_in_a_dead_letter(declared: Declared) -> None:
    if not delays_retries(declared):
        return
    work = declared.places.queue("quorum", name=declared.name("orders"))
    topology = make(declared, specification(work, 300, 600, 700, attempts=5, native=True))
    assert [one.name for one in topology.declarations] == [f"{work}.dlq", work]
    tried = times_of_tries(declared, work, f"{work}.dlq", give_back)
    assert len(tried) == 5
    assert [gap >= least for gap, least in zip(gaps(tried), (0.3, 0.6, 0.7, 0.7), strict=True)] == [True] * 4, gaps(tried)
    letter = recognise(only_letter(declared.places.open(), f"{work}.dlq"))
    assert (letter.dialect, letter.reason, letter.home and letter.home.address) == ("rabbitmq", "delivery_limit", Address(work, "queue"))
    # it has been returned once, and lies there still
    assert count(declared.places, f"{work}.dlq") == 1


def test_native_retries_are_for_quorum_queues_and_delays_that_grow_evenly(declared: Declared) -> None:
    if not delays_retries(declared):
        return
    quorum, classic = declared.places.queue("quorum", name=declared.name("q")), declared.places.queue("classic", name=declared.name("c"))
    with pytest.raises(UsageProblem, match="only quorum queues"):
        declared.declarer().retry(specification(classic, 100, attempts=2, native=True))
    with pytest.raises(UsageProblem, match="Native delays grow by the first one each time") as refusal:
        declared.declarer().retry(specification(quorum, 5000, 30_000, attempts=3, native=True))
    assert refusal.value.hint == "5s, 10s can; without native, wait queues take any"


def test_other_delays_leave_no_way_by_which_a_message_would_be_there_twice(declared: Declared) -> None:
    work, audit = declared.places.queue("quorum", name=declared.name("orders")), declared.places.queue(name=declared.name("audit"))
    make(declared, specification(work, 100, 60_000, attempts=4))
    declared.places.bind(audit, f"{work}.dlx.dead")
    declarer = declared.declarer()
    topology = declarer.retry(specification(work, 100, 200, attempts=3))
    declared.apply(*topology.declarations)
    assert {one.name for one in topology.obsolete} == {
        f"{work}.dlx.retry/{work}.retry.1 -> queue:{work}.retry.2.1m", f"{work}.dlx.retry/{work}.retry.2 -> queue:{work}.retry.3.1m",
        f"{work}.dlx.retry/{work}.retry.3 -> queue:{work}.dlq"}
    for change in declarer.plan_removal(topology.obsolete):
        declarer.apply(change)
    assert declarer.retry(specification(work, 100, 200, attempts=3)).obsolete == ()
    assert len(times_of_tries(declared, work, f"{work}.dlq")) == 3
    assert count(declared.places, f"{work}.dlq") == 1
    assert count(declared.places, f"{work}.retry.2.1m") == 0


def test_a_policy_that_somebody_adds_later_takes_nothing_from_wait_queues_and_dead_letters(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    topology = make(declared, specification(work, 100, attempts=2))
    declared.policy(declared.name("theirs"), f"^{declared.prefix}.*(retry|dlq)", "all", 99, **{"max-length": 100_000})
    assert {change.action for change in declared.declarer().plan(topology.declarations)} == {Action.UNCHANGED}
    assert len(times_of_tries(declared, work, f"{work}.dlq")) == 2


def test_what_waits_when_the_delays_change_comes_back_in_its_time(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    make(declared, specification(work, 700, 100, attempts=3))
    with pika.BlockingConnection(pika.URLParameters(declared.places.broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", work, b"order", pika.BasicProperties(delivery_mode=2), mandatory=True)
        method, _, _ = next(channel.consume(work, inactivity_timeout=PATIENCE))
        assert method is not None
        reject(channel, method.delivery_tag)
        channel.cancel()
        make(declared, specification(work, 100, 700, attempts=3))
        method, _, body = next(channel.consume(work, inactivity_timeout=PATIENCE))
        assert method is not None
        assert (body, method.routing_key) == (b"order", f"{work}.retry.1")
        channel.basic_ack(method.delivery_tag)


def test_retries_that_were_exported_and_made_elsewhere_are_the_same_retries(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    wanted = specification(work, 200, 300, attempts=3)
    topology = make(declared, wanted)
    found = [one for one in declared.declarer().declared() if declared.prefix in one.name]
    for change in declared.declarer().plan_removal([one for one in topology.declarations if one.name != work]):
        declared.declarer().apply(change)
    # what was arguments is kept in policies where it is declared anew
    assert Action.CREATE in {action for _, action in actions(declared.apply(*found))}
    assert {action for _, action in actions(declared.declarer().plan(declared.declarer().retry(wanted).declarations))} == {Action.UNCHANGED}
    assert len(times_of_tries(declared, work, f"{work}.dlq")) == 3


def test_while_the_first_wait_is_replaced_nothing_is_lost(declared: Declared) -> None:
    # a classic queue forgets a dead letter that is routed to nobody
    work = declared.places.queue("classic", name=declared.name("orders"))
    make(declared, specification(work, 60_000, attempts=2))
    declarer = declared.declarer()
    obsolete = declarer.retry(specification(work, 100, attempts=2)).obsolete
    assert [one.name for one in obsolete] == [f"{work}.dlx.first/ -> queue:{work}.retry.1.1m"]
    for change in declarer.plan_removal(obsolete):
        declarer.apply(change)
    assert len(times_of_tries(declared, work, f"{work}.dlq")) == 1


def test_the_way_to_the_earlier_dead_letters_goes_only_when_there_is_another(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    make(declared, specification(work, 100, attempts=2))
    wanted = specification(work, 100, attempts=2, dead_letter=declared.name("dead"))
    earlier = f"{work}.dlx.dead/ -> queue:{work}.dlq"
    topology = make(declared, wanted)
    assert earlier not in {one.name for one in topology.obsolete}
    assert [one.name for one in declared.declarer().retry(wanted).obsolete if one.name == earlier] == [earlier]


@pytest.mark.parametrize(("settings", "why"), [
    ({"expires": 3_600_000}, r"retry\.1\.300ms would be deleted with the messages that wait in it"),
    ({"message-ttl": 299}, r"retry\.1\.300ms would give messages back before they are due: message-ttl is 299ms, and they wait 300ms"),
    ({"message-ttl": 1999}, r"retry\.2\.2s would give messages back before they are due: message-ttl is 1999ms, and they wait 2s"),
])
def test_settings_with_which_nothing_waits_as_long_as_it_is_to_are_refused(declared: Declared, settings: dict[str, Any], why: str) -> None:
    work = declared.places.queue("quorum")
    with pytest.raises(UsageProblem, match=why):
        declared.declarer().retry(specification(work, 300, 2000, attempts=3, settings=settings))


def test_an_age_beyond_every_delay_is_for_the_dead_letters(declared: Declared) -> None:
    work = declared.places.queue("quorum")
    topology = declared.declarer().retry(specification(work, 300, attempts=2, settings={"message-ttl": 86_400_000}))
    assert {one.name: dict(one.settings) for one in topology.declarations}[f"{work}.dlq"]["message-ttl"] == 86_400_000


@pytest.mark.parametrize(("kind", "then"), [
    ("quorum", "stays in it, and is tried again only after minutes."), ("classic", "a classic queue, rejects then is lost.")])
def test_what_becomes_of_messages_where_queues_of_retries_are_full_is_said(declared: Declared, kind: str, then: str) -> None:
    work = declared.places.queue(kind)
    said = declared.declarer().retry(specification(work, 300, attempts=2, settings={"max-length": 5})).worker
    full = [one for one in said if "full" in one]
    assert full[0].startswith("A wait queue that is full takes no more: ")
    assert full[0].endswith(then)
    assert full[1] == f"{work}.dlq drops its oldest letters when it is full."
    assert not [one for one in declared.declarer().retry(specification(work, 300, attempts=2)).worker if "full" in one]
