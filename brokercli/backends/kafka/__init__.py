"""Apache Kafka, as data. Importing this loads no client."""

from brokercli.backends.registry import Descriptor
from brokercli.model.capability import Capability, Support, SupportTable

SUPPORT: SupportTable = {
    "topic": {
        Capability.PUBLISH: Support.full(),
        Capability.FIRE_AND_FORGET: Support.never("Kafka stores every message it takes; there is no publishing to whoever listens now"),
        Capability.TOMBSTONE: Support.full(),
        Capability.KEY: Support.full(),
        Capability.PARTITION: Support.full(),
        Capability.MESSAGE_TIME: Support.some("in milliseconds; a topic with message.timestamp.type=LogAppendTime puts its own time instead"),
        Capability.DEDUPLICATE: Support.never("Kafka recognises only a producer's own retries, not two messages with the same id"),
        Capability.LOOK_NEW: Support.full(),
        Capability.LOOK_STORED: Support.full(),
        Capability.SEEK_NUMBER: Support.full(),
        Capability.SEEK_TIME: Support.full(),
        Capability.SEEK_LAST: Support.full(),
        Capability.LIST: Support.full(),
        Capability.DESCRIBE: Support.full(),
        Capability.LOOK_LETTERS: Support.full(),
        Capability.REDRIVE: Support.some(
            "exactly once within the cluster, at least once where transactions are not permitted; what was handled is kept with the offsets of a group, "
            "which the broker forgets 7 days after the last redrive unless its offsets.retention.minutes says otherwise"),
        Capability.DECLARE: Support.some("partitions can be added, never removed; the replication factor cannot be changed from here"),
        Capability.CONSUMERS: Support.some(
            "classic and consumer groups, and streams groups as far as they have committed something; share groups, and others of streams, are named, with "
            "their settings: lag and members are not to be had through this client"),
        Capability.SEEK_CONSUMERS: Support.some("groups without active members, as Kafka demands"),
        Capability.PAUSE_CONSUMERS: Support.never("Kafka's consumers pause themselves; nobody else can stop them but by the broker's quotas or permissions"),
        Capability.FLOW: Support.full(),
    },
}

descriptor = Descriptor(
    name="kafka", title="Apache Kafka", schemes=("kafka", "kafkas"), implementation="brokercli.backends.kafka.client:KafkaBackend",
    client="confluent_kafka", install="pip install 'confluent-kafka>=2.13.0'", kinds=("topic",), default_port=9092, support=SUPPORT,
    options="brokercli.backends.kafka.options:OPTIONS", declarable="brokercli.backends.kafka.settings:SETTINGS",
    unused=frozenset({"credentials", "management", "vhost"}), not_declarable={
        "stream": "Kafka's topics are its streams: declare a topic",
        "queue": "Kafka has topics; several workers share one by joining a group",
        "exchange": "Kafka routes nothing: a producer names the topic",
        "binding": "Kafka routes nothing: a producer names the topic",
        "consumer": "a consumer group is there once its first member joins; brokercli consumers seek moves it",
    })
