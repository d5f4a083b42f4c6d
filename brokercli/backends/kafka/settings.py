"""What can be declared, and with which settings. Loads no client.

The names and values are those a 4.4 broker gives of a topic (DescribeConfigs).
"""

from __future__ import annotations

from brokercli.model.declaration import Form, Setting, Settings

PARTITIONS, REPLICAS = "partitions", "replication.factor"
_COMPRESSIONS = ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")


def _duration(name: str, help: str) -> Setting:
    return Setting(name, Form.DURATION, help)


def _size(name: str, help: str) -> Setting:
    return Setting(name, Form.SIZE, help)


def _whole(name: str, help: str) -> Setting:
    return Setting(name, Form.WHOLE, help)


def _flag(name: str, help: str) -> Setting:
    return Setting(name, Form.FLAG, help)


TOPIC: tuple[Setting, ...] = (
    _whole(PARTITIONS, "how many partitions; more can be added later, none taken away"),
    Setting(REPLICAS, Form.WHOLE, "how many brokers keep each partition",
            fixed="the client cannot move replicas between brokers; kafka-reassign-partitions can"),
    Setting("cleanup.policy", Form.LIST, "what becomes of old messages: delete them, compact to the newest of each key, or both",
            choices=("delete", "compact")),
    _duration("retention.ms", "how old a message may get before it is deleted; -1 is for ever"),
    _size("retention.bytes", "how large a partition may get before its oldest messages are deleted; -1 is without bound"),
    _whole("min.insync.replicas", "how many replicas have to have a message before it is confirmed (acks=all)"),
    _size("max.message.bytes", "the largest batch of messages that is taken, compressed"),
    _size("max.decompressed.message.bytes", "the largest batch that is taken, once it is decompressed"),
    Setting("compression.type", Form.TEXT, "how batches are stored; producer keeps them as they came", choices=_COMPRESSIONS),
    _whole("compression.gzip.level", "level of gzip, where the broker compresses"),
    _whole("compression.lz4.level", "level of lz4, where the broker compresses"),
    _whole("compression.zstd.level", "level of zstd, where the broker compresses"),
    Setting("message.timestamp.type", Form.TEXT, "whose time a message carries: its producer's, or the broker's when it was stored",
            choices=("CreateTime", "LogAppendTime")),
    _duration("message.timestamp.before.max.ms", "how far in the past a producer's time may lie"),
    _duration("message.timestamp.after.max.ms", "how far in the future a producer's time may lie"),
    _size("segment.bytes", "size of a file of the log; only whole files are deleted"),
    _duration("segment.ms", "after how long a new file of the log is begun; only finished ones are deleted or compacted"),
    _duration("segment.jitter.ms", "by how much that varies, so that not all partitions begin new files at once"),
    _size("segment.index.bytes", "size of the index of a file"),
    _size("index.interval.bytes", "how many bytes lie between two entries of the index"),
    _flag("preallocate", "whether files get their full size when they are made"),
    _duration("delete.retention.ms", "how long tombstones stay in a compacted topic"),
    _duration("file.delete.delay.ms", "how long a file waits before it leaves the disk"),
    _duration("min.compaction.lag.ms", "how long a message stays untouched by compaction at least"),
    _duration("max.compaction.lag.ms", "how long a message stays untouched by compaction at most"),
    Setting("min.cleanable.dirty.ratio", Form.REAL, "how much of a log has to be new before it is compacted, 0 to 1"),
    _whole("flush.messages", "after how many messages the log is forced to disk; replication makes that needless"),
    _duration("flush.ms", "after how long the log is forced to disk; replication makes that needless"),
    _flag("unclean.leader.election.enable", "whether a replica that lacks messages may lead when no other is left: those messages are lost"),
    _flag("errors.deadletterqueue.group.enable", "whether share groups may write their dead letters here"),
    Setting("leader.replication.throttled.replicas", Form.LIST, "replicas whose copying is slowed on the leader's side: PARTITION:BROKER, or *"),
    Setting("follower.replication.throttled.replicas", Form.LIST, "replicas whose copying is slowed on the follower's side: PARTITION:BROKER, or *"),
    _flag("remote.storage.enable", "whether finished files are moved to remote storage"),
    _duration("local.retention.ms", "how long they stay on the broker as well; -2 is as long as retention.ms"),
    _size("local.retention.bytes", "how much of a partition stays on the broker as well; -2 is as much as retention.bytes"),
    _flag("remote.log.copy.disable", "whether nothing more is moved to remote storage"),
    _flag("remote.log.delete.on.disable", "whether what is in remote storage is deleted when that is switched off"),
    _duration("remote.copy.lag.ms", "how old a finished file gets before it is moved; -2 is as old as local.retention.ms"),
    _size("remote.copy.lag.bytes", "how much stays before finished files are moved; -2 is as much as local.retention.bytes"),
)

SETTINGS: Settings = {"topic": TOPIC}
