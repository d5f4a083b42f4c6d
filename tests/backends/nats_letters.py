"""Dead letters on JetStream for one test: streams that fail, streams of letters, and whole runs over them."""

from __future__ import annotations

from collections.abc import Callable

from brokercli.backends.dead_letters import DeadLetterSource, Repair, RepairPolicy, State
from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.address import Address
from brokercli.model.message import Record
from brokercli.model.receipt import Receipts
from brokercli.operations.decisions import Redrive
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.publishing import Outcome
from brokercli.operations.redriving import Redriving
from tests.backends.nats_streams import Streams, everything, stream
from tests.backends.nats_workers import fail
from tests.brokers.server import wait_until

RETENTIONS = ("limits", "workqueue", "interest")
KEPT_WHILE_WANTED = ("workqueue", "interest")
LETTER = b"NATS/1.0\r\nX-Original-Subject: %b\r\nx-error-message: boom\r\nNats-Msg-Id: order-1\r\nNats-Rollup: all\r\nNats-Expected-Last-Sequence: 77\r\n" \
         b"tag: a\r\ntag:  b\r\nbinary: \xff\xfe\r\n\r\n"


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def failing(streams: Streams, address: str, retention: str, count: int = 10, *, captured: bool = False, alive: Callable[[bytes], bool] | None = None) -> str:
    """Make a stream with a worker that refuses every message (but those alive) until it is not given them any more. Returns once
    each death is recorded, where they are, and what was acknowledged is gone, where it goes: both come a moment after."""
    name = streams.make(retention)
    streams.worker(name, max_deliver=2)
    if captured:
        capture(streams, name)
    streams.fill(f"{name.lower()}.a", numbers(count))
    lives = alive or (lambda body: False)
    fail(address, name, alive=lives)
    dead = sum(not lives(body) for body in numbers(count))
    if captured:
        wait_for(lambda: bool(streams.state(f"{name}_DLQ")["messages"] == dead))
    if retention in KEPT_WHILE_WANTED:
        wait_for(lambda: bool(streams.state(name)["messages"] == dead))
    return name


def capture(streams: Streams, name: str) -> str:
    backend = streams.backend()
    planned = backend.plan_capture(stream(name), None)
    backend.capture(planned)
    streams._made.append(planned.name)
    return planned.name


def dlq_of(streams: Streams, home: str, retention: str = "limits", **config: object) -> str:
    return streams.make(retention, [f"dlq.{home.lower()}.>"], **config)


def fill_dlq(streams: Streams, home: str, count: int, block: bytes | None = None) -> None:
    streams.fill(f"dlq.{home.lower()}.a", numbers(count), block or b"NATS/1.0\r\nX-Original-Subject: %b.a\r\n\r\n" % home.lower().encode())


def letters_of(backend: NatsBackend, name: str) -> list[Record]:
    with backend.look_letters(stream(name)) as reader:
        assert reader.side_effects == "none"
        records = everything(reader)
        assert {reader.state(record) for record in records} <= {State.PENDING}
    return records


def redrive(backend: NatsBackend, name: str, only: LetterFilter | None = None, to: Address | None = None) -> tuple[Outcome, Receipts]:
    """Run a whole redrive; return its outcome and all its receipts."""
    receipts = Receipts()
    with backend.repair(stream(name), RepairPolicy()) as repair:
        run = Redriving(repair, Recogniser(backend), Redrive(to, 3, None, stream(name)), only or LetterFilter(), on_receipts=receipts.add)
        outcome = run.run()
    assert outcome.error is None, outcome.error
    return outcome, receipts


def source_of(backend: NatsBackend, name: str, *patterns: str) -> DeadLetterSource | None:
    return next((source for source in backend.dead_letter_sources(patterns) if source.address == stream(name)), None)


def in_stream(streams: Streams, name: str) -> list[bytes]:
    return [body for _, _, body in streams.stored(name)]


def read_all(repair: Repair, count: int | None = None) -> list[Record]:
    records: list[Record] = []
    while not repair.finished and (count is None or len(records) < count):
        batch = repair.read(20)
        records += batch.records() if batch is not None else []
    return records


def wait_for(condition: Callable[[], bool]) -> None:
    wait_until(condition, 60, "what is waited for")
