"""`brokercli dlq` on letters that point into a topic that was deleted and made anew: another message lies there now."""

from __future__ import annotations

import time

import pytest

from brokercli.model.address import Address
from tests.backends.kafka_topics import Topics, bodies
from tests.commandline import CommandLine

MINUTE = 60_000


def share_group(topics: Topics, *, copied: bool = False) -> tuple[Address, Address]:
    """Return a topic with three messages of ten minutes ago and that of their share group's letters, of five minutes ago; these carry
    a copy of key and body where `copied`."""
    home, dlq = topics.make(), topics.make()
    now = time.time_ns() // 1_000_000
    producer = topics.producer()
    for number in range(3):
        producer.produce(home.name, b"old %d" % number, b"c-%d" % number, headers=[("x-tenant", b"shop")], timestamp=now - 10 * MINUTE)
        written = {"topic": home.name, "partition": "0", "offset": str(number), "group": "billing", "delivery.count": "5", "message": "rejected"}
        producer.produce(dlq.name, b"old %d" % number if copied else None, b"c-%d" % number if copied else None,
                         headers=[(f"__dlq.errors.{name}", value.encode()) for name, value in written.items()], timestamp=now - 5 * MINUTE)
        assert producer.flush(60) == 0
    return home, dlq


def make_anew(topics: Topics, home: Address, *new: bytes) -> None:
    """Delete a topic and make it once more, with other messages."""
    topics.delete(home)
    topics.make(called=home.name)
    topics.fill(home, new)


@pytest.mark.kafka
def test_a_pointer_into_a_topic_that_was_made_anew_stays_and_says_why(cli: CommandLine, topics: Topics) -> None:
    home, dlq = share_group(topics)
    url = f"kafka://{topics.address}/{dlq.name}"
    make_anew(topics, home, b"new 0", b"new 1", b"new 2")
    ended = cli("dlq", "redrive", url, "--yes")
    assert "confirmed 0" in ended.stderr
    assert "only points at its original, which is gone" in ended.stderr
    topics.wait_closed(home)
    assert bodies(topics.read(home)) == [b"new 0", b"new 1", b"new 2"]
    shown = cli("dlq", "show", "0:0", url)
    assert b"made anew" in shown.stdout
    assert b"new 0" not in shown.stdout


@pytest.mark.kafka
def test_the_copy_that_a_letter_carries_goes_home_and_not_what_lies_in_its_place(cli: CommandLine, topics: Topics) -> None:
    home, dlq = share_group(topics, copied=True)
    make_anew(topics, home, b"new 0", b"new 1", b"new 2")
    url = f"kafka://{topics.address}/{dlq.name}"
    assert "the original's headers: the broker copies key and body only" in cli("dlq", "redrive", url).stderr
    ended = cli("dlq", "redrive", url, "--yes")
    assert ended.code == 0, ended.stderr
    topics.wait_closed(home)
    assert bodies(topics.read(home)) == [b"new 0", b"new 1", b"new 2", b"old 0", b"old 1", b"old 2"]


@pytest.mark.kafka
def test_an_original_that_was_filed_goes_home_and_not_what_lies_in_its_place(cli: CommandLine, topics: Topics) -> None:
    home, dlq = share_group(topics)
    assert cli("dlq", "drop", f"kafka://{topics.address}/{dlq.name}", "--yes", "--journal", "letters").code == 0
    make_anew(topics, home, b"new 0")
    ended = cli("dlq", "redrive", "--from-file", "letters", "--yes", extra={"BROKERCLI_URL": f"kafka://{topics.address}"})
    assert ended.code == 0, ended.stderr
    topics.wait_closed(home)
    back = topics.read(home)
    assert bodies(back) == [b"new 0", b"old 0", b"old 1", b"old 2"]
    assert ("x-tenant", b"shop") in back[1].message.headers
