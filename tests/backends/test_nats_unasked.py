"""Letters that go home by a login that may not ask which stream listens there: what the first acknowledgement says decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.nats.backend import NatsBackend
from tests.backends.nats_guarded import GuardedNats
from tests.backends.nats_letters import dlq_of, fill_dlq, in_stream, numbers, read_all, redrive
from tests.backends.nats_streams import Streams, stream, subject


@pytest.fixture
def who_puts(guarded_nats: GuardedNats) -> Iterator[NatsBackend]:
    with NatsBackend(guarded_nats.login("puts")) as backend:
        yield backend


def test_letters_stay_where_their_home_confirms_them_and_drops_them(administered: Streams, who_puts: NatsBackend) -> None:
    home = administered.make("interest")
    administered.worker(home, filter_subject=f"{home.lower()}.b")
    letters = dlq_of(administered, home)
    fill_dlq(administered, home, 10)
    for _ in range(2):  # the second time the stream has had the id of the first one before
        _, receipts = redrive(who_puts, letters)
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 9, 1)
        assert f"stream {home} confirmed it, and keeps a message only while a consumer wants it" in str(receipts.problems)
    assert in_stream(administered, letters) == numbers(10)
    assert administered.state(home)["last_seq"] == 1


def test_letters_that_a_consumer_of_their_home_wants_go_there(administered: Streams, who_puts: NatsBackend) -> None:
    home = administered.make("interest")
    administered.worker(home)
    letters = dlq_of(administered, home)
    fill_dlq(administered, home, 10)
    assert redrive(who_puts, letters)[1].confirmed == 10
    assert (in_stream(administered, letters), in_stream(administered, home)) == ([], numbers(10))


def test_a_home_that_nothing_may_be_asked_about_is_said_to_be_one_that_may_drop_what_it_confirms(administered: Streams, who_puts: NatsBackend) -> None:
    administered.deleted_at_the_end("UNTOLD")
    administered.api("STREAM.CREATE.UNTOLD", name="UNTOLD", subjects=["untold.>"])
    letters = dlq_of(administered, "UNTOLD")
    fill_dlq(administered, "UNTOLD", 10)
    with who_puts.repair(stream(letters), RepairPolicy()) as repair:
        assert repair.settle([Move(record, record.message, subject("untold.a")) for record in read_all(repair)]).confirmed == 10
    assert [note for note in repair.notes if note.startswith("how stream UNTOLD keeps its messages this login may not ask")]


def test_letters_do_not_go_to_a_home_whose_consumers_may_not_be_asked_for(administered: Streams, guarded_nats: GuardedNats) -> None:
    home = administered.make("interest")
    administered.worker(home, filter_subject=f"{home.lower()}.b")
    letters = dlq_of(administered, home)
    fill_dlq(administered, home, 10)
    why = f"this login may not ask which there are ($JS.API.CONSUMER.LIST.{home})"
    with NatsBackend(guarded_nats.login("counts")) as backend:
        with backend.look_letters(stream(letters)) as reader:
            assert why in backend.obstacles(reader, [subject(f"{home.lower()}.a")])[0]
        _, receipts = redrive(backend, letters)
    assert (receipts.refused, administered.state(home)["last_seq"]) == (10, 0)
    assert why in receipts.problems[0].reason
    assert in_stream(administered, letters) == numbers(10)


def with_a_schedule(administered: Streams, token: str) -> str:
    """Make a stream in which a schedule waits on a subject of its own that ends so."""
    home = administered.make(allow_msg_schedules=True)
    target = f"{home.lower()}.target"
    administered.fill(f"{home.lower()}.{token}", [b"later"], f"NATS/1.0\r\nNats-Schedule: @every 10h\r\nNats-Schedule-Target: {target}\r\n\r\n".encode())
    return home


def test_letters_do_not_go_where_a_schedule_may_wait_that_may_not_be_asked_for(administered: Streams, guarded_nats: GuardedNats) -> None:
    home = with_a_schedule(administered, "a")
    letters = dlq_of(administered, home)
    fill_dlq(administered, home, 10)
    with NatsBackend(guarded_nats.login("blind")) as backend:
        _, receipts = redrive(backend, letters)
    assert receipts.refused == 10
    assert f"this login may not ask ($JS.API.STREAM.MSG.GET.{home})" in receipts.problems[0].reason
    assert (in_stream(administered, home), in_stream(administered, letters)) == ([b"later"], numbers(10))


def test_what_the_first_acknowledgement_has_said_goes_for_other_subjects_of_the_stream_as_well(administered: Streams, who_puts: NatsBackend) -> None:
    home = with_a_schedule(administered, "b")
    letters = dlq_of(administered, home)
    fill_dlq(administered, home, 2)
    with who_puts.repair(stream(letters), RepairPolicy()) as repair:
        first, second = (Move(record, record.message, subject(f"{home.lower()}.{name}")) for record, name in zip(read_all(repair), "ab", strict=True))
        assert repair.settle([first]).confirmed == 1
        assert f"a schedule of stream {home} waits" in repair.settle([second]).problems[0].reason
    assert in_stream(administered, home) == [b"later", b"0"]
