"""What can be declared, and with which settings. Loads no client.

A queue's settings have the names of RabbitMQ's policy keys, which are those of its arguments without `x-`.
"""

from __future__ import annotations

from brokercli.model.declaration import Form, Setting, Settings

_SECOND = 1_000_000_000
_ONLY_WHEN_MADE = "RabbitMQ takes it only when it is made"
_ARGUMENT = "it is an argument that no policy replaces, and arguments never change"

_DURABLE = Setting("durable", Form.FLAG, "survive a restart of the broker (the default)", fixed=_ONLY_WHEN_MADE)
_LEADER = Setting("queue-leader-locator", Form.TEXT, "where its first leader is", choices=("client-local", "balanced"), fixed=_ONLY_WHEN_MADE)
_ARGUMENTS = Setting("arguments", Form.TABLE, "further arguments, under their whole names", fixed=_ARGUMENT)
_LENGTH = Setting("max-length-bytes", Form.SIZE, "how many bytes of bodies it holds")
_STREAM = (
    Setting("max-age", Form.DURATION, "for how long it keeps messages", unit=_SECOND),
    Setting("stream-max-segment-size-bytes", Form.SIZE, "size of the files it drops at once"),
    Setting("stream-filter-size-bytes", Form.WHOLE, "size of the filter of each chunk: 16 to 255", fixed=_ONLY_WHEN_MADE),
    Setting("initial-cluster-size", Form.WHOLE, "on how many nodes it is made", fixed=_ONLY_WHEN_MADE),
)

SETTINGS: Settings = {
    "exchange": (
        Setting("type", Form.TEXT, "direct (the default), fanout, topic, headers or a plugin's", fixed=_ONLY_WHEN_MADE),
        _DURABLE,
        Setting("auto_delete", Form.FLAG, "go with the last binding", fixed=_ONLY_WHEN_MADE),
        Setting("internal", Form.FLAG, "take messages from other exchanges only", fixed=_ONLY_WHEN_MADE),
        Setting("alternate-exchange", Form.TEXT, "the exchange for what nothing is bound for"),
        _ARGUMENTS,
    ),
    "queue": (
        Setting("type", Form.TEXT, "of which kind it is", choices=("classic", "quorum", "stream"), fixed=_ONLY_WHEN_MADE),
        _DURABLE,
        Setting("auto_delete", Form.FLAG, "go with the last consumer", fixed=_ONLY_WHEN_MADE),
        Setting("dead-letter-exchange", Form.TEXT, "the exchange for dead letters; empty is the default exchange"),
        Setting("dead-letter-routing-key", Form.TEXT, "their routing key; without it they keep their own"),
        Setting("dead-letter-strategy", Form.TEXT, "whether one is taken out only once it is confirmed elsewhere", choices=("at-most-once", "at-least-once")),
        Setting("message-ttl", Form.DURATION, "after which time a message dies"),
        Setting("expires", Form.DURATION, "after which time without use the queue is deleted"),
        Setting("max-length", Form.WHOLE, "how many messages it holds"),
        _LENGTH,
        Setting("overflow", Form.TEXT, "what happens when it is full", choices=("drop-head", "reject-publish", "reject-publish-dlx")),
        Setting("delivery-limit", Form.WHOLE, "how often a message is redelivered before it dies; -1: for ever"),
        Setting("consumer-timeout", Form.DURATION, "how long a consumer may hold a message"),
        Setting("delayed-retry-type", Form.TEXT, "which returned messages are held back", choices=("disabled", "all", "failed", "returned")),
        Setting("delayed-retry-min", Form.DURATION, "for how long, times the number of failures"),
        Setting("delayed-retry-max", Form.DURATION, "for how long at most"),
        Setting("target-group-size", Form.WHOLE, "on how many nodes it should be"),
        Setting("single-active-consumer", Form.FLAG, "deliver to one consumer at a time", fixed=_ARGUMENT),
        Setting("max-priority", Form.WHOLE, "highest priority of a message", fixed=_ARGUMENT),
        Setting("quorum-initial-group-size", Form.WHOLE, "on how many nodes it is made", fixed=_ONLY_WHEN_MADE),
        _LEADER,
        *_STREAM,
        _ARGUMENTS,
    ),
    "stream": (*_STREAM[:1], _LENGTH, *_STREAM[1:], _LEADER, _ARGUMENTS),
    "binding": (
        Setting("source", Form.TEXT, "name of the exchange", fixed="it is what makes the binding"),
        Setting("destination", Form.TEXT, "queue:NAME or exchange:NAME", fixed="it is what makes the binding"),
        Setting("routing_key", Form.TEXT, "routing key or pattern", fixed="it is what makes the binding"),
        Setting("arguments", Form.TABLE, "what a headers exchange compares", fixed="it is what makes the binding"),
    ),
}
