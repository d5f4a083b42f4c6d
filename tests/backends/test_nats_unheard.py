"""Answers to a message that say nothing of its stream: that nobody heard it, that another stream has it, or that it is not written yet."""

from __future__ import annotations

from brokercli.model.message import Message
from tests.backends.nats_streams import Streams, subject
from tests.brokers.server import wait_until
from tests.faults.proxy import Proxy


def test_what_nobody_hears_when_it_is_sent_once_more_may_be_stored_since_the_first_time(streams: Streams) -> None:
    name = streams.make()
    with Proxy((streams.host, streams.port)) as proxy:
        publisher = streams.publisher(subject(f"{name.lower()}.a"), streams.backend(hosts=(proxy.address,)), delivery_timeout=3)
        proxy.lose_answers()
        assert publisher.send([Message(b"0", id="m-0")]) == 1
        wait_until(lambda: streams.state(name)["messages"] == 1, 60, "the message")
        config = streams.api(f"STREAM.INFO.{name}")["config"]
        streams.api(f"STREAM.UPDATE.{name}", **config | {"subjects": [f"{name.lower()}.b"]})
        proxy.heal()
        receipts = publisher.finish(30)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 0, 1), receipts.problems


def test_what_a_stream_of_another_domain_says_is_no_acknowledgement_though_it_is_called_the_same(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"), positions=True)
    streams.wire.send(f"SUB {name.lower()}.a 7\r\n".encode())
    config = streams.api(f"STREAM.INFO.{name}")["config"]
    streams.api(f"STREAM.UPDATE.{name}", **config | {"subjects": [f"{name.lower()}.b"]})
    publisher.send([Message(b"0")])
    _, reply, _, _ = streams.wire._next()
    # the second is written so that it, too, is read by itself, and in its turn
    for answer in (b'{"stream":"%b","domain":"leaf","seq":7}', b'{"seq":1,"stream":"%b"}'):
        streams.wire.publish(reply, answer % name.encode())
    assert [receipt.position for receipt in publisher.finish(30).confirmations] == ["1"]


def test_whoever_publishes_to_a_stream_that_confirms_before_it_writes_is_told(streams: Streams) -> None:
    for mode, said in (("async", True), ("default", False)):
        name = streams.make(persist_mode=mode)
        notes = streams.publisher(subject(f"{name.lower()}.a")).notes
        assert [note.startswith(f"stream {name} confirms before it writes (persist_mode)") for note in notes] == [True] * said
