"""What there is: streams, and the subjects that they hold messages of."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial

from brokercli.backends.nats import SUBJECT
from brokercli.backends.nats.origins import named
from brokercli.backends.nats.streams import JetStream, Json, each, resource_of
from brokercli.model.amount import amount
from brokercli.model.description import Listing, Value
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised

SILENT = "does not answer: the servers that keep it are away"
SUBJECTS_SHOWN = 1000
"""The most subjects listed of one stream beside the streams; a stream can hold millions."""
SUBJECTS_ASKED_FOR = 100_000
"""The most that a stream may hold for them to be asked for: whichever are wanted, its server goes through all of them for each page, 2.7 s of a
processor for a million (2.15.1), and other questions to JetStream wait meanwhile."""


async def list_all(jetstream: JetStream, kinds: Sequence[str]) -> list[Listing]:
    """Return streams, then subjects, each by name. A stream says how many of its subjects are not listed. Where nothing but subjects is asked for it cannot:
    raises NotAuthorised then where this login may not see those of some stream, and Failed where they are too many, as where there is no JetStream."""
    silent: list[str] = []
    streams = await jetstream.all(silent)
    by_name: dict[str, Listing] = {}
    denied: dict[str, NotAuthorised] = {}
    alone = bool(kinds) and "stream" not in kinds
    if not kinds or "subject" in kinds:
        if alone:
            _refuse_too_many(streams)
        limit = SUBJECTS_ASKED_FOR if alone else SUBJECTS_SHOWN
        for listings in await each(streams, partial(_subjects, jetstream, denied, limit)):
            for listing in listings:
                by_name.setdefault(listing.name, listing)
    found: list[Listing] = []
    if not alone:
        found += [_stream(info, denied, subjects=not kinds or "subject" in kinds) for info in streams]
        found += [Listing("stream", name, "stream", facts={"state": SILENT}) for name in silent]
        found.sort(key=lambda listing: listing.name)
    elif denied:
        raise denied[min(denied)]
    return found + [by_name[name] for name in sorted(by_name)]


def _refuse_too_many(streams: Sequence[Json]) -> None:
    for info in streams:
        name = str(info["config"]["name"])
        if has_too_many_subjects(info) and purpose_of(name) is None:
            raise Failed(f"Stream {name} holds messages of {amount(int(info['state']['num_subjects']), 'subject')}, which are too many to list.",
                         hint="brokercli describe subject:NAME tells of one")


def purpose_of(name: str) -> str | None:
    """Return what else NATS uses a stream for, by the names it gives those (ADR-8, ADR-20, MQTT)."""
    for prefix, purpose in (("KV_", "key-value bucket"), ("OBJ_", "object store"), ("$MQTT_", "MQTT's own state")):
        if name.startswith(prefix):
            return purpose
    return None


def _stream(info: Json, denied: Container[str], *, subjects: bool) -> Listing:
    config, state = info["config"], info["state"]
    facts: dict[str, Value] = {"subjects": ", ".join(config.get("subjects") or []), "consumers": int(state.get("consumer_count", 0)),
                               "first": int(state["first_seq"]), "last": int(state["last_seq"])}
    purpose = purpose_of(config["name"])
    if purpose:
        facts["used as"] = purpose
    elif has_too_many_subjects(info) or config["name"] in denied:
        facts["not listed"] = amount(int(state["num_subjects"]), "subject")
    elif subjects and int(state.get("num_subjects", 0)) > SUBJECTS_SHOWN:
        facts["not listed"] = amount(int(state["num_subjects"]) - SUBJECTS_SHOWN, "subject")
    if config.get("mirror"):
        facts["mirror of"] = named(config["mirror"])
    return Listing("stream", str(config["name"]), resource_of(info), int(state["messages"]), int(state["bytes"]), facts)


async def _subjects(jetstream: JetStream, denied: dict[str, NotAuthorised], limit: int, info: Json) -> list[Listing]:
    name = str(info["config"]["name"])
    if purpose_of(name) is not None or not int(info["state"].get("num_subjects", 1)) or has_too_many_subjects(info):
        return []
    try:
        counts = await subject_counts(jetstream, name, limit)
    except NotAuthorised as problem:
        if info["state"].get("num_subjects"):
            denied[name] = problem
        return []
    except BrokercliError:
        return []  # deleted meanwhile; the stream itself is listed
    return [Listing("subject", subject, SUBJECT, count, None, {"stream": name}) for subject, count in counts.items()]


def has_too_many_subjects(info: Json) -> bool:
    """Whether a stream holds messages of more subjects than are asked for."""
    return int(info["state"].get("num_subjects", 0)) > SUBJECTS_ASKED_FOR


async def subject_counts(jetstream: JetStream, stream: str, limit: int) -> dict[str, int]:
    """Return subjects of a stream → messages, the first `limit` of them by name."""
    counts: dict[str, int] = {}
    offset = 0
    while len(counts) < limit:
        info = await jetstream.info(stream, {"subjects_filter": ">", "offset": offset})
        page = info["state"].get("subjects") or {}
        counts.update(page)
        offset += len(page)
        if not page or offset >= int(info.get("total", 0)):
            break
    return dict(sorted(counts.items())[:limit])
