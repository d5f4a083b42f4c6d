"""Laravel Kafka says why a message died, and not where: the reason is read, and what it wrote does not go back."""

from __future__ import annotations

from brokercli.backends.kafka.dead_letter_names import by_headers
from brokercli.dialects import recognise, to_message
from brokercli.model.message import Message, Record

OWN = (("trace", b"abcd"),)
WRITTEN = (("kafka_throwable_message", b"no stock left"), ("kafka_throwable_code", b"0"), ("kafka_throwable_class_name", rb"App\Exceptions\NoStock"))


def test_the_exception_is_read_and_goes_not_back_with_the_message() -> None:
    letter = recognise(Record("kafka", {"topic": "orders-dlq", "partition": 0, "offset": 1}, "0:1", 7, Message(b"{}", b"c-7", (*OWN, *WRITTEN))))
    assert (letter.dialect, letter.reason, letter.exception, letter.exception_message) == (
        "laravel kafka", "exception", r"App\Exceptions\NoStock", "no stock left")
    assert (letter.home, letter.last_death) == (None, 7)
    message = to_message(letter)
    assert (message.body, message.key, message.headers) == (b"{}", b"c-7", OWN)


def test_a_topic_of_such_letters_is_told_by_their_headers() -> None:
    assert by_headers([[name for name, _ in WRITTEN]]) is not None
