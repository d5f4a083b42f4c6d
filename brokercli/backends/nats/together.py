"""Which settings of a stream, or of a consumer, do not go together: nats-server 2.15 refuses each of these (stream.go, consumer.go)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from brokercli.backends.nats.configuration import filters_of, value_of
from brokercli.backends.nats.streams import Json
from brokercli.backends.nats.subjects import covers, overlap
from brokercli.model.declaration import Difference, SettingValue

Rule = tuple[tuple[str, ...], str]
"""Settings of which one or the other has to be another, the one that is to blame first; and why."""

_ON_NO_MIRROR = ("first_seq", "allow_msg_counter", "allow_atomic", "allow_batched", "allow_msg_schedules", "subject_delete_marker_ttl")
_ON_NO_COUNTER = {"retention": "limits", "discard": "old", "allow_msg_ttl": False, "allow_msg_schedules": False, "subject_delete_marker_ttl": 0}
_PURGING = ("subject_delete_marker_ttl", "allow_msg_schedules")
# what may be captured of the subjects that the server itself uses
_SERVERS_OWN = {"$JS.>": "$JS.EVENT.>", "$JSC.>": "", "$NRG.>": "", "$SYS.>": "$SYS.ACCOUNT.>"}
FLOW_CONTROL_HEARTBEAT = 1_000_000_000


def in_a_stream(settings: Mapping[str, SettingValue], full: Json, subjects: list[str]) -> list[Difference]:
    """Return what is wrong about the settings that are named; `full` is what the configuration will be, and `subjects` what the stream will capture."""
    rules = [*_of_mirrors(full), *_of_kinds(full), *_of_discarding(full), *_of_purging(full), *_of_subjects(full, subjects)]
    return _blamed(settings, rules)


def _blamed(settings: Mapping[str, SettingValue], rules: list[Rule]) -> list[Difference]:
    found: dict[str, Difference] = {}
    for names, why in rules:
        name = next((name for name in names if name in settings), None)
        if name is not None:
            found.setdefault(name, Difference(name, None, settings[name], why))
    return list(found.values())


def _of_mirrors(full: Json) -> Iterator[Rule]:
    if full.get("mirror"):
        for name in (*_ON_NO_MIRROR, "subjects", "sources"):
            if full.get(name):
                yield (name, "mirror"), f"a mirror cannot have {name}"
    elif full.get("mirror_direct"):
        yield ("mirror_direct",), "only a mirror answers for what it mirrors"
    if full.get("sources") and full.get("allow_msg_schedules"):
        yield ("allow_msg_schedules", "sources"), "a stream that is filled from others (sources) publishes nothing later (allow_msg_schedules)"


def _of_kinds(full: Json) -> Iterator[Rule]:
    if value_of("stream", "persist_mode", full) == "async":
        if full.get("allow_atomic"):
            yield ("persist_mode", "allow_atomic"), "allow_atomic and persist_mode=async exclude each other"
        if value_of("stream", "storage", full) != "file":
            yield ("persist_mode", "storage"), "persist_mode=async is for streams that lie in files"
        if int(full.get("num_replicas") or 1) > 1:
            yield ("num_replicas", "persist_mode"), "persist_mode=async is for streams of one replica"
    if full.get("allow_msg_counter"):
        for name, only in _ON_NO_COUNTER.items():
            if value_of("stream", name, full) != only:
                yield (name, "allow_msg_counter"), f"a stream that counts (allow_msg_counter) has {name}={json.dumps(only).strip(chr(34))}"


def _of_discarding(full: Json) -> Iterator[Rule]:
    new = value_of("stream", "discard", full) == "new"
    if full.get("discard_new_per_subject") and not (new and int(full.get("max_msgs_per_subject") or -1) > 0):
        yield ("discard", "max_msgs_per_subject", "discard_new_per_subject"), "discard_new_per_subject needs discard=new and a max_msgs_per_subject"
    if new and full.get("allow_msg_schedules"):
        yield ("discard", "allow_msg_schedules"), "what is published later (allow_msg_schedules) cannot be refused then: it needs discard=old"


def _of_purging(full: Json) -> Iterator[Rule]:
    if full.get("deny_purge") and full.get("allow_rollup_hdrs"):
        yield ("allow_rollup_hdrs", "deny_purge"), "a rollup purges: allow_rollup_hdrs and deny_purge exclude each other"
    for name in _PURGING:
        if full.get(name) and full.get("deny_purge"):
            yield (name, "deny_purge"), f"{name} needs rollups, which purge, and deny_purge refuses that"
        elif full.get(name) and full.get("allow_rollup_hdrs") is False:
            yield ("allow_rollup_hdrs",), f"{name} needs it"


def _of_subjects(full: Json, subjects: list[str]) -> Iterator[Rule]:
    dest = str((full.get("republish") or {}).get("dest") or "")
    if dest:
        back = next((subject for subject in subjects if overlap(dest, subject)), None)
        if back is not None:
            yield ("republish", "subjects"), f"what is published again to {dest} would be stored again, for the stream captures {back}"
    if full.get("no_ack"):
        return
    for subject in subjects:
        for own, allowed in _SERVERS_OWN.items():
            if overlap(subject, own) and not (allowed and covers(allowed, subject)):
                yield ("subjects",), f"{subject} captures subjects of the server's own ({own}); only a stream with no_ack=true may"


def in_a_consumer(settings: Mapping[str, SettingValue], config: Json, stream: Json) -> list[Difference]:
    """Return what is wrong about the settings that are named: `config` is what the consumer will be, `stream` the configuration of its stream."""
    return _blamed(settings, [*_of_delivery(config, stream), *_of_acknowledging(config, stream), *_of_limits(config, stream)])


def _of_delivery(config: Json, stream: Json) -> Iterator[Rule]:
    deliver = str(config.get("deliver_subject") or "")
    only_pushed, only_pulled = ("flow_control", "idle_heartbeat", "rate_limit_bps"), ("max_waiting", "priority_groups")
    for name in only_pulled if deliver else only_pushed:
        if config.get(name):
            yield (name,), ("only a consumer that is pulled from has it, without deliver_subject" if deliver else
                            "only a consumer with a deliver_subject has it")
    stored = next((str(subject) for subject in stream.get("subjects") or [] if deliver and covers(str(subject), deliver)), None)
    if stored is not None:
        yield ("deliver_subject",), f"what it pushes to {deliver} would be stored again, for the stream captures {stored}"
    if config.get("deliver_policy") == "last_per_subject" and not filters_of(config):
        yield ("filter_subject", "filter_subjects", "deliver_policy"), 'last_per_subject needs a filter (filter_subject=">" is everything)'
    if config.get("flow_control") and deliver and not config.get("idle_heartbeat"):
        yield ("flow_control",), "it needs an idle_heartbeat"
    if config.get("priority_groups") and (config.get("priority_policy") or "none") == "none":
        yield ("priority_policy",), "priority_groups and a priority_policy belong together"
    if config.get("priority_timeout") and (config.get("priority_policy") or "none") == "none":
        yield ("priority_timeout",), "only a consumer with a priority_policy has it"


def _of_acknowledging(config: Json, stream: Json) -> Iterator[Rule]:
    pending = int(config.get("max_ack_pending") or (stream.get("consumer_limits") or {}).get("max_ack_pending") or 0)
    match config.get("ack_policy"):
        case "none" if config.get("deliver_subject") and pending > 0:
            yield ("max_ack_pending", "ack_policy"), "nothing waits for an acknowledgement where nothing is acknowledged (ack_policy=none)"
        case "flow_control":
            for name in ("ack_wait", "backoff", "max_deliver"):
                if config.get(name) and config[name] != -1:
                    yield (name, "ack_policy"), "a consumer that acknowledges by flow control delivers nothing again"
            if config.get("idle_heartbeat") not in (None, 0, FLOW_CONTROL_HEARTBEAT):
                yield ("idle_heartbeat", "ack_policy"), "a consumer that acknowledges by flow control has one of 1s"
            if pending < 0:
                yield ("max_ack_pending", "ack_policy"), "a consumer that acknowledges by flow control needs a limit"


def _of_limits(config: Json, stream: Json) -> Iterator[Rule]:
    copies, most = int(config.get("num_replicas") or 0), int(stream.get("num_replicas") or 1)
    if copies > most:
        yield ("num_replicas",), f"a consumer has no more replicas than its stream, which has {most}"
    elif copies and copies != most and value_of("stream", "retention", stream) != "limits":
        yield ("num_replicas",), f"a consumer of a work-queue or interest stream has as many replicas as that one, which has {most}"
    limits = stream.get("consumer_limits") or {}
    for name in ("max_ack_pending", "inactive_threshold"):
        asked, most = int(config.get(name) or 0), int(limits.get(name) or 0)
        if asked > most > 0:
            yield (name,), f"its stream allows {most:,} (consumer_limits)"
        elif not asked and most > 0:
            yield (name,), f"its stream gives it {most:,} where it has none (consumer_limits)"
