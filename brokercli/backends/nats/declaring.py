"""Streams and durable consumers as they are declared: planned, made, changed, removed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from brokercli.backends.declaring import Declarer
from brokercli.backends.nats import consequences, obstacles
from brokercli.backends.nats.account import Room
from brokercli.backends.nats.configuration import differences, feeding, is_internal, merged, settings_beyond_defaults, value_of, with_our_defaults
from brokercli.backends.nats.copying_streams import of_copies
from brokercli.backends.nats.failures import CONSUMER_NOT_FOUND, STREAM_NOT_FOUND, api_failure
from brokercli.backends.nats.listing import SILENT, purpose_of
from brokercli.backends.nats.retrying import plan_retry
from brokercli.backends.nats.streams import JetStream, Json, each
from brokercli.model.amount import amount
from brokercli.model.declaration import Action, Change, Declaration, Difference, RetrySpecification, RetryTopology
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, TimedOut, Unreachable, UsageProblem
from brokercli.model.exit_code import ExitCode

# seen on nats-server 2.15.1: the name is taken by something else
_TAKEN = (10058, 10148)
_REFUSED = {
    10065: "another stream captures the same subjects",
    10055: "a mirror cannot be changed",
    10074: "more than one replica needs a cluster",
    10005: "too few servers fit: the cluster has not so many (num_replicas), or placement names others",
    10026: "the stream, or the account, allows no more consumers",
    10027: "the account allows no more streams",
    10047: "the account, or the server, has no room for so much in files: max_bytes is set aside when a stream is made",
    10028: "the account, or the server, has no room for so much in memory: max_bytes is set aside when a stream is made",
}
_INVALID_JSON = 10025


class _MadeOtherwise(Failed):
    """Something was made or changed, and is not as declared."""

    exit_code = ExitCode.PARTLY


@dataclass(frozen=True, slots=True)
class _Found:
    """What a change was planned on."""

    created: str | None = None
    """When the thing was made, None where it is not there: tells it from another of the same name."""
    messages: int = 0


class NatsDeclarer(Declarer):
    """Declares over an open connection."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self.notes: list[str] = []

    def plan(self, wanted: Sequence[Declaration]) -> list[Change]:
        return self._jetstream.link.run(_Plan(self._jetstream, self.notes).of(wanted))

    def apply(self, change: Change) -> None:
        self._jetstream.link.run(_apply(self._jetstream, change))

    def declared(self, kinds: Sequence[str] = ()) -> Iterable[Declaration]:
        return self._jetstream.link.run(_declared(self._jetstream, kinds, self.notes))

    def plan_removal(self, unwanted: Sequence[Declaration]) -> list[Change]:
        return self._jetstream.link.run(_plan_removal(self._jetstream, unwanted))

    def retry(self, specification: RetrySpecification) -> RetryTopology:
        return self._jetstream.link.run(plan_retry(self._jetstream, specification))


class _Plan:
    """One comparison of declarations with what there is."""

    def __init__(self, jetstream: JetStream, notes: list[str]) -> None:
        self._jetstream = jetstream
        self._notes = notes
        self._streams: dict[str, Declaration] = {}
        self._infos: dict[str, Json | None] = {}
        self._room = Room({})

    async def of(self, wanted: Sequence[Declaration]) -> list[Change]:
        unique = _unique(wanted)
        self._streams = {declaration.name: declaration for declaration in unique if declaration.kind == "stream"}
        obstacles.check_together(self._streams)
        names = list(dict.fromkeys(declaration.name.partition("/")[0] for declaration in unique))
        self._infos |= dict(zip(names, await each(names, self._jetstream.info_or_none), strict=True))
        with suppress(BrokercliError):  # what the plan cannot do without is asked for below
            self._room = Room(await self._jetstream.ask("INFO", what="this account"))
        changes: list[Change] = []
        before: dict[str, set[str]] = {}
        for change, first in await each(self._streams.values(), self._stream):
            changes.append(change)
            before[change.declaration.name] = first | feeding(change.declaration.settings)
        ordered = [self._with_room(change) for change in _in_order(changes, before)]
        consumers = [declaration for declaration in unique if declaration.kind == "consumer"]
        return ordered + await self._consumers(consumers)

    def _with_room(self, change: Change) -> Change:
        if change.action not in (Action.CREATE, Action.CHANGE):
            return change
        there = self._infos[change.declaration.name]
        why = list(self._room.take(change.declaration, dict(there["config"]) if there is not None else {}))
        return replace(change, action=Action.CANNOT, differences=tuple(_joined(list(change.differences) or why, why))) if why else change

    async def _stream(self, declaration: Declaration) -> tuple[Change, set[str]]:
        info = self._infos[declaration.name]
        hindering, first = await obstacles.of_stream(self._jetstream, declaration, info, self._streams, self._notes)
        hindering += await of_copies(declaration, dict((info or {}).get("config") or {}) | dict(declaration.settings), self._known)
        if info is None:
            if hindering:
                return Change(declaration, Action.CANNOT, tuple(hindering)), first
            remarks = consequences.of_creating_a_stream(declaration, bool(self._jetstream.link.server.get("cluster")))
            remarks += await self._remarks_on_copying(feeding(declaration.settings))
            return Change(declaration, Action.CREATE, remarks=tuple(remarks), handle=_Found()), first
        found = _joined(differences("stream", info["config"], declaration.settings), hindering)
        remarks = consequences.of_changing_a_stream(info, found, time.time_ns())
        if any(difference.setting in ("mirror", "sources") for difference in found):
            remarks += await self._remarks_on_copying(feeding(declaration.settings) - feeding(info["config"]))
        return _change(declaration, found, remarks, _Found(str(info["created"]), int(info["state"]["messages"]))), first

    async def _remarks_on_copying(self, origins: set[str]) -> list[str]:
        """Say what copying does to where it copies from."""
        remarks = []
        for name in sorted(origins):
            remarks += consequences.of_copying(name, await self._known(name))
        return remarks

    async def _known(self, name: str) -> Json | None:
        """Return the configuration that a stream has, or will have, None where there is none."""
        if name not in self._infos and name not in self._streams:
            self._infos[name] = await self._jetstream.info_or_none(name)
        there = self._infos.get(name)
        config: Json = dict(there["config"] if there is not None else {}) | dict(self._streams[name].settings if name in self._streams else {})
        return config or None

    async def _consumers(self, declarations: Sequence[Declaration]) -> list[Change]:
        names: dict[str, list[str]] = {}
        for declaration in declarations:
            stream, _, name = declaration.name.partition("/")
            if self._infos[stream] is None and stream not in self._streams:
                raise UsageProblem(f"There is no stream {stream}, and none is declared: a consumer needs one.", hint="names are case-sensitive")
            names.setdefault(stream, []).append(name)
        exist = [stream for stream in names if self._infos[stream] is not None]
        there = dict(zip(exist, await each(exist, lambda stream: self._there(stream, names[stream])), strict=True))
        planned: dict[str, dict[str, Json]] = {stream: {name: info["config"] for name, info in infos.items()} for stream, infos in there.items()}
        changes: list[Change] = []
        for declaration in declarations:
            stream, _, name = declaration.name.partition("/")
            siblings = planned.setdefault(stream, {})
            others = [(other, config) for other, config in siblings.items() if other != name]
            changes.append(self._consumer(declaration, there.get(stream, {}).get(name), others))
            siblings[name] = siblings.get(name, {}) | with_our_defaults("consumer", declaration.settings)
        return changes

    async def _there(self, stream: str, names: Sequence[str]) -> dict[str, Json]:
        """Return the consumers of a stream by name; only those that are declared where the others may not be seen."""
        try:
            silent: list[str] = []
            found = {str(info["name"]): info for info in await self._jetstream.consumers(stream, silent)}
            if any(name in silent for name in names):
                raise Unreachable(f"Consumer {stream}/{next(name for name in names if name in silent)} {SILENT}.")
            return found
        except NotAuthorised as problem:
            self._notes.append(f"whether other consumers of {stream} are in the way: {problem}")
        asked = {name: await self._jetstream.consumer_or_none(stream, name) for name in names}
        return {name: info for name, info in asked.items() if info is not None}

    def _consumer(self, declaration: Declaration, info: Json | None, siblings: list[tuple[str, Json]]) -> Change:
        stream = declaration.name.partition("/")[0]
        config = dict((self._infos[stream] or {}).get("config") or {})
        if stream in self._streams:
            config |= self._streams[stream].settings
        hindering = obstacles.of_consumer(declaration, info, config, siblings, self._room)
        remarks = obstacles.remarks_on_filters(declaration, config)
        if info is None:
            if hindering:
                return Change(declaration, Action.CANNOT, tuple(hindering), tuple(remarks))
            return Change(declaration, Action.CREATE, remarks=(*remarks, *consequences.of_creating_a_consumer(declaration)), handle=_Found())
        found = _joined(differences("consumer", info["config"], declaration.settings), hindering)
        if not info["config"].get("durable_name"):
            name = declaration.name.partition("/")[2]
            found.append(Difference("durable_name", None, name, "there is an ephemeral consumer of that name; it goes by itself"))
        return _change(declaration, found, remarks + consequences.of_changing_a_consumer(found, str(config.get("retention"))), _Found(str(info["created"])))


def _unique(wanted: Sequence[Declaration]) -> list[Declaration]:
    found: dict[tuple[str, str], Declaration] = {}
    for declaration in wanted:
        if declaration.kind not in ("stream", "consumer"):
            raise UsageProblem(f"NATS has no {declaration.kind} to declare.", hint="stream or consumer")
        obstacles.check(declaration)
        other = found.setdefault((declaration.kind, declaration.name), declaration)
        if dict(other.settings) != dict(declaration.settings):
            raise UsageProblem(f"{declaration} is declared twice, with different settings.")
    return list(found.values())


def _joined(found: list[Difference], hindering: list[Difference]) -> list[Difference]:
    """Put obstacles to the differences they belong to; one that is its own stays beside them. What is as declared hinders nothing."""
    if not found:
        return []
    stopped = {difference.setting: difference for difference in hindering}
    joined = [stopped.pop(difference.setting, difference) if not difference.obstacle else difference for difference in found]
    told = {difference.setting for difference in joined}
    return joined + [difference for name, difference in stopped.items() if name not in told]


def _change(declaration: Declaration, found: list[Difference], remarks: Sequence[str], handle: _Found) -> Change:
    if not found:
        return Change(declaration, Action.UNCHANGED, handle=handle)
    action = Action.CANNOT if any(difference.obstacle for difference in found) else Action.CHANGE
    return Change(declaration, action, tuple(found), tuple(remarks), handle)


def _in_order(changes: Sequence[Change], before: Mapping[str, set[str]]) -> list[Change]:
    """Sort so that a stream comes behind those that it needs; circles (streams that fill each other) stay as they were declared."""
    by_name = {change.declaration.name: change for change in changes}
    ordered: dict[str, Change] = {}
    under_way: set[str] = set()

    def place(name: str) -> None:
        if name in ordered or name in under_way or name not in by_name:
            return
        under_way.add(name)
        for other in sorted(before.get(name, ())):
            place(other)
        ordered[name] = by_name[name]

    for name in by_name:
        place(name)
    return list(ordered.values())


async def _apply(jetstream: JetStream, change: Change) -> None:
    planned = change.handle
    if not isinstance(planned, _Found) or change.action not in (Action.CREATE, Action.CHANGE, Action.DELETE):
        raise UsageProblem(f"{change.declaration}: there is nothing to apply.")
    now = await _now(jetstream, change.declaration)
    if (now is None) != (planned.created is None) or (now is not None and str(now["created"]) != planned.created):
        happened = "is gone" if now is None else "has come" if planned.created is None else "was made anew"
        raise Failed(f"It {happened} since this was planned; nothing was changed.", hint="the same command plans it anew")
    match change.action:
        case Action.DELETE:
            await _delete(jetstream, change.declaration, planned, now or {})
        case Action.CREATE:
            await _write(jetstream, change.declaration, "create", with_our_defaults(change.declaration.kind, change.declaration.settings))
        case _:
            await _update(jetstream, change, (now or {})["config"])


async def _now(jetstream: JetStream, declaration: Declaration) -> Json | None:
    stream, _, consumer = declaration.name.partition("/")
    if declaration.kind == "stream":
        return await jetstream.info_or_none(stream)
    return await jetstream.consumer_or_none(stream, consumer)


async def _update(jetstream: JetStream, change: Change, config: Json) -> None:
    kind = change.declaration.kind
    for difference in change.differences:
        have = value_of(kind, difference.setting, config)
        if (None if have in ("", [], {}) else have) != difference.have:
            raise Failed(f"{difference.setting} was changed since this was planned; it is {have} now. Nothing was changed.",
                         hint="the same command plans it anew")
    await _write(jetstream, change.declaration, "update", merged(kind, config, change.differences))


async def _write(jetstream: JetStream, declaration: Declaration, action: str, config: Json) -> None:
    stream, _, consumer = declaration.name.partition("/")
    if declaration.kind == "stream":
        answer = await _tell(jetstream, declaration, f"STREAM.{action.upper()}.{stream}", config | {"name": stream})
    else:
        config = config | {"name": consumer, "durable_name": consumer}
        answer = await _tell(jetstream, declaration, f"CONSUMER.CREATE.{stream}.{consumer}", {"stream_name": stream, "config": config, "action": action})
    ignored = [difference.setting for difference in differences(declaration.kind, answer.get("config") or config, declaration.settings)]
    if ignored:
        version = jetstream.link.server.get("version", "of unknown version")
        raise _MadeOtherwise(f"It was {'made' if action == 'create' else 'changed'}, but this server ({version}) did not take over {', '.join(ignored)}.",
                             hint="it goes by other settings, or does not know them: they came with a later version")


async def _delete(jetstream: JetStream, declaration: Declaration, planned: _Found, now: Json) -> None:
    stream, _, consumer = declaration.name.partition("/")
    if declaration.kind == "consumer":
        owner = await jetstream.info(stream)
        if not planned.messages and consequences.deletes(now, owner, int(owner["state"]["consumer_count"]) - 1):
            raise consequences.refuse_what_came(declaration.name, stream)
        await _tell(jetstream, declaration, f"CONSUMER.DELETE.{stream}.{consumer}")
        return
    if not planned.messages and int(now["state"]["messages"]):
        raise Failed(f"It holds {amount(int(now['state']['messages']), 'message')} now, and held none when this was planned. It was not deleted.",
                     hint="the same command plans it anew")
    await _tell(jetstream, declaration, f"STREAM.DELETE.{stream}")


async def _tell(jetstream: JetStream, declaration: Declaration, operation: str, question: Json | None = None) -> Json:
    """Ask for a change once: one without an answer may have been made or not."""
    try:
        answer = await jetstream.try_ask(operation, question, repeat=False)
    except (Unreachable, TimedOut) as problem:
        raise Unreachable(str(problem), hint="the same command says what there is now") from None
    error = answer.get("error")
    if error is None:
        return answer
    code, words = error.get("err_code", 0), str(error.get("description", "no reason given"))
    if code in _TAKEN:
        raise Failed(f"It was not made: another one of that name has come meanwhile (NATS error {code}).", hint="the same command plans it anew")
    if code in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
        raise NotFound(f"It is gone: {words} (NATS error {code}).")
    if code == _INVALID_JSON:
        unread = "this server does not know a setting" if "unknown field" in words else "this server cannot read the value of a setting"
        raise Failed(f"NATS refused it: {unread} ({words}, NATS error {code}).", 
                     hint=f"brokercli declare settings {declaration.kind} says how each is written, and of some with which server they came")
    if code in _REFUSED:
        raise Failed(f"NATS refused it: {_REFUSED[code]} ({words}, NATS error {code}).")
    if error.get("code") in (400, 500):
        raise Failed(f"NATS refused it: {words} (NATS error {code}).")
    raise api_failure(error, str(declaration))


async def _declared(jetstream: JetStream, kinds: Sequence[str], notes: list[str]) -> list[Declaration]:
    found: list[Declaration] = []
    silent: list[str] = []
    streams = [info for info in await jetstream.all(silent) if not (purpose_of(str(info["config"]["name"])) or "").startswith("MQTT")]
    notes += [f"stream {name} is left out: it {SILENT}" for name in silent]
    if not kinds or "stream" in kinds:
        found += [Declaration("stream", str(info["config"]["name"]), settings_beyond_defaults("stream", info["config"])) for info in streams]
    if not kinds or "consumer" in kinds:
        names = [str(info["config"]["name"]) for info in streams]
        for declarations in await each(names, lambda name: _declared_consumers(jetstream, name, notes)):
            found += declarations
    return found


async def _declared_consumers(jetstream: JetStream, stream: str, notes: list[str]) -> list[Declaration]:
    silent: list[str] = []
    try:
        consumers = await jetstream.consumers(stream, silent)
    except NotFound:
        return []  # deleted meanwhile
    except BrokercliError as problem:
        notes.append(f"consumers of {stream}: {problem}")
        return []
    notes += [f"consumer {stream}/{name} is left out: it {SILENT}" for name in silent]
    return [Declaration("consumer", f"{stream}/{consumer['name']}", settings_beyond_defaults("consumer", consumer["config"]))
            for consumer in sorted(consumers, key=lambda consumer: str(consumer["name"]))
            if consumer["config"].get("durable_name") and not is_internal(consumer["config"])]


async def _plan_removal(jetstream: JetStream, unwanted: Sequence[Declaration]) -> list[Change]:
    going_too: dict[str, set[str]] = {}
    for one in unwanted:
        if one.kind == "consumer":
            going_too.setdefault(one.name.partition("/")[0], set()).add(one.name)
    owners = dict(zip(going_too, await each(going_too, jetstream.info_or_none), strict=True))
    consumers, streams = [], []
    for declaration, info in zip(unwanted, await each(unwanted, partial(_now, jetstream)), strict=True):
        if info is None:
            continue
        name = declaration.name.partition("/")[0]
        owner = owners.get(name)
        if declaration.kind != "consumer":
            streams.append((declaration, info))
        elif owner is not None:
            others = int(owner["state"]["consumer_count"]) - len(going_too[name])
            remarks: list[str] = consequences.of_removing_a_consumer(info, owner, others)
            held = int(owner["state"]["messages"]) if consequences.deletes(info, owner, others) else 0
            consumers.append(Change(declaration, Action.DELETE, remarks=tuple(remarks), handle=_Found(str(info["created"]), held)))
    if not streams:
        return consumers
    unknown: list[str] = []
    fed: dict[str, list[str]] = {}
    copies: set[str] = set()
    for other in await jetstream.all(unknown):
        for origin in feeding(other["config"]):
            fed.setdefault(origin, []).append(str(other["config"]["name"]))
            copies.add(str(other["config"]["name"]))
    going = {change.declaration.name for change in consumers}
    result = []
    for declaration, info in streams:
        name = declaration.name
        silent: list[str] = []
        try:
            with_it = [str(consumer["name"]) for consumer in await jetstream.consumers(name, silent)] + silent
        except NotFound:
            continue  # deleted meanwhile
        with_it = sorted(consumer for consumer in with_it if f"{name}/{consumer}" not in going)
        readers = fed.get(name, []) + [f"{other} (perhaps)" for other in unknown]
        result.append(Change(declaration, Action.DELETE, remarks=tuple(consequences.of_removing_a_stream(info, with_it, readers)),
                             handle=_Found(str(info["created"]), int(info["state"]["messages"]))))
    # those that are copied from others go first: a mirror of what is gone only asks for it in vain
    return consumers + sorted(result, key=lambda change: change.declaration.name not in copies)
