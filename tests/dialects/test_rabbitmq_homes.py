"""Which of the queues a RabbitMQ letter died in is the one it goes back to, with and without knowing the topology."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brokercli.dialects import Facts, recognise, to_message
from brokercli.model.dead_letter import Confidence, DeadLetter
from brokercli.model.message import Header, HeaderValue, Message, Record, Typed
from tests.dialects.frameworks import x_death


def _letter(*headers: Header, facts: Facts | None = None, queue: str = "orders.dead") -> DeadLetter:
    record = Record("rabbitmq", {"exchange": "", "routing_key": queue, "queue": queue}, "", None, Message(headers=headers, origin="rabbitmq"))
    return recognise(record, facts=facts or Facts())


def _homes(letter: DeadLetter) -> list[tuple[str, Confidence]]:
    return [(str(home.address), home.confidence) for home in letter.homes]


def test_a_queue_that_was_rejected_from_comes_before_one_where_it_only_expired() -> None:
    after_a_loop = _letter(("x-death", x_death(("wait", "expired", 2), ("orders", "rejected", 2))), ("x-first-death-queue", b"orders"))
    after_a_lane = _letter(("x-death", x_death(("orders", "rejected", 1), ("lane", "expired", 1))), ("x-first-death-queue", b"lane"))
    assert _homes(after_a_loop)[0] == _homes(after_a_lane)[0] == ("queue:orders", Confidence.CERTAIN)
    assert after_a_loop.reason == after_a_lane.reason == "rejected"


def test_the_choice_between_queues_is_said() -> None:
    letter = _letter(("x-death", x_death(("wait", "expired", 2), ("orders", "rejected", 2))), ("x-first-death-queue", b"orders"))
    assert letter.remarks == ("it also died in or comes from wait; home is orders: x-first-death-queue, rejected there",)


def test_a_queue_where_it_only_expired_is_likely_and_becomes_certain_with_the_topology() -> None:
    deaths = ("x-death", x_death(("orders", "expired", 1)))
    assert _homes(_letter(deaths)) == [("queue:orders", Confidence.LIKELY)]
    assert _homes(_letter(deaths, facts=Facts(wait_queues={}))) == [("queue:orders", Confidence.CERTAIN)]


def test_a_known_wait_queue_is_never_home_but_what_it_returns_to_is() -> None:
    deaths = ("x-death", x_death(("wait", "expired", 3)))
    returned = _letter(deaths, facts=Facts(wait_queues={"wait": "orders"}))
    assert (_homes(returned), returned.remarks) == ([("queue:orders", Confidence.LIKELY)], ())
    lost = _letter(deaths, facts=Facts(wait_queues={"wait": None}))
    assert lost.homes == ()
    assert "wait queues" in lost.remarks[0]


def test_of_two_queues_that_rejected_it_the_first_is_home_and_only_likely() -> None:
    letter = _letter(("x-death", x_death(("billing", "rejected", 1), ("orders", "rejected", 1))), ("x-first-death-queue", b"orders"))
    assert _homes(letter) == [("queue:orders", Confidence.LIKELY), ("queue:billing", Confidence.GUESS)]


def test_a_queue_known_to_hold_dead_letters_is_not_home() -> None:
    facts = Facts(dead_letter_destinations=frozenset({"orders.dlq"}))
    letter = _letter(("x-death", x_death(("orders.dlq", "rejected", 1), ("orders", "rejected", 1))), ("x-first-death-queue", b"orders"), facts=facts)
    assert _homes(letter) == [("queue:orders", Confidence.LIKELY)]
    nowhere = _letter(("x-death", x_death(("orders.dlq", "rejected", 1))), facts=facts)
    assert (nowhere.homes, len(nowhere.remarks)) == ((), 1)


def test_a_letter_that_died_in_the_queue_it_lies_in_does_not_go_there_again() -> None:
    for reason in ("expired", "rejected"):
        letter = _letter(("x-death", x_death(("orders.dead", reason, 1), ("orders", "rejected", 1))))
        assert (_homes(letter), letter.remarks) == ([("queue:orders", Confidence.CERTAIN)], ())
    assert _letter(("x-death", x_death(("orders.dead", "expired", 1)))).homes == ()


def test_first_and_last_death_are_enough_where_x_death_itself_is_missing() -> None:
    letter = _letter(("x-first-death-queue", b"lane"), ("x-first-death-reason", b"expired"), ("x-last-death-queue", b"orders"),
                     ("x-last-death-reason", b"rejected"))
    assert _homes(letter)[0] == ("queue:orders", Confidence.CERTAIN)
    assert [hop.where for hop in letter.journey] == ["lane", "orders"]


def test_it_goes_to_the_queue_and_keeps_the_type_of_every_header() -> None:
    kept: tuple[Header, ...] = (("n", Typed("int8", 3)), ("f", Typed("float32", 1_069_547_520)), ("t", Typed("table", (("a", 1),))), ("v", None))
    letter = _letter(*kept, ("x-death", x_death(("orders", "rejected", 1), exchange=b"shop", key=b"order.created")), ("BCC", Typed("array", (b"x",))))
    assert to_message(letter).headers == kept
    assert to_message(letter).route == "orders"
    assert letter.home is not None
    assert letter.home.place == {"exchange": "shop", "routing_key": "order.created"}


def test_properties_that_would_kill_it_again_are_stripped_and_the_others_kept() -> None:
    record = _letter(("x-death", x_death(("orders", "rejected", 1)))).record
    properties = {"expiration": b"50", "user_id": b"guest", "reply_to": b"amq.rabbitmq.reply-to.g1h2", "message_id": b"m", "delivery_mode": 1}
    letter = recognise(replace(record, message=replace(record.message, properties=properties)))
    assert to_message(letter).properties == {"message_id": b"m", "delivery_mode": 1}
    assert letter.stripped_properties == ("expiration", "user_id", "reply_to")
    ordinary = recognise(replace(record, message=replace(record.message, properties={"reply_to": b"answers"})))
    assert to_message(ordinary).properties == {"reply_to": b"answers"}


def test_delayed_retries_of_nservicebus_and_celery_are_no_homes() -> None:
    nservicebus = _letter(("NServiceBus.FailedQ", b"orders"), ("x-death", x_death(("nsb.v2.delay-level-03", "expired", 1))), queue="error")
    celery = _letter(("task", b"shop.charge"), ("id", b"1"), ("x-death", x_death(("celery", "rejected", 1), ("celery_delayed_5", "expired", 1))),
                     ("x-first-death-queue", b"celery_delayed_5"))
    assert [_homes(letter) for letter in (nservicebus, celery)] == [[("queue:orders", Confidence.CERTAIN)], [("queue:celery", Confidence.CERTAIN)]]
    assert (nservicebus.dialect, celery.dialect) == ("nservicebus", "celery")


SECOND = 1_000_000_000


@pytest.mark.parametrize(("count", "last"), [(1, 1_795_474_000 * SECOND), (2, None)])
def test_the_time_of_a_death_is_that_of_the_first_of_its_kind_and_so_of_the_last_only_where_there_was_one(count: int, last: int | None) -> None:
    letter = _letter(("x-death", x_death(("orders", "rejected", count), ("lane", "expired", 1))))
    assert (letter.first_death, letter.last_death) == (1_795_473_999 * SECOND, last)


def test_a_death_that_does_not_say_how_often_is_one() -> None:
    uncounted = Typed("array", (Typed("table", (("queue", b"orders"), ("reason", b"rejected"), ("time", Typed("timestamp", 1_795_474_000)))),))
    letter = _letter(("x-death", uncounted))
    assert (letter.last_death, letter.attempts) == (1_795_474_000 * SECOND, None)


@pytest.mark.parametrize(("deaths", "first", "derived"), [
    ([("orders", "rejected", 1)], b"orders", "x-first-death-queue, rejected there"), ([("orders", "rejected", 1)], b"lane", "x-death[0], rejected there"),
    ([("lane", "expired", 1), ("orders", "delivery_limit", 1)], b"lane", "x-death, delivered there too often"),
    ([("orders", "maxlen", 1)], b"", "x-death[0], pushed out of there"), ([("orders", "expired", 1)], b"", "x-death[0], expired there"),
    ([("orders", "stolen", 1)], b"", "x-death[0], died there")])
def test_what_a_home_was_read_from_is_said(deaths: list[tuple[str, str, int]], first: bytes, derived: str) -> None:
    home = _letter(("x-death", x_death(*deaths)), ("x-first-death-queue", first)).home
    assert home is not None
    assert (home.address.name, home.derived) == ("orders", derived)


def test_of_two_queues_in_which_it_only_expired_the_first_is_a_guess() -> None:
    assert _homes(_letter(("x-death", x_death(("b", "expired", 1), ("a", "expired", 1))))) == [
        ("queue:a", Confidence.GUESS), ("queue:b", Confidence.GUESS)]


def test_the_queue_that_the_broker_names_as_the_first_comes_before_one_that_is_last_in_the_list() -> None:
    deaths = ("x-death", x_death(("a", "rejected", 1), ("b", "rejected", 1)))
    assert [name for name, _ in _homes(_letter(deaths, ("x-first-death-queue", b"a")))] == ["queue:a", "queue:b"]
    assert [name for name, _ in _homes(_letter(deaths))] == ["queue:b", "queue:a"]


def test_of_two_deaths_in_one_queue_the_one_that_says_more_counts() -> None:
    for deaths in ((("orders", "expired", 1), ("orders", "rejected", 2)), (("orders", "rejected", 2), ("orders", "expired", 1))):
        letter = _letter(("x-death", x_death(*deaths)))
        assert (_homes(letter), letter.attempts, letter.remarks) == ([("queue:orders", Confidence.CERTAIN)], 2, ())


def test_what_a_wait_queue_returns_to_is_a_guess_beside_a_queue_that_rejected_it() -> None:
    letter = _letter(("x-death", x_death(("wait", "expired", 1), ("orders", "rejected", 1))), facts=Facts(wait_queues={"wait": "invoices"}))
    assert _homes(letter) == [("queue:orders", Confidence.CERTAIN), ("queue:invoices", Confidence.GUESS)]


def test_the_first_and_the_last_death_are_one_where_queue_and_reason_are_the_same() -> None:
    def told(queue: bytes, reason: bytes) -> list[tuple[str, str]]:
        letter = _letter(("x-first-death-queue", b"orders"), ("x-first-death-reason", b"rejected"), ("x-last-death-queue", queue),
                         ("x-last-death-reason", reason))
        return [(hop.where, hop.reason) for hop in letter.journey]

    assert told(b"orders", b"rejected") == [("orders", "rejected")]
    assert told(b"orders", b"expired") == [("orders", "rejected"), ("orders", "expired")]
    assert told(b"lane", b"rejected") == [("orders", "rejected"), ("lane", "rejected")]


@pytest.mark.parametrize(("forged", "homes"), [
    (Typed("table", (("queue", b"billing"),)), ["queue:orders"]), (Typed("array", b"x"), ["queue:orders"]),
    (Typed("array", (b"x", Typed("array", ()), Typed("table", b"x"))), ["queue:orders"]),
    (Typed("array", (Typed("table", ((b"queue", b"x", b"y"), b"reason")),)), []), (b"billing", ["queue:orders"]), (None, ["queue:orders"])])
def test_what_is_no_list_of_deaths_is_read_as_far_as_it_goes(forged: HeaderValue, homes: list[str]) -> None:
    letter = _letter(("x-death", forged), ("x-first-death-queue", b"orders"), ("x-first-death-reason", b"rejected"))
    assert [name for name, _ in _homes(letter)] == homes


@pytest.mark.parametrize("reason", ["rejected", "delivery_limit"])
def test_a_queue_that_was_worked_on_is_home_also_where_it_looks_like_a_wait_queue_now(reason: str) -> None:
    deaths = ("x-death", x_death(("orders", "expired", 1), ("retry", "expired", 3), ("orders", reason, 3)))
    for returning in ("retry", "orders.dead", None):
        letter = _letter(deaths, ("x-first-death-queue", b"orders"), facts=Facts(wait_queues={"orders": returning, "retry": "orders"}))
        assert _homes(letter) == [("queue:orders", Confidence.CERTAIN)]
