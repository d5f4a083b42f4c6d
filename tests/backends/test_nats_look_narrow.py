"""Looking at limits streams that let a look have no consumer, or one for a moment only: everything is shown all the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from brokercli.backends.nats import look_consumer, reading
from brokercli.model.position import Last, Number
from tests.backends.nats_letters import dlq_of, fill_dlq, in_stream, letters_of, redrive
from tests.backends.nats_letters import numbers as bodies_of
from tests.backends.nats_streams import Streams, bodies, everything, some, stream, subject
from tests.brokers.nats import Nats
from tests.faults.proxy import Proxy
from tests.native.nats import Wire

SECOND = 1_000_000_000
WITHOUT_CONSUMER = "read by sequence number"


@pytest.fixture(params=["short", "shortest", "full", "full-leader"])
def narrow(streams: Streams, request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A limits stream with the numbers 0 to 299, every third on another subject, and whether a look can have a consumer."""
    config = {"short": {"consumer_limits": {"inactive_threshold": 5 * SECOND, "max_ack_pending": 10}},
              "shortest": {"consumer_limits": {"inactive_threshold": SECOND // 1000}}}.get(request.param, {"max_consumers": 1})
    name = streams.make(allow_direct=request.param != "full-leader", **config)
    if "max_consumers" in config:
        streams.worker(name)
    for number in range(0, 300, 3):
        streams.fill(f"{name.lower()}.a", [b"%d" % number, b"%d" % (number + 1)])
        streams.fill(f"{name.lower()}.b", [b"%d" % (number + 2)])
    return name, request.param == "short"


def numbers(first: int, end: int) -> list[bytes | None]:
    return [b"%d" % number for number in range(first, end)]


def test_everything_is_shown_and_how_it_was_read_is_said(streams: Streams, narrow: tuple[str, bool]) -> None:
    name, by_consumer = narrow
    reader = streams.look(stream(name))
    assert reader.expected == 300
    assert bodies(everything(reader)) == numbers(0, 300)
    assert any(WITHOUT_CONSUMER in note for note in reader.notes) != by_consumer
    assert bodies(everything(streams.look(stream(name), Number(5), Number(8)))) == numbers(4, 7)
    assert bodies(everything(streams.look(subject(f"{name.lower()}.b")))) == [b"%d" % number for number in range(2, 300, 3)]


def test_the_last_ones_are_found_also_between_others_and_behind_deleted_ones(streams: Streams, narrow: tuple[str, bool]) -> None:
    name, _ = narrow
    on_b = [b"%d" % number for number in range(2, 300, 3)]
    for count in (1, 7, 99, 100, 1000):
        assert bodies(everything(streams.look(subject(f"{name.lower()}.b"), Last(count)))) == on_b[-count:]
    streams.delete(name, 300, 299, 200)
    assert bodies(everything(streams.look(stream(name), Last(5)))) == numbers(293, 298)
    assert bodies(everything(streams.look(subject(f"{name.lower()}.none"), Last(5)))) == []


def test_what_comes_later_is_followed(streams: Streams, narrow: tuple[str, bool]) -> None:
    name, _ = narrow
    reader = streams.look(stream(name), Last(2), follow=True)
    assert bodies(some(reader, 2)) == numbers(298, 300)
    streams.fill(f"{name.lower()}.a", [b"new"])
    assert bodies(some(reader, 1)) == [b"new"]


def test_a_reader_slower_than_its_consumer_is_kept_gets_every_message_once(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BUFFER_BYTES", 20_000)
    monkeypatch.setattr(look_consumer, "BATCH", 20)
    name = streams.make(consumer_limits={"inactive_threshold": 2 * SECOND})
    streams.fill(f"{name.lower()}.a", [b"%d" % number + b"x" * 1000 for number in range(300)])
    reader = streams.look(stream(name))
    first = reader.read(20)
    assert first is not None
    deadline = time.monotonic() + 60
    while streams.consumers(name):
        assert time.monotonic() < deadline, "the consumer of a look that nobody reads on is still there"
        time.sleep(0.2)
    records = [*first.records(), *everything(reader)]
    assert [int((record.message.body or b"").rstrip(b"x")) for record in records] == list(range(300))


def test_a_look_that_waits_keeps_its_consumer_however_soon_an_idle_one_goes(streams: Streams) -> None:
    name = streams.make(consumer_limits={"inactive_threshold": SECOND})
    streams.fill(f"{name.lower()}.a", [b"1"])
    reader = streams.look(stream(name), follow=True)
    assert bodies(some(reader, 1)) == [b"1"]
    before = streams.consumers(name)
    assert reader.read(2.5) is None
    assert streams.consumers(name) == before != []
    streams.fill(f"{name.lower()}.a", [b"2"])
    assert bodies(some(reader, 1)) == [b"2"]


def test_a_look_goes_on_after_a_lost_connection_where_its_lost_consumer_was_the_only_one_allowed(streams: Streams) -> None:
    name = streams.make(max_consumers=1)
    streams.fill(f"{name.lower()}.a", [b"0"])
    with Proxy((streams.host, streams.port)) as proxy:
        reader = streams.look(stream(name), follow=True, backend=streams.backend(hosts=(proxy.address,)))
        assert bodies(some(reader, 1)) == [b"0"]
        for number in range(1, 3):
            proxy.reset()
            streams.fill(f"{name.lower()}.a", [b"%d" % number])
            assert bodies(some(reader, 1)) == [b"%d" % number]
        assert len(streams.consumers(name)) == 1
        reader.close()
        assert streams.consumers(name) == []


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_of_a_server_that_hangs_up_where_too_much_waits_for_us_less_is_asked_for_at_a_time(servers: Callable[..., Nats], retention: str) -> None:
    large = b"x" * 30_000
    server = servers(Nats, settings={"max_pending": "150000", "max_payload": "50000"})
    streams = Streams(server.address)
    name = streams.make(retention)
    for _ in range(100):
        streams.fill(f"{name.lower()}.a", [large])
    assert bodies(everything(streams.look(stream(name)))) == [large] * 100
    with closing(Wire(streams.host, streams.port)) as last:
        assert last.info["client_id"] < 120
    streams.close()


def test_a_look_that_could_have_no_consumer_makes_none_later_either(streams: Streams) -> None:
    name = streams.make(max_consumers=1)
    streams.worker(name)
    streams.fill(f"{name.lower()}.a", [b"0"])
    with Proxy((streams.host, streams.port)) as proxy:
        reader = streams.look(stream(name), follow=True, backend=streams.backend(hosts=(proxy.address,)))
        assert bodies(some(reader, 1)) == [b"0"]
        streams.api(f"CONSUMER.DELETE.{name}.worker")
        proxy.reset()
        streams.fill(f"{name.lower()}.a", [b"1"])
        assert bodies(some(reader, 1)) == [b"1"]
        assert streams.consumers(name) == []


def test_letters_are_shown_and_put_back(streams: Streams, narrow: tuple[str, bool]) -> None:
    home = streams.make()
    config = {key: value for key, value in streams.api(f"STREAM.INFO.{narrow[0]}")["config"].items() if key in ("consumer_limits", "max_consumers")}
    name = dlq_of(streams, home, **config)
    if config["max_consumers"] > 0:
        streams.worker(name)
    fill_dlq(streams, home, 50)
    backend = streams.backend()
    assert bodies(letters_of(backend, name)) == bodies_of(50)
    assert redrive(backend, name)[0].account.confirmed == 50
    assert (in_stream(streams, home), in_stream(streams, name)) == (bodies_of(50), [])


def test_how_many_messages_a_seek_skips_is_left_open_where_nothing_may_count_them(streams: Streams) -> None:
    name = streams.make(max_consumers=1)
    streams.worker(name, filter_subject=f"{name.lower()}.a")
    streams.fill(f"{name.lower()}.a", [b"1", b"2"])
    streams.fill(f"{name.lower()}.b", [b"3"])
    step = streams.backend().consumers().plan_seek(f"{name}/worker", Last(1)).steps[0]
    assert (step.want, step.skipped) == (2, None)

