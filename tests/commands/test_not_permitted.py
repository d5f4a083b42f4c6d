"""A login that may not write to where messages go: exit code 6 and what would change that, however many messages there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import count, numbered
from tests.commandline import CommandLine, Ended


@pytest.fixture
def declared(rabbitmq_address: str, rabbitmq_management: str) -> Iterator[Declared]:
    places = Places(rabbitmq_address, rabbitmq_management)
    made = Declared(places)
    yield made
    made.close()
    places.close()


@pytest.fixture
def reads_only(cli: CommandLine, declared: Declared) -> CommandLine:
    """A context of somebody who may take from queues and write nothing."""
    login = declared.restricted("management", configure="^$", write="^$")
    broker = declared.places.broker
    url = f"amqp://{login.user}:secret@{broker.host}:{broker.port}/"
    assert cli("context", "add", "here", "--url", url, "--management", broker.management, "--use").code == 0
    return cli


def refused(ended: Ended, messages: int) -> None:
    assert ended.code == 6, ended.stderr
    assert f"read {messages:,}, confirmed 0, refused {messages:,}, unknown 0, skipped 0" in ended.stderr
    assert ended.stderr.count("No permission for publishing to the default exchange") >= 1
    assert "rabbitmqctl set_permissions" in ended.stderr


@pytest.mark.parametrize("messages", [1, 3, 3000])
def test_publishing_without_the_permission_ends_as_not_authorised_whatever_the_number(reads_only: CommandLine, declared: Declared, messages: int) -> None:
    queue = declared.places.queue()
    refused(reads_only("publish", f"queue:{queue}", stdin=b"".join(b"%d\n" % number for number in range(messages))), messages)
    assert count(declared.places, queue) == 0


@pytest.mark.parametrize(("verb", "how"), [("redrive", ()), ("redrive", ("--limit", "2")), ("redrive", ("--rate", "20")), ("park", ())],
                         ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_letters_that_may_not_be_put_back_stay_and_the_run_ends_as_not_authorised(
        reads_only: CommandLine, declared: Declared, verb: str, how: tuple[str, ...], unique: Callable[[str], str]) -> None:
    dlq = declared.places.queue(name=unique("letters") + ".dlq")
    home = declared.places.queue()
    declared.places.put("", dlq, numbered(4), (("delivery_mode", 2), ("headers", [(b"x-original-topic", ("S", home.encode()))])))
    to = ("--to", f"queue:{home}") if verb == "park" else ()
    refused(reads_only("dlq", verb, dlq, *to, *how, "--yes"), 2 if "--limit" in how else 4)
    assert (count(declared.places, dlq), count(declared.places, home)) == (4, 0)


def test_letters_for_another_broker_that_may_not_be_put_there_end_the_same_way(
        reads_only: CommandLine, declared: Declared, unique: Callable[[str], str]) -> None:
    dlq, home = declared.places.queue(name=unique("letters") + ".dlq"), declared.places.queue()
    declared.places.put("", dlq, numbered(4))
    broker = declared.places.broker
    assert reads_only("context", "add", "owner", "--url", broker.url, "--management", broker.management).code == 0
    ended = reads_only("dlq", "redrive", f"@owner/{dlq}", "--to", f"@here/queue:{home}", "--yes")
    refused(ended, 4)
    assert (count(declared.places, dlq), count(declared.places, home)) == (4, 0)
