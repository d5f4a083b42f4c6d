"""What a server would refuse of a declaration is said by its plan, in the words of the setting; and each is something that the server does refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.backends.nats import declaring
from brokercli.model.declaration import Action, Change, Declaration
from brokercli.model.errors import Failed, UsageProblem
from brokercli.model.exit_code import ExitCode
from tests.backends.nats_declarations import SECOND, a_consumer, a_stream, apply_all, config, only, told
from tests.backends.nats_streams import Streams


@pytest.fixture
def declarer(streams: Streams) -> Declarer:
    return streams.backend().declarer()


def why_not(declarer: Declarer, *wanted: Declaration) -> str:
    """Return what a plan says against the last of them."""
    try:
        change = declarer.plan(wanted)[-1]
    except UsageProblem as problem:
        return str(problem)
    assert change.action is Action.CANNOT, change
    return told(change)


def refused(streams: Streams, operation: str, asked: dict[str, Any], **question: Any) -> bool:
    """Whether the server refuses it, or makes another thing of it without a word."""
    answer = json.loads(streams.wire.ask(f"$JS.API.{operation}", json.dumps({**question, "config": asked} if question else asked).encode()))
    made = answer.get("config", {})
    return "error" in answer or any(made.get(name) != value for name, value in asked.items())


LONG = "x" * 5000


@pytest.mark.parametrize(("settings", "why"), [
    ({"republish": {"src": ">", "dest": "LOW.>"}}, "would be stored again, for the stream captures LOW.>"),
    ({"republish": {"src": "LOW.>", "dest": "LOW.again.>"}}, "would be stored again"),
    ({"republish": {"src": "LOW.>", "dest": "copy"}}, "> is the last token of src and of dest, or of neither"),
    ({"republish": {"src": "LOW.*", "dest": "copy.*"}}, "what a * of src stood for is written {{wildcard(1)}}"),
    ({"republish": {"src": "LOW.>", "dest": "copy.>.x"}}, "is no subject"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{wildcard(2)}}"}}, "{{wildcard(2)}} in its dest is about a * that its src 'LOW.*' has not"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.$2"}}, "$2 in its dest is about a *"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{upper(1)}}"}}, "{{upper(1)}} in its dest is none of the functions that a server knows: wildcard"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{wildcard()}}"}}, "says no number of a * of src"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{wildcard(1,2)}}"}}, "{{wildcard(1,2)}} in its dest wants 1 argument (which * of src) and has 2"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{WILDCARD(1)}}"}}, "{{WILDCARD(1)}} in its dest is none of the functions"),
    ({"subject_transform": {"src": "LOW.>", "dest": "t.{{wildcard(1)}}.>"}}, "is about a * that its src 'LOW.>' has not"),
    ({"subject_transform": {"src": "LOW.a", "dest": "t.{{wildcard(0)}}"}}, "is about a * that its src 'LOW.a' has not"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{partition(few,1)}}"}}, "wants a whole number up to 2,147,483,647, and 'few' is none"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{partition()}}"}}, "wants a whole number"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{SplitFromLeft(1)}}"}}, "wants 2 arguments (which * of src, a whole number) and has 1"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{left(1,x)}}"}}, "wants a whole number"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{split(1,a b)}}"}}, "cannot split at what holds a space"),
    ({"subject_transform": {"src": "LOW.*", "dest": "t.{{random(2147483648)}}"}}, "wants a whole number"),
    ({"republish": {"src": "LOW.*", "dest": "t.{{SplitFromLeft(9,1)}}"}}, "is about a * that its src 'LOW.*' has not"),
    ({"sources": [{"name": "X", "subject_transforms": [{"src": "x.*", "dest": "t.{{slicefromright(1,2,3)}}"}]}]}, "wants 2 arguments"),
    ({"subject_transform": {"src": "LOW. x", "dest": "t"}}, "is no subject"),
    ({"subjects": ["$JS.API.CONSUMER.>"]}, "captures subjects of the server's own ($JS.>)"),
    ({"subjects": ["$SYS.>"]}, "captures subjects of the server's own ($SYS.>)"),
    ({"duplicate_window": -1}, "duplicate_window cannot be shorter than 100ms"),
    ({"subject_delete_marker_ttl": -1}, "subject_delete_marker_ttl cannot be shorter than 1s"),
    ({"first_seq": -1}, "first_seq cannot be negative"),
    ({"max_msg_size": 3 << 30}, "max_msg_size cannot be more than"),
    ({"max_msgs": 1 << 63}, "max_msgs cannot be more than"),
    ({"description": LONG}, "longer than 4,096 bytes"),
    ({"metadata": {"much": LONG * 40}}, "more than 131,072 bytes"),
    ({"placement": {"preferred": "tests"}}, "placement has no field 'preferred'"),
    ({"sources": [{"name": "X"}], "allow_msg_schedules": True}, "publishes nothing later"),
    ({"discard": "new", "allow_msg_schedules": True}, "needs discard=old")])
def test_what_no_server_makes_of_a_stream_is_said_by_its_plan(streams: Streams, declarer: Declarer, settings: dict[str, Any], why: str) -> None:
    name = streams.name()
    written = json.loads(json.dumps(settings).replace("LOW", name.lower()))
    wanted = {"subjects": [f"{name.lower()}.>"], **written}
    assert why.replace("LOW", name.lower()) in why_not(declarer, Declaration("stream", name, wanted))
    assert refused(streams, f"STREAM.CREATE.{name}", {"name": name, **wanted})


@pytest.mark.parametrize("dest", [
    "t.{{Wildcard(1)}}", "t.{{wildcard( 2 )}}", "t.{{partition(3)}}", "t.{{Partition(3, 1,2)}}", "t.{{split(1,-)}}", "t.{{splitFromleft(1,2)}}",
    "t.{{SliceFromRight(2,1)}}", "t.{{left(1,2)}}", "t.{{Right(1,2)}}", "t.{{random(10)}}", "t.$2.$1"])
def test_what_a_server_takes_of_a_transform_is_not_refused(streams: Streams, declarer: Declarer, dest: str) -> None:
    name = streams.name()
    rewriting = {"src": f"{name.lower()}.*.*", "dest": dest}
    apply_all(declarer, Declaration("stream", name, {"subjects": [f"{name.lower()}.>"], "subject_transform": rewriting}))
    assert config(streams, name)["subject_transform"] == rewriting


@pytest.mark.parametrize(("origin", "why"), [
    ({"name": "MYSELF"}, "mirror names the stream itself"),
    ({"name": "X", "opt_start_time": "2026-11-28"}, "opt_start_time of mirror is a time with its zone"),
    ({"name": "X", "opt_start_seq": -5}, "opt_start_seq of mirror cannot be negative"),
    ({"name": "X", "filter_subject": "x.a", "subject_transforms": [{"src": "x.>", "dest": "y.>"}]}, "leave filter_subject out"),
    ({"name": "X", "subject_transforms": [{"src": "x.*", "dest": "y.{{upper(1)}}"}]}, "subject_transforms of mirror cannot rewrite subjects so"),
    ({"name": "X", "subject_transforms": [{"src": "x.>", "dest": "y.>"}, {"src": "x.a", "dest": "z"}]}, "src x.> and x.a in subject_transforms"),
    ({"name": "X", "external": {"api": "$JS.API"}}, "the api of external in mirror")])
def test_what_no_server_mirrors_is_said_by_the_plan(streams: Streams, declarer: Declarer, origin: dict[str, Any], why: str) -> None:
    name = streams.name()
    settings = {"mirror": json.loads(json.dumps(origin).replace("MYSELF", name))}
    with pytest.raises(UsageProblem) as problem:
        declarer.plan([Declaration("stream", name, settings)])
    assert why in f"{problem.value} {problem.value.hint}"
    assert refused(streams, f"STREAM.CREATE.{name}", {"name": name, **settings})


@pytest.mark.parametrize(("there", "wanted", "why"), [
    ({"deny_purge": True}, {"allow_msg_schedules": True}, "deny_purge refuses that"),
    ({"deny_purge": True}, {"subject_delete_marker_ttl": SECOND}, "deny_purge refuses that"),
    ({"allow_msg_schedules": True}, {"allow_rollup_hdrs": False}, "allow_msg_schedules needs it"),
    ({"allow_msg_schedules": True}, {"discard": "new"}, "needs discard=old"),
    ({"allow_msg_schedules": True}, {"sources": [{"name": "X"}]}, "publishes nothing later"),
    ({"allow_msg_counter": True}, {"subject_delete_marker_ttl": SECOND}, "has subject_delete_marker_ttl=0"),
    ({"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 5}, {"discard": "old"}, "discard_new_per_subject needs discard=new"),
    ({"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 5}, {"max_msgs_per_subject": -1}, "needs discard=new and a max_msgs"),
    ({"subjects": [], "mirror": {"name": "X"}}, {"subjects": ["a.mirror.has.none"]}, "a mirror cannot have subjects"),
    ({"subjects": [], "mirror": {"name": "X"}}, {"sources": [{"name": "Y"}]}, "a mirror cannot have sources")])
def test_what_a_stream_has_already_excludes_what_is_asked_of_it(streams: Streams, declarer: Declarer, there: dict[str, Any], wanted: dict[str, Any],
                                                               why: str) -> None:
    name = streams.make(**there)
    before = streams.api(f"STREAM.INFO.{name}")["config"]
    assert why in why_not(declarer, Declaration("stream", name, wanted))
    assert refused(streams, f"STREAM.UPDATE.{name}", {**before, **wanted})


@pytest.mark.parametrize(("limits", "why"), [
    ({"max_ack_pending": 10}, "max_ack_pending of eager (500), usual (1,000) is over 10: change those first"),
    ({"max_ack_pending": 600, "inactive_threshold": 60 * SECOND}, "max_ack_pending of usual (1,000) is over 600: change it first"),
    ({"inactive_threshold": SECOND}, "inactive_threshold of eager (5,000,000,000) is over 1,000,000,000: change it first")])
def test_a_stream_sets_no_limits_that_its_consumers_are_over(streams: Streams, declarer: Declarer, limits: dict[str, Any], why: str) -> None:
    name = streams.make()
    apply_all(declarer, a_consumer(name, "eager", max_ack_pending=500, inactive_threshold=5 * SECOND), a_consumer(name, "usual"))
    wanted = Declaration("stream", name, {"consumer_limits": limits})
    assert why in why_not(declarer, wanted)
    assert refused(streams, f"STREAM.UPDATE.{name}", {**config(streams, name), "consumer_limits": limits})
    apply_all(declarer, Declaration("stream", name, {"consumer_limits": {"max_ack_pending": 1000, "inactive_threshold": 5 * SECOND}}))


def test_streams_that_are_filled_from_each_other_are_refused_where_the_server_refuses_them(streams: Streams, declarer: Declarer) -> None:
    one, two = a_stream(streams), a_stream(streams)
    circle = [Declaration("stream", this.name, {**this.settings, "sources": [{"name": other.name}]}) for this, other in ((one, two), (two, one))]
    assert {change.action for change in declarer.plan(circle)} == {Action.CANNOT}
    apply_all(declarer, circle[0])
    assert f"{one.name} is filled from this stream" in why_not(declarer, circle[1])
    assert refused(streams, f"STREAM.CREATE.{two.name}", {"name": two.name, **circle[1].settings})
    declarer.apply(only(declarer.plan_removal([circle[0]])))
    # what the filters let through is no circle
    each = [Declaration("stream", this.name, {**this.settings, "sources": [{"name": other.name, "filter_subject": f"{other.name.lower()}.>"}]})
            for this, other in ((one, two), (two, one))]
    assert {change.action for change in apply_all(declarer, *each)} == {Action.CREATE}


def test_how_a_mirror_answers_directly_is_its_origins_to_say(streams: Streams, declarer: Declarer) -> None:
    home = streams.make(allow_direct=False)
    mirror = Declaration("stream", streams.name(), {"mirror": {"name": home}, "mirror_direct": True})
    assert f"the server takes it from allow_direct of {home}, which is false" in why_not(declarer, mirror)
    apply_all(declarer, Declaration("stream", home, {"allow_direct": True}), mirror)
    assert only(declarer.plan([mirror])).action is Action.UNCHANGED


def test_a_stream_that_is_as_declared_is_unchanged_also_where_it_could_not_be_made_so_any_more(streams: Streams, declarer: Declarer) -> None:
    home = streams.make(allow_direct=True)
    mirror = Declaration("stream", streams.name(), {"mirror": {"name": home}, "mirror_direct": True})
    apply_all(declarer, mirror)
    apply_all(declarer, Declaration("stream", home, {"allow_direct": False}))
    assert only(declarer.plan([mirror])).action is Action.UNCHANGED
    assert only(declarer.plan([one for one in declarer.declared(["stream"]) if one.name == mirror.name])).action is Action.UNCHANGED


def test_a_stream_that_is_filled_from_others_remembers_no_ids_unless_it_is_declared_to(streams: Streams, declarer: Declarer) -> None:
    origin = streams.make()
    filled = a_stream(streams, sources=[{"name": origin}])
    change = only(apply_all(declarer, filled))
    assert "it remembers no message ids" in told(change)
    assert not config(streams, filled.name).get("duplicate_window")
    found = next(one for one in declarer.declared(["stream"]) if one.name == filled.name)
    assert "duplicate_window" not in found.settings
    windowed = Declaration("stream", filled.name, {"duplicate_window": 120 * SECOND})
    change = only(apply_all(declarer, windowed))
    assert [(one.have, one.want) for one in change.differences] == [(0, 120 * SECOND)]
    assert config(streams, filled.name)["duplicate_window"] == 120 * SECOND
    for same in (windowed, next(one for one in declarer.declared(["stream"]) if one.name == filled.name)):
        assert only(declarer.plan([same])).action is Action.UNCHANGED
    # where it is told to, or nobody publishes to it, there is nothing to say
    for settings in ({"duplicate_window": SECOND}, {"subjects": []}):
        assert "message ids" not in told(only(declarer.plan([a_stream(streams, sources=[{"name": origin}], **settings)])))


def test_a_copy_that_takes_smaller_messages_than_its_origin_is_refused(streams: Streams, declarer: Declarer) -> None:
    home, name = streams.make(max_msg_size=5000), streams.name()
    assert f"{home}, which it copies, takes messages of 5,000 bytes" in why_not(
        declarer, Declaration("stream", name, {"mirror": {"name": home}, "max_msg_size": 100}))
    assert refused(streams, f"STREAM.CREATE.{name}", {"name": name, "mirror": {"name": home}, "max_msg_size": 100})


PUSHED: dict[str, Any] = {"deliver_subject": "out.x"}
FLOWING = {**PUSHED, "ack_policy": "flow_control", "flow_control": True, "idle_heartbeat": SECOND}


@pytest.mark.parametrize(("settings", "why"), [
    ({"sample_freq": "often"}, "sample_freq is a percentage"),
    ({"sample_freq": "1.5%"}, "sample_freq is a percentage"),
    ({"num_replicas": 3}, "no more replicas than its stream, which has 1"),
    ({"ack_wait": -1}, "ack_wait cannot be negative"),
    ({"backoff": [-SECOND], "max_deliver": 3}, "a wait in backoff cannot be negative"),
    ({"deliver_policy": "by_start_time", "opt_start_time": "yesterday"}, "opt_start_time is a time with its zone"),
    ({"deliver_policy": "by_start_time", "opt_start_time": "2026-11-28"}, "opt_start_time is a time with its zone"),
    ({"deliver_policy": "by_start_sequence", "opt_start_seq": -5}, "opt_start_seq cannot be negative"),
    ({"inactive_threshold": -1}, "inactive_threshold cannot be negative"),
    ({"max_waiting": -1}, "max_waiting cannot be negative"),
    ({"max_batch": -1}, "max_batch cannot be negative"),
    ({"max_bytes": -1}, "max_bytes cannot be negative"),
    ({"max_expires": 1}, "max_expires cannot be shorter than 1ms"),
    ({"max_ack_pending": -5}, "max_ack_pending cannot be -5"),
    ({"priority_groups": ["two words"], "priority_policy": "overflow"}, "no name for one of its priority_groups"),
    ({"deliver_subject": "LOW.out"}, "would be stored again, for the stream captures LOW.>"),
    ({**PUSHED, "ack_policy": "none", "max_ack_pending": 5}, "nothing waits for an acknowledgement"),
    ({**FLOWING, "max_deliver": 5}, "delivers nothing again"),
    ({**FLOWING, "ack_wait": SECOND}, "delivers nothing again"),
    ({**FLOWING, "idle_heartbeat": 5 * SECOND}, "has one of 1s"),
    ({**FLOWING, "max_ack_pending": -1}, "needs a limit"),
    ({"max_ack_pending": 50}, "its stream allows 10 (consumer_limits)"),
    ({"inactive_threshold": 60 * SECOND}, "its stream allows 5,000,000,000 (consumer_limits)")])
def test_what_no_server_makes_of_a_consumer_is_said_by_its_plan(streams: Streams, declarer: Declarer, settings: dict[str, Any], why: str) -> None:
    name = streams.make(consumer_limits={"max_ack_pending": 10, "inactive_threshold": 5 * SECOND})
    written = json.loads(json.dumps(settings).replace("LOW", name.lower()))
    assert why.replace("LOW", name.lower()) in why_not(declarer, a_consumer(name, **written))
    asked = {"durable_name": "worker", "ack_policy": "explicit", **written}
    assert refused(streams, f"CONSUMER.CREATE.{name}.worker", asked, stream_name=name, action="create")


@pytest.mark.parametrize(("there", "wanted", "why"), [
    ({"filter_subject": ">", "deliver_policy": "last_per_subject"}, {"filter_subject": ""}, "last_per_subject needs a filter"),
    ({"filter_subject": ">", "deliver_policy": "last_per_subject"}, {"filter_subject": None}, "last_per_subject needs a filter"),
    ({"filter_subjects": [">"], "deliver_policy": "last_per_subject"}, {"filter_subjects": []}, "last_per_subject needs a filter"),
    ({"priority_groups": ["a"], "priority_policy": "overflow"}, {"priority_policy": "none"}, "belong together"),
    ({**PUSHED, "flow_control": True, "idle_heartbeat": SECOND}, {"flow_control": False}, "decided when it is made"),
    ({}, {"max_ack_pending": None}, "its stream allows 10 (consumer_limits)"),
    ({}, {"inactive_threshold": 0}, "its stream gives it 5,000,000,000 where it has none (consumer_limits)")])
def test_what_a_consumer_has_already_excludes_what_is_asked_of_it(streams: Streams, declarer: Declarer, there: dict[str, Any], wanted: dict[str, Any],
                                                                 why: str) -> None:
    name = streams.make(consumer_limits={"max_ack_pending": 10, "inactive_threshold": 5 * SECOND})
    made = {"durable_name": "worker", "ack_policy": "explicit", **there}
    streams.api(f"CONSUMER.CREATE.{name}.worker", stream_name=name, config=made, action="create")
    assert why in why_not(declarer, a_consumer(name, **wanted))


def test_what_a_server_can_rewrite_and_publish_again_is_planned_and_made(streams: Streams, declarer: Declarer) -> None:
    low = streams.name().lower()
    for settings in ({"republish": {"src": f"{low}.*", "dest": "copy.{{ Wildcard(1) }}"}}, {"subject_transform": {"src": f"{low}.>", "dest": "t.>"}},
                     {"subject_transform": {"src": f"{low}.*.*", "dest": "t.$2.{{partition(3,1,2)}}.{{split(1,-)}}.{{SliceFromLeft(2,3)}}"}},
                     {"subject_transform": {"src": f"{low}.a", "dest": "t.{{partition(5)}}"}},
                     {"subject_transform": {"src": f"{low}.>", "dest": "t.>"}, "republish": {"src": "t.>", "dest": "t.>"}},
                     {"subjects": [f"$SYS.ACCOUNT.{low}.>"]}, {"subjects": [f"$JS.API.{low}.>"], "no_ack": True}):
        wanted = Declaration("stream", low.upper(), {"subjects": [f"{low}.>"], **settings})
        assert only(apply_all(declarer, wanted)).action is Action.CREATE
        declarer.apply(only(declarer.plan_removal([wanted])))


def test_of_a_value_that_a_server_cannot_read_it_is_not_said_that_the_server_does_not_know_the_setting(
        streams: Streams, declarer: Declarer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is older than a value, or stricter than we know."""
    wanted = a_stream(streams)
    planned = only(declarer.plan([wanted]))
    for given_config, words in (({"first_seq": -1}, "this server cannot read the value of a setting (invalid JSON: .*first_seq"),
                          ({"no_such_setting": 1}, "this server does not know a setting (invalid JSON: .*no_such_setting")):
        monkeypatch.setattr(declaring, "with_our_defaults", lambda *_, given=given_config: {**wanted.settings, **given})
        with pytest.raises(Failed, match=words.replace("(", r"\(")) as problem:
            declarer.apply(planned)
        assert problem.value.exit_code is ExitCode.FAILED
        assert "declare settings stream" in str(problem.value.hint)
        assert streams.exists(wanted.name) is False


def test_what_was_made_otherwise_than_declared_does_not_end_as_if_nothing_was_made(
        streams: Streams, declarer: Declarer, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = a_stream(streams, allow_direct=True)
    planned: Change = only(declarer.plan([wanted]))
    monkeypatch.setattr(declaring, "with_our_defaults", lambda *_: {"subjects": wanted.settings["subjects"]})  # as a server that knows no allow_direct
    with pytest.raises(Failed, match=r"It was made, but this server .* did not take over allow_direct") as problem:
        declarer.apply(planned)
    assert (problem.value.exit_code, streams.exists(wanted.name)) == (ExitCode.PARTLY, True)
