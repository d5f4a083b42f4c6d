"""Settings that go back to RabbitMQ's default: they leave our policy, and what somebody else says is not taken for ours."""

from __future__ import annotations

from brokercli.backends.rabbitmq.policies import our_name
from brokercli.model.declaration import Action, RetrySpecification, Topology
from brokercli.operations.declaring import plan_topology
from tests.backends.rabbitmq_declared import Declared, only
from tests.backends.rabbitmq_places import Places
from tests.backends.test_rabbitmq_declaring import differences, queue


def test_a_setting_that_is_unset_leaves_our_policy_and_the_last_one_takes_the_policy_with_it(declared: Declared) -> None:
    name = declared.name("q")
    declared.apply(queue(name, type="quorum", overflow="reject-publish", max_length=20, dead_letter_exchange=""))
    change = only(declared.apply(queue(name, dead_letter_exchange=None, overflow=None)))
    assert differences(change) == {"dead-letter-exchange": ("", None, True), "overflow": ("reject-publish", "drop-head", True)}
    assert "what dies in it is kept nowhere from now on" in change.remarks
    assert declared.policies()[our_name("queue", name)]["definition"] == {"max-length": 20}
    gone = only(declared.apply(queue(name, max_length=None)))
    assert "has nothing left to say and goes" in gone.remarks[0]
    assert our_name("queue", name) not in declared.policies()
    assert only(declared.declarer().plan([queue(name, max_length=None, overflow=None, delivery_limit=None)])).action is Action.UNCHANGED


def test_what_another_policy_says_is_unset_by_taking_its_place_where_ours_has_something_to_say(declared: Declared) -> None:
    name, theirs = declared.name("q"), declared.name("theirs")
    declared.places.queue("quorum", name=name)
    declared.policy(theirs, f"^{declared.prefix}", "all", 7, **{"max-length": 100})
    change = only(declared.declarer().plan([queue(name, max_length=None)]))
    assert change.action is Action.CANNOT
    assert f"the policy {theirs} says it, which is not brokercli's" in change.differences[0].obstacle
    declared.policy(theirs, f"^{declared.prefix}", "all", 7, **{"max-length": 100, "message-ttl": 1000})
    change = only(declared.apply(queue(name, max_length=None)))
    assert f"it takes the place of the policy {theirs}" in change.remarks[0]
    assert declared.policies()[our_name("queue", name)]["definition"] == {"message-ttl": 1000}
    # ours would go with its last setting, and theirs would hold again
    change = only(declared.declarer().plan([queue(name, message_ttl=None)]))
    assert (change.action, theirs in change.differences[0].obstacle) == (Action.CANNOT, True)


def test_an_argument_cannot_be_unset(declared: Declared) -> None:
    name = declared.name("q")
    declared.places.queue("quorum", name=name, x_max_length=("l", 1000))
    for connection in (declared.places.connection, declared.places.without_management):
        change = only(declared.declarer(connection).plan([queue(name, max_length=None)]))
        assert (change.action, differences(change)) == (Action.CANNOT, {"max-length": (1000, None, False)})
        assert change.differences[0].obstacle.startswith("x-max-length is 1000")


def test_what_cannot_be_seen_is_not_taken_for_unset(declared: Declared) -> None:
    name = declared.name("q")
    declared.apply(queue(name, type="quorum", max_length=20))
    change = only(declared.declarer(declared.places.without_management).plan([queue(name, max_length=None)]))
    assert change.action is Action.CANNOT
    assert "cannot be seen" in change.differences[0].obstacle


def test_what_an_earlier_queue_of_that_name_was_limited_to_does_not_limit_the_new_one(declared: Declared, places: Places) -> None:
    name, theirs = declared.name("q"), declared.policy(declared.name("theirs"), f"^{declared.prefix}", **{"message-ttl": 100_000})
    declared.apply(queue(name, max_length=2, expires=3_600_000))
    ours = our_name("queue", name)
    places.wire.delete_queue(name)
    change = only(declared.apply(queue(name, expires=3_600_000)))
    assert f"what the policy {ours} says of an earlier queue of this name goes: max-length" in change.remarks
    assert declared.policies()[ours]["definition"] == {"message-ttl": 100_000, "expires": 3_600_000}
    places.put("", name, [b"1", b"2", b"3"])
    assert places.counts(name) == (3, 0)
    places.wire.delete_queue(name)
    change = only(declared.apply(queue(name)))
    assert f"what the policy {ours} says of an earlier queue of this name goes: expires" in change.remarks
    assert set(declared.policies()) == {theirs}


def test_what_a_policy_for_many_names_ends_is_said_of_a_new_queue(declared: Declared) -> None:
    source = declared.name("q")
    declared.apply(queue(source))
    declared.policy(declared.name("all"), f"^{declared.prefix}", **{"max-length": 2, "message-ttl": 100_000})
    plan = plan_topology(declared.declarer(), Topology(retries=(RetrySpecification(source, (5_000_000_000,), 2),)))
    said = "a policy that matches its name says as well: message-ttl=100000, max-length=2"
    assert {change.declaration.name for change in plan.changes if said in change.remarks} == {f"{source}.dlq", f"{source}.retry.1.5s"}
    fresh = only(declared.declarer().plan([queue(declared.name("fresh"), max_length=5)]))
    assert [remark for remark in fresh.remarks if "as well" in remark] == []
    assert "takes over what that says (message-ttl)" in " ".join(fresh.remarks)
