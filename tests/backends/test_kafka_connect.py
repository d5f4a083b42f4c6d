"""Each way a connection to Kafka can fail is told apart, in time, in one sentence with a next step; and no secret is said."""

from __future__ import annotations

import socket
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclOperation,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.connect import FORBIDDEN_OPTIONS, OUR_OPTIONS, explain
from brokercli.model.address import Address
from brokercli.model.connection import TLS, Connection, Secret
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable, UsageProblem
from brokercli.model.position import End, Span, Start
from tests.backends.kafka_guarded import CLIENT, KEY_PASSWORD, GuardedKafka
from tests.backends.kafka_permissions import allow, as_reader
from tests.backends.kafka_topics import IN_PARTS, Topics, bodies, everything
from tests.brokers.kafka import PASSWORD, USER
from tests.brokers.server import HOST, free_port, wait_until

TIMEOUT = 2.0
"""Of what ends by no answer."""
TRIED_AGAIN = 7.0
"""Of what hangs up: the client tries again for most of the time; what is left has to be enough to ask why, also on a busy machine."""
PATIENCE = 20.0
GRACE = 10.0


def to(port: int, host: str = HOST, timeout: float = PATIENCE, **options: object) -> Connection:
    scheme = "kafkas" if options.get("tls") else "kafka"
    return Connection(scheme, ((host, port),), connect_timeout=timeout, **options)  # type: ignore[arg-type]


def failure(connection: Connection) -> BrokercliError:
    """Return how opening it fails; the sentence is one, and there is a hint."""
    begin = time.monotonic()
    with pytest.raises(BrokercliError) as caught:
        KafkaBackend(connection)
    assert time.monotonic() - begin < connection.connect_timeout + GRACE, "the connect timeout was not kept"
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


@contextmanager
def speaking(greeting: bytes | None, answer: bytes | None = None) -> Iterator[int]:
    """Listen on a port: greet whoever comes (None: hang up), then answer what is asked (None: never)."""
    with socket.create_server((HOST, 0)) as server:
        def serve() -> None:
            connections = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if greeting is None:
                    connection.close()
                    continue
                connections.append(connection)
                connection.sendall(greeting)
                if answer is not None:
                    connection.recv(1024)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_a_closed_port_is_said_to_refuse_the_connection() -> None:
    problem = failure(to(free_port()))
    assert isinstance(problem, Unreachable)
    assert "connection refused" in str(problem)


def test_a_port_that_says_nothing_is_given_up_in_time() -> None:
    with speaking(b"") as port:
        problem = failure(to(port, timeout=TIMEOUT))
    assert isinstance(problem, Unreachable)
    assert "no answer within 2 s" in str(problem)


@pytest.mark.parametrize(("greeting", "answer", "name"), [
    (b'INFO {"server_id":"x"}\r\n', None, "NATS"), (b"", b"AMQP\0\0\x09\x01", "AMQP"), (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
    (b"SSH-2.0-x\r\n", None, "SSH"), (b"220 mail.example\r\n", None, "does not speak Kafka")])
def test_a_port_that_speaks_something_else_is_called_by_its_name(greeting: bytes, answer: bytes | None, name: str) -> None:
    with speaking(greeting, answer) as port:
        problem = failure(to(port))
    assert isinstance(problem, Unreachable)
    assert name in str(problem)


def test_a_port_that_hangs_up_is_said_to_close_every_connection() -> None:
    with speaking(None) as port:
        problem = failure(to(port, timeout=TRIED_AGAIN))
    assert isinstance(problem, Unreachable)
    assert "closes every connection" in str(problem)


@pytest.mark.parametrize(("text", "words"), [
    ("10.0.0.7:9092/1: Connect to ipv4#10.0.0.7:9092 failed: Connection refused (after 0ms in state CONNECT)",
     "10.0.0.7:9092, and from here that fails: connection refused."),
    ("sasl_ssl://kafka-2:9093/1: Failed to resolve 'kafka-2:9093': Name or service not known", "kafka-2:9093, and from here that fails: no such host."),
    ("10.0.0.7:9092/1: Connection setup timed out in state CONNECT (after 5000ms in state CONNECT)",
     "10.0.0.7:9092, and from here that fails: Connection setup timed out in state CONNECT."),
    ("GroupCoordinator: kafka-2:9092: Failed to resolve 'kafka-2:9092': Name or service not known", "kafka-2:9092, and from here that fails: no such host.")])
def test_an_address_that_only_the_broker_told_is_not_called_ours(text: str, words: str) -> None:
    problem = explain(KafkaError(KafkaError._TRANSPORT, text), to(9092, "kafka.example"), 1.0)
    # the coordinator of a group is known by its address first
    which = "its broker" if "Coordinator" in text else "its broker 1"
    assert str(problem) == f"kafka://kafka.example:9092: {which} tells clients to come to {words}"
    assert "advertised.listeners" in (problem.hint or "")


def test_an_unknown_host_is_named() -> None:
    problem = failure(to(9092, "no-such-host.invalid"))
    assert isinstance(problem, Unreachable)
    assert "no host no-such-host.invalid" in str(problem)


def test_tls_where_there_is_none_is_answered_with_the_scheme_without_it(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.port, tls=TLS()))
    assert isinstance(problem, Unreachable)
    assert "without TLS" in str(problem)
    assert "kafka://" in (problem.hint or "")


def test_no_tls_where_there_is_some_is_answered_with_the_scheme_for_it(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["tls"], timeout=TRIED_AGAIN))
    assert isinstance(problem, Unreachable)
    assert "TLS" in str(problem)
    assert "kafkas://" in (problem.hint or "")


def test_a_certificate_that_nobody_vouches_for_is_refused_with_what_to_set(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["tls"], "localhost", tls=TLS()))
    assert isinstance(problem, NotAuthorised)
    assert "certificate" in str(problem)
    assert "tls.ca" in (problem.hint or "")


def test_a_certificate_for_another_name_is_not_valid_for_this_one(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["tls"], HOST, tls=TLS(ca=guarded_kafka.authority)))
    assert isinstance(problem, NotAuthorised)
    assert "not valid for '127.0.0.1'" in str(problem)


@pytest.mark.parametrize("insecure", [False, True], ids=["verified", "insecure"])
def test_tls_works_with_the_right_name_and_authority_or_without_any_when_asked(guarded_kafka: GuardedKafka, insecure: bool) -> None:
    tls = TLS(insecure=True) if insecure else TLS(ca=guarded_kafka.authority)
    with KafkaBackend(to(guarded_kafka.ports["tls"], "localhost", tls=tls)) as backend:
        list(backend.list())  # it answers


def test_a_missing_file_of_certificates_is_named(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["tls"], "localhost", tls=TLS(ca="/nowhere/ca.pem")))
    assert isinstance(problem, UsageProblem)
    assert "/nowhere/ca.pem" in str(problem)


@IN_PARTS
@pytest.mark.parametrize("key_password", [None, KEY_PASSWORD], ids=["open key", "locked key"])
def test_a_client_certificate_is_a_login(guarded_kafka: GuardedKafka, guarded_topics: Topics, key_password: str | None, in_parts: bool) -> None:
    topic = guarded_topics.make()
    connection = to(guarded_kafka.ports["mutual"], "localhost", tls=guarded_kafka.certificate(CLIENT, key_password=key_password))
    with KafkaBackend(connection) as backend:
        with pytest.raises(NotAuthorised, match=topic.name):
            backend.resolve(topic, "look")
        allow(guarded_topics.admin, ResourceType.TOPIC, topic.name, AclOperation.READ, AclOperation.WRITE, user=f"CN={CLIENT}")
        with backend.publisher(backend.resolve(topic, "publish"), PublishPolicy(bodies_only=in_parts)) as publisher:
            publisher.send_bodies([b"by certificate"])
            assert publisher.finish(20).confirmed == 1
    assert bodies(guarded_topics.read(topic)) == [b"by certificate"]


def test_a_key_that_lies_with_its_certificate_is_found_there(guarded_kafka: GuardedKafka, tmp_path: Path) -> None:
    apart = guarded_kafka.certificate(CLIENT)
    together = tmp_path / "client.pem"
    together.write_text(Path(str(apart.certificate)).read_text() + Path(str(apart.key)).read_text())
    KafkaBackend(to(guarded_kafka.ports["mutual"], "localhost", tls=replace(apart, certificate=str(together), key=None))).close()


@pytest.mark.parametrize(("user", "password"), [(" operator", "secret"), ("operator", "\tsecret")])
def test_white_space_that_the_client_would_cut_off_a_login_is_said(user: str, password: str) -> None:
    problem = failure(replace(to(1), user=user, password=Secret(password)))
    assert isinstance(problem, UsageProblem)
    assert "begins with white space" in str(problem)
    assert "secret" not in f"{problem} {problem.hint}"


def test_no_certificate_where_one_is_wanted_is_answered_with_what_to_set(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["mutual"], "localhost", timeout=TRIED_AGAIN, tls=TLS(ca=guarded_kafka.authority)))
    assert isinstance(problem, NotAuthorised)
    assert "wants a client certificate" in str(problem)
    assert "tls.certificate" in (problem.hint or "")


def test_a_client_certificate_that_nobody_vouches_for_is_not_accepted(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["mutual"], "localhost", timeout=TRIED_AGAIN, tls=guarded_kafka.certificate("stranger")))
    assert isinstance(problem, NotAuthorised)
    assert "does not accept our certificate" in str(problem)
    assert "tls.certificate" in (problem.hint or "")


def test_a_locked_key_with_a_wrong_password_or_none_is_named(guarded_kafka: GuardedKafka) -> None:
    locked = guarded_kafka.certificate(CLIENT, key_password="wrong-secret")
    for tls in (locked, replace(locked, key_password=None)):
        problem = failure(to(guarded_kafka.ports["mutual"], "localhost", timeout=TRIED_AGAIN, tls=tls))
        assert isinstance(problem, UsageProblem)
        assert str(locked.key) in str(problem)
        assert "wrong-secret" not in f"{problem} {problem.hint}"


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong-secret"), ("nobody", "wrong-secret")])
def test_a_wrong_login_names_the_user_and_never_the_password(guarded_kafka: GuardedKafka, user: str, password: str) -> None:
    problem = failure(to(guarded_kafka.ports["login"], user=user, password=Secret(password)))
    assert isinstance(problem, NotAuthorised)
    assert user in str(problem)
    assert "wrong-secret" not in f"{problem} {problem.hint}"


def test_a_mechanism_that_is_not_offered_is_answered_with_those_that_are(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["login"], user=USER, password=Secret(PASSWORD), mechanism="SCRAM-SHA-512"))
    assert isinstance(problem, NotAuthorised)
    assert "does not offer SCRAM-SHA-512; it offers " in str(problem)
    assert "PLAIN" in str(problem)


def test_no_login_where_one_is_wanted_is_said(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.ports["login"], timeout=TRIED_AGAIN))
    assert isinstance(problem, NotAuthorised)
    assert "wants a login (OAUTHBEARER, PLAIN, SCRAM-SHA-256)" in str(problem)


def test_a_login_where_none_is_known_is_said(guarded_kafka: GuardedKafka) -> None:
    problem = failure(to(guarded_kafka.port, user=USER, password=Secret(PASSWORD)))
    assert isinstance(problem, NotAuthorised)
    assert "knows no login" in str(problem)


def test_a_mechanism_that_the_client_does_not_have_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem, match="Kerberos"):
        KafkaBackend(to(9092, user=USER, password=Secret(PASSWORD), mechanism="GSSAPI"))


def test_the_right_login_works_and_says_that_it_travels_in_the_open(guarded_kafka: GuardedKafka) -> None:
    with KafkaBackend(to(guarded_kafka.ports["login"], user=USER, password=Secret(PASSWORD))) as backend:
        list(backend.list())  # it answers
        assert "without TLS" in backend.notes[0]


def test_scram_works_with_the_right_password_only(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    user = f"scram-{guarded_topics.name()}"
    upserted = guarded_topics.admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"s3cret")])
    upserted[user].result(60)
    connection = to(guarded_kafka.ports["login"], user=user, mechanism="SCRAM-SHA-256", password=Secret("s3cret"))

    def logged_in() -> bool:
        # the controller answers before the broker knows the user
        try:
            with KafkaBackend(connection) as backend:
                return list(backend.list()) == []
        except NotAuthorised:
            return False

    wait_until(logged_in, 20, "the login")
    problem = failure(replace(connection, password=Secret("other")))
    assert isinstance(problem, NotAuthorised)
    assert user in str(problem)


@IN_PARTS
def test_a_bearer_token_is_a_login(guarded_kafka: GuardedKafka, guarded_topics: Topics, in_parts: bool) -> None:
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": USER, "iat": now, "exp": now + 600})
    token = ".".join(urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in parts) + "."
    with KafkaBackend(to(guarded_kafka.ports["login"], token=Secret(token))) as backend:
        topic = guarded_topics.make()
        with backend.publisher(topic, PublishPolicy(bodies_only=in_parts)) as publisher:
            publisher.send_bodies([b"by token"])
            assert publisher.finish(20).confirmed == 1
    problem = failure(to(guarded_kafka.ports["login"], token=Secret("not.a.token")))
    assert isinstance(problem, NotAuthorised)
    assert "not.a.token" not in f"{problem} {problem.hint}"


def test_one_host_that_answers_among_several_is_enough(kafka_address: str) -> None:
    host, _, port = kafka_address.rpartition(":")
    with KafkaBackend(replace(to(0), hosts=((HOST, free_port()), (host, int(port))))) as backend:
        list(backend.list())  # it answers


@pytest.mark.parametrize("option", sorted(FORBIDDEN_OPTIONS | OUR_OPTIONS))
def test_options_that_run_code_or_break_promises_are_refused_before_anything_is_opened(option: str) -> None:
    with pytest.raises(UsageProblem, match=option.replace(".", r"\.")):
        KafkaBackend(to(free_port(), options={option: "x"}))


def test_an_option_that_does_not_exist_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem, match=r"no\.such\.option"):
        KafkaBackend(to(free_port(), options={"no.such.option": "1"}))


def test_an_option_that_is_allowed_reaches_the_client(topics: Topics) -> None:
    connection = replace(topics.connection, options={"isolation.level": "read_uncommitted"})
    topic = topics.make()
    producer = topics.producer(transactional_id=topic.name)
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic.name, b"not committed")
    assert producer.flush(20) == 0
    with KafkaBackend(connection) as backend, backend.look(topic, Span(Start(), End())) as reader:
        assert bodies(everything(reader)) == [b"not committed"]
    producer.abort_transaction(60)


def test_nothing_of_all_this_is_written_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    failure(to(free_port()))
    with speaking(b"INFO {}\r\n") as port:
        failure(to(port))
    assert capfd.readouterr() == ("", "")


# --- permissions

def publish_one(backend: KafkaBackend, topic: Address, in_parts: bool) -> None:
    with backend.publisher(topic, PublishPolicy(bodies_only=in_parts)) as publisher:
        try:
            while not publisher.collect(20).confirmed:
                publisher.send_bodies([b"c"])
        finally:
            assert publisher.finish(5).confirmed == 0
            assert publisher.in_flight == 0


def test_a_topic_one_may_not_see_is_not_called_missing(guarded_kafka: GuardedKafka, guarded_topics: Topics) -> None:
    topic = guarded_topics.make()
    with as_reader(guarded_kafka) as backend, pytest.raises(NotAuthorised, match=topic.name):
        backend.resolve(topic, "look")


@IN_PARTS
def test_somebody_who_may_only_read_can_look_and_describe_and_not_publish(guarded_kafka: GuardedKafka, guarded_topics: Topics, in_parts: bool) -> None:
    topic = guarded_topics.make()
    guarded_topics.fill(topic, [b"a", b"b"])
    allow(guarded_topics.admin, ResourceType.TOPIC, topic.name, AclOperation.READ)
    with as_reader(guarded_kafka) as backend:
        with backend.look(topic, Span(Start(), End())) as reader:
            assert bodies(everything(reader)) == [b"a", b"b"]
        description = backend.describe(topic)
        assert description.facts["offsets held"] == 2
        assert any("configuration" in missing for missing in description.missing)
        # without any permission to write the client gets no sequence to number its messages by
        with pytest.raises(NotAuthorised, match="Cluster authorization failed"):
            publish_one(backend, topic, in_parts)
    assert len(guarded_topics.read(topic)) == 2


@IN_PARTS
def test_somebody_who_may_write_elsewhere_is_refused_message_by_message(guarded_kafka: GuardedKafka, guarded_topics: Topics, in_parts: bool) -> None:
    topic, elsewhere = guarded_topics.make(), guarded_topics.make()
    allow(guarded_topics.admin, ResourceType.TOPIC, topic.name, AclOperation.READ)
    allow(guarded_topics.admin, ResourceType.TOPIC, elsewhere.name, AclOperation.WRITE)
    with as_reader(guarded_kafka) as backend:
        with backend.publisher(topic, PublishPolicy(bodies_only=in_parts)) as publisher:
            publisher.send_bodies([b"a", b"b"])
            receipts = publisher.finish(20)
            assert (receipts.confirmed, receipts.refused, receipts.unknown) == (0, 2, 0)
            assert "permission" in receipts.problems[0].reason
        with backend.publisher(elsewhere, PublishPolicy(bodies_only=in_parts)) as publisher:
            publisher.send_bodies([b"a"])
            assert publisher.finish(20).confirmed == 1
    assert guarded_topics.read(topic) == []
