"""A broker that keeps everything in memory: `python -m brokercli_memory PORT`. Loading this loads neither client nor server."""

from brokercli.backends.registry import Descriptor
from brokercli.model.capability import Capability, Support, SupportTable

_NO_PARTITIONS = Support.never("a memory broker has one log for each topic, not several")
_FORGETS = Support.never("a memory queue keeps nothing that could be read again; only topics do")
_REMEMBERS_NOBODY = Support.never("a memory queue remembers nobody who listened to it; topics have groups")
_NOT_HERE = {
    Capability.DECLARE: Support.full(),
    Capability.PAUSE_CONSUMERS: Support.never("a memory broker is asked by its readers and sends nothing by itself"),
    Capability.LOOK_LETTERS: Support.never("nothing dies in a memory broker"),
    Capability.REDRIVE: Support.never("nothing dies in a memory broker"),
}

SUPPORT: SupportTable = {
    "topic": {capability: Support.full() for capability in Capability} | _NOT_HERE | {
        Capability.FIRE_AND_FORGET: Support.never("a memory broker answers every message"),
        Capability.PARTITION: _NO_PARTITIONS,
    },
    "queue": _NOT_HERE | {
        Capability.CONSUMERS: _REMEMBERS_NOBODY,
        Capability.SEEK_CONSUMERS: _REMEMBERS_NOBODY,
        Capability.FLOW: _REMEMBERS_NOBODY,
        Capability.PUBLISH: Support.full(),
        Capability.FIRE_AND_FORGET: Support.never("a memory broker answers every message"),
        Capability.TOMBSTONE: Support.full(),
        Capability.KEY: Support.never("a memory queue carries a body and headers, no key"),
        Capability.PARTITION: _NO_PARTITIONS,
        Capability.MESSAGE_TIME: Support.never("a memory queue stamps each message with the time it came"),
        Capability.DEDUPLICATE: Support.never("a memory queue remembers no ids"),
        Capability.LOOK_NEW: Support.full(),
        Capability.LOOK_STORED: _FORGETS,
        Capability.SEEK_NUMBER: _FORGETS,
        Capability.SEEK_TIME: _FORGETS,
        Capability.SEEK_LAST: _FORGETS,
        Capability.LIST: Support.full(),
        Capability.DESCRIBE: Support.full(),
    },
}

descriptor = Descriptor(
    name="memory", title="Memory", schemes=("memory",), implementation="brokercli_memory.backend:MemoryBackend", client="brokercli_memory",
    install="pip install brokercli-memory", kinds=("topic", "queue"), default_port=7411, support=SUPPORT,
    declarable="brokercli_memory.settings:SETTINGS", not_declarable={
        "stream": "its topics keep their messages: declare a topic",
        "exchange": "nothing is routed in a memory broker",
        "binding": "nothing is routed in a memory broker",
        "consumer": "a reader is remembered once it has read",
    })
