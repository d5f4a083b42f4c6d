"""Publishing to NATS: each message gets the verdict it deserves."""

from __future__ import annotations

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.failures import reason
from brokercli.model.address import Address, parse_address
from brokercli.model.errors import Failed, NotFound, Unsupported, UsageProblem
from brokercli.model.message import Message, Typed
from brokercli.model.receipt import Verdict
from tests.backends.nats_streams import Streams, of_verdict, publish, stream, subject


def test_what_is_confirmed_is_stored_in_order_and_nothing_else_is(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    sent = [b"%d" % number for number in range(12_000)]
    accepted = 0
    total = publisher.collect(0)
    while accepted < len(sent):
        accepted += publisher.send_bodies(sent[accepted:])
        total.add(publisher.collect(5))
    total.add(publisher.finish(20))
    assert (total.confirmed, total.refused, total.unknown, total.duplicates, total.problems) == (12_000, 0, 0, 0, [])
    assert publisher.in_flight == 0
    assert streams.stored(name) == [(f"{name.lower()}.a", b"", body) for body in sent]


def test_whoever_gives_ids_is_told_of_a_stream_that_remembers_none(streams: Streams) -> None:
    """nats-server gives a stream that is filled from others no window unless it is told to."""
    plain, filled = streams.make(), streams.name()
    streams.api(f"STREAM.CREATE.{filled}", name=filled, subjects=[f"{filled.lower()}.>"], sources=[{"name": plain}])
    said, stored = [], []
    for name, template in ((filled, Message(b"", id="k")), (filled, Message(b"")), (plain, Message(b"", id="k"))):
        publisher = streams.publisher(subject(f"{name.lower()}.a"), template=template)
        assert len(publish(publisher, [Message(b"x", id=template.id)] * 2)) == 2
        said.append([note for note in publisher.notes if "remembers no message ids" in note])
        # what lies in the other comes here as well, sooner or later
        stored.append(streams.state(name)["messages"])
    assert [len(notes) for notes in said] == [1, 0, 0]
    assert stored == [2, 4, 1]


def test_the_window_bounds_what_is_accepted(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"), maximum_in_flight=10)
    # none can have been acknowledged before the first is accepted
    first = publisher.send_bodies([b"x"] * 10_000)
    assert publisher.in_flight <= 10
    assert first < 10_000
    assert publisher.finish(20).confirmed == first


def test_large_messages_are_bounded_by_their_bytes(streams: Streams) -> None:
    name = streams.make(storage="memory")
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    messages = [Message(b"%d" % number + b"x" * 900_000) for number in range(60)]
    assert publisher.send(messages) < 60
    publisher.finish(30)
    assert publish(streams.publisher(subject(f"{name.lower()}.a")), messages).confirmed == 60


def test_headers_arrive_byte_by_byte_with_order_and_repeats(streams: Streams) -> None:
    name = streams.make()
    headers = (("b", b"2"), ("a", b"1"), ("b", b""), ("bin", b"\x00\xff\xfe"), ("spaced", b"  two  "), ("Ünï", b"\xc3\xbc"))
    assert publish(streams.publisher(subject(f"{name.lower()}.a")), [Message(b"body", headers=headers)]).confirmed == 1
    block = b"NATS/1.0\r\nb: 2\r\na: 1\r\nb: \r\nbin: \x00\xff\xfe\r\nspaced:   two  \r\n" + "Ünï: ü\r\n\r\n".encode()
    assert streams.stored(name) == [(f"{name.lower()}.a", block, b"body")]


def test_bodies_share_the_templates_headers_and_nothing_is_added(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"), template=Message(headers=(("k", b"v"),)))
    assert publisher.send_bodies([b"one", b"two"]) == 2
    assert publisher.finish(20).confirmed == 2
    assert [stored[1:] for stored in streams.stored(name)] == [(b"NATS/1.0\r\nk: v\r\n\r\n", b"one"), (b"NATS/1.0\r\nk: v\r\n\r\n", b"two")]


def test_positions_say_the_sequence(streams: Streams) -> None:
    name = streams.make()
    receipts = publish(streams.publisher(subject(f"{name.lower()}.a"), positions=True), [Message(b"%d" % number) for number in range(5)])
    assert [(receipt.index, receipt.position) for receipt in receipts.confirmations] == [(number, str(number + 1)) for number in range(5)]


def test_a_subject_no_stream_listens_on_is_refused_at_once(streams: Streams) -> None:
    with pytest.raises(Failed, match="No stream listens") as refused:
        streams.publisher(subject(streams.subject()))
    assert "--core" in (refused.value.hint or "")
    assert "declare stream" in (refused.value.hint or "")


def test_a_message_of_an_atomic_batch_is_in_doubt_and_it_is_said_why(streams: Streams) -> None:
    name = streams.make(allow_atomic=True)
    messages = [Message(b"%d" % number, headers=(("Nats-Batch-Id", b"one"), ("Nats-Batch-Sequence", b"%d" % number),
                                                 *((("Nats-Batch-Commit", b"1"),) if number == 3 else ()))) for number in (1, 2, 3)]
    receipts = publish(streams.publisher(subject(f"{name.lower()}.a"), keep_control_headers=True), messages)
    assert (receipts.confirmed, of_verdict(receipts, Verdict.UNKNOWN)) == (1, [0, 1])
    assert "part of an atomic batch" in receipts.problems[0].reason
    assert [body for _, _, body in streams.stored(name)] == [b"1", b"2", b"3"]


def test_a_stream_deleted_meanwhile_refuses_what_comes_after(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    assert publish(publisher, [Message(b"before")]).confirmed == 1
    streams.api(f"STREAM.DELETE.{name}")
    receipts = publish(publisher, [Message(b"after")])
    assert (receipts.refused, receipts.problems[0].reason) == (1, "no stream listens on its subject")


def test_another_stream_on_the_same_subject_is_not_taken_for_the_first(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    streams.api(f"STREAM.DELETE.{name}")
    other = streams.make(subjects=[f"{name.lower()}.a"])
    receipts = publish(publisher, [Message(b"stray")])
    assert (receipts.confirmed, receipts.unknown) == (0, 1)
    assert other in receipts.problems[0].reason


def test_a_duplicate_is_counted_and_said(streams: Streams) -> None:
    name = streams.make()
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    receipts = publish(publisher, [Message(b"one", id="m-1"), Message(b"two", id="m-2"), Message(b"again", id="m-1")])
    assert (receipts.confirmed, receipts.duplicates) == (3, 1)
    assert [(problem.index, problem.duplicate, problem.position) for problem in receipts.problems] == [(2, True, "1")]
    assert [body for _, _, body in streams.stored(name)] == [b"one", b"two"]


def test_an_oversized_message_is_refused_alone_and_its_neighbours_arrive(streams: Streams) -> None:
    name = streams.make()
    largest = int(streams.wire.info["max_payload"])
    messages = [Message(b"before"), Message(b"x" * (largest + 1)), Message(b"x" * largest), Message(b"x" * largest, headers=(("a", b"b"),)), Message(b"after")]
    receipts = publish(streams.publisher(subject(f"{name.lower()}.a")), messages)
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (3, [1, 3])
    assert str(largest) in receipts.problems[0].reason
    assert [len(body) for _, _, body in streams.stored(name)] == [6, largest, 5]


def test_what_the_stream_refuses_is_refused_with_its_reason(streams: Streams) -> None:
    full = streams.make(max_msgs=2, discard="new")
    receipts = publish(streams.publisher(subject(f"{full.lower()}.a")), [Message(b"1"), Message(b"2"), Message(b"3")])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (2, [2])
    assert "10077" in receipts.problems[0].reason
    small = streams.make(max_msg_size=10)
    receipts = publish(streams.publisher(subject(f"{small.lower()}.a")), [Message(b"x" * 11), Message(b"x")])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (1, [0])
    assert "10054" in receipts.problems[0].reason
    plain = streams.make()
    wrong = Message(b"x", headers=(("Nats-Expected-Last-Sequence", b"7"),))
    receipts = publish(streams.publisher(subject(f"{plain.lower()}.a")), [wrong, Message(b"fine")])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (1, [0])
    assert "10071" in receipts.problems[0].reason


@pytest.mark.parametrize(("words", "plain"), [("maximum bytes exceeded", "the stream is full"),
                                              ("maximum messages per subject exceeded", "as many messages of this subject as it keeps"),
                                              ("message too large", "kept in files takes less than 32 MiB"),
                                              ("no space left on device", "could not store it")])
def test_what_the_store_says_is_not_taken_for_a_full_stream_where_it_is_not(words: str, plain: str) -> None:
    said = reason({"err_code": 10077, "description": words})
    assert plain in said
    assert f"({words}, NATS error 10077)" in said
    assert said.count("full") == plain.count("full")


@pytest.mark.parametrize(("message", "words"), [
    (Message(None), "null"),
    (Message(b"", key=b"k"), "key"),
    (Message(b"", partition=1), "partition"),
    (Message(b"", time=1), "stamps"),
    (Message(b"", headers=(("a", b"x\r\ny"),)), "line end"),
    (Message(b"", headers=(("a\n", b"x"),)), "named"),
    (Message(b"", headers=(("a:b", b"x"),)), "named"),
    (Message(b"", headers=(("", b"x"),)), "named"),
    (Message(b"", id="a\nb"), "line end"),
])
def test_what_nats_cannot_carry_is_refused_alone(streams: Streams, message: Message, words: str) -> None:
    name = streams.make()
    receipts = publish(streams.publisher(subject(f"{name.lower()}.a")), [Message(b"before"), message, Message(b"after")])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (2, [1])
    assert words in receipts.problems[0].reason
    assert [body for _, _, body in streams.stored(name)] == [b"before", b"after"]


@pytest.mark.parametrize("template", [Message(None), Message(key=b"k"), Message(partition=0), Message(time=1)])
def test_a_template_nats_cannot_carry_is_declined_before_anything_is_sent(streams: Streams, template: Message) -> None:
    name = streams.make()
    with pytest.raises(Unsupported):
        streams.publisher(subject(f"{name.lower()}.a"), template=template)


def test_a_stream_takes_each_message_on_its_own_subject(streams: Streams) -> None:
    name = streams.make()
    low = name.lower()
    routes = (f"{low}.a", "elsewhere", f"{low}.b.c", None, f"{low}.*")
    messages = [Message(b"%d" % number, route=route) for number, route in enumerate(routes, 1)]
    receipts = publish(streams.publisher(stream(name)), messages)
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (2, [1, 3, 4])
    assert [(where, body) for where, _, body in streams.stored(name)] == [(f"{low}.a", b"1"), (f"{low}.b.c", b"3")]


def test_a_stream_of_one_subject_needs_no_more(streams: Streams) -> None:
    where = streams.subject()
    name = streams.make(subjects=[where])
    publisher = streams.publisher(stream(name))
    assert publisher.send_bodies([b"x"]) == 1
    assert publisher.finish(10).confirmed == 1
    assert streams.stored(name) == [(where, b"", b"x")]


def test_streams_that_take_no_messages_say_so(streams: Streams) -> None:
    origin = streams.make()
    mirror = streams.make(subjects=[], mirror={"name": origin})
    with pytest.raises(Failed, match="mirror"):
        streams.publisher(stream(mirror))
    silent = streams.make(no_ack=True)
    with pytest.raises(Failed, match="no_ack"):
        streams.publisher(subject(f"{silent.lower()}.a"))
    with pytest.raises(NotFound):
        streams.publisher(stream("NOSUCHSTREAM"))


def test_confirmation_without_interest_is_said_before_the_first_message(streams: Streams) -> None:
    name = streams.make("interest")
    assert "drops them at once" in streams.publisher(subject(f"{name.lower()}.a")).notes[0]
    streams.worker(name, filter_subjects=[f"{name.lower()}.b", f"{name.lower()}.c.>"])
    unwanted = streams.publisher(subject(f"{name.lower()}.a"))
    assert [f"none wants {name.lower()}.a" in note and "drops them at once" in note for note in unwanted.notes] == [True]
    assert publish(unwanted, [Message(b"x"), Message(b"y")]).confirmed == 2
    assert (len(unwanted.notes), streams.state(name)["messages"]) == (1, 0)
    assert list(streams.publisher(subject(f"{name.lower()}.c.d")).notes) == []


def test_confirmation_without_interest_is_said_once_of_each_subject_that_messages_turn_out_to_have(streams: Streams) -> None:
    name = streams.make("interest")
    streams.worker(name, filter_subjects=[f"{name.lower()}.wanted"])
    publisher = streams.publisher(stream(name))
    for subjects in (["wanted"], ["wanted", "a", "b", "a"], ["a", *"cdefghij"]):
        assert publish(publisher, [Message(b"x", route=f"{name.lower()}.{one}") for one in subjects]).confirmed == len(subjects)
    said = list(publisher.notes)
    assert [sum(f"none wants {name.lower()}.{one}:" in note for note in said) for one in ("a", "b", "c", "wanted")] == [1, 1, 1, 0]
    assert len(said) < 10, "not one for each of very many"
    assert "other subjects" in said[-1]
    assert streams.state(name)["messages"] == 2


@pytest.mark.parametrize("way", ["subject", "many subjects", "core"])
def test_properties_that_are_given_for_every_message_go_with_bare_bodies_too(streams: Streams, way: str) -> None:
    name = streams.make()
    where = f"{name.lower()}.a"
    template = Message(b"", route=where if way == "many subjects" else None, properties={"content_type": b"text/plain", "priority": 5})
    publisher = streams.publisher(stream(name) if way == "many subjects" else subject(where), template=template, fire_and_forget=way == "core")
    assert publisher.send_bodies([b"one"]) == 1
    assert publisher.finish(30).confirmed == 1
    assert [stored[1:] for stored in streams.stored(name)] == [(b"NATS/1.0\r\ncontent-type: text/plain\r\nx-amqp-priority: 5\r\n\r\n", b"one")]


def test_control_headers_of_stored_messages_are_withheld_and_counted(streams: Streams) -> None:
    name = streams.make(allow_rollup_hdrs=True)
    control = (("Nats-Rollup", b"all"), ("x", b"1"), ("nats-msg-id", b"old"), ("Nats-Expected-Stream", b"OTHER"), ("Nats-TTL", b"5s"), ("Nats-Rollup", b"sub"),
               ("Nats-Original-Subject", b"a"))
    publisher = streams.publisher(subject(f"{name.lower()}.a"))
    copies = [Message(b"copy", headers=control, origin=origin) for origin in ("nats", "kafka")]
    assert publish(publisher, [Message(b"first"), *copies]).confirmed == 3
    assert publisher.withheld == {"Nats-Rollup": 2, "nats-msg-id": 2, "Nats-Expected-Stream": 2, "Nats-TTL": 2}
    assert [stored[1:] for stored in streams.stored(name)] == [(b"", b"first")] + [(b"NATS/1.0\r\nx: 1\r\nNats-Original-Subject: a\r\n\r\n", b"copy")] * 2


def test_control_headers_go_on_by_hand_and_when_kept(streams: Streams) -> None:
    name = streams.make(allow_rollup_hdrs=True)
    where = subject(f"{name.lower()}.a")
    publish(streams.publisher(where), [Message(b"1"), Message(b"2"), Message(b"3", headers=(("Nats-Rollup", b"all"),))])
    assert [body for _, _, body in streams.stored(name)] == [b"3"]
    publish(streams.publisher(where, keep_control_headers=True), [Message(b"4"), Message(b"5", headers=(("Nats-Rollup", b"all"),), origin="nats")])
    assert [body for _, _, body in streams.stored(name)] == [b"5"]


def test_messages_of_other_brokers_keep_key_id_and_properties_as_headers(streams: Streams) -> None:
    name = streams.make()
    kafka = Message(b"k", key=b"\xffkey", headers=(("h", None), ("h", b"2")), id="m-1", time=5, partition=3, origin="kafka")
    rabbit = Message(b"r", id="m-2", origin="rabbitmq", headers=(
        ("n", 5), ("t", True), ("f", 0.5), ("i", Typed("int32", 7)), ("raw", Typed("bytes", b"\x01")), ("d", Typed("decimal", (2, 314))),
        ("tab", Typed("table", (("a", 1),)))), properties={"content_type": b"application/json", "correlation_id": b"c", "delivery_mode": Typed("uint8", 2)})
    assert publish(streams.publisher(subject(f"{name.lower()}.a")), [kafka, rabbit]).confirmed == 2
    blocks = [block for _, block, _ in streams.stored(name)]
    assert blocks[0] == b"NATS/1.0\r\nh: \r\nh: 2\r\nx-message-key: \xffkey\r\nx-message-id: m-1\r\n\r\n"
    assert blocks[1] == (b'NATS/1.0\r\nn: 5\r\nt: true\r\nf: 0.5\r\ni: 7\r\nraw: \x01\r\nd: 3.14\r\ntab: [{"name":"a","value":1}]\r\nx-message-id: m-2\r\n'
                         b"content-type: application/json\r\nx-correlation-id: c\r\nx-amqp-delivery-mode: 2\r\n\r\n")


def test_the_message_id_of_a_letter_is_called_the_same_as_that_of_a_replayed_message(streams: Streams) -> None:
    # what a letter is put back as has no id of its own any more, and its property still
    name = streams.make()
    restored = Message(b"r", origin="rabbitmq", properties={"message_id": b"m-3"})
    assert publish(streams.publisher(subject(f"{name.lower()}.a")), [restored]).confirmed == 1
    assert [block for _, block, _ in streams.stored(name)] == [b"NATS/1.0\r\nx-message-id: m-3\r\n\r\n"]


def test_properties_written_by_hand_become_headers_and_a_null_header_is_refused_rather_than_emptied(streams: Streams) -> None:
    name = streams.make()
    written = Message(b"p", headers=(("a", b""),), properties={"content_type": b"text/plain", "priority": 5})
    receipts = publish(streams.publisher(subject(f"{name.lower()}.a")), [Message(b"null", headers=(("a", None),)), written])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (1, [0])
    assert "'a' is null" in receipts.problems[0].reason
    assert streams.stored(name) == [(f"{name.lower()}.a", b"NATS/1.0\r\na: \r\ncontent-type: text/plain\r\nx-amqp-priority: 5\r\n\r\n", b"p")]
    with pytest.raises(Failed, match="Nothing was sent: the header 'flag' is null"):
        streams.publisher(subject(f"{name.lower()}.a"), template=Message(headers=(("flag", None),)))


def test_publishing_the_same_foreign_id_twice_swallows_nothing(streams: Streams) -> None:
    name = streams.make()
    receipts = publish(streams.publisher(subject(f"{name.lower()}.a")), [Message(b"1", id="x", origin="kafka"), Message(b"2", id="x", origin="kafka")])
    assert (receipts.confirmed, receipts.duplicates, streams.state(name)["messages"]) == (2, 0, 2)


def test_core_publishing_says_what_its_confirmation_means(streams: Streams) -> None:
    where = streams.subject()
    streams.wire.send(f"SUB {where} 99\r\n".encode())
    streams.wire.ask("$JS.API.INFO")
    publisher = streams.publisher(subject(where), fire_and_forget=True)
    assert "without confirmation" in publisher.notes[0]
    receipts = publish(publisher, [Message(b"hello", headers=(("a", b"b"),)), Message(None), Message(b"there")])
    assert (receipts.confirmed, of_verdict(receipts, Verdict.REFUSED)) == (2, [1])
    assert [streams.wire.next() for _ in range(2)] == [(where, b"NATS/1.0\r\na: b\r\n\r\n", b"hello"), (where, b"", b"there")]


def test_core_publishing_to_a_stream_is_declined(streams: Streams) -> None:
    with pytest.raises(Unsupported):
        streams.publisher(stream(streams.make()), fire_and_forget=True)


@pytest.mark.parametrize("name", ["orders.*", "orders.>", ">", "*"])
def test_a_wildcard_is_no_destination(streams: Streams, name: str) -> None:
    with pytest.raises(UsageProblem, match="wildcard"):
        streams.backend().resolve(parse_address(name), "publish")
    assert streams.backend().resolve(parse_address(name), "look") == Address(name, "subject")


@pytest.mark.parametrize("name", ["two words", "a..b", ".a", "a.", "a.>.b", "x" * 4000])
def test_what_no_subject_can_be_is_no_address(streams: Streams, name: str) -> None:
    with pytest.raises(UsageProblem, match="no NATS subject"):
        streams.backend().resolve(Address(name, "subject"), "look")
    with pytest.raises(UsageProblem):
        streams.backend().resolve(Address("a.b", "stream"), "look")


def test_a_bare_name_is_a_stream_where_there_is_one_and_a_subject_elsewhere(streams: Streams) -> None:
    name = streams.make()
    backend = streams.backend()
    assert backend.resolve(parse_address(name), "look") == stream(name)
    assert backend.resolve(parse_address(name.lower()), "publish") == subject(name.lower())
    assert backend.resolve(parse_address(f"{name.lower()}.a"), "publish") == subject(f"{name.lower()}.a")
    with pytest.raises(UsageProblem, match="NATS has no queue"):
        backend.resolve(parse_address("queue:orders"), "look")
    with pytest.raises(NotFound):
        backend.resolve(parse_address("stream:NOSUCHSTREAM"), "look")


def test_a_name_that_is_both_stream_and_captured_subject_is_asked_about(streams: Streams) -> None:
    name = streams.make()
    other = streams.make(subjects=[name])
    with pytest.raises(UsageProblem, match="two things") as asked:
        streams.backend().resolve(parse_address(name), "publish")
    assert asked.value.hint == f"say which: stream:{name} or subject:{name}"
    assert other in str(asked.value)
    # a stream whose one subject is its own name means the same either way
    same = streams.api("STREAM.CREATE.SAME" + name, name="SAME" + name)["config"]["name"]
    try:
        assert streams.backend().resolve(parse_address(same), "publish") == stream(same)
        assert streams.publisher(stream(same)).send_bodies([b"x"]) == 1
    finally:
        streams.api(f"STREAM.DELETE.{same}")


@pytest.mark.parametrize(("retention", "row"), [("limits", "limits stream"), ("workqueue", "work-queue stream"), ("interest", "interest stream")])
def test_a_stream_belongs_to_the_row_of_its_retention(streams: Streams, retention: str, row: str) -> None:
    assert streams.backend().resource(stream(streams.make(retention))) == row


def test_a_stream_without_acknowledged_places_is_never_confirmed(streams: Streams) -> None:
    # whoever answers on a subject that no stream captures any more is not JetStream
    name = streams.make()
    where = f"{name.lower()}.a"
    publisher = streams.backend().publisher(subject(where), PublishPolicy(delivery_timeout=60))
    streams.api(f"STREAM.DELETE.{name}")
    streams.wire.send(f"SUB {where} 98\r\n".encode())
    streams.wire.ask("$JS.API.INFO")
    assert publisher.send_bodies([b"x"]) == 1
    streams.wire.next()
    assert publisher.collect(0.2).confirmed == 0
    receipts = publisher.finish(0.2)
    assert (receipts.confirmed, receipts.unknown) == (0, 1)
    assert "no acknowledgement came" in receipts.problems[0].reason
