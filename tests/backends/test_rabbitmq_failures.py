"""What RabbitMQ says when it closes a channel or a connection, in words."""

from __future__ import annotations

import uuid

import pika
import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq.failures import FailedItself, NoSuch, from_reply, translate
from brokercli.model.declaration import Declaration
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable, UsageProblem
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import fail, letters, numbered, queue, work_and_letters


@pytest.mark.parametrize(("code", "text", "kind", "words"), [
    (404, "NOT_FOUND - no queue 'orders' in vhost '/'", NoSuch, "There is no queue orders in the virtual host /."),
    (404, "NOT_FOUND - no exchange '' in vhost 'shop'", NoSuch, "The virtual host shop was deleted meanwhile, and everything in it."),
    (404, "NOT_FOUND - queue 'orders' in vhost '/' is down or inaccessible", NotFound, "Not found while reading: queue 'orders' in vhost '/' is down"),
    (403, "ACCESS_REFUSED - read access to queue 'orders' refused", NotAuthorised, "No permission for reading: read access to queue 'orders' refused."),
    (403, "ACCESS_REFUSED - queue 'orders' in vhost '/' in exclusive use", Failed, "Another consumer has the queue orders for itself"),
    (403, "ACCESS_REFUSED - cannot publish to internal exchange 'steps' in vhost '/'", Failed, "Only other exchanges publish to an internal exchange: cannot"),
    (405, "RESOURCE_LOCKED - cannot obtain exclusive access", Failed, "Locked while reading: cannot obtain exclusive access."),
    (320, "CONNECTION_FORCED - broker forced connection closure", Unreachable, "The broker closed the connection while reading: broker forced"),
    (541, "INTERNAL_ERROR", FailedItself, "RabbitMQ itself failed while reading: INTERNAL_ERROR (541)."),
    (406, "PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'orders' in vhost '/' of queue type rabbit_stream_queue", NoSuch,
     "The quorum queue orders was deleted meanwhile: the one of that name now is a stream."),
    (406, "PRECONDITION_FAILED - inequivalent arg", Failed, "RabbitMQ refused reading: inequivalent arg (406)."),
])
def test_each_reply_is_an_error_of_its_kind_that_says_what_was_being_done(code: int, text: str, kind: type[BrokercliError], words: str) -> None:
    problem = from_reply(code, text, "reading")
    assert type(problem) is kind
    assert words in str(problem)


def test_a_broker_that_fails_itself_is_not_said_to_refuse_and_the_usual_cause_is_named() -> None:
    assert "deleted at this moment" in (from_reply(541, "INTERNAL_ERROR", "reading the stream orders").hint or "")


def test_where_a_virtual_host_may_have_no_more_queues_it_is_said_who_sets_that() -> None:
    problem = from_reply(406, "PRECONDITION_FAILED - cannot declare queue 'orders': queue limit in vhost '/' (33) is reached", "tapping orders")
    assert str(problem) == "RabbitMQ refused tapping orders: cannot declare queue 'orders': queue limit in vhost '/' (33) is reached (406)."
    assert "set_vhost_limits" in (problem.hint or "")


def test_too_few_channels_are_no_broken_connection() -> None:
    problem = translate(pika.exceptions.NoFreeChannels(), "reading", "amqp://host")
    assert (type(problem), str(problem)) == (Failed, "The broker lets a connection have too few channels (channel_max): reading needs one more.")


def test_letters_that_another_consumer_has_for_itself_are_no_matter_of_permissions(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, numbered(3))
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(dlq, lambda *arguments: None, exclusive=True)
        with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair, pytest.raises(Failed) as refusal:
            letters(repair)
        assert f"Another consumer has the queue {dlq} for itself" in str(refusal.value)
        assert "stop that consumer first" in (refusal.value.hint or "")


@pytest.mark.parametrize("management", [True, False], ids=["with management", "without"])
def test_a_queue_that_is_another_connections_own_is_said_to_be_so(places: Places, *, management: bool) -> None:
    backend = places.open(None if management else places.without_management)
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        own = queue(connection.channel().queue_declare("", exclusive=True).method.queue)
        for take in (backend.look_letters, lambda address: backend.repair(address, RepairPolicy())):
            with pytest.raises(Failed, match=f"{own.name} is the exclusive queue of another connection"):
                take(own)
        assert backend.describe(own).facts["exclusive"] is True


def test_so_it_is_where_it_is_to_be_declared(places: Places) -> None:
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        own = f"own-{uuid.uuid4().hex[:12]}"
        connection.channel().queue_declare(own, exclusive=True)
        for make in (lambda declarer: declarer.plan([Declaration("queue", own)]), lambda declarer: declarer.plan_removal([Declaration("queue", own)])):
            with pytest.raises(UsageProblem, match=f"{own} is the exclusive queue of another connection"):
                make(places.open(places.without_management).declarer())
