"""Dead letters of share groups (KIP-1191): the broker writes them, or drops what is given up without a word to anybody but its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._resource import ResourceType

from brokercli.backends.kafka.configurations import values_of
from brokercli.model.address import Address

_TOPIC, _COPIES, _LIMIT = "errors.deadletterqueue.topic.name", "errors.deadletterqueue.copy.record.enable", "share.delivery.count.limit"
_PREFIX, _MAKES, _TAKES = "errors.deadletterqueue.topic.name.prefix", "errors.deadletterqueue.auto.create.topics.enable", "errors.deadletterqueue.group.enable"
_LOST = "what is given up is skipped for good"


def gives_up(settings: Mapping[str, str]) -> str:
    """Say when a share group gives a message up; empty where it is not known."""
    return f"after {settings[_LIMIT]} deliveries, or when it is rejected" if settings.get(_LIMIT) else ""


def letters_go_to(settings: Mapping[str, str]) -> str:
    """Return the topic that a share group's dead letters are to go to; empty: none."""
    return settings.get(_TOPIC, "")


def written_nowhere(topic: str, metadata: Any, admin: AdminClient, seconds: float) -> str:
    """Say why the broker writes no letter to the topic that a group names, and that they are lost; empty where nothing that may be asked speaks
    against it. The broker takes any name, and looks at it when there is a letter (verified on 4.4.0)."""
    node = min(metadata.brokers, default=None)
    brokers = {} if node is None else values_of(admin, ResourceType.BROKER, str(node), seconds)
    there = metadata.topics.get(topic)
    why = ""
    if not topic.startswith(brokers.get(_PREFIX, "")):
        why = f"its name does not begin with {brokers[_PREFIX]} ({_PREFIX} of the brokers)"
    elif there is None or there.error is not None:
        if brokers.get(_MAKES) == "false":
            why = f"it does not exist, and the brokers do not make it ({_MAKES})"
    elif values_of(admin, ResourceType.TOPIC, topic, seconds).get(_TAKES) == "false":
        why = f"{_TAKES} of the topic is false"
    return f"{_LOST}; {Address(topic, 'topic')} takes none of it: {why}" if why else ""


def dead_letters_in_words(settings: Mapping[str, str], obstacle: str) -> str:
    """Say what becomes of what a share group gives up; `obstacle` is what `written_nowhere` says of its topic."""
    topic = letters_go_to(settings)
    if obstacle or not topic:
        return f"none: {obstacle or f'{_LOST} ({_TOPIC} is empty)'}"
    copies = "with the record" if settings.get(_COPIES) == "true" else f"without key, body and headers ({_COPIES} is false): they are read where they came from"
    return f"{Address(topic, 'topic')}, {copies}"
