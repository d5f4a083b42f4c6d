"""A login that may not write to where messages go: exit code 6 and what would change that, on each broker, however many messages there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from brokercli.backends.kafka.handled_group import group_of
from brokercli.model.address import Address
from brokercli.model.errors import NotAuthorised
from tests.backends.kafka_guarded import READER, READER_PASSWORD, GuardedKafka
from tests.backends.kafka_permissions import allow, writing_nowhere
from tests.backends.kafka_redrive import stored
from tests.backends.kafka_topics import Topics
from tests.backends.nats_letters import dlq_of, in_stream, numbers
from tests.backends.nats_streams import Streams
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import count, numbered
from tests.brokers.server import HOST
from tests.commandline import CommandLine, Ended


@dataclass(frozen=True, slots=True)
class Shut:
    """Four letters, and the home of each, which `reader` may not write to."""

    reader: tuple[str, ...]
    """As `context add` takes the login."""
    owner: tuple[str, ...]
    """The same of somebody who may do everything."""
    dlq: str
    home: str
    words: str
    """What is said of it."""
    hint: str
    hold: Callable[[], tuple[int, int]]
    """Count what lies in the dead letters, and at home."""


@pytest.fixture
def declared(rabbitmq_address: str, rabbitmq_management: str) -> Iterator[Declared]:
    places = Places(rabbitmq_address, rabbitmq_management)
    made = Declared(places)
    yield made
    made.close()
    places.close()


@pytest.fixture
def rabbitmq(declared: Declared, unique: Callable[[str], str]) -> Shut:
    places, login = declared.places, declared.restricted("management", configure="^$", write="^$")
    dlq, home = places.queue(name=unique("letters") + ".dlq"), places.queue()
    places.put("", dlq, numbered(4), (("delivery_mode", 2), ("headers", [(b"x-original-topic", ("S", home.encode()))])))
    management = ("--management", places.broker.management)
    return Shut(("--url", f"amqp://{login.user}:secret@{places.broker.host}:{places.broker.port}/", *management), ("--url", places.broker.url, *management),
                dlq, f"queue:{home}", "No permission for publishing to the default exchange", "rabbitmqctl set_permissions",
                lambda: (count(places, dlq), count(places, home)))


@pytest.fixture
def nats(administered: Streams) -> Shut:
    home = administered.make()
    dlq = dlq_of(administered, home)
    subject = f"{home.lower()}.a"
    administered.fill(f"dlq.{subject}", numbers(4), f"NATS/1.0\r\nX-Original-Subject: {subject}\r\n\r\n".encode())
    reader, owner = (("--url", f"nats://{user}:nats-s3cret@{HOST}:{administered.port}") for user in ("reads", "all"))
    return Shut(reader, owner, dlq, f"subject:{subject}", f"User 'reads' is not permitted to publish to {subject}", "the user's permissions on the server",
                lambda: (len(in_stream(administered, dlq)), len(in_stream(administered, home))))


def kafka(topics: Topics, login_port: int, *, transactions: bool) -> Shut:
    home, dlq, other = topics.make(), topics.make(), topics.make()
    producer = topics.producer()
    for number in range(4):
        producer.produce(dlq.name, b"%d" % number, headers=[("x-original-topic", home.name.encode())])
    assert producer.flush(60) == 0
    for topic in (home, dlq):
        allow(topics.admin, ResourceType.TOPIC, topic.name, AclOperation.READ)
    allow(topics.admin, ResourceType.GROUP, group_of(dlq.name), AclOperation.READ)
    # who may write somewhere may have a producer
    allow(topics.admin, ResourceType.TOPIC, other.name, AclOperation.WRITE)
    if transactions:
        allow(topics.admin, ResourceType.TRANSACTIONAL_ID, group_of(dlq.name), AclOperation.WRITE)
    return Shut(("--url", f"kafka://{READER}:{READER_PASSWORD}@{HOST}:{login_port}"), ("--url", f"kafka://{topics.address}"), dlq.name, f"topic:{home.name}",
                f"No permission to write to the topic {home.name}", "ask for the ACL",
                lambda: (len(stored(topics, dlq)), len(stored(topics, home))))


@pytest.fixture(params=[
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
    pytest.param("nats", marks=[pytest.mark.nats, pytest.mark.xdist_group("guarded_nats")]),
    *(pytest.param(name, marks=[pytest.mark.kafka, pytest.mark.xdist_group("guarded_kafka")]) for name in ("kafka", "kafka without transactions"))])
def shut(request: pytest.FixtureRequest, cli: CommandLine) -> Shut:
    """Letters of each broker in turn; the reader's context is the one in use."""
    if request.param.startswith("kafka"):
        ports = request.getfixturevalue("guarded_kafka").ports
        made = kafka(request.getfixturevalue("guarded_topics"), ports["login"], transactions=request.param == "kafka")
    else:
        made = request.getfixturevalue(request.param)
    assert cli("context", "add", "here", *made.reader, "--use").code == 0
    return made


def refused(ended: Ended, shut: Shut, messages: int, *, tried: int | None = None) -> None:
    """All were refused; or those that were `tried` at least, and the rest left as soon as the first verdict said that none can go."""
    assert ended.code == 6, ended.stderr
    assert any(f"read {messages:,}, confirmed 0, refused {count:,}, unknown 0, skipped {messages - count:,}" in ended.stderr
               for count in range(tried or messages, messages + 1)), ended.stderr
    assert ended.stderr.count(shut.words) >= 1, ended.stderr
    assert shut.hint in ended.stderr


@pytest.mark.parametrize("messages", [1, 3, 3000])
def test_publishing_without_the_permission_ends_as_not_authorised_whatever_the_number(cli: CommandLine, shut: Shut, messages: int) -> None:
    refused(cli("publish", shut.home, stdin=b"".join(b"%d\n" % number for number in range(messages))), shut, messages)
    assert shut.hold() == (4, 0)


@pytest.mark.parametrize(("verb", "how"), [("redrive", ()), ("redrive", ("--limit", "2")), ("redrive", ("--rate", "20")), ("park", ())],
                         ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_letters_that_may_not_be_put_back_stay_and_the_run_ends_as_not_authorised(cli: CommandLine, shut: Shut, verb: str, how: tuple[str, ...]) -> None:
    to = ("--to", shut.home) if verb == "park" else ()
    refused(cli("dlq", verb, shut.dlq, *to, *how, "--yes"), shut, 2 if "--limit" in how else 4, tried=1 if "--rate" in how else None)
    assert shut.hold() == (4, 0)


def test_letters_for_another_broker_that_may_not_be_put_there_end_the_same_way(cli: CommandLine, shut: Shut) -> None:
    assert cli("context", "add", "owner", *shut.owner).code == 0
    refused(cli("dlq", "redrive", f"@owner/{shut.dlq}", "--to", f"@here/{shut.home}", "--yes"), shut, 4, tried=1)
    assert shut.hold() == (4, 0)


def test_letters_from_a_file_that_may_not_be_put_back_end_the_same_way(cli: CommandLine, shut: Shut) -> None:
    assert cli("dlq", "export", "letters", shut.dlq).code == 0
    refused(cli("dlq", "redrive", "--from-file", "letters", "--yes"), shut, 4)
    assert shut.hold() == (4, 0)


def test_letters_that_may_be_put_back_go_although_others_may_not(cli: CommandLine, administered: Streams, nats: Shut) -> None:
    other = administered.make(subjects=[f"open.{nats.dlq.lower()}"])
    administered.fill(f"dlq.{nats.home.removeprefix('subject:')}", numbers(4), f"NATS/1.0\r\nX-Original-Subject: open.{nats.dlq.lower()}\r\n\r\n".encode())
    assert cli("context", "add", "here", *nats.reader, "--use").code == 0
    ended = cli("dlq", "redrive", nats.dlq, "--yes")
    assert (ended.code, nats.hold()) == (3, (4, 0)), ended.stderr
    assert "read 8, confirmed 4, refused 4, unknown 0, skipped 0" in ended.stderr
    assert nats.words in ended.stderr
    assert in_stream(administered, other) == numbers(4)


@pytest.mark.parametrize("kind", ["classic", "stream"])
def test_the_permission_to_write_to_the_default_exchange_is_enough_to_publish_to_a_queue(cli: CommandLine, declared: Declared, kind: str) -> None:
    login = declared.restricted(configure="^$", read="^$", write=r"^amq\.default$")
    queue = declared.places.queue(kind)
    address = f"amqp://{login.user}:secret@{declared.places.broker.host}:{declared.places.broker.port}/{'stream' if kind == 'stream' else 'queue'}:{queue}"
    ended = cli("publish", address, "one")
    assert ended.code == 0, ended.stderr
    assert "confirmed 1, refused 0" in ended.stderr


def test_a_name_that_may_not_be_asked_about_is_answered_with_how_to_publish_to_it_all_the_same(declared: Declared) -> None:
    login = declared.restricted(configure="^$", read="^$", write=r"^amq\.default$")
    name = declared.places.queue()
    with pytest.raises(NotAuthorised) as refusal:
        declared.places.open(login).resolve(Address(name), "publish")
    assert f"say what it is, queue:{name} or exchange:{name}" in (refusal.value.hint or "")


@pytest.mark.kafka
@pytest.mark.xdist_group("guarded_kafka")
def test_who_may_write_to_no_topic_of_kafka_is_not_sent_for_a_permission_on_the_cluster(
        cli: CommandLine, guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    topic = guarded_topics.make()
    allow(guarded_topics.admin, ResourceType.TOPIC, topic.name, AclOperation.READ)
    with writing_nowhere(guarded_topics.admin):
        ended = cli("publish", f"kafka://{READER}:{READER_PASSWORD}@{HOST}:{guarded_kafka.ports['login']}/{topic.name}", "one")
    assert ended.code == 6
    assert "This login may write to no topic" in ended.stderr
    assert "ask for WRITE on the topic, which is enough" in ended.stderr
    assert "confirmed 0, refused 1" in ended.stderr
    assert stored(guarded_topics, topic) == []
