"""NATS and JetStream, as data: what is asked before any client is loaded.

What a resource can do follows from its retention. A *limits* stream can be read by anybody at no cost to others. On a
*work-queue* stream a second consumer is refused (server error 10099), on an *interest* stream one would keep messages
back that are otherwise dropped, so both are read by sequence number, which needs no consumer (verified on 2.15.1).
"""

from __future__ import annotations

from brokercli.backends.registry import Descriptor
from brokercli.model.capability import Capability, Support, SupportTable

SUBJECT = "subject"
LIMITS_STREAM = "limits stream"
WORK_QUEUE_STREAM = "work-queue stream"
INTEREST_STREAM = "interest stream"

_NO_NULL = Support.never("NATS has no null bodies, only empty ones.")
_NO_KEY = Support.never("NATS messages have no key; keys from elsewhere travel in the header x-message-key.")
_NO_PARTITION = Support.never("NATS has no partitions.")
_NO_TIME = Support.never("JetStream stamps each message with the time it stored it; a publisher cannot set it.")

_ONCE = ("Exactly once inside the duplicate window of the stream a message goes to, two minutes unless it says otherwise; at least once after it. Not from"
         " mirrors, sealed streams and those that deny deleting.")

_RESET = ("From nats-server 2.14 on, while it is paused, or nobody waits on it and nothing waits for an acknowledgement; not those that begin with new or"
          " last messages only.")
_STREAM: dict[Capability, Support] = {
    Capability.PUBLISH: Support.some("Each message goes to its own subject, which the stream must capture; without one, only where the stream captures"
                                     " exactly one subject without wildcards."),
    Capability.FIRE_AND_FORGET: Support.never("A stream is reached through its subjects; publish to subject:NAME without confirmation."),
    Capability.TOMBSTONE: _NO_NULL,
    Capability.KEY: _NO_KEY,
    Capability.PARTITION: _NO_PARTITION,
    Capability.MESSAGE_TIME: _NO_TIME,
    Capability.DEDUPLICATE: Support.some("By Nats-Msg-Id within the stream's duplicate window, two minutes unless it says otherwise."),
    Capability.LOOK_NEW: Support.full(),
    Capability.LOOK_STORED: Support.full(),
    Capability.SEEK_NUMBER: Support.full(),
    Capability.SEEK_TIME: Support.full(),
    Capability.SEEK_LAST: Support.full(),
    Capability.LIST: Support.full(),
    Capability.DESCRIBE: Support.full(),
    Capability.LOOK_LETTERS: Support.some("Where the stream's name, subjects or messages say that they are dead letters, and where it records JetStream's"
                                          " advisories; else nothing tells which of its messages died, until dlq capture has them recorded."),
    Capability.REDRIVE: Support.some(_ONCE),
    Capability.DECLARE: Support.some("Storage cannot be changed later, retention and a few others only in part."),
    Capability.CONSUMERS: Support.full(),
    Capability.SEEK_CONSUMERS: Support.some(_RESET),
    Capability.PAUSE_CONSUMERS: Support.some("From nats-server 2.11 on."),
    Capability.FLOW: Support.full(),
}
_BY_SEQUENCE = "Read by sequence number, not through a consumer: nobody's messages are taken or kept back."
_LEFT_BEHIND = Support.some("Also those that nobody recorded: delivered, no longer pending, still stored. Where messages are in progress, only the dead"
                            " letters before the oldest of them can be told.")
_AS_PUBLISHED = "Shown as published to the stream's subjects, without sequence numbers; after stored ones, by sequence, what its workers leave us."
_STORED_ELSEWHERE = ("Where exactly one stream captures the subject, or none does and one holds it all the same (a mirror, say); that stream is read,"
                     " not its copies, which describe names.")

_SUPPORT: SupportTable = {
    SUBJECT: {
        Capability.PUBLISH: Support.some("Confirmed by the stream that captures the subject; refused where none does."),
        Capability.FIRE_AND_FORGET: Support.full(),
        Capability.TOMBSTONE: _NO_NULL,
        Capability.KEY: _NO_KEY,
        Capability.PARTITION: _NO_PARTITION,
        Capability.MESSAGE_TIME: _NO_TIME,
        Capability.DEDUPLICATE: Support.some("By Nats-Msg-Id within the duplicate window of the stream that captures the subject."),
        Capability.LOOK_NEW: Support.full(),
        Capability.LOOK_STORED: Support.some(_STORED_ELSEWHERE),
        Capability.SEEK_NUMBER: Support.some(_STORED_ELSEWHERE),
        Capability.SEEK_TIME: Support.some(_STORED_ELSEWHERE),
        Capability.SEEK_LAST: Support.some(_STORED_ELSEWHERE),
        Capability.LIST: Support.some("NATS keeps no list of subjects; those that streams captured are listed with their stream."),
        Capability.LOOK_LETTERS: Support.never("A subject keeps nothing; dead letters lie in streams."),
        Capability.REDRIVE: Support.never("A subject keeps nothing; dead letters lie in streams."),
        Capability.DECLARE: Support.never("A subject exists by being used; a stream declares which subjects it captures."),
        Capability.CONSUMERS: Support.some("Those of the streams that capture it; core subscribers are not visible to a client."),
        Capability.SEEK_CONSUMERS: Support.never("A subject keeps nothing; the consumers of the stream that captures it can be moved."),
        Capability.PAUSE_CONSUMERS: Support.never("A subject keeps nothing; the consumers of the stream that captures it can be paused."),
        Capability.FLOW: Support.some("The streams that capture it and their consumers; core subscribers are not visible to a client."),
        Capability.DESCRIBE: Support.some("Which streams capture it and what they hold of it; core subscribers are not visible to a client."),
    },
    LIMITS_STREAM: dict(_STREAM),
    WORK_QUEUE_STREAM: _STREAM | {Capability.LOOK_NEW: Support.some(_AS_PUBLISHED), Capability.LOOK_STORED: Support.some(_BY_SEQUENCE),
                                  Capability.LOOK_LETTERS: _LEFT_BEHIND},
    INTEREST_STREAM: _STREAM | {Capability.LOOK_NEW: Support.some(_AS_PUBLISHED), Capability.LOOK_STORED: Support.some(_BY_SEQUENCE),
                                  Capability.LOOK_LETTERS: _LEFT_BEHIND,
                                  Capability.SEEK_CONSUMERS: Support.some(f"{_RESET} Only back, and before all that it has not acknowledged: what is skipped,"
                                                          " such a stream deletes.")},
}

descriptor = Descriptor(
    name="nats", title="NATS", schemes=("nats", "tls"), implementation="brokercli.backends.nats.client:NatsBackend", client="nats",
    install="pip install 'nats-py>=2.16.0,<2.17'", kinds=("subject", "stream"), default_port=4222, support=_SUPPORT,
    options="brokercli.backends.nats.options:OPTIONS", declarable="brokercli.backends.nats.settings:SETTINGS",
    unused=frozenset({"management", "mechanism", "vhost"}), not_declarable={
        "topic": "NATS has subjects, which exist by being used, and streams that capture them: declare a stream",
        "queue": "a queue on NATS is a stream with retention=workqueue, or a queue group: declare a stream",
        "exchange": "NATS routes by subject; a stream's subjects say what it captures",
        "binding": "NATS routes by subject; a stream's subjects say what it captures",
    })
