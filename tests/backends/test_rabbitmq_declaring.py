"""RabbitMQ's declarations: what can be changed later is kept in a policy, what cannot is said to be so before anybody runs into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from brokercli.backends.rabbitmq.policies import our_name
from brokercli.model.address import Address
from brokercli.model.declaration import Action, Declaration, SettingValue, Topology, binding
from brokercli.model.errors import Failed, NotAuthorised, UsageProblem
from brokercli.operations.declaring import plan_topology
from tests.backends.rabbitmq_declared import Declared, actions, only
from tests.backends.rabbitmq_places import Places
from tests.brokers.server import wait_until


def queue(name: str, **settings: Any) -> Declaration:
    return Declaration("queue", name, {key.replace("_", "-"): value for key, value in settings.items()})


def differences(change: Any) -> dict[str, tuple[Any, Any, bool]]:
    """Return setting → have, want, and whether it can be changed."""
    return {one.setting: (one.have, one.want, not one.obstacle) for one in change.differences}


EACH: list[tuple[str, Mapping[str, SettingValue]]] = [
    ("queue", {"type": "classic", "message-ttl": 60_000, "max-priority": 5, "overflow": "reject-publish", "max-length": 10}),
    ("queue", {"type": "quorum", "delivery-limit": -1, "single-active-consumer": True, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"}),
    ("queue", {"type": "classic", "auto_delete": False, "durable": True, "expires": 600_000}),
    ("queue", {"type": "stream", "max-length-bytes": 1_000_000_000}),
    ("stream", {"max-age": 86_400, "stream-max-segment-size-bytes": 50_000_000, "queue-leader-locator": "balanced"}),
    ("exchange", {"type": "topic", "alternate-exchange": "amq.fanout"}),
    ("exchange", {"type": "headers", "internal": True, "auto_delete": False}),
]


@pytest.mark.parametrize("reach", ["management", "AMQP alone", "no policies"])
@pytest.mark.parametrize(("kind", "settings"), EACH, ids=lambda value: value if isinstance(value, str) else value.get("type", "topic"))
def test_what_was_declared_is_unchanged_the_next_time(declared: Declared, kind: str, settings: Mapping[str, SettingValue], reach: str) -> None:
    connection = {"management": declared.places.connection, "AMQP alone": declared.places.without_management}.get(reach) or declared.restricted("management")
    wanted = Declaration(kind, declared.name("x"), settings)
    assert only(declared.apply(wanted, connection=connection)).action is Action.CREATE
    again = only(declared.declarer(connection).plan([wanted]))
    assert (again.action, again.differences) == (Action.UNCHANGED, ())
    assert bool(declared.policies()) is (reach == "management" and not {"max-priority", "internal"} >= {*settings} - {"type", "auto_delete"})


def test_what_can_change_later_is_kept_in_a_policy_for_that_queue_alone_and_said(declared: Declared) -> None:
    name = declared.name("a.b+c")
    change = only(declared.apply(queue(name, type="quorum", max_length=10, single_active_consumer=True)))
    assert change.remarks == (f"kept in the policy {our_name('queue', name)}, because an argument could never be changed later: max-length",)
    policy = declared.policies()[our_name("queue", name)]
    assert (policy["definition"], policy["apply-to"]) == ({"max-length": 10}, "quorum_queues")
    other = declared.places.queue("quorum", name=declared.name("axb+c"))
    assert only(declared.declarer().plan([queue(other, max_length=10)])).differences[0].have is None
    assert declared.places.api(f"queues/%2F/{name.replace('+', '%2B')}")["arguments"] == {"x-queue-type": "quorum", "x-single-active-consumer": True}


def test_a_setting_is_changed_and_the_others_stay(declared: Declared) -> None:
    name = declared.name("q")
    declared.apply(queue(name, type="classic", max_length=10, message_ttl=1000))
    change = only(declared.apply(queue(name, max_length=20)))
    assert (change.action, differences(change)) == (Action.CHANGE, {"max-length": (10, 20, True)})
    assert declared.policies()[our_name("queue", name)]["definition"] == {"max-length": 20, "message-ttl": 1000}
    assert only(declared.declarer().plan([queue(name, max_length=20, message_ttl=1000)])).action is Action.UNCHANGED


def test_nothing_is_changed_by_planning(declared: Declared) -> None:
    name = declared.name("q")
    for connection in (declared.places.connection, declared.places.without_management):
        declared.declarer(connection).plan([queue(name, type="quorum", max_length=5), Declaration("exchange", declared.name("x"), {"type": "topic"})])
        assert [facts for facts in declared.places.api("queues/%2F?disable_stats=true&enable_queue_totals=true") if facts["name"] == name] == []
        assert declared.policies() == {}
    declared.places.queue("classic", name=name, x_max_length=("l", 5))
    for connection in (declared.places.connection, declared.places.without_management):
        declared.declarer(connection).plan([queue(name, max_length=3, durable=True)])
        assert declared.policies() == {}


def test_the_policy_that_held_before_goes_on_in_ours(declared: Declared) -> None:
    name, theirs = declared.name("q"), declared.name("theirs")
    declared.places.queue("quorum", name=name)
    declared.policy(theirs, f"^{declared.prefix}", "all", 7, **{"max-length": 100, "dead-letter-exchange": "dead"})
    change = only(declared.apply(queue(name, max_length=20)))
    assert differences(change) == {"max-length": (100, 20, True)}
    assert f"it takes the place of the policy {theirs}, as only one can hold, and takes over what that says (dead-letter-exchange)" in change.remarks[1]
    ours = declared.policies()[our_name("queue", name)]
    assert (ours["priority"], ours["definition"]) == (8, {"max-length": 20, "dead-letter-exchange": "dead"})
    assert only(declared.declarer().plan([queue(name, max_length=20, dead_letter_exchange="dead")])).action is Action.UNCHANGED


def test_what_a_policy_says_already_takes_none_of_ours(declared: Declared) -> None:
    name = declared.name("q")
    declared.policy(declared.name("theirs"), f"^{declared.prefix}", **{"max-length": 100})
    declared.apply(queue(name, type="classic", max_length=100))
    assert our_name("queue", name) not in declared.policies()
    assert only(declared.declarer().plan([queue(name, max_length=100)])).action is Action.UNCHANGED


def test_a_policy_that_came_between_plan_and_change_is_not_overridden(declared: Declared) -> None:
    name = declared.name("q")
    declared.places.queue("classic", name=name)
    declarer = declared.declarer()
    change = only(declarer.plan([queue(name, max_length=20)]))
    declared.policy(declared.name("theirs"), f"^{declared.prefix}", **{"message-ttl": 100})
    with pytest.raises(Failed, match="Another policy holds"):
        declarer.apply(change)
    assert our_name("queue", name) not in declared.policies()


@pytest.mark.parametrize("reach", ["management", "AMQP alone"])
def test_what_never_changes_is_refused_with_what_it_would_take(declared: Declared, reach: str) -> None:
    name = declared.name("q")
    connection = declared.places.connection if reach == "management" else declared.places.without_management
    declared.places.queue("classic", name=name, x_max_priority=("l", 5))
    change = only(declared.declarer(connection).plan([Declaration("queue", name, {"type": "quorum", "durable": True})]))
    assert (change.action, differences(change)) == (Action.CANNOT, {"type": ("classic", "quorum", False)})
    assert change.differences[0].obstacle == "the type never changes: it takes a new queue, its messages moved there"
    change = only(declared.declarer(connection).plan([Declaration("queue", name, {"max-priority": 7, "durable": False, "auto_delete": True})]))
    assert differences(change) == {"max-priority": (5, 7, False), "durable": (True, False, False), "auto_delete": (False, True, False)}


@pytest.mark.parametrize("reach", ["management", "AMQP alone"])
def test_an_argument_that_a_policy_cannot_beat_is_said(declared: Declared, reach: str) -> None:
    name = declared.name("q")
    connection = declared.places.connection if reach == "management" else declared.places.without_management
    declared.places.queue("quorum", name=name, x_max_length=("l", 10), x_dead_letter_exchange=("S", b"dead"), x_delivery_limit=("l", 5))
    change = only(declared.declarer(connection).plan([queue(name, max_length=20, dead_letter_exchange="other", delivery_limit=-1)]))
    assert change.action is Action.CANNOT
    assert differences(change) == {"max-length": (10, 20, False), "dead-letter-exchange": ("dead", "other", False), "delivery-limit": (5, -1, False)}
    assert only(declared.declarer(connection).plan([Declaration("stream", name, {"max-age": 60})])).differences[0].setting == "type"
    told = {one.setting: one.obstacle for one in change.differences}
    assert told["max-length"].startswith("x-max-length is 10, the lower of argument and policy holds")
    assert told["dead-letter-exchange"].startswith("x-dead-letter-exchange is dead, an argument comes before every policy")


def test_a_limit_below_an_argument_is_a_matter_of_a_policy(declared: Declared) -> None:
    name = declared.name("q")
    declared.places.queue("quorum", name=name, x_max_length=("l", 10), x_delivery_limit=("l", -1))
    change = only(declared.apply(queue(name, max_length=5, delivery_limit=3)))
    assert change.action is Action.CHANGE
    assert only(declared.declarer().plan([queue(name, max_length=5, delivery_limit=3)])).action is Action.UNCHANGED


def test_what_only_a_policy_could_change_is_refused_where_none_can_be_written(declared: Declared) -> None:
    name = declared.name("q")
    declared.places.queue("classic", name=name)
    for connection, why in ((declared.restricted("management"), "may not write policies"),
                            (declared.places.without_management, "policies take the management API")):
        change = only(declared.declarer(connection).plan([queue(name, max_length=20)]))
        assert change.action is Action.CANNOT
        assert why in change.differences[0].obstacle


def test_what_cannot_be_seen_is_told_before_anything_is_planned(declared: Declared) -> None:
    assert list(declared.declarer().notes) == []
    assert "neither policies nor bindings can be seen" in declared.declarer(declared.places.without_management).notes[0]
    assert "may not write policies" in declared.declarer(declared.restricted("management")).notes[0]


@pytest.mark.parametrize(("settings", "why"), [
    ({"type": "classic", "delivery-limit": 3}, "delivery-limit is no setting of a classic queue"),
    ({"type": "quorum", "max-age": 60}, "max-age is no setting of a quorum queue"),
    ({"type": "stream", "message-ttl": 60}, "message-ttl is no setting of a stream"),
    ({"type": "quorum", "durable": False}, "always durable"),
    ({"type": "quorum", "overflow": "reject-publish-dlx"}, "no overflow reject-publish-dlx"),
    ({"type": "quorum", "delayed-retry-type": "all"}, "needs delayed-retry-min")])
def test_what_no_queue_of_that_type_has_is_refused(declared: Declared, settings: dict[str, SettingValue], why: str) -> None:
    with pytest.raises(UsageProblem, match=why):
        declared.declarer().plan([Declaration("queue", declared.name("q"), settings)])


@pytest.mark.parametrize("declaration", [
    Declaration("queue", "amq.gen-x"), Declaration("exchange", "amq.topic", {"type": "topic"}), Declaration("exchange", "")])
def test_what_is_rabbitmqs_own_is_neither_declared_nor_deleted(declared: Declared, declaration: Declaration) -> None:
    with pytest.raises(UsageProblem, match=r"RabbitMQ's own"):
        declared.declarer().plan([declaration])
    if declaration.name:
        with pytest.raises(UsageProblem, match=r"RabbitMQ's own"):
            declared.declarer().plan_removal([declaration])


def test_two_declarations_of_one_queue_have_to_agree(declared: Declared) -> None:
    name = declared.name("q")
    with pytest.raises(UsageProblem, match="declared twice"):
        declared.declarer().plan([queue(name, max_length=1), queue(name, max_length=2)])
    assert len(declared.declarer().plan([queue(name, max_length=1), queue(name, max_length=1)])) == 1


def test_things_are_made_before_what_needs_them_and_what_exists_changes_last(declared: Declared) -> None:
    work, dead, exchange = declared.name("work"), declared.name("dead"), declared.name("x")
    declared.places.queue("quorum", name=work)
    wanted = [binding(exchange, f"queue:{dead}", "#"), queue(work, dead_letter_exchange=exchange), queue(dead, type="quorum"),
              Declaration("exchange", exchange, {"type": "topic"})]
    assert actions(declared.apply(*wanted)) == [(f"exchange {exchange}", Action.CREATE), (f"queue {dead}", Action.CREATE),
                                                 (f"binding {exchange}/# -> queue:{dead}", Action.CREATE), (f"queue {work}", Action.CHANGE)]
    assert {action for _, action in actions(declared.declarer().plan(wanted))} == {Action.UNCHANGED}


def test_a_binding_needs_both_of_its_ends(declared: Declared) -> None:
    exchange = declared.places.exchange()
    for reach in (declared.places.connection, declared.places.without_management):
        with pytest.raises(UsageProblem, match="neither there nor declared"):
            declared.declarer(reach).plan([binding(exchange, f"queue:{declared.name('none')}", "#")])
        with pytest.raises(UsageProblem, match="neither there nor declared"):
            declared.declarer(reach).plan([binding(declared.name("none"), f"exchange:{exchange}", "#")])
    with pytest.raises(UsageProblem, match="default exchange"):
        declared.declarer().plan([binding("", f"exchange:{exchange}", "#")])


def test_bindings_between_exchanges_and_with_arguments_are_made_and_found(declared: Declared) -> None:
    inner, outer, name = declared.places.exchange("topic"), declared.places.exchange("headers"), declared.places.queue()
    wanted = [binding(outer, f"exchange:{inner}", "", {"x-match": "any", "kind": "order", "urgent": True, "level": 3}),
              binding(inner, f"queue:{name}", "a.*")]
    assert [action for _, action in actions(declared.apply(*wanted))] == [Action.CREATE, Action.CREATE]
    assert [action for _, action in actions(declared.declarer().plan(wanted))] == [Action.UNCHANGED, Action.UNCHANGED]
    assert only(declared.declarer().plan([binding(inner, f"queue:{name}", "a.b")])).action is Action.CREATE
    unseen = only(declared.apply(wanted[1], connection=declared.places.without_management))
    assert (unseen.action, unseen.remarks) == (Action.CREATE, ("whether it is there already only the management API says; making it again changes nothing",))


def test_a_binding_with_an_argument_that_is_null_is_found_and_not_pruned(declared: Declared) -> None:
    x, q = declared.name("x"), declared.name("q")
    one = binding(x, f"queue:{q}", "", {"a": None, "b": {"c": None}, "d": [None, 1, True]})
    declared.apply(Declaration("exchange", x, {"type": "headers"}), queue(q, type="quorum"), one)
    assert only(declared.declarer().plan([one])).action is Action.UNCHANGED
    assert one.name.endswith("(a=undefined, b={c: undefined}, d=[undefined, 1, true])")
    plan = plan_topology(declared.declarer(), Topology((one,), prune=(f"binding:{x}/*",)), prune=True)
    assert [change.action for change in plan.changes] == [Action.UNCHANGED]


def test_bindings_that_look_alike_are_told_apart(declared: Declared) -> None:
    x, q = declared.name("x"), declared.name("q")
    alike = [binding(x, f"queue:{q}", "b/c"), binding(f"{x}/b", f"queue:{q}", "c"), binding(x, f"queue:{q}", "", {"n": 5}),
             binding(x, f"queue:{q}", "", {"n": "5"})]
    declared.apply(*(Declaration("exchange", name, {"type": "headers"}) for name in (x, f"{x}/b")), queue(q, type="classic"), *alike)
    found = [one for one in declared.declarer().declared(["binding"]) if q in one.name]
    assert {one.name for one in found} == {one.name for one in alike}
    assert [action for _, action in actions(declared.declarer().plan(found))] == [Action.UNCHANGED] * len(alike)


def test_something_of_that_name_that_came_meanwhile_is_left_alone(declared: Declared) -> None:
    name = declared.name("q")
    declarer = declared.declarer()
    change = only(declarer.plan([queue(name, type="quorum", max_length=5)]))
    declared.places.queue("classic", name=name)
    with pytest.raises(Failed, match=f"There is a queue {name} by now"):
        declarer.apply(change)
    assert declared.policies() == {}


@pytest.mark.parametrize("others", [".*", "^$"])
def test_a_login_that_may_not_make_it_is_told_so_and_no_policy_is_left_behind(declared: Declared, others: str) -> None:
    name = declared.name("q")
    connection = declared.restricted("policymaker", configure="^$", write=others, read=others)
    declarer = declared.declarer(connection)
    change = only(declarer.plan([queue(name, type="quorum", max_length=5)]))
    with pytest.raises(NotAuthorised, match="No permission"):
        declarer.apply(change)
    assert declared.policies() == {}


def test_what_there_is_plans_to_no_changes(declared: Declared, places: Places) -> None:
    exchange, work, stream = declared.name("x"), declared.name("q"), declared.name("s")
    declared.apply(Declaration("exchange", exchange, {"type": "topic", "alternate-exchange": "amq.fanout"}), queue(work, type="quorum", delivery_limit=-1),
                   Declaration("stream", stream, {"max-age": 3600}), binding(exchange, f"queue:{work}", "a.#"))
    places.queue("classic", name=declared.name("c"), x_max_length=("l", 5), x_queue_version=("l", 2))
    found = [one for one in declared.declarer().declared() if declared.prefix in one.name]
    assert [(one.kind, one.name, dict(one.settings)) for one in found] == [
        ("exchange", exchange, {"type": "topic", "alternate-exchange": "amq.fanout"}),
        ("queue", declared.name("c"), {"type": "classic", "max-length": 5, "arguments": {"x-queue-version": 2}}),
        ("queue", work, {"type": "quorum", "delivery-limit": -1}),
        ("stream", stream, {"max-age": 3600}),
        ("binding", f"{exchange}/a.# -> queue:{work}", {"source": exchange, "destination": f"queue:{work}", "routing_key": "a.#"})]
    assert {action for _, action in actions(declared.declarer().plan(found))} == {Action.UNCHANGED}
    with pytest.raises(Failed, match="only the management API says"):
        list(declared.declarer(places.without_management).declared())


def test_what_goes_with_a_connection_and_what_the_broker_named_is_not_declared(declared: Declared, places: Places) -> None:
    import pika

    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        own = declared.name("own")
        channel.queue_declare(own, exclusive=True)
        named = channel.queue_declare("", durable=False, exclusive=True).method.queue
        channel.queue_bind(named, "amq.topic", declared.name("key"))
        names = {one.name for one in declared.declarer().declared()}
        assert not {own, named, "amq.topic", f"amq.topic/{declared.name('key')} -> queue:{named}"} & names
        with pytest.raises(UsageProblem, match="exclusive queue of another connection"):
            declared.declarer().plan([queue(own)])


@pytest.mark.parametrize(("name", "why"), [("", "needs a name"), ("x" * 256, "255 bytes"), ("a\nb", "line end"), ("a\rb", "line end"), ("a\udcff", "UTF-8")])
def test_a_name_that_nothing_can_have_is_refused_and_the_connection_goes_on(declared: Declared, name: str, why: str) -> None:
    declarer = declared.declarer()
    exchange = declared.places.exchange()
    with pytest.raises(UsageProblem, match=why):
        declarer.plan([queue(name)])
    if name:
        with pytest.raises(UsageProblem, match=why):
            declarer.plan([Declaration("exchange", name)])
        with pytest.raises(UsageProblem, match=why):
            declarer.plan([binding(exchange, f"exchange:{name}")])
    assert only(declarer.plan([Declaration("exchange", exchange, {"type": "topic"})])).action is Action.UNCHANGED


@pytest.mark.parametrize(("key", "why"), [("x" * 256, "255 bytes"), ("a\udcff", "UTF-8")])
def test_a_routing_key_that_amqp_cannot_carry_is_refused_and_the_connection_goes_on(declared: Declared, key: str, why: str) -> None:
    declarer = declared.declarer()
    exchange = declared.places.exchange()
    with pytest.raises(UsageProblem, match=why):
        declarer.plan([binding(exchange, f"exchange:{exchange}", key)])
    assert only(declarer.plan([Declaration("exchange", exchange, {"type": "topic"})])).action is Action.UNCHANGED


@pytest.mark.parametrize("value", [1.5, 2**64, [1.5], {"deep": 1.5}, "\udcff"])
def test_an_argument_that_amqp_cannot_carry_is_refused_and_the_connection_goes_on(declared: Declared, value: SettingValue) -> None:
    declarer = declared.declarer()
    exchange = declared.places.exchange("headers")
    with pytest.raises(UsageProblem):
        declarer.plan([binding(exchange, f"exchange:{exchange}", "", {"weight": value})])
    with pytest.raises(UsageProblem):
        declarer.plan([Declaration("queue", declared.name("q"), {"arguments": {"x-weight": value}})])
    assert only(declarer.plan([Declaration("exchange", exchange, {"type": "headers"})])).action is Action.UNCHANGED


@pytest.mark.parametrize("name", ["sp ace#-~&", "üñ", "a/b?c%d", "$a^(b|c)", "x" * 230])
def test_a_policy_is_for_exactly_the_name_it_is_made_for(declared: Declared, name: str) -> None:
    wanted = queue(declared.name(name)[:255], type="classic", max_length=5)
    declared.apply(wanted)
    assert only(declared.declarer().plan([wanted])).action is Action.UNCHANGED
    described = declared.places.open().describe(Address(wanted.name, "queue"))
    assert described.facts["max length"] == 5
    declared.places.put("", wanted.name, [b"1"])


def test_a_routing_key_of_dead_letters_without_an_exchange_is_refused(declared: Declared) -> None:
    with pytest.raises(UsageProblem, match="says nothing without dead-letter-exchange"):
        declared.declarer().plan([queue(declared.name("q"), dead_letter_routing_key="dead")])


def test_what_an_operators_policy_says_is_not_promised_otherwise(declared: Declared) -> None:
    name = declared.places.queue("classic", name=declared.name("q"))
    path = f"operator-policies/%2F/{declared.name('operator')}"
    declared.places.api(path, "PUT", pattern=f"^{declared.prefix}", definition={"max-length": 10}, priority=0, **{"apply-to": "queues"})
    try:
        change = only(declared.declarer().plan([queue(name, max_length=20)]))
        assert (change.action, differences(change)) == (Action.CANNOT, {"max-length": (10, 20, False)})
        assert change.differences[0].obstacle == "an operator's policy says 10, which comes before"
        assert only(declared.declarer().plan([queue(name, max_length=5)])).action is Action.CHANGE
        fresh = only(declared.declarer().plan([queue(declared.name("fresh"), max_length=20)]))
        assert "max-length will not hold: an operator's policy says 10, which comes before" in fresh.remarks
    finally:
        declared.places.api(path, "DELETE")


def test_publishers_are_told_apart_from_messages_that_are_pushed_out(declared: Declared) -> None:
    name = declared.places.queue("classic", name=declared.name("q"), x_max_length=("l", 5))
    change = only(declared.declarer().plan([queue(name, overflow="reject-publish")]))
    assert "from now on publishers are refused when it is full, instead of its oldest messages being pushed out" in change.remarks


def test_what_is_declared_in_one_virtual_host_is_not_in_another(declared: Declared) -> None:
    host = declared.name("host")
    declared.places.api(f"vhosts/{host}", "PUT", default_queue_type="quorum")
    try:
        declared.places.api(f"permissions/{host}/guest", "PUT", configure=".*", write=".*", read=".*")
        connection = replace(declared.places.connection, virtual_host=host)
        change = only(declared.apply(queue("orders", max_length=5), connection=connection))
        assert "of type quorum, the default of this virtual host" in change.remarks
        assert [(one.name, dict(one.settings)) for one in declared.declarer(connection).declared()] == [("orders", {"type": "quorum", "max-length": 5})]
        assert [policy["vhost"] for policy in declared.places.api("policies") if policy["name"] == "brokercli:queue:orders"] == [host]
    finally:
        declared.places.api(f"vhosts/{host}", "DELETE")


def test_a_policy_whose_pattern_only_rabbitmq_understands_counts_as_soon_as_the_broker_names_it(declared: Declared) -> None:
    name, theirs = declared.places.queue("classic", name=declared.name("orders")), declared.name("theirs")
    declared.policy(theirs, f"^{declared.prefix}[[:punct:]][[:alpha:]]+$", priority=3, **{"max-length": 100, "message-ttl": 60_000})
    wait_until(lambda: declared.places.api(f"queues/%2F/{name}").get("policy") == theirs, 20, "the policy to be named")
    assert differences(only(declared.apply(queue(name, max_length=50)))) == {"max-length": (100, 50, True)}
    ours = declared.policies()[our_name("queue", name)]
    assert (ours["priority"], ours["definition"]) == (4, {"max-length": 50, "message-ttl": 60_000})


def test_an_argument_that_is_a_setting_is_compared_with_what_holds_whoever_says_it(declared: Declared) -> None:
    name = declared.name("q")
    declared.apply(queue(name, type="classic", message_ttl=1000))
    assert only(declared.declarer().plan([Declaration("queue", name, {"arguments": {"x-message-ttl": 1000}})])).action is Action.UNCHANGED
    change = only(declared.apply(Declaration("queue", name, {"arguments": {"x-message-ttl": 2000}})))
    assert (change.action, differences(change)) == (Action.CHANGE, {"message-ttl": (1000, 2000, True)})
    change = only(declared.declarer().plan([Declaration("queue", name, {"arguments": {"x-max-priority": 3}})]))
    assert (change.action, differences(change)) == (Action.CANNOT, {"max-priority": (None, 3, False)})
