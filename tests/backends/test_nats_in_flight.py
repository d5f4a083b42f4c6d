"""What an answer says of the message it answers: confirmed is only what the stream it is for says it has stored."""

from __future__ import annotations

import re

import orjson
import pytest

from brokercli.backends.nats.bulk_parser import Delivery
from brokercli.backends.nats.in_flight import Acknowledgement, Sent, plain_acknowledgement, read_acknowledgement, without_groups
from brokercli.model.receipt import Receipt, Verdict

C, R, U = Verdict.CONFIRMED, Verdict.REFUSED, Verdict.UNKNOWN
STORED = {"stream": "ORDERS", "seq": 12}


def answered(body: bytes, block: bytes = b"") -> Delivery:
    head = [b"HMSG", b"_INBOX.x.4", b"1", b"%d" % len(block), b"%d" % (len(block) + len(body))] if block else [b"MSG", b"_INBOX.x.4", b"1", b"%d" % len(body)]
    return head, block + body


def read(answer: object, sent: Sent | None = None, stream: str | None = "ORDERS", domain: str = "") -> Acknowledgement:
    body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    return read_acknowledgement(4, answered(body), sent or Sent(b"orders.new", b"", b"x"), stream, domain)


@pytest.mark.parametrize(("answer", "verdict", "position", "reason"), [
    (STORED, C, "12", ""), ({**STORED, "duplicate": False}, C, "12", ""),
    ({**STORED, "duplicate": True}, C, "12", "the stream already had a message with this id"),
    ({"error": {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}}, R, "",
     "the stream is full and set to refuse new messages (maximum messages exceeded, NATS error 10077)"),
    ({"error": {"code": 400, "err_code": 1, "description": "no"}, **STORED}, R, "", "no (NATS error 1)"),
    ({"stream": "OTHERS", "seq": 12}, U, "", "stream OTHERS acknowledged it, not ORDERS"), ({"stream": "ORDERS"}, U, "", "names no place"),
    ({"stream": "ORDERS", "seq": 0}, U, "", "names no place"), ({"stream": "ORDERS", "seq": "12"}, U, "", "names no place"),
    ({"stream": "ORDERS", "seq": True}, U, "", "names no place"), ({"seq": 12}, U, "", "names no place"), ({}, U, "", "names no place"),
    (b"+OK", U, "", "something that is not JetStream"), (b"[12]", U, "", "something that is not JetStream"), (b"", U, "", "something that is not JetStream"),
    (b"null", U, "", "something that is not JetStream")])
def test_an_answer_is_the_verdict_it_gives_and_no_better(answer: object, verdict: Verdict, position: str, reason: str) -> None:
    found = read(answer)
    assert (found.receipt.index, found.receipt.verdict, found.receipt.position) == (4, verdict, position)
    assert reason in found.receipt.reason
    assert (not reason) is (not found.receipt.reason)
    assert found.receipt.duplicate is ("already had" in reason)
    assert (found.sequence, found.unheard, found.elsewhere) == (12 if verdict is C and not reason else 0, False, "")


def test_where_nobody_listens_it_was_refused_and_reached_nobody() -> None:
    found = read_acknowledgement(4, answered(b"", b"NATS/1.0 503\r\n\r\n"), Sent(b"orders.new", b"", b"x"), None)
    assert (found.receipt.verdict, found.unheard, found.sequence) == (R, True, 0)
    # an answer with headers that are no status is read like any other
    assert read_acknowledgement(4, answered(orjson.dumps(STORED), b"NATS/1.0\r\na: 503\r\n\r\n"), Sent(b"a", b"", b""), "ORDERS").receipt.verdict is C


@pytest.mark.parametrize(("name", "part"), [(b"Nats-Batch-Id", True), (b"nats-batch-id", True), (b"X-Nats-Batch-Id", False)])
def test_nothing_is_known_of_a_part_of_a_batch_that_is_not_committed(name: bytes, part: bool) -> None:
    block = b"NATS/1.0\r\n%b: b\r\n\r\n" % name
    found = read(b"", Sent(b"orders.new", block, b"x")).receipt
    assert (found.verdict, "atomic batch" in found.reason) == (U, part)
    assert read(STORED, Sent(b"orders.new", block, b"x")).receipt.verdict is C


@pytest.mark.parametrize(("repeated", "floor", "duplicate"), [(False, 0, True), (True, 11, False), (True, 12, True), (True, 40, True)])
def test_what_our_own_first_attempt_stored_is_no_duplicate(repeated: bool, floor: int, duplicate: bool) -> None:
    found = read({**STORED, "duplicate": True}, Sent(b"orders.new", b"", b"x", repeated=repeated, floor=floor))
    assert (found.receipt.verdict, found.receipt.position, found.receipt.duplicate, found.sequence) == (C, "12", duplicate, 0)


@pytest.mark.parametrize(("said", "domain", "elsewhere"), [
    (None, "", ""), ("hub", "hub", ""), ("leaf", "hub", "stream ORDERS of the JetStream domain leaf stored it"),
    (None, "hub", "stream ORDERS of no JetStream domain stored it"),
    ("leaf", "", "stream ORDERS of the JetStream domain leaf stored it")])
def test_a_stream_of_another_domain_says_nothing_of_the_one_it_is_for(said: str | None, domain: str, elsewhere: str) -> None:
    found = read({**STORED, **({"domain": said} if said else {})}, domain=domain)
    assert found.elsewhere == elsewhere
    assert found.receipt == (Receipt(4, U, reason=elsewhere) if elsewhere else Receipt(4, C, "12"))


def test_where_the_stream_is_not_known_any_that_stored_it_will_do() -> None:
    assert read({"stream": "ANY", "seq": 3, "domain": "leaf"}, stream=None).receipt == Receipt(4, C, "3")


def test_a_frame_says_how_long_its_parts_are() -> None:
    plain, block = Sent(b"orders.new", b"", b"abc"), b"NATS/1.0\r\na: 1\r\n\r\n"
    assert plain.frame(b"_INBOX.1") == b"PUB orders.new _INBOX.1 3\r\nabc\r\n"
    headed = Sent(b"orders.new", block, b"abc")
    assert headed.frame(b"_INBOX.1") == b"HPUB orders.new _INBOX.1 %d %d\r\n%babc\r\n" % (len(block), len(block) + 3, block)
    assert (plain.payload, headed.payload) == (3, len(block) + 3)
    assert headed.size >= len(headed.frame(b"_INBOX.1")) - len(b"_INBOX.1")


@pytest.mark.parametrize(("line", "plain"), [
    (b'{"stream":"O.R","seq":12}', True), (b'{"stream":"O.R", "seq":12}', True), (b'{"stream":"OxR","seq":12}', False), (b'{"stream":"O.R","seq":0}', False),
    (b'{"stream":"O.R","seq":12,"duplicate":true}', False), (b'{"stream":"O.R","domain":"hub","seq":12}', False),
    (b'{"error":{},"stream":"O.R","seq":12}', False)])
def test_only_an_answer_that_says_nothing_else_is_taken_for_stored_at_a_glance(line: bytes, plain: bool) -> None:
    pattern, whole = plain_acknowledgement(b"_INBOX.x", "O.R"), b"MSG _INBOX.x.4 1 %d\r\n%b\r\n" % (len(line), line)
    found = re.fullmatch(pattern, whole)
    assert (found is not None and found.groups()) == ((b"4", b"12") if plain else False)
    assert bool(re.fullmatch(without_groups(pattern), whole)) is plain
    of_hub = plain_acknowledgement(b"_INBOX.x", "O.R", "hub")
    assert bool(re.fullmatch(of_hub, whole)) is (b'"hub"' in line)
