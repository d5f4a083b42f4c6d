"""`brokercli dlq` on letters of Kafka Streams that came to be without key and body: the message is where they point."""

from __future__ import annotations

import pytest

from brokercli.model.address import Address
from tests.backends.kafka_topics import Topics, bodies
from tests.commandline import CommandLine


def failed(topics: Topics, *emptied: bool) -> tuple[Address, Address]:
    """Return a topic of as many messages, and that of their letters, of which these came to be without key and body."""
    home, dlq = topics.make(), topics.make()
    producer = topics.producer()
    for number, empty in enumerate(emptied):
        own = (b"order %d" % number, b"c-%d" % number)
        producer.produce(home.name, *own, headers=[("x-tenant", b"shop")])
        written = {"exception": "java.lang.IllegalStateException", "message": "no", "topic": home.name, "partition": "0", "offset": str(number)}
        producer.produce(dlq.name, *((None, None) if empty else own),
                         headers=[("x-tenant", b"shop"), *((f"__streams.errors.{name}", value.encode()) for name, value in written.items())])
        assert producer.flush(60) == 0
    return home, dlq


@pytest.mark.kafka
def test_what_goes_home_is_the_message_and_not_the_empty_letter(cli: CommandLine, topics: Topics) -> None:
    home, dlq = failed(topics, False, True, False)
    url = f"kafka://{topics.address}/{dlq.name}"
    assert b"order 1" in cli("dlq", "show", "0:1", url).stdout
    ended = cli("dlq", "redrive", url, "--yes")
    assert "confirmed 3" in ended.stderr, ended.stderr
    topics.wait_closed(home)
    back = topics.read(home)[3:]
    assert bodies(back) == [b"order 0", b"order 1", b"order 2"]
    assert [record.message.key for record in back] == [b"c-0", b"c-1", b"c-2"]
    assert all(record.message.headers[0] == ("x-tenant", b"shop") for record in back)
    assert not any(name.startswith("__streams") for record in back for name, _ in record.message.headers)


@pytest.mark.kafka
def test_an_empty_letter_is_chosen_by_what_it_points_at(cli: CommandLine, topics: Topics) -> None:
    home, dlq = failed(topics, True, True)
    ended = cli("dlq", "redrive", f"kafka://{topics.address}/{dlq.name}", "--where", 'key == "c-1"', "--yes")
    assert "confirmed 1" in ended.stderr, ended.stderr
    topics.wait_closed(home)
    assert bodies(topics.read(home)) == [b"order 0", b"order 1", b"order 1"]


@pytest.mark.kafka
def test_an_empty_letter_whose_message_is_gone_stays(cli: CommandLine, topics: Topics) -> None:
    home, dlq = failed(topics, True)
    topics.delete(home)
    topics.make(called=home.name)
    ended = cli("dlq", "redrive", f"kafka://{topics.address}/{dlq.name}", "--yes")
    assert "confirmed 0" in ended.stderr, ended.stderr
    assert "only points at its original, which is gone" in ended.stderr
    topics.wait_closed(home)
    assert topics.read(home) == []
