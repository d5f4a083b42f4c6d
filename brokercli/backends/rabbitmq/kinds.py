"""What kind of queue or exchange a name is, asked in ways that change nothing."""

from __future__ import annotations

import re
from typing import Any

from brokercli.backends.rabbitmq import CLASSIC_QUEUE, QUORUM_QUEUE, STREAM
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.management import Management, ManagementMissing, NotThere
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound

RESOURCES = {"classic": CLASSIC_QUEUE, "quorum": QUORUM_QUEUE, "stream": STREAM}
_TYPE_OF_QUEUE = re.compile(r"of queue type rabbit_(\w+)_queue")
_TYPE_OF_EXCHANGE = re.compile(r"current is '+([^']+)'")
_BUILT_IN = {"": "direct", "amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
             "amq.rabbitmq.trace": "topic", "amq.rabbitmq.log": "topic"}


def queue_exists(link: Link, name: str) -> bool:
    """Whether there is a queue of that name. Raises NotAuthorised, and Failed where another connection has it for itself."""
    try:
        link.ask(f"asking for the queue {name}", lambda channel, answered: channel.queue_declare(name, passive=True, callback=answered))
    except NotFound:
        return False
    return True


def exchange_exists(link: Link, name: str) -> bool:
    """Whether there is an exchange of that name; the default one is always there."""
    if not name:
        return True
    try:
        link.ask(f"asking for the exchange {name}", lambda channel, answered: channel.exchange_declare(name, passive=True, callback=answered))
    except NotFound:
        return False
    return True


def queue_kind(link: Link, name: str, management: Management) -> str | None:
    """Return the row of the support table for a queue that exists, or None where nobody says.

    From 4.0 on the broker names the type when it refuses to open a consumer with an argument that the type does not have or
    cannot read (verified on 4.3.6); it refuses before anything is delivered. Where reading is not permitted, and on older
    brokers, which would open the consumer, the management API is asked.
    """
    if _version(link) >= 4:
        try:
            link.ask(f"asking for the kind of the queue {name}", lambda channel, answered: channel.basic_consume(
                name, _ignore, arguments={"x-stream-offset": "?"}, callback=answered))
        except Failed as refusal:
            if found := _TYPE_OF_QUEUE.search(str(refusal)):
                return RESOURCES.get(found[1])
            if "invalid_stream_offset" in str(refusal):
                return STREAM
        except NotAuthorised:
            pass
    try:
        return RESOURCES.get(management.get("queues", link.where.virtual_host, name, columns="type").get("type", ""))
    except (ManagementMissing, NotThere):
        return None


def exchange_type(link: Link, name: str, management: Management) -> str | None:
    """Return the type of an exchange that exists, or None where nobody says.

    Without the management API the broker is asked to declare it with properties that no exchange has; it refuses, and says
    the type while it is at it (verified on 4.3.6).
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    try:
        return str(management.get("exchanges", link.where.virtual_host, name).get("type"))
    except (ManagementMissing, NotThere):
        pass
    try:
        link.ask(f"asking for the type of the exchange {name}", lambda channel, answered: channel.exchange_declare(
            name, exchange_type="headers", durable=True, auto_delete=True, internal=True, arguments={"x-brokercli-asks": "type"}, callback=answered))
    except Failed as refusal:
        if found := _TYPE_OF_EXCHANGE.search(str(refusal)):
            # a headers exchange differs in something else
            return "headers" if "arg 'type'" not in str(refusal) else found[1]
        return None
    except BrokercliError:
        return None
    # it was deleted since it was seen, and now it is back: as it was found is without it
    link.ask(f"taking back the exchange {name}", lambda channel, answered: channel.exchange_delete(name, if_unused=True, callback=answered))
    return None


def _version(link: Link) -> int:
    found = re.match(r"\d+", str(link.server_properties.get("version", "")))
    return int(found[0]) if found else 0


def _ignore(*arguments: Any) -> None:
    """Never called."""
