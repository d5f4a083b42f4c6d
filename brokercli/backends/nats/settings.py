"""What can be declared, and with which settings. Loads no client.

Names and units are those of the JetStream API: durations in nanoseconds, sizes in bytes. What can be changed later is as
nats-server 2.15 does it (errors 10052, 10055 and 10012, each seen).
"""

from __future__ import annotations

from brokercli.model.declaration import Form, Setting, Settings

TABLE_FIELDS: dict[str, tuple[str, ...]] = {
    "mirror": ("name", "opt_start_seq", "opt_start_time", "filter_subject", "subject_transforms", "external", "consumer"),
    "sources": ("name", "opt_start_seq", "opt_start_time", "filter_subject", "subject_transforms", "external", "consumer"),
    "republish": ("src", "dest", "headers_only"),
    "subject_transform": ("src", "dest"),
    "placement": ("cluster", "tags"),
    "consumer_limits": ("inactive_threshold", "max_ack_pending"),
}
"""What may be in a setting that is a table, or a list of tables; metadata takes anything."""

ONE_WAY = {"deny_delete": True, "deny_purge": True, "sealed": True, "allow_msg_ttl": True, "allow_msg_schedules": True}
"""Flags of a stream that stay once they are set."""


def _text(name: str, help: str, *choices: str, fixed: str = "") -> Setting:
    return Setting(name, Form.TEXT, help, choices=choices, fixed=fixed)


def _whole(name: str, help: str, fixed: str = "") -> Setting:
    return Setting(name, Form.WHOLE, help, fixed=fixed)


def _size(name: str, help: str) -> Setting:
    return Setting(name, Form.SIZE, help)


def _flag(name: str, help: str, fixed: str = "") -> Setting:
    return Setting(name, Form.FLAG, help, fixed=fixed)


def _duration(name: str, help: str, fixed: str = "") -> Setting:
    return Setting(name, Form.DURATION, help, unit=1, fixed=fixed)


def _table(name: str, help: str) -> Setting:
    return Setting(name, Form.TABLE, f"{help}: {', '.join(TABLE_FIELDS[name])}" if name in TABLE_FIELDS else help)


_STREAM = (
    Setting("subjects", Form.LIST, "what the stream captures; its own name unless said otherwise"),
    _text("description", "a few words for whoever looks at it"),
    _text("retention", "when messages go: at the limits, once acknowledged by its one consumer (workqueue), or by all of them (interest);"
                       " to and from workqueue it cannot be changed later", "limits", "interest", "workqueue"),
    _text("storage", "where messages lie", "file", "memory", fixed="JetStream does not move a stream's messages between file and memory"),
    _whole("num_replicas", "copies in the cluster, 1 to 5; one copy is lost with its server"),
    _duration("max_age", "how old a message gets; 0 is for ever"),
    _size("max_bytes", "how much is kept in all; -1 is unlimited"),
    _whole("max_msgs", "how many messages are kept in all; -1 is unlimited"),
    _whole("max_msgs_per_subject", "how many messages are kept of each subject; -1 is unlimited"),
    _size("max_msg_size", "the largest message that is taken, headers included; -1 is as large as the server takes"),
    _whole("max_consumers", "how many consumers it can have; -1 is unlimited"),
    _text("discard", "what happens when it is full: old messages go, or new ones are refused", "old", "new"),
    _flag("discard_new_per_subject", "refuse new messages of a subject that has as many as max_msgs_per_subject allows; with discard=new"),
    _duration("duplicate_window", "how long message ids are remembered; two minutes unless max_age is shorter"),
    _text("compression", "of what lies in files", "none", "s2"),
    _flag("allow_direct", "let every replica answer reads of single messages: faster, and what replay reads work queues with"),
    _flag("mirror_direct", "let a mirror answer direct reads of what it mirrors"),
    _flag("allow_rollup_hdrs", "let a message replace everything before it (header Nats-Rollup)"),
    _flag("deny_delete", "refuse to delete single messages; cannot be taken back"),
    _flag("deny_purge", "refuse to purge; cannot be taken back"),
    _flag("sealed", "refuse every change, of messages too; cannot be taken back"),
    _flag("no_ack", "do not confirm what was published: nobody can know then that a message was stored"),
    _flag("allow_msg_ttl", "let a message say how long it lives (header Nats-TTL, server 2.11); cannot be taken back"),
    _duration("subject_delete_marker_ttl", "leave a marker for so long where the last message of a subject went by age (server 2.11)"),
    _flag("allow_atomic", "take batches that are stored whole or not at all (server 2.12)"),
    _flag("allow_batched", "take fast batches (server 2.14)"),
    _flag("allow_msg_counter", "count in the stream (header Nats-Incr, server 2.12)", fixed="a stream counts from its first message or not at all"),
    _flag("allow_msg_schedules", "publish messages later (header Nats-Schedule, server 2.12); cannot be taken back"),
    _text("persist_mode", "whether a message is confirmed before it is on its way to the disk (async, server 2.12)", "default", "async",
          fixed="how a stream writes is decided when it is made"),
    _whole("first_seq", "the sequence of the first message", fixed="it counts only when the stream is made"),
    _table("mirror", "the stream this one is a copy of"),
    Setting("sources", Form.LIST, f"the streams this one is filled from, each a table: {', '.join(TABLE_FIELDS['sources'])}", items=Form.TABLE),
    _table("republish", "where each stored message is published again"),
    _table("subject_transform", "how subjects are rewritten before storing"),
    _table("placement", "which servers of the cluster it lies on"),
    _table("consumer_limits", "what its consumers get unless they say less; inactive_threshold in nanoseconds"),
    Setting("metadata", Form.TABLE, "names and texts of one's own"),
)

_CONSUMER = (
    _text("description", "a few words for whoever looks at it"),
    _text("ack_policy", "how messages are acknowledged: each one (explicit, unless said otherwise), up to one (all), not at all (none), or by flow control"
                        " (flow_control, server 2.14; with deliver_subject)",
          "explicit", "all", "none", "flow_control", fixed="how a consumer acknowledges is decided when it is made"),
    _duration("ack_wait", "how long it waits for an acknowledgement before it delivers again; 30s, or the first of backoff"),
    _whole("max_deliver", "how often a message is delivered in all; -1 is without end"),
    Setting("backoff", Form.LIST, "how long it waits for the acknowledgement of the first delivery, the second, …; the last one repeats; no more than"
                                  " max_deliver", unit=1, items=Form.DURATION),
    _text("filter_subject", "the subject it gets; everything unless said otherwise"),
    Setting("filter_subjects", Form.LIST, "the subjects it gets, where there are several that do not overlap (server 2.10)"),
    _text("deliver_policy", "where it begins: all, what is new, the last one, the last of each subject, or opt_start_seq, opt_start_time",
          "all", "new", "last", "last_per_subject", "by_start_sequence", "by_start_time", fixed="where a consumer begins is decided when it is made"),
    _whole("opt_start_seq", "the sequence it begins at; with deliver_policy=by_start_sequence", fixed="where a consumer begins is decided when it is made"),
    _text("opt_start_time", "the time it begins at, RFC 3339; with deliver_policy=by_start_time", fixed="where a consumer begins is decided when it is made"),
    _whole("max_ack_pending", "how many messages may wait for an acknowledgement; 1000 unless said otherwise, -1 is unlimited"),
    _text("replay_policy", "as fast as it can, or as it was published", "instant", "original", fixed="how a consumer replays is decided when it is made"),
    _duration("inactive_threshold", "how long it stays without anybody asking it; 0 is for ever"),
    _whole("max_waiting", "how many requests for messages may wait; 512 unless said otherwise", fixed="the server keeps what it was made with"),
    _whole("max_batch", "how many messages one request may ask for"),
    _duration("max_expires", "how long one request may wait"),
    _size("max_bytes", "how many bytes one request may ask for"),
    _flag("headers_only", "deliver headers without bodies"),
    _text("sample_freq", "how many acknowledgements are reported as events: 100%"),
    _whole("num_replicas", "copies of its state; 0 is as many as its stream has"),
    _flag("mem_storage", "keep its state in memory, whatever its stream does", fixed="the server does not move a consumer's state"),
    _text("deliver_subject", "where it pushes to; it is pulled from unless said otherwise"),
    _text("deliver_group", "the queue group that shares what is pushed"),
    _flag("flow_control", "push no faster than is processed; with deliver_subject", fixed="flow control is decided when it is made"),
    _duration("idle_heartbeat", "how often it says that there is nothing; with deliver_subject", fixed="heartbeats are decided when it is made"),
    _whole("rate_limit_bps", "bits a second it pushes at most"),
    Setting("priority_groups", Form.LIST, "groups of those who pull, with priority_policy (server 2.11)"),
    _text("priority_policy", "who of a group gets messages first (server 2.11)", "none", "overflow", "pinned_client", "prioritized"),
    _duration("priority_timeout", "how long a pinned client may be silent (server 2.11)"),
    Setting("metadata", Form.TABLE, "names and texts of one's own"),
)

SETTINGS: Settings = {"stream": _STREAM, "consumer": _CONSUMER}
