"""Streams and consumers declared: what differs is said before it is done, and what nobody named stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.backends.nats.backend import NatsBackend
from brokercli.backends.nats.settings import SETTINGS
from brokercli.model.declaration import Action, Declaration, Form
from brokercli.model.errors import Failed, NotAuthorised, UsageProblem
from tests.backends.nats_declarations import DAY, SECOND, a_consumer, a_stream, apply_all, config, only, told
from tests.backends.nats_letters import wait_for
from tests.backends.nats_streams import Streams


@pytest.fixture
def declarer(streams: Streams) -> Declarer:
    return streams.backend().declarer()


def test_a_stream_that_is_not_there_is_made_as_declared_and_is_unchanged_then(streams: Streams, declarer: Declarer) -> None:
    wanted = a_stream(streams, retention="workqueue", max_age=7 * DAY, max_bytes=64 << 20, max_msgs_per_subject=5, duplicate_window=60 * SECOND,
                      discard="new", deny_delete=True, description="orders", metadata={"team": "sales"}, republish={"src": ">", "dest": "copy.>"})
    change = only(declarer.plan([wanted]))
    assert (change.action, change.differences) == (Action.CREATE, ())
    assert streams.exists(wanted.name) is False
    declarer.apply(change)
    made = config(streams, wanted.name)
    assert {name: made[name] for name in wanted.settings if name != "metadata"} == {k: v for k, v in wanted.settings.items() if k != "metadata"}
    assert made["metadata"]["team"] == "sales"
    assert only(declarer.plan([wanted])).action is Action.UNCHANGED


def test_a_stream_that_exists_as_declared_is_unchanged_however_its_values_are_written(streams: Streams, declarer: Declarer) -> None:
    name = streams.make(subjects=["a.x1", "b.x1"], max_msgs=0, metadata={"team": "sales"})
    same: tuple[dict[str, Any], ...] = (
                     {"subjects": ["b.x1", "a.x1"]}, {"max_msgs": -1}, {"max_msgs": 0}, {"duplicate_window": 0}, {"duplicate_window": 120 * SECOND},
                     {"retention": "limits", "sealed": False, "no_ack": False}, {"metadata": {"team": "sales"}}, {"sources": []}, {"description": ""})
    for settings in same:
        assert only(declarer.plan([Declaration("stream", name, settings)])).action is Action.UNCHANGED, settings


def test_what_differs_is_said_and_only_that_is_changed(streams: Streams, declarer: Declarer) -> None:
    name = streams.make(allow_direct=True, metadata={"team": "sales"}, republish={"src": ">", "dest": "copy.>"}, max_msgs_per_subject=9, deny_purge=True)
    before = config(streams, name)
    change = only(declarer.plan([Declaration("stream", name, {"max_age": 7 * DAY, "discard": "old", "description": "orders"})]))
    assert change.action is Action.CHANGE
    assert [(difference.setting, difference.have, difference.want, difference.obstacle) for difference in change.differences] == [
        ("max_age", 0, 7 * DAY, ""), ("description", None, "orders", "")]
    assert config(streams, name) == before
    declarer.apply(change)
    assert config(streams, name) == before | {"max_age": 7 * DAY, "description": "orders"}


def test_what_is_unset_is_as_a_new_stream_has_it(streams: Streams, declarer: Declarer) -> None:
    name = streams.make(subjects=[f"other.{streams.name().lower()}.>"], max_age=3600 * 10**9, duplicate_window=10 * 10**9, max_msgs=5)
    unset = Declaration("stream", name, dict.fromkeys(("subjects", "max_age", "duplicate_window", "max_msgs", "metadata")))
    change = only(declarer.plan([unset]))
    assert {one.setting: one.want for one in change.differences} == {"subjects": [name], "max_age": 0, "duplicate_window": 120 * 10**9, "max_msgs": -1}
    declarer.apply(change)
    assert only(declarer.plan([unset])).action is Action.UNCHANGED
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    assert (config["subjects"], config.get("max_age", 0), config["max_msgs"]) == ([name], 0, -1)


def test_a_filter_that_is_unset_lets_everything_through(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    streams.worker(name, filter_subject=f"{name.lower()}.a", max_deliver=3)
    unset = a_consumer(name, filter_subject=None, max_deliver=None, priority_policy=None)
    declarer.apply(only(declarer.plan([unset])))
    assert only(declarer.plan([unset])).action is Action.UNCHANGED
    assert "filter_subject" not in streams.api(f"CONSUMER.INFO.{name}.worker")["config"]


def test_metadata_that_is_named_replaces_ours_and_leaves_the_servers(streams: Streams, declarer: Declarer) -> None:
    name = streams.make(metadata={"team": "sales", "old": "yes"})
    servers = {key: value for key, value in config(streams, name)["metadata"].items() if key.startswith("_nats.")}
    assert servers
    change = only(apply_all(declarer, Declaration("stream", name, {"metadata": {"team": "orders"}})))
    assert change.differences[0].have == {"team": "sales", "old": "yes"}
    assert config(streams, name)["metadata"] == servers | {"team": "orders"}


@pytest.mark.parametrize(("there", "wanted", "why"), [
    ({}, {"storage": "memory"}, "does not move a stream's messages"),
    ({}, {"retention": "workqueue"}, "never becomes one"),
    ({"retention": "workqueue"}, {"retention": "limits"}, "stays one"),
    ({"deny_delete": True}, {"deny_delete": False}, "cannot be taken back"),
    ({"allow_msg_ttl": True}, {"allow_msg_ttl": False}, "cannot be taken back"),
    ({"sealed": False}, {"allow_msg_counter": True}, "from its first message"),
    ({}, {"first_seq": 100}, "only when the stream is made"),
    ({}, {"num_replicas": 3}, "needs a cluster"),
])
def test_what_cannot_be_changed_is_said_before_the_server_says_it(streams: Streams, declarer: Declarer, there: dict[str, Any], wanted: dict[str, Any],
                                                                  why: str) -> None:
    name = streams.make(**there)
    before = config(streams, name)
    change = only(declarer.plan([Declaration("stream", name, wanted)]))
    assert change.action is Action.CANNOT
    assert why in told(change)
    with pytest.raises(UsageProblem):
        declarer.apply(change)
    assert config(streams, name) == before


@pytest.mark.parametrize(("there", "wanted"), [({"retention": "interest"}, {"retention": "limits"}), ({"deny_delete": False}, {"deny_delete": True}),
                                               ({}, {"compression": "s2"}), ({}, {"allow_atomic": True}), ({"discard": "new"}, {"discard": "old"}),
                                               ({}, {"allow_msg_ttl": True, "subject_delete_marker_ttl": SECOND}), ({}, {"max_consumers": 3})])
def test_what_the_server_can_change_is_changed(streams: Streams, declarer: Declarer, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    name = streams.make(**there)
    assert only(apply_all(declarer, Declaration("stream", name, wanted))).action is Action.CHANGE
    assert {key: config(streams, name)[key] for key in wanted} == wanted


def test_a_sealed_stream_cannot_be_changed_at_all(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    streams.api(f"STREAM.UPDATE.{name}", **config(streams, name) | {"sealed": True})
    change = only(declarer.plan([Declaration("stream", name, {"description": "x"})]))
    assert change.action is Action.CANNOT
    assert "sealed" in told(change)


def test_a_shorter_age_takes_the_window_of_ids_with_it_and_says_so(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"old"])
    change = only(apply_all(declarer, Declaration("stream", name, {"max_age": SECOND})))
    assert [(difference.setting, difference.want) for difference in change.differences] == [("max_age", SECOND), ("duplicate_window", SECOND)]
    assert "repeat that comes later is stored again" in told(change)
    assert only(declarer.plan([change.declaration])).action is Action.UNCHANGED


def test_messages_that_a_change_deletes_are_counted_first(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    streams.fill(f"{name.lower()}.a", [b"%d" % number for number in range(10)])
    assert "the oldest 7 of its 10 messages are deleted at once" in told(only(declarer.plan([Declaration("stream", name, {"max_msgs": 3})])))
    assert "bytes: its oldest messages are deleted" in told(only(declarer.plan([Declaration("stream", name, {"max_bytes": 100})])))
    assert "the older ones are deleted" in told(only(declarer.plan([Declaration("stream", name, {"max_msgs_per_subject": 2})])))
    assert "no longer captures" in told(only(declarer.plan([Declaration("stream", name, {"subjects": [f"{name.lower()}.b"]})])))
    assert streams.state(name)["messages"] == 10


def test_subjects_of_another_stream_are_refused_with_its_name(streams: Streams, declarer: Declarer) -> None:
    other = streams.make()
    wanted = a_stream(streams, subjects=[f"{other.lower()}.created"])
    change = only(declarer.plan([wanted]))
    assert change.action is Action.CANNOT
    assert f"stream {other} captures {other.lower()}.> already" in told(change)


@pytest.mark.parametrize(("there", "wanted", "why"), [
    (None, {"sealed": True}, "not when it is made"),
    (None, {"discard_new_per_subject": True, "discard": "new"}, "needs discard=new and a max_msgs_per_subject"),
    ({"max_msgs_per_subject": 3}, {"discard_new_per_subject": True}, "needs discard=new"),
    ({"deny_purge": True}, {"allow_rollup_hdrs": True}, "exclude each other"),
    ({}, {"mirror_direct": True}, "only a mirror"),
    (None, {"allow_msg_counter": True, "retention": "workqueue"}, "a stream that counts (allow_msg_counter) has retention=limits"),
    (None, {"allow_msg_counter": True, "discard": "new"}, "has discard=old"),
    (None, {"allow_msg_counter": True, "allow_msg_ttl": True}, "has allow_msg_ttl=false"),
    ({"allow_msg_counter": True}, {"allow_msg_schedules": True}, "has allow_msg_schedules=false"),
    (None, {"allow_atomic": True, "persist_mode": "async"}, "allow_atomic and persist_mode=async exclude each other"),
    ({"persist_mode": "async"}, {"allow_atomic": True}, "allow_atomic and persist_mode=async exclude each other"),
    (None, {"storage": "memory", "persist_mode": "async"}, "async is for streams that lie in files"),
    (None, {"subjects": [], "mirror": {"name": "X"}, "allow_msg_counter": True}, "a mirror cannot have "),
    (None, {"subjects": [], "mirror": {"name": "X"}, "first_seq": 5}, "a mirror cannot have "),
])
def test_what_the_server_would_refuse_together_is_said_first(streams: Streams, declarer: Declarer, there: dict[str, Any] | None, wanted: dict[str, Any],
                                                             why: str) -> None:
    declaration = a_stream(streams, **wanted) if there is None else Declaration("stream", streams.make(**there), wanted)
    change = only(declarer.plan([declaration]))
    assert change.action is Action.CANNOT
    assert why in told(change)


def test_what_a_server_refuses_all_the_same_is_told_in_its_words_and_nothing_is_there(streams: Streams, declarer: Declarer) -> None:
    wanted = a_stream(streams, max_bytes=1 << 60)  # more than the server has: it tells nobody how much that is
    with pytest.raises(Failed, match=r"NATS refused it: .*has no room for so much in files.* \(insufficient storage resources available, NATS error 10047\)"):
        declarer.apply(only(declarer.plan([wanted])))
    assert streams.exists(wanted.name) is False


def test_subjects_move_from_one_stream_to_another_in_one_plan(streams: Streams, declarer: Declarer) -> None:
    old = streams.make()
    low = old.lower()
    new = a_stream(streams, subjects=[f"{low}.b.>"])
    planned = apply_all(declarer, new, Declaration("stream", old, {"subjects": [f"{low}.a.>"]}))
    assert [change.declaration.name for change in planned] == [old, new.name]
    assert config(streams, old)["subjects"] == [f"{low}.a.>"]
    assert config(streams, new.name)["subjects"] == [f"{low}.b.>"]


def test_a_mirror_comes_behind_what_it_copies_and_consumers_behind_their_streams(streams: Streams, declarer: Declarer) -> None:
    home = a_stream(streams)
    mirror = Declaration("stream", streams.name(), {"mirror": {"name": home.name}})
    worker = a_consumer(home.name, filter_subject=f"{home.name.lower()}.a")
    planned = apply_all(declarer, worker, mirror, home)
    assert [change.declaration for change in planned] == [home, mirror, worker]
    assert {change.action for change in declarer.plan([worker, mirror, home])} == {Action.UNCHANGED}


def test_copying_from_a_work_queue_says_that_it_empties_it_and_from_nothing_that_it_copies_nothing(streams: Streams, declarer: Declarer) -> None:
    home, plain = streams.make("workqueue"), streams.make()
    streams.fill(f"{home.lower()}.a", [b"1", b"2"])
    change = only(declarer.plan([Declaration("stream", streams.name(), {"mirror": {"name": home}})]))
    assert f"stream {home} is a work queue: what is copied counts as done there" in told(change)
    declarer.apply(change)
    # what is said is what the server does
    wait_for(lambda: streams.state(home)["messages"] == 0 and streams.state(change.declaration.name)["messages"] == 2)
    assert "no stream NOSUCH" in told(only(declarer.plan([Declaration("stream", plain, {"sources": [{"name": "NOSUCH"}, {"name": change.declaration.name}]})])))
    assert "copied" not in told(only(declarer.plan([Declaration("stream", streams.name(), {"mirror": {"name": plain}})])))


def test_what_no_jetstream_could_have_is_refused_before_it_is_asked(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    one, two = a_stream(streams), a_stream(streams)
    for wanted, why in (
            ([a_consumer("NOSUCH")], "no stream NOSUCH, and none is declared"),
            ([Declaration("stream", name, {"max_age": DAY}), Declaration("stream", name, {"max_age": SECOND})], "declared twice"),
            ([one, Declaration("stream", two.name, {"subjects": one.settings["subjects"]})], "would both capture"),
            ([a_stream(streams, subjects=["a.>", "a.b"])], "overlap"),
            ([a_stream(streams, subjects=["a..b"])], "empty token"),
            ([a_stream(streams, subjects=[])], "goes without subjects"),
            ([Declaration("stream", "a.b")], "no stream name"),
            ([Declaration("consumer", name)], "STREAM/NAME"),
            ([a_consumer(name, "a.b")], "no consumer name"),
            ([a_consumer(name, backoff=[1, 2], max_deliver=1)], "2 waits in backoff and only 1 delivery"),
            ([a_consumer(name, max_deliver=0)], "for ever"),
            ([a_consumer(name, backoff=[SECOND], ack_wait=5 * SECOND)], "takes its first wait"),
            ([a_consumer(name, filter_subject="a", filter_subjects=["b"])], "exclude each other"),
            ([a_consumer(name, deliver_policy="by_start_sequence")], "belong together"),
            ([a_consumer(name, filter_subjects=["a.b", "a.>"])], "filter_subjects a.b and a.> overlap"),
            ([a_consumer(name, deliver_subject="out.*")], "delivers to one subject"),
            ([a_consumer(name, deliver_subject="two words")], "no NATS subject"),
            ([a_consumer(name, deliver_subject="out", idle_heartbeat=SECOND // 100)], "shorter than 100ms"),
            ([a_stream(streams, republish={"dest": "copy.>"})], "republish needs src and dest"),
            ([a_stream(streams, duplicate_window=SECOND // 100)], "shorter than 100ms"),
            ([a_stream(streams, subject_delete_marker_ttl=SECOND // 2)], "shorter than 1s"),
            ([a_stream(streams, republish={"source": "a"})], "no field 'source'"),
            ([Declaration("stream", name, {"mirror": {"name": "two words"}})], "'two words' is no stream name"),
            ([Declaration("stream", name, {"sources": [{"name": "ORDERS"}, {"filter_subject": "a"}]})], "sources names no stream"),
            ([Declaration("stream", name, {"mirror": {"name": "ORDERS", "filter_subject": "a..b"}})], "empty token"),
            ([a_stream(streams, num_replicas=7)], "1 to 5"),
            ([a_stream(streams, subject_delete_marker_ttl=SECOND, allow_msg_ttl=False)], "needs allow_msg_ttl=true"),
            ([a_stream(streams, allow_msg_schedules=True, deny_purge=True)], "needs deny_purge=false"),
            ([a_stream(streams, max_age=SECOND // 100)], "shorter than 100ms"),
            ([Declaration("stream", name, {"max_agee": 1})], "no setting"),
            ([Declaration("topic", "orders")], "no topic")):
        with pytest.raises(UsageProblem, match=why):
            declarer.plan(wanted)


def test_what_changed_since_the_plan_is_not_overwritten(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    change = only(declarer.plan([Declaration("stream", name, {"max_age": 7 * DAY})]))
    streams.api(f"STREAM.UPDATE.{name}", **config(streams, name) | {"max_age": DAY})
    with pytest.raises(Failed, match="max_age was changed since"):
        declarer.apply(change)
    assert config(streams, name)["max_age"] == DAY


def test_what_came_since_the_plan_is_not_overwritten(streams: Streams, declarer: Declarer) -> None:
    wanted = a_stream(streams)
    change = only(declarer.plan([wanted]))
    streams.api(f"STREAM.CREATE.{wanted.name}", name=wanted.name, subjects=["others.x"])
    with pytest.raises(Failed, match="has come since"):
        declarer.apply(change)
    assert config(streams, wanted.name)["subjects"] == ["others.x"]


def test_what_there_is_plans_to_unchanged(streams: Streams, declarer: Declarer) -> None:
    plain = streams.make()
    full = streams.make("interest", max_age=DAY, duplicate_window=SECOND, max_msgs=7, compression="s2", deny_purge=True, metadata={"a": "b"},
                        consumer_limits={"max_ack_pending": 10}, subject_transform={"src": ">", "dest": "x.>"})
    mirror = streams.make(subjects=[], mirror={"name": plain})
    filled = streams.make(subjects=[], sources=[{"name": plain, "opt_start_time": "2026-01-01T00:00:00+01:00"}, {"name": full}])
    short = streams.make(max_age=30 * SECOND)
    streams.worker(full, "w", backoff=[SECOND, 2 * SECOND], max_deliver=3, filter_subjects=[f"{full.lower()}.a", f"{full.lower()}.b"], max_ack_pending=5)
    streams.worker(plain, "pushed", deliver_subject="a.b", flow_control=True, idle_heartbeat=SECOND, ack_policy="none", deliver_policy="by_start_time",
                   opt_start_time="2026-01-01T00:00:00Z")
    streams.api(f"CONSUMER.CREATE.{plain}.passing", stream_name=plain, config={"name": "passing", "ack_policy": "explicit"})
    mine = {plain, full, mirror, filled, short}
    found = [declaration for declaration in declarer.declared() if declaration.name.partition("/")[0] in mine]
    assert {declaration.name for declaration in found} == mine | {f"{full}/w", f"{plain}/pushed"}
    by_name = {declaration.name: declaration.settings for declaration in found}
    assert by_name[plain] == {"subjects": [f"{plain.lower()}.>"], "allow_direct": True}
    assert by_name[short] == {"subjects": [f"{short.lower()}.>"], "allow_direct": True, "max_age": 30 * SECOND}
    assert "ack_wait" not in by_name[f"{full}/w"]
    planned = declarer.plan(found)
    assert {change.action for change in planned} == {Action.UNCHANGED}, [change for change in planned if change.action is not Action.UNCHANGED]


def test_what_there_is_can_be_made_again_elsewhere(streams: Streams, declarer: Declarer) -> None:
    """Everything that `declared` says can be created: the server takes it as it is."""
    name = streams.make("workqueue", max_age=DAY, metadata={"a": "b"}, max_msgs_per_subject=3)
    streams.worker(name, "w", backoff=[SECOND], max_deliver=3)
    found = [declaration for declaration in declarer.declared() if declaration.name.partition("/")[0] == name]
    before = config(streams, name), config(streams, name, "w")
    streams.api(f"STREAM.DELETE.{name}")
    assert [change.action for change in apply_all(declarer, *found)] == [Action.CREATE, Action.CREATE]
    assert (config(streams, name), config(streams, name, "w")) == before


def test_removal_says_what_goes_with_it_and_takes_consumers_first(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    mirror = streams.make(subjects=[], mirror={"name": name})
    streams.fill(f"{name.lower()}.a", [b"1", b"2"])
    streams.worker(name, "one")
    streams.worker(name, "two")
    stream = Declaration("stream", name)
    planned = declarer.plan_removal([stream, a_consumer(name, "one"), Declaration("stream", "NOSUCH"), a_consumer(name, "nosuch")])
    assert [change.declaration for change in planned] == [a_consumer(name, "one"), stream]
    assert {change.action for change in planned} == {Action.DELETE}
    assert "its position goes: it has 2 messages left" in told(planned[0])
    assert "2 messages" in told(planned[1])
    assert "its consumer two goes with it" in told(planned[1])
    assert f"{mirror} gets nothing from it any more" in told(planned[1])
    for change in planned:
        declarer.apply(change)
    assert streams.exists(name) is False
    assert declarer.plan_removal([stream]) == []


def test_a_stream_that_was_empty_when_its_removal_was_planned_is_not_deleted_with_messages_in_it(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    change = only(declarer.plan_removal([Declaration("stream", name)]))
    streams.fill(f"{name.lower()}.a", [b"1"])
    with pytest.raises(Failed, match="holds 1 message now"):
        declarer.apply(change)
    assert streams.state(name)["messages"] == 1


def test_a_stream_made_anew_since_the_plan_is_another_one(streams: Streams, declarer: Declarer) -> None:
    name = streams.make()
    change = only(declarer.plan_removal([Declaration("stream", name)]))
    streams.api(f"STREAM.DELETE.{name}")
    streams.api(f"STREAM.CREATE.{name}", name=name, subjects=[f"{name.lower()}.>"])
    with pytest.raises(Failed, match="made anew since"):
        declarer.apply(change)
    assert streams.exists(name) is True


def test_who_may_only_look_gets_a_plan_with_what_it_could_not_see_and_changes_nothing(administered: Streams, who_looks: NatsBackend) -> None:
    name = administered.make()
    administered.worker(name)
    declarer = who_looks.declarer()
    change, fresh = declarer.plan([Declaration("stream", name, {"max_age": DAY}), a_stream(administered)])
    assert (change.action, fresh.action) == (Action.CHANGE, Action.CREATE)
    assert "other streams capture the same subjects" in " ".join(declarer.notes)
    for planned in (change, fresh):
        with pytest.raises(NotAuthorised, match="'looks' is not permitted to publish"):
            declarer.apply(planned)
    assert config(administered, name)["max_age"] == 0
    assert only(declarer.plan([a_consumer(name, max_deliver=3)])).action is Action.CHANGE
    assert f"other consumers of {name} are in the way" in " ".join(declarer.notes)
    removal = only(declarer.plan_removal([a_consumer(name)]))
    with pytest.raises(NotAuthorised, match=r"CONSUMER\.DELETE"):
        declarer.apply(removal)
    assert administered.consumers(name) == ["worker"]
    with pytest.raises(NotAuthorised, match=r"STREAM\.LIST"):
        list(declarer.declared())


def test_durations_count_nanoseconds_and_nothing_is_named_twice() -> None:
    for settings in SETTINGS.values():
        assert len({setting.name for setting in settings}) == len(settings)
        assert {setting.unit for setting in settings if Form.DURATION in (setting.form, setting.items)} == {1}


@pytest.mark.parametrize(("settings", "words"), [
    ({"consumer_limits": {"inactive_threshold": "5s"}}, 'inactive_threshold of consumer_limits is a whole number, of nanoseconds, and "5s" is not'),
    ({"metadata": {"owner": 5}}, "owner of metadata is a text, and 5 is not"),
    ({"placement": {"tags": "ssd"}}, 'tags of placement is a list, and "ssd" is not'),
    ({"republish": {"src": ">", "dest": "copy.>", "headers_only": "yes"}}, "headers_only of republish is true or false"),
    ({"sources": [{"name": "ORDERS", "opt_start_seq": True}]}, "opt_start_seq of sources is a whole number"),
    ({"mirror": {"name": 5}}, "name of mirror is a text")])
def test_what_no_field_of_a_table_can_be_is_refused_before_anything_is_made(streams: Streams, declarer: Declarer, settings: dict[str, Any],
                                                                            words: str) -> None:
    before = a_stream(streams)
    with pytest.raises(UsageProblem) as refusal:
        declarer.plan([before, Declaration("stream", streams.name(), settings)])
    assert words in str(refusal.value)
