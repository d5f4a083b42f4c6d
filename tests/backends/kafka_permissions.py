"""What READER may do on the guarded Kafka, and that the broker has heard of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.model.connection import Connection, Secret
from tests.backends.kafka_guarded import READER, READER_PASSWORD, GuardedKafka
from tests.brokers.server import HOST, wait_until


@contextmanager
def writing_nowhere(admin: AdminClient) -> Iterator[None]:
    """Deny READER to write to any topic, whatever was allowed before, while this is entered."""
    everywhere = (ResourceType.TOPIC, "*", ResourcePatternType.LITERAL, f"User:{READER}", "*", AclOperation.WRITE, AclPermissionType.DENY)
    for future in admin.create_acls([AclBinding(*everywhere)]).values():
        future.result(60)
    try:
        wait_until(lambda: admin.describe_acls(AclBindingFilter(*everywhere)).result(60), 20, "a denial")
        yield
    finally:
        for future in admin.delete_acls([AclBindingFilter(*everywhere)]).values():
            future.result(60)
        wait_until(lambda: not admin.describe_acls(AclBindingFilter(*everywhere)).result(60), 20, "the end of a denial")


def allow(admin: AdminClient, kind: ResourceType, name: str, *operations: AclOperation, user: str = READER) -> None:
    """Allow something, and wait until that holds: the controller answers before the broker knows."""
    for operation in operations:
        binding = AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        for future in admin.create_acls([binding]).values():
            future.result(60)
        same = AclBindingFilter(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        wait_until(lambda same=same: admin.describe_acls(same).result(60), 20, f"{operation} on {name}")  # type: ignore[misc]


def as_reader(broker: GuardedKafka) -> KafkaBackend:
    """Log in as somebody who may only do what was allowed."""
    return KafkaBackend(Connection("kafka", ((HOST, broker.ports["login"]),), user=READER, password=Secret(READER_PASSWORD)))


def withdraw(admin: AdminClient, kind: ResourceType, name: str, operation: AclOperation, user: str = READER) -> None:
    """Take back what was allowed, and wait until that holds."""
    same = AclBindingFilter(kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
    for future in admin.delete_acls([same]).values():
        future.result(60)
    wait_until(lambda: not admin.describe_acls(same).result(60), 20, f"the end of {operation} on {name}")
