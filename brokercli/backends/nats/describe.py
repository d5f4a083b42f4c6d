"""Explaining one stream or subject, most useful first."""

from __future__ import annotations

from brokercli.backends.nats import LIMITS_STREAM, SUBJECT
from brokercli.backends.nats.configuration import is_internal, settings_beyond_defaults, value_of
from brokercli.backends.nats.dead_letter_names import marks_of
from brokercli.backends.nats.death_records import cap_words, record_words, recorders
from brokercli.backends.nats.listing import SILENT, has_too_many_subjects, purpose_of, subject_counts
from brokercli.backends.nats.look_subject import how_to_see, storing
from brokercli.backends.nats.origins import named
from brokercli.backends.nats.rewriting import rewriting_of, stored_as
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.wording import duration, setting_rows
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.description import Description, Section, Value
from brokercli.model.errors import BrokercliError
from brokercli.model.position import NANOSECONDS

SUBJECTS_SHOWN = 50
_ADVISORIES = "$JS.EVENT.ADVISORY."
_SILENT = 10 * NANOSECONDS
_UNSET_TIME = "0001-01-01T00:00:00Z"


async def describe(jetstream: JetStream, address: Address) -> Description:
    """Explain a resolved address; what could not be read is in `missing`, with the reason."""
    if address.kind == "stream":
        return await _stream(jetstream, await jetstream.info(address.name))
    return await _subject(jetstream, address.name)


async def _stream(jetstream: JetStream, info: Json) -> Description:
    config, state = info["config"], info["state"]
    name = str(config["name"])
    description = Description("stream", name, resource_of(info), _state(config, state) | _settings(info))
    leader = (info.get("cluster") or {}).get("leader")
    if leader and (info.get("cluster") or {}).get("replicas"):
        description.facts["leader"] = str(leader)
        description.sections.append(Section("replicas", [
            {"name": replica.get("name"), "current": replica.get("current"), "offline": bool(replica.get("offline")), "lag": replica.get("lag", 0)}
            for replica in info["cluster"]["replicas"]]))
    consumers = await _add_consumers(jetstream, name, description)
    await _add_deaths(jetstream, info, consumers, description)
    if risks := _risks(config):
        description.facts["at risk"] = "; ".join(risks)
    description.sections.append(Section("set on the stream", setting_rows("stream", settings_beyond_defaults("stream", config))))
    await _add_subjects(jetstream, info, description)
    return description


async def _add_deaths(jetstream: JetStream, info: Json, consumers: list[Json], description: Description) -> None:
    """Say what caps the tries of its messages, and where those go that are given up."""
    name, config = str(info["config"]["name"]), info["config"]
    marks = marks_of(config)
    if marks is not None:
        description.facts["holds dead letters"] = f"{marks.why}: brokercli dlq inspect stream:{name}"
    if all(is_internal(consumer["config"]) for consumer in consumers):
        return
    caps: dict[str, list[str]] = {}
    for consumer in [one for one in consumers if not is_internal(one["config"])]:
        acknowledges = str(value_of("consumer", "ack_policy", consumer["config"]))
        caps.setdefault(cap_words(int(consumer["config"].get("max_deliver") or -1), acknowledges), []).append(str(consumer["name"]))
    description.facts["tries"] = "; ".join(f"{words} ({', '.join(names)})" for words, names in caps.items())
    try:
        words = record_words(await recorders(jetstream, name), name)
    except BrokercliError as problem:
        description.missing.append(f"whether deaths here are recorded: {problem}")
        return
    if resource_of(info) != LIMITS_STREAM:
        words += "; what is given up stays in the stream, what is terminated (+TERM) is deleted"
    elif config.get("max_age"):
        words += f"; a record points at a message that is gone after {duration(int(config['max_age']))}"
    description.facts["dead letters"] = words


def _risks(config: Json) -> list[str]:
    """Say how a confirmed message can still be lost."""
    alone = int(config.get("num_replicas", 1)) <= 1
    risks = []
    if config.get("storage") == "memory":
        risks.append("kept in memory: gone when " + ("its server stops" if alone else "all its servers stop"))
    elif alone:
        risks.append("one replica: as safe as its server's disk, and a power failure takes what was not synced yet (every 2m unless the server's "
                     "sync_interval says otherwise)")
    if config.get("no_ack"):
        risks.append("no_ack: publishers are not told whether a message was stored")
    if config.get("persist_mode") == "async":
        risks.append("persist_mode async: messages are confirmed before they are written")
    if config.get("discard") != "new" and any(int(config.get(limit, -1)) > 0 for limit in ("max_msgs", "max_bytes", "max_msgs_per_subject")):
        risks.append("when it is full, old messages go, whether they were worked on or not")
    return risks


def _state(config: Json, state: Json) -> dict[str, Value]:
    facts: dict[str, Value] = {"subjects": ", ".join(config.get("subjects") or []) or None, "messages": int(state["messages"]), "bytes": int(state["bytes"]),
                               "first sequence": int(state["first_seq"]), "last sequence": int(state["last_seq"])}
    for fact, field in (("oldest", "first_ts"), ("newest", "last_ts")):
        if state.get(field, _UNSET_TIME) != _UNSET_TIME:
            facts[fact] = str(state[field])
    deleted = int(state.get("num_deleted", 0))
    if deleted:
        facts["deleted between them"] = deleted
    return facts


def _origins(origins: list[Json], told: list[Json]) -> str:
    """Name the streams that another is filled from, and say of each how far it is from it: what it does not hear it does not have."""
    states = {named(state): state for state in told}
    return ", ".join(f"{named(origin)}{_distance(states.get(named(origin), {}))}" for origin in origins)


def _distance(state: Json) -> str:
    lag, silent = int(state.get("lag") or 0), int(state.get("active") or 0)
    words = [f"{lag:,} behind"] if lag else []
    # whoever is connected hears of it every second or so; -1 is never (seen on 2.15.1)
    if silent < 0 or silent > _SILENT:
        words.append("not heard so far" if silent < 0 else f"not heard for {silent // NANOSECONDS:,} s")
    if state.get("error"):
        words.append(str(state["error"].get("description")))
    return f" ({', '.join(words)})" if words else ""


def _settings(info: Json) -> dict[str, Value]:
    config = info["config"]
    facts: dict[str, Value] = {
        "retention": str(config.get("retention", "limits")), "when full": "refuse new messages" if config.get("discard") == "new" else "drop old ones",
        "storage": str(config.get("storage", "file")), "replicas": int(config.get("num_replicas", 1)),
        "duplicate window": duration(config.get("duplicate_window", 0))}
    for fact, field in (("most messages", "max_msgs"), ("most bytes", "max_bytes"), ("most messages per subject", "max_msgs_per_subject"),
                        ("largest message", "max_msg_size"), ("most consumers", "max_consumers")):
        if int(config.get(field, -1)) > 0:
            facts[fact] = int(config[field])
    if config.get("max_age"):
        facts["oldest age"] = duration(config["max_age"])
    for fact, field in (("description", "description"), ("compression", "compression")):
        if config.get(field) not in (None, "", "none"):
            facts[fact] = str(config[field])
    if config.get("mirror"):
        facts["mirror of"] = _origins([config["mirror"]], [info.get("mirror") or {}])
    if config.get("sources"):
        facts["filled from"] = _origins(config["sources"], info.get("sources") or [])
    allowed = [words for field, words in (
        ("allow_direct", "direct reads"), ("allow_rollup_hdrs", "rollups"), ("allow_msg_ttl", "time to live per message"), ("allow_msg_counter", "counters"),
        ("allow_atomic", "atomic batches"), ("allow_msg_schedules", "scheduled messages")) if config.get(field)]
    if allowed:
        facts["allows"] = ", ".join(allowed)
    denied = [words for field, words in (("sealed", "everything (sealed)"), ("deny_delete", "deletes"), ("deny_purge", "purges"),
                                         ("no_ack", "acknowledgements")) if config.get(field)]
    if denied:
        facts["denies"] = ", ".join(denied)
    purpose = purpose_of(str(config["name"]))
    if purpose:
        facts["used as"] = purpose
    advisories = [subject for subject in config.get("subjects") or [] if subject.startswith(_ADVISORIES)]
    if advisories:
        facts["captures advisories"] = ", ".join(subject.removeprefix(_ADVISORIES) for subject in advisories)
    return facts


async def _add_consumers(jetstream: JetStream, stream: str, description: Description) -> list[Json]:
    try:
        silent: list[str] = []
        consumers = await jetstream.consumers(stream, silent)
        description.missing += [f"consumer {name}: {SILENT}" for name in silent]
    except BrokercliError as problem:
        description.missing.append(f"consumers: {problem}")
        return []
    if consumers:
        description.sections.append(Section("consumers", [_consumer(consumer) for consumer in sorted(consumers, key=lambda consumer: str(consumer["name"]))]))
    return consumers


def _consumer(consumer: Json) -> dict[str, Value]:
    config = consumer["config"]
    filters = config.get("filter_subjects") or ([config["filter_subject"]] if config.get("filter_subject") else [])
    return {"name": str(consumer["name"]), "filter": ", ".join(filters) or ">", "pending": int(consumer.get("num_pending", 0)),
            "ack pending": int(consumer.get("num_ack_pending", 0)), "redelivered": int(consumer.get("num_redelivered", 0)),
            "max deliver": int(config.get("max_deliver", -1)), "ack wait": duration(config.get("ack_wait", 0)), "ack": str(config.get("ack_policy", "none")),
            "delivered": int((consumer.get("delivered") or {}).get("stream_seq", 0)), "ack floor": int((consumer.get("ack_floor") or {}).get("stream_seq", 0)),
            "waiting pulls": int(consumer.get("num_waiting", 0)), "durable": bool(config.get("durable_name")), "paused": bool(consumer.get("paused"))}


async def _add_subjects(jetstream: JetStream, info: Json, description: Description) -> None:
    held = int(info["state"].get("num_subjects", 0))
    if not held:
        return
    if has_too_many_subjects(info):
        description.missing.append(f"messages by subject: {held:,} are too many to ask for")
        return
    try:
        counts = await subject_counts(jetstream, str(info["config"]["name"]), SUBJECTS_SHOWN)
    except BrokercliError as problem:
        description.missing.append(f"messages by subject: {problem}")
        return
    title = "messages by subject" if held <= len(counts) else f"messages by subject (the first {len(counts)} of {held})"
    description.sections.append(Section(title, [{"subject": subject, "messages": count} for subject, count in counts.items()]))


async def _subject(jetstream: JetStream, subject: str) -> Description:
    description = Description("subject", subject, SUBJECT)
    description.missing.append("core subscribers: NATS does not show them to clients")
    try:
        names: list[str] = []
        rows: list[dict[str, Value]] = []
        for name in await jetstream.capturing(subject):
            info = await jetstream.info_or_none(name, {"subjects_filter": subject})
            if info is None:
                continue  # deleted meanwhile
            names.append(name)
            rows.append(await _held(jetstream, info, subject, description))
        others = [str(info["config"]["name"]) for info in await storing(jetstream, subject, besides=names) or ()]
        stored = [info for name in others if (info := await jetstream.info_or_none(name, {"subjects_filter": subject})) is not None]
        copies = [_row(info, _counted(info, description)) for info in stored]
    except BrokercliError as problem:
        description.missing.append(f"streams that capture it: {problem}")
        return description
    description.facts["captured by"] = ", ".join(names) or None
    if stored:
        description.facts["stored in"] = ", ".join(str(row["stream"]) for row in copies)
    if (rows or copies) and all(row["messages"] is not None for row in rows or copies):
        # what is captured is not counted again where it is copied to
        description.facts["messages"] = sum(int(row["messages"] or 0) for row in rows or copies)
    for title, found in (("streams that capture it", rows), ("streams that hold messages of others as it", copies)):
        if found:
            description.sections.append(Section(title, found))
    return description


async def _held(jetstream: JetStream, info: Json, subject: str, description: Description) -> dict[str, Value]:
    """Return what a stream that captures a subject holds of it, also under the subject that it stores it as."""
    name, stored = str(info["config"]["name"]), stored_as(info["config"], subject)
    if stored is None:
        description.missing.append(f"messages in stream {name}: it stores them under other subjects ({rewriting_of(info['config'])}), and what becomes of "
                                   f"{subject} cannot be told; {how_to_see(name)}")
        return _row(info, None)
    counts = _counted(info, description)
    if stored != subject:
        description.facts["stored as"] = f"{stored} in stream {name}"
        rewritten = _counted(await jetstream.info(name, {"subjects_filter": stored}), description)
        counts = None if counts is None or rewritten is None else counts | rewritten
    return _row(info, counts)


def _counted(info: Json, description: Description) -> Json | None:
    """Return the subjects that were asked for → messages; None where these are more than the server tells at once (100,000, seen on 2.15.1)."""
    counts: Json = info["state"].get("subjects") or {}
    total = int(info.get("total", 0))
    if total <= len(counts):
        return counts
    description.missing.append(f"messages in stream {info['config']['name']}: they lie on {amount(total, 'subject')}, too many to count")
    return None


def _row(info: Json, counts: Json | None) -> dict[str, Value]:
    """`counts`: matching subject → messages; None where that cannot be told."""
    return {"stream": str(info["config"]["name"]), "resource": resource_of(info), "subjects": ", ".join(info["config"].get("subjects") or []),
            "messages": None if counts is None else sum(counts.values()), "matching subjects": None if counts is None else len(counts)}
