"""RabbitMQ, as data: what is asked before any client is loaded.

What can be done depends on the kind of thing, not on the broker: a stream keeps what was read and numbers it, a queue hands
each message out once, and an exchange keeps nothing. A classic queue marks what was looked at and put back as redelivered;
a quorum queue counts it, and from a limit on deletes it (verified on 4.3.6).
"""

from __future__ import annotations

from brokercli.backends.registry import Descriptor
from brokercli.model.capability import Capability, Support

CLASSIC_QUEUE = "classic queue"
QUORUM_QUEUE = "quorum queue"
STREAM = "stream"
EXCHANGE = "exchange"

_UNNUMBERED = Support.never("a queue numbers nothing and remembers no times; what was read is gone from it")
_KEEPS_NOTHING = Support.never("an exchange keeps nothing; the queues and streams bound to it do, and each partition of a super stream is a stream")
_THROUGH_BINDINGS = Support.some("what reaches the queue through its bindings, by a temporary queue that is bound the same; that takes the management API."
                                 " A queue that is reached through the default exchange only cannot be tapped")

_EVERYWHERE: dict[Capability, Support] = {
    Capability.FIRE_AND_FORGET: Support.not_yet("RabbitMQ would take messages without confirming them; brokercli always asks for the confirmation"),
    Capability.TOMBSTONE: Support.never("AMQP has no null bodies, only empty ones"),
    Capability.KEY: Support.never("AMQP messages have no key; keys from elsewhere travel in the header x-message-key"),
    Capability.PARTITION: Support.never("RabbitMQ has no partitions; those of a super stream are streams of their own"),
    Capability.MESSAGE_TIME: Support.some("the timestamp property, in whole seconds, where the publisher gives a time"),
    Capability.DEDUPLICATE: Support.never("over AMQP 0.9.1 RabbitMQ recognises no duplicates"),
    Capability.LIST: Support.some("through the management API"),
    Capability.DESCRIBE: Support.some("through the management API; without it, only that it exists and how much a queue holds"),
    Capability.DECLARE: Support.some("what can be changed later is kept in a policy, which takes the management API; without it, in arguments that never"
                                     " change"),
    Capability.CONSUMERS: Support.some("through the management API; without it, only how many there are"),
    Capability.SEEK_CONSUMERS: Support.never("a queue has no position to move; where a stream's consumer is, it keeps itself"),
    Capability.PAUSE_CONSUMERS: Support.never("RabbitMQ's consumers can be cancelled only by themselves"),
    Capability.FLOW: Support.some("through the management API"),
}
_AT_LEAST_ONCE = Support.some("at least once: confirmed at home before it is taken out; killed between the two, up to 2,500 letters may be repeated."
                              " Refused for an auto-delete queue, which RabbitMQ deletes with what is left in it")
_QUEUE: dict[Capability, Support] = _EVERYWHERE | {
    Capability.PUBLISH: Support.full(),
    Capability.LOOK_NEW: _THROUGH_BINDINGS,
    Capability.SEEK_NUMBER: _UNNUMBERED,
    Capability.SEEK_TIME: _UNNUMBERED,
    Capability.SEEK_LAST: _UNNUMBERED,
}

SUPPORT: dict[str, dict[Capability, Support]] = {
    CLASSIC_QUEUE: _QUEUE | {
        Capability.LOOK_STORED: Support.not_yet("reading a queue takes its messages out, and those put back are marked as redelivered and may change places"),
        Capability.LOOK_LETTERS: Support.some("all letters are held while looking and returned together, marked as redelivered; order and contents stay."
                                              " Refused for an auto-delete queue, which RabbitMQ deletes when the look ends"),
        Capability.REDRIVE: _AT_LEAST_ONCE,
    },
    QUORUM_QUEUE: _QUEUE | {
        Capability.LOOK_STORED: Support.not_yet("reading a queue takes its messages out, and a quorum queue counts each return and may delete it"),
        Capability.LOOK_LETTERS: Support.some("where the queue certainly has no delivery limit: with one, the first return deletes a letter that died by a"
                                              " limit. --lift-limit lifts it meanwhile, by a policy, or keeps what goes over it where it is"
                                              " an argument; the management API tells"),
        Capability.REDRIVE: Support.some("the delivery limit is lifted meanwhile, by a policy through the management API, because being killed returns what is"
                                         " held; what goes over one that is an argument is kept and put back. At least once: up to 2,500 letters may"
                                         " be repeated then"),
    },
    STREAM: _EVERYWHERE | {
        Capability.PUBLISH: Support.some("a message with a header that a stream cannot keep exactly (decimal, table, array) is refused alone"),
        Capability.LOOK_NEW: Support.full(),
        Capability.LOOK_STORED: Support.some("what stream clients published in compressed batches is not visible over AMQP 0.9.1"),
        Capability.SEEK_NUMBER: Support.full(),
        Capability.SEEK_TIME: Support.some("by when the broker stored a message, in whole seconds"),
        Capability.SEEK_LAST: Support.some("counted in offsets"),
        Capability.LOOK_LETTERS: Support.some("a stream does not say which of its letters were handled"),
        Capability.REDRIVE: Support.never("what is in a stream cannot be taken out, and over AMQP 0.9.1 there is no place to write down what was handled"),
    },
    EXCHANGE: _EVERYWHERE | {
        Capability.PUBLISH: Support.some("stored where it is routed; a message that no queue is bound for is refused, or where there is an alternate exchange"
                                         " stored where that takes it"),
        Capability.LOOK_NEW: Support.some("through a temporary queue bound to it; direct, fanout, topic and headers exchanges only, others would give it the"
                                          " messages of the rest. It is bound with what is bound to queues when tail begins, so that what reaches no queue"
                                          " still goes to the alternate exchange or back to its publisher, and is not seen; what is bound later is not seen"
                                          " either, and what is taken away meanwhile counts until tail ends. That takes the management API"),
        Capability.CONSUMERS: Support.never("nobody consumes an exchange; the queues it routes to have consumers"),
        Capability.LOOK_STORED: _KEEPS_NOTHING,
        Capability.SEEK_NUMBER: _KEEPS_NOTHING,
        Capability.SEEK_TIME: _KEEPS_NOTHING,
        Capability.SEEK_LAST: _KEEPS_NOTHING,
        Capability.LOOK_LETTERS: _KEEPS_NOTHING,
        Capability.REDRIVE: _KEEPS_NOTHING,
    },
}

descriptor = Descriptor(
    name="rabbitmq", title="RabbitMQ", schemes=("amqp", "amqps"), implementation="brokercli.backends.rabbitmq.client:RabbitMQBackend", client="pika",
    install="pip install 'pika>=1.4.4,<1.5'", kinds=("queue", "stream", "exchange"), default_port=5672, support=SUPPORT,
    options="brokercli.backends.rabbitmq.options:OPTIONS", declarable="brokercli.backends.rabbitmq.settings:SETTINGS",
    unused=frozenset({"credentials", "token"}), not_declarable={
        "topic": "RabbitMQ has queues, streams and exchanges: declare a stream for what is to be read again, an exchange of type topic to route",
        "consumer": "a consumer on RabbitMQ is there as long as it is connected; nothing of it is kept",
    })
