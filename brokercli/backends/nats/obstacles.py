"""What JetStream would refuse, found out before it is asked: its errors are nobody's first information."""

from __future__ import annotations

from collections.abc import Mapping

from brokercli.backends.nats import WORK_QUEUE_STREAM, together
from brokercli.backends.nats.account import Room
from brokercli.backends.nats.configuration import differences, filters_of, merged, setting_of, value_of, with_our_defaults
from brokercli.backends.nats.permitted import check_values
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import check_stream_name, check_subject, covers, has_wildcards, overlap, overlaps
from brokercli.backends.nats.tables import check_tables
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, Difference, SettingValue
from brokercli.model.errors import NotAuthorised, UsageProblem

MOST_REPLICAS = 5
# what the server sets by itself (seen on 2.15.1)
_IMPLIED = {"subject_delete_marker_ttl": {"allow_msg_ttl": True, "allow_rollup_hdrs": True, "deny_purge": False},
            "allow_msg_schedules": {"allow_rollup_hdrs": True, "deny_purge": False}}


def check(declaration: Declaration) -> None:
    """Raise UsageProblem for what no JetStream could have, whatever there is."""
    kind, settings = declaration.kind, declaration.settings
    stream, _, consumer = declaration.name.partition("/")
    check_stream_name(stream)
    if kind == "consumer":
        if not consumer:
            raise UsageProblem(f"A consumer is named with its stream: STREAM/NAME, not {declaration.name}.")
        check_consumer_name(consumer)
    elif "/" in declaration.name:
        check_stream_name(declaration.name)
    for name, value in settings.items():
        setting_of(kind, name)
        check_tables(declaration, name, value)
    for name in ("subjects", "filter_subjects", "filter_subject"):
        given = settings.get(name) or []
        for subject in [given] if isinstance(given, str) else given if isinstance(given, list) else []:
            check_subject(str(subject))
    replicas = settings.get("num_replicas")
    if isinstance(replicas, int) and not 0 <= replicas <= MOST_REPLICAS:
        raise UsageProblem(f"{declaration} cannot have {replicas} replicas: JetStream keeps 1 to {MOST_REPLICAS}.")
    check_values(declaration)
    (_check_consumer if kind == "consumer" else _check_stream)(declaration)


def check_consumer_name(name: str) -> None:
    """Raise UsageProblem for what no consumer can be called (the rules are those of streams)."""
    try:
        check_stream_name(name)
    except UsageProblem:
        raise UsageProblem(f"{name[:200]!r} is no consumer name: dots, spaces, wildcards and slashes cannot be in one.", hint="STREAM/NAME") from None


def _check_stream(declaration: Declaration) -> None:
    settings = declaration.settings
    subjects = _subjects(settings)
    for earlier, later in overlaps(subjects):
        raise UsageProblem(f"{declaration}: the subjects {subjects[earlier]} and {subjects[later]} overlap, and a stream stores each message once.")
    if settings.get("subjects") == [] and not settings.get("mirror") and not settings.get("sources"):
        raise UsageProblem(f"{declaration}: only a mirror, or a stream with sources, goes without subjects.",
                           hint=f"where none are named it captures {declaration.name}")
    if settings.get("mirror") and (subjects or settings.get("sources")):
        raise UsageProblem(f"{declaration} is a mirror: it can have neither subjects nor sources of its own.")
    for name, implied in _IMPLIED.items():
        for other, value in implied.items():
            if settings.get(name) and settings.get(other) is (not value):
                raise UsageProblem(f"{declaration}: {name} needs {other}={str(value).lower()}.")
    age, window = settings.get("max_age"), settings.get("duplicate_window")
    if isinstance(age, int) and isinstance(window, int) and 0 < age < window:
        raise UsageProblem(f"{declaration}: duplicate_window cannot be longer than max_age.")
    republish = settings.get("republish")
    if isinstance(republish, dict) and republish and not (republish.get("src") and republish.get("dest")):
        raise UsageProblem(f"{declaration}: republish needs src and dest.", hint='src=">" is everything that it stores')


def _check_consumer(declaration: Declaration) -> None:
    settings = declaration.settings
    if settings.get("filter_subject") and settings.get("filter_subjects"):
        raise UsageProblem(f"{declaration}: filter_subject and filter_subjects exclude each other.")
    backoff, most = settings.get("backoff"), settings.get("max_deliver")
    if isinstance(most, int) and most < 1 and most != -1:
        raise UsageProblem(f"{declaration}: max_deliver cannot be {most}: JetStream would deliver a message for ever.",
                           hint="1 or more; -1 where it is to be for ever")
    if isinstance(backoff, list) and backoff:
        if isinstance(most, int) and 0 < most < len(backoff):
            raise UsageProblem(f"{declaration}: {amount(len(backoff), 'wait')} in backoff and only {amount(most, 'delivery', 'deliveries')} (max_deliver).")
        if settings.get("ack_wait") not in (None, 0, backoff[0]):
            raise UsageProblem(f"{declaration}: with a backoff the server takes its first wait for ack_wait.", hint="leave ack_wait out")
    begins = settings.get("deliver_policy")
    for name, policy in (("opt_start_seq", "by_start_sequence"), ("opt_start_time", "by_start_time")):
        if bool(settings.get(name)) != (begins == policy) and (settings.get(name) or begins == policy):
            raise UsageProblem(f"{declaration}: {name} and deliver_policy={policy} belong together.")
    if bool(settings.get("priority_groups")) != ((settings.get("priority_policy") or "none") != "none"):
        raise UsageProblem(f"{declaration}: priority_groups and a priority_policy belong together.")
    given = settings.get("filter_subjects")
    filters = [str(subject) for subject in given] if isinstance(given, list) else []
    for earlier, later in overlaps(filters):
        raise UsageProblem(f"{declaration}: the filter_subjects {filters[earlier]} and {filters[later]} overlap.", hint="leave out the narrower one")
    deliver = settings.get("deliver_subject")
    if deliver:
        check_subject(str(deliver))
        if has_wildcards(str(deliver)):
            raise UsageProblem(f"{declaration}: a consumer delivers to one subject, and {deliver} is a wildcard.")


def _subjects(settings: Mapping[str, SettingValue]) -> list[str]:
    given = settings.get("subjects")
    return [str(subject) for subject in given] if isinstance(given, list) else []


def check_together(streams: Mapping[str, Declaration]) -> None:
    """Raise UsageProblem where two declared streams would capture the same subjects."""
    named = [(name, subject) for name, declaration in streams.items() for subject in _subjects(declaration.settings)]
    for one, other in overlaps([subject for _, subject in named]):
        (name, subject), (another, second) = named[one], named[other]
        if name != another:
            raise UsageProblem(f"The streams {name} and {another} would both capture {second if covers(subject, second) else subject}: no two streams may.")


async def of_stream(jetstream: JetStream, declaration: Declaration, info: Json | None, others: Mapping[str, Declaration],
                    notes: list[str]) -> tuple[list[Difference], set[str]]:
    """Return what stands in a stream's way, and the declared streams that have to give up subjects before it."""
    found: list[Difference] = []
    first: set[str] = set()
    settings = declaration.settings
    replicas, link = settings.get("num_replicas"), jetstream.link
    if isinstance(replicas, int) and replicas > 1 and jetstream.prefix == "$JS.API" and not link.server.get("cluster"):
        have = value_of("stream", "num_replicas", info["config"]) if info is not None else None
        if have != replicas:
            found.append(Difference("num_replicas", have, replicas, "this server is on its own: more than one replica needs a cluster"))
    full: Json = dict((info or {}).get("config") or {}) | dict(settings)
    if settings.get("sealed") and info is None:
        found.append(Difference("sealed", None, True, "a stream is sealed once it holds what it is to keep, not when it is made"))
    has = [str(subject) for subject in (info or {}).get("config", {}).get("subjects") or []]
    wanted = _subjects(settings)
    if not wanted and info is None and not settings.get("mirror") and not settings.get("sources"):
        wanted = [declaration.name]
    found += together.in_a_stream(settings, full, wanted or ([] if "subjects" in settings else has))
    if info is not None and settings.get("consumer_limits"):
        found += await _of_its_consumers(jetstream, declaration, info["config"], notes)
    try:
        for subject in wanted:
            if any(covers(pattern, subject) for pattern in has):
                continue
            for other in await jetstream.capturing(subject):
                if other == declaration.name:
                    continue
                planned = others.get(other)
                if planned is not None and "subjects" in planned.settings:
                    first.add(other)  # it does not capture it any more once it is as declared
                    continue
                there = await jetstream.info_or_none(other)
                if there is None:
                    continue  # deleted meanwhile
                captured = there["config"].get("subjects") or []
                theirs = ", ".join(str(pattern) for pattern in captured if overlap(str(pattern), subject)) or "them"
                found.append(Difference("subjects", list(has) or None, list(wanted),
                                        f"stream {other} captures {theirs} already, and no two streams may store the same subject"))
    except NotAuthorised as problem:
        note = f"whether other streams capture the same subjects: {problem}"
        if note not in notes:
            notes.append(note)
    return found, first


async def _of_its_consumers(jetstream: JetStream, declaration: Declaration, there: Json, notes: list[str]) -> list[Difference]:
    """Return what keeps a stream from limiting the consumers that it has: the server takes no limit that one of them is over."""
    limits = declaration.settings["consumer_limits"]
    try:
        consumers = await jetstream.consumers(declaration.name, [])
    except NotAuthorised as problem:
        notes.append(f"whether consumers of {declaration.name} are over its consumer_limits: {problem}")
        return []
    found = []
    for name, most in (limits if isinstance(limits, dict) else {}).items():
        over = {str(one["name"]): int(one["config"].get(name) or 0) for one in consumers if 0 < int(str(most)) < int(one["config"].get(name) or 0)}
        if over:
            told = ", ".join(f"{one} ({have:,})" for one, have in sorted(over.items()))
            found.append(Difference("consumer_limits", there.get("consumer_limits") or None, limits,
                                    f"{name} of {told} is over {int(str(most)):,}: change {'it' if len(over) == 1 else 'those'} first"))
    return found


def of_consumer(declaration: Declaration, info: Json | None, stream: Json, siblings: list[tuple[str, Json]],
                room: Room) -> list[Difference]:
    """Return what stands in a consumer's way: `stream` as it is or will be, `siblings` the names and configurations of the
    stream's other consumers; `room` is what the account allows."""
    settings = declaration.settings
    found: list[Difference] = []

    def has(name: str) -> SettingValue | None:
        return None if info is None else value_of("consumer", name, info["config"])

    config = with_our_defaults("consumer", settings)
    if info is not None:
        config = merged("consumer", info["config"], differences("consumer", info["config"], settings))
    most, allowed = value_of("stream", "max_consumers", stream), room.consumers(stream)
    pending, unacknowledged = settings.get("max_ack_pending"), room.unacknowledged(stream)
    if isinstance(pending, int) and 0 < unacknowledged < pending:
        found.append(Difference("max_ack_pending", has("max_ack_pending"), pending, f"the account allows {unacknowledged:,}"))
    if info is None and isinstance(most, int) and 0 <= most <= len(siblings):
        found.append(Difference("max_consumers", most, len(siblings) + 1, f"stream {declaration.name.partition('/')[0]} allows no more consumers"))
    elif info is None and 0 < allowed <= len(siblings):
        found.append(Difference("max_consumers", allowed, len(siblings) + 1, f"the account allows {amount(allowed, 'consumer')} of a stream"))
    backoff, deliveries = config.get("backoff") or [], int(config.get("max_deliver") or -1)
    if 0 < deliveries < len(backoff):
        name = "backoff" if "backoff" in settings else "max_deliver"
        too_few = f"{amount(len(backoff), 'wait')} in backoff and only {amount(deliveries, 'delivery', 'deliveries')} (max_deliver)"
        found.append(Difference(name, has(name), settings.get(name), too_few))
    if info is None and config.get("ack_policy") == "flow_control" and not config.get("deliver_subject"):
        found.append(Difference("ack_policy", None, "flow_control", "only a consumer with a deliver_subject acknowledges so"))
    found += together.in_a_consumer(settings, config, stream)
    if resource_of({"config": stream}) != WORK_QUEUE_STREAM:
        return found
    # seen on nats-server 2.15.1: one by flow control is taken as well
    if info is None and config.get("ack_policy") not in ("explicit", "flow_control"):
        found.append(Difference("ack_policy", None, config.get("ack_policy"), "a work-queue stream removes what is acknowledged, so each message must be"))
    if info is None and value_of("consumer", "deliver_policy", config) != "all":
        found.append(Difference("deliver_policy", None, config.get("deliver_policy"), "a consumer of a work-queue stream begins with all there is"))
    mine = filters_of(config) or (">",)
    for name, other in siblings:
        if any(overlap(one, two) for one in mine for two in filters_of(other) or (">",)):
            setting = "filter_subjects" if "filter_subjects" in settings else "filter_subject"
            found.append(Difference(setting, has(setting), settings.get(setting), f"consumer {name} gets {', '.join(filters_of(other)) or 'everything'}, and "
                                    "on a work-queue stream each message is for one consumer"))
    return found


def remarks_on_filters(declaration: Declaration, stream: Json) -> list[str]:
    """Say where a consumer would never get anything: its stream captures nothing that it asks for."""
    captured = [str(subject) for subject in stream.get("subjects") or []]
    if not captured:
        return []  # a mirror, or filled from elsewhere: what it holds its configuration does not say
    idle = [subject for subject in filters_of(declaration.settings) if not any(overlap(subject, pattern) for pattern in captured)]
    return [f"nothing is delivered of {', '.join(idle)}: the stream captures {', '.join(captured)}"] if idle else []
