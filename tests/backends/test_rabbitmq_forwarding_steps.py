"""What goes around a letter that is put on as it is: the same as if it had been worked out for it alone, whatever letters came before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.backends.dead_letters import Goal
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.convert import CannotCarry, Converter
from brokercli.backends.rabbitmq.encoded_headers import decoded
from brokercli.backends.rabbitmq.forwarding import Envelope, Forwarding
from brokercli.backends.rabbitmq.harmless import harmless
from brokercli.backends.rabbitmq.layouts import LAYOUTS
from brokercli.backends.rabbitmq.records import RabbitMQBatch
from brokercli.model.address import Address
from brokercli.model.message import Header, Message
from tests.backends.test_rabbitmq_records import encoded
from tests.backends.test_rabbitmq_table import FIELDS, PROPERTIES
from tests.native import amqp

LARGEST = 4000
GOALS = [Goal(Address("orders", "queue")), Goal(Address("audit", "queue"), without=("expiration", "user_id", "reply_to"))]
STAMPS: tuple[Header, ...] = (("x-brokercli-redriven-from", b"queue:dlq"), ("x-brokercli-redriven-count", b"1"))
OWN = [b"trace", b"tenant", b"CC", b"BCC", b"x-stream-filter-value", b"\xff\xfe", b""]
LETTERS = st.tuples(PROPERTIES, st.dictionaries(st.sampled_from(OWN), FIELDS | st.binary(max_size=9).map(lambda raw: ("S", raw)), max_size=3),
                    st.integers(0, 1))


class Working:
    """Works out what goes around letters, as the mover does, and counts how often."""

    def __init__(self, *, to_stream: bool) -> None:
        self._converter = Converter(user="guest", to_stream=to_stream, certain=True, keep_control_headers=True)
        self.times = 0

    def out(self, delivery: Delivery, goal: Goal, headers: tuple[Header, ...]) -> Envelope:
        self.times += 1
        message = RabbitMQBatch([delivery], "dlq", numbered=False).records()[0].message
        message = Message(message.body, None, decoded(headers), route=goal.route, origin="rabbitmq",
                          properties={name: value for name, value in message.properties.items() if name not in goal.without})
        message, left_out = harmless(message, "guest")
        native = self._converter.convert(message)
        if len(native.properties) > LARGEST:
            raise CannotCarry("too large")
        return "", goal.address.name.encode(), native.properties, native.risk, left_out

    def told(self, delivery: Delivery, goal: Goal, headers: tuple[Header, ...]) -> Envelope | str:
        """Return the same, or why it cannot go."""
        try:
            return self.out(delivery, goal, headers)
        except CannotCarry as problem:
            return str(problem)


def letters_of(drawn: Sequence[tuple[bytes, Goal]]) -> list[tuple[Delivery, Goal, tuple[Header, ...]]]:
    batch = RabbitMQBatch([Delivery(number, False, b"", b"dlq", properties, b".") for number, (properties, _) in enumerate(drawn)], "dlq", numbered=False)
    outlines = batch.encoded_outlines()
    assert outlines is not None
    return [(delivery, goal, (*headers, *STAMPS)) for delivery, (headers, *_), (_, goal) in zip(batch._deliveries, outlines, drawn, strict=True)]


def check(letters: Sequence[tuple[Delivery, Goal, tuple[Header, ...]]], *, to_stream: bool = False) -> int:
    """Compare each with what is worked out for it alone, and return how many were worked out together with the others."""
    working, alone = Working(to_stream=to_stream), Working(to_stream=to_stream)
    forwarding = Forwarding(working.out, LARGEST)
    for letter in letters:
        delivery, goal, headers = letter
        found = forwarding.envelope(delivery, LAYOUTS.find(delivery.properties), goal, headers)
        assert (str(found) if isinstance(found, CannotCarry) else found) == alone.told(*letter)
    return working.times


@settings(max_examples=300, deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=6), st.booleans())
def test_any_letters_go_as_each_would_go_alone(drawn: list[tuple[dict[str, object], dict[bytes, amqp.Field], int]], again: list[int],
                                               to_stream: bool) -> None:
    made = [(encoded(properties, list(table.items())), GOALS[goal]) for properties, table, goal in drawn]
    check(letters_of([*made, *[made[number % len(made)] for number in again]]), to_stream=to_stream)


@pytest.mark.parametrize("field", [("S", b"%d"), ("x", b"%d")])
def test_thousands_with_ids_and_values_of_their_own_are_worked_out_once(field: tuple[str, bytes]) -> None:
    kind, form = field
    made = [(encoded({"delivery_mode": 2, "message_id": b"m-%d" % number, "correlation_id": b"c-%d" % number, "timestamp": 10**9 + number},
                     [(b"trace", (kind, form % number)), (b"number", ("l", number)), (b"when", ("T", number))]), GOALS[0]) for number in range(3000)]
    assert check(letters_of(made)) == 1


@settings(deadline=None)
@given(st.permutations(range(5)), st.integers(0, 5), st.sampled_from([(), STAMPS]), st.lists(st.booleans(), min_size=5, max_size=5),
       st.lists(st.binary(min_size=3, max_size=3), min_size=2, max_size=4))
def test_whichever_headers_go_along_they_are_those_of_the_letter(order: list[int], kept: int, stamps: tuple[Header, ...], doubled: list[bool],
                                                                 values: list[bytes]) -> None:
    names = [b"h%d" % (0 if twice else place) for place, twice in enumerate(doubled)]
    made = [(encoded({"delivery_mode": 2, "message_id": b"%b%%" % value}, [(name, ("S", value + name)) for name in names]), GOALS[0]) for value in values]
    letters = [(delivery, goal, (*[headers[place] for place in order[:kept]], *stamps)) for delivery, goal, headers in letters_of(made)]
    check(letters)
    # the same letters, with headers of their own that are not those that are going
    check([*letters, *[(delivery, goal, headers[::-1]) for delivery, goal, headers in letters]])


@pytest.mark.parametrize(("properties", "field"), [
    ({"expiration": b"5"}, ("S", b"x")), ({"user_id": b"guest"}, ("S", b"x")), ({"reply_to": b"answers"}, ("S", b"x")), ({}, ("d", bytes(8))),
    ({}, ("A", (("S", b"x"),))), ({}, ("F", ())), ({}, ("D", (1, 2)))], ids=str)
def test_where_a_value_may_matter_each_is_worked_out(properties: dict[str, object], field: amqp.Field) -> None:
    made = [(encoded({"delivery_mode": 2, "message_id": b"m-%d" % number, **properties}, [(b"own", field)]), GOALS[0]) for number in range(5)]
    assert check(letters_of(made)) == 5


def test_a_letter_that_is_too_large_is_refused_and_none_of_its_like() -> None:
    made = [(encoded({"delivery_mode": 2}, [(b"trace", ("S", b"x" * size))]), GOALS[0]) for size in (10, 20, LARGEST, 30, LARGEST - 200, 40)]
    assert check(letters_of(made)) == 2
