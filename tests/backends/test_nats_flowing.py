"""The graph of a stream or subject: what leads to it, what it leads to, and nothing else."""

from __future__ import annotations

import pytest

from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.flow import Flow
from tests.backends.nats_letters import capture
from tests.backends.nats_streams import Streams, stream, subject

SECOND = 1_000_000_000


@pytest.fixture
def backend(streams: Streams) -> NatsBackend:
    return streams.backend()


def edges(flow: Flow) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.target, edge.why) for edge in flow.edges}


def test_subjects_lead_to_a_stream_its_consumers_and_the_record_of_deaths(streams: Streams, backend: NatsBackend) -> None:
    name = streams.make("workqueue", max_age=60 * SECOND)
    low = name.lower()
    streams.worker(name, filter_subject=f"{low}.a", max_deliver=3, backoff=[5 * SECOND, 30 * SECOND])
    streams.worker(name, "other", filter_subject=f"{low}.b")
    streams.fill(f"{low}.a", [b"1", b"2"])
    streams.wait_pending(name, "worker", 2)
    before = backend.flow(stream(name))
    assert edges(before) == {(f"subject:{low}.>", f"stream:{name}", ""), (f"stream:{name}", f"consumer {name}/worker", f"{low}.a"),
                             (f"stream:{name}", f"consumer {name}/other", f"{low}.b")}
    assert before.nodes[f"consumer {name}/worker"].notes == ("lag 2", "3 tries, again after 5s, 30s, deaths are not recorded")
    assert before.nodes[f"stream:{name}"].notes == ("2 messages", "work-queue stream", "kept for 1m")
    recorder = capture(streams, name)
    flow = backend.flow(stream(name))
    assert edges(flow) - edges(before) == {(f"consumer {name}/worker", f"stream:{recorder}", "given up or terminated"),
                                           (f"consumer {name}/other", f"stream:{recorder}", "terminated")}
    assert flow.nodes[f"stream:{recorder}"].kind == "dead letters"
    assert flow.nodes[f"consumer {name}/worker"].notes == ("lag 2", "3 tries, again after 5s, 30s")
    # the same from its other end
    assert edges(backend.flow(stream(recorder))) == edges(flow)


def test_a_shared_record_of_deaths_does_not_lead_from_one_stream_to_another(streams: Streams, backend: NatsBackend) -> None:
    one, two = streams.make(), streams.make()
    streams.worker(one, max_deliver=3)
    streams.worker(two, max_deliver=3)
    streams.worker(two, "endless")
    shared = streams.make(subjects=[f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.>" for name in (one, two)])
    assert f"stream:{two}" not in backend.flow(stream(one)).nodes
    whole = backend.flow(stream(shared))
    assert {(f"consumer {name}/worker", f"stream:{shared}", "given up") for name in (one, two)} <= edges(whole)
    assert f"consumer {two}/endless" not in whole.nodes


def test_copies_are_followed_both_ways(streams: Streams, backend: NatsBackend) -> None:
    home = streams.make()
    low = home.lower()
    mirror = streams.make(subjects=[], mirror={"name": home})
    filled = streams.make(sources=[{"name": mirror, "filter_subject": f"{low}.a"}])
    streams.worker(filled)
    expected = {(f"subject:{low}.>", f"stream:{home}", ""), (f"stream:{home}", f"stream:{mirror}", "mirrored"),
                (f"stream:{mirror}", f"stream:{filled}", f"copied {low}.a"), (f"stream:{filled}", f"consumer {filled}/worker", "")}
    assert edges(backend.flow(stream(home))) == expected
    assert edges(backend.flow(stream(filled))) == expected | {(f"subject:{filled.lower()}.>", f"stream:{filled}", "")}
    lonely = streams.make(subjects=[], mirror={"name": "NOSUCH"})
    assert "not there" in backend.flow(stream(lonely)).nodes["stream:NOSUCH"].notes[0]


def test_what_is_published_again_is_followed_to_the_stream_that_captures_it(streams: Streams, backend: NatsBackend) -> None:
    target = streams.make()
    home = streams.make(republish={"src": ">", "dest": f"{target.lower()}.>"})
    expected = {(f"subject:{home.lower()}.>", f"stream:{home}", ""), (f"stream:{home}", f"subject:{target.lower()}.>", "> republished"),
                (f"subject:{target.lower()}.>", f"stream:{target}", "")}
    assert edges(backend.flow(stream(home))) == expected
    assert edges(backend.flow(stream(target))) == expected


def test_a_consumer_that_pushes_leads_to_its_subject(streams: Streams, backend: NatsBackend) -> None:
    name = streams.make()
    streams.worker(name, "pushed", deliver_subject="nobody.listens")
    assert (f"consumer {name}/pushed", "subject:nobody.listens", "pushed") in edges(backend.flow(stream(name)))


def test_a_subject_leads_to_the_streams_that_capture_it_or_a_part_of_it(streams: Streams, backend: NatsBackend) -> None:
    low = streams.name().lower()
    one, two = streams.make(subjects=[f"{low}.a.>"]), streams.make(subjects=[f"{low}.b"])
    streams.worker(one)
    flow = backend.flow(subject(f"{low}.a.x"))
    assert edges(flow) == {(f"subject:{low}.a.x", f"stream:{one}", ""), (f"stream:{one}", f"consumer {one}/worker", "")}
    assert any("core subscribers" in reason for reason in flow.missing)
    assert {target for _, target, _ in edges(backend.flow(subject(f"{low}.>")))} == {f"stream:{one}", f"stream:{two}", f"consumer {one}/worker"}


def test_streams_that_fill_each_other_are_a_circle_that_ends(streams: Streams, backend: NatsBackend) -> None:
    one = streams.make()
    two = streams.make(sources=[{"name": one, "filter_subject": f"{one.lower()}.>"}])
    config = streams.api(f"STREAM.INFO.{one}")["config"]
    streams.api(f"STREAM.UPDATE.{one}", **config | {"sources": [{"name": two, "filter_subject": f"{two.lower()}.>"}]})
    circle = {(f"stream:{one}", f"stream:{two}", f"copied {one.lower()}.>"), (f"stream:{two}", f"stream:{one}", f"copied {two.lower()}.>")}
    assert circle <= edges(backend.flow(stream(one)))


def test_who_may_only_look_gets_the_part_he_may_see_and_is_told_what_is_missing(administered: Streams, who_looks: NatsBackend) -> None:
    name = administered.make()
    administered.worker(name)
    flow = who_looks.flow(stream(name))
    assert edges(flow) == {(f"subject:{name.lower()}.>", f"stream:{name}", "")}
    assert [reason.partition(":")[0] for reason in flow.missing] == ["other streams, so what is copied, and who records deaths", f"consumers of stream {name}"]
    assert all("'looks' is not permitted to publish" in reason for reason in flow.missing)
