"""Where the messages of a stream or subject come from and go to: subjects, streams, consumers, records of deaths, copies."""

from __future__ import annotations

from brokercli.backends.nats.configuration import is_internal, value_of
from brokercli.backends.nats.consumer_state import ConsumerState
from brokercli.backends.nats.dead_letter_names import ADVISORIES, DEATHS, marks_of, recorded_streams
from brokercli.backends.nats.death_records import DEATH_KINDS
from brokercli.backends.nats.listing import SILENT
from brokercli.backends.nats.origins import named
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import overlap
from brokercli.backends.nats.wording import duration
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.errors import BrokercliError, NotFound
from brokercli.model.flow import Flow

CORE = "core subscribers: NATS does not show them to clients"


async def flow_of(jetstream: JetStream, address: Address) -> Flow:
    """Draw what a resolved address leads to, and what leads to it. Changes nothing."""
    flow = Flow(str(Address(address.name, address.kind)))
    drawing = _Drawing(jetstream, flow)
    await drawing.look_around(address)
    if address.kind == "stream":
        await drawing.onward(address.name)
        await drawing.back(address.name)
    else:
        flow.node(flow.start, "subject")
        flow.missing.append(CORE)
        for name in drawing.listening(address.name):
            flow.edge(flow.start, drawing.stream(name))
            await drawing.onward(name)
    return flow


class _Drawing:
    """Follows messages onward and back; a recorder that many streams share does not lead from one of them to the others."""

    def __init__(self, jetstream: JetStream, flow: Flow) -> None:
        self._jetstream = jetstream
        self._flow = flow
        self._infos: dict[str, Json] = {}
        self._consumers: dict[str, list[ConsumerState]] = {}
        self._onward: set[str] = set()
        self._back: set[str] = set()

    async def look_around(self, address: Address) -> None:
        """Ask for all streams, or for those in question where that is not permitted."""
        try:
            silent: list[str] = []
            self._infos = {str(info["config"]["name"]): info for info in await self._jetstream.all(silent)}
            self._flow.missing += [f"stream {name}: {SILENT}" for name in silent]
        except BrokercliError as problem:
            if address.kind == "stream":
                self._infos = {address.name: await self._jetstream.info(address.name)}
            self._flow.missing.append(f"other streams, so what is copied, and who records deaths: {problem}")

    def listening(self, subject: str) -> list[str]:
        """Return the streams that capture a subject, or a part of it."""
        return [name for name in self._infos if any(overlap(pattern, subject) for pattern in self._subjects(name))]

    def stream(self, name: str) -> str:
        """Enter a stream; return its id."""
        info = self._infos.get(name)
        if info is None:
            return self._flow.node(str(Address(name, "stream")), "stream", "is not there, or not shown")
        messages, config = int(info["state"]["messages"]), info["config"]
        notes = [amount(messages, "message")]
        marks = marks_of(config)
        if marks is None:
            notes.append(resource_of(info))
        if config.get("max_age"):
            notes.append(f"kept for {duration(int(config['max_age']))}")
        if config.get("subject_transform"):
            notes.append(f"subjects rewritten to {config['subject_transform'].get('dest')}")
        return self._flow.node(str(Address(name, "stream")), "dead letters" if marks is not None else "stream", *notes)

    async def onward(self, name: str) -> None:
        """Draw where the messages of a stream go."""
        if name in self._onward:
            return
        self._onward.add(name)
        here = self.stream(name)
        if name not in self._infos:
            return
        recorders = self._recorders(name)
        for state in await self._ask_consumers(name):
            taker = self._consumer(state, bool(recorders))
            self._flow.edge(here, taker, ", ".join(state.filters))
            if state.pushes:
                self._flow.edge(taker, self._subject(str(state.config["deliver_subject"])), "pushed")
            for recorder, kinds in recorders.items():
                if (why := _why(kinds, state)):
                    self._flow.edge(taker, self.stream(recorder), why)
        for recorder in recorders:
            await self.onward(recorder)
        for other, info in self._infos.items():
            if (copied := _copied(info["config"], name)) is not None:
                self._flow.edge(here, self.stream(other), copied)
                await self.onward(other)
        republish = self._infos[name]["config"].get("republish")
        if republish:
            target = self._subject(str(republish.get("dest")))
            self._flow.edge(here, target, f"{republish.get('src') or '>'} republished")
            for other in self.listening(str(republish.get("dest"))):
                self._flow.edge(target, self.stream(other))
                await self.onward(other)

    async def back(self, name: str) -> None:
        """Draw where the messages of a stream come from."""
        if name in self._back:
            return
        self._back.add(name)
        here, info = self.stream(name), self._infos.get(name)
        if info is None:
            return
        for pattern in self._subjects(name):
            if not any(overlap(pattern, death) for death in DEATHS):
                self._flow.edge(self._subject(pattern), here)
        for other in self._infos:
            republish = self._infos[other]["config"].get("republish")
            if republish and name in self.listening(str(republish.get("dest"))):
                self._flow.edge(self.stream(other), self._subject(str(republish.get("dest"))), f"{republish.get('src') or '>'} republished")
                self._flow.edge(self._subject(str(republish.get("dest"))), here)
                await self.back(other)
        for origin in _origins(info["config"]):
            self._flow.edge(self.stream(origin), here, _copied(info["config"], origin) or "")
            await self.back(origin)
        await self._back_from_deaths(name, here, info["config"])

    async def _back_from_deaths(self, name: str, here: str, config: Json) -> None:
        if not any(overlap(pattern, death) for pattern in self._subjects(name) for death in DEATHS):
            return
        recorded = recorded_streams(config)
        if recorded is None:
            self._flow.edge(self._flow.node(f"subject:{ADVISORIES}.>", "subject", "JetStream's announcements, of every stream"), here, "deaths")
            return
        for source in recorded:
            if source not in self._infos:
                continue
            kinds = self._recorders(source).get(name, [])
            for state in await self._ask_consumers(source):
                if (why := _why(kinds, state)):
                    self._flow.edge(self.stream(source), self._consumer(state, recorded=True), ", ".join(state.filters))
                    self._flow.edge(self._consumer(state, recorded=True), here, why)
            await self.back(source)

    def _subjects(self, name: str) -> list[str]:
        return [str(subject) for subject in self._infos[name]["config"].get("subjects") or []]

    def _subject(self, name: str) -> str:
        return self._flow.node(str(Address(name, "subject")), "subject")

    def _recorders(self, name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for kind in DEATH_KINDS:
            for other in self.listening(f"{ADVISORIES}.{kind}.{name}.>"):
                found.setdefault(other, []).append(kind)
        return found

    async def _ask_consumers(self, name: str) -> list[ConsumerState]:
        if name not in self._consumers:
            try:
                silent: list[str] = []
                answers = await self._jetstream.consumers(name, silent)
                self._flow.missing += [f"consumer {name}/{one}: {SILENT}" for one in silent]
                self._consumers[name] = sorted((ConsumerState(info) for info in answers if not is_internal(info["config"])), key=lambda state: state.name)
            except NotFound:
                self._consumers[name] = []  # deleted meanwhile
            except BrokercliError as problem:
                self._flow.missing.append(f"consumers of stream {name}: {problem}")
                self._consumers[name] = []
        return self._consumers[name]

    def _consumer(self, state: ConsumerState, recorded: bool) -> str:
        config = state.config
        notes = [f"lag {state.lag:,}", *([f"{state.in_hand:,} in hand"] if state.in_hand else []), *([state.member_words] if state.members else []),
                 *(["paused"] if state.info.get("paused") else [])]
        most, waits = int(config.get("max_deliver") or -1), [str(duration(int(wait))) for wait in config.get("backoff") or []]
        if most > 0:
            notes.append(f"{most} tries" + (f", again after {', '.join(waits)}" if waits else "") + ("" if recorded else ", deaths are not recorded"))
        return self._flow.node(f"consumer {state.name}", state.kind, *notes)


def _why(kinds: list[str], state: ConsumerState) -> str:
    """Say which deaths a consumer's messages can die of that are recorded; empty: none."""
    if value_of("consumer", "ack_policy", state.config) == "none":
        return ""
    words = {"MSG_TERMINATED": "terminated"} | ({"MAX_DELIVERIES": "given up"} if int(state.config.get("max_deliver") or -1) > 0 else {})
    return " or ".join(words[kind] for kind in kinds if kind in words)


def _origins(config: Json) -> list[str]:
    tables = [*([config["mirror"]] if config.get("mirror") else []), *(config.get("sources") or [])]
    return [named(table) for table in tables]


def _copied(config: Json, origin: str) -> str | None:
    """Say how a stream gets the messages of another one; None: not at all."""
    mirror = config.get("mirror") or {}
    if mirror and named(mirror) == origin:
        return " ".join(filter(None, ("mirrored", mirror.get("filter_subject"))))
    for source in config.get("sources") or []:
        if named(source) == origin:
            return " ".join(filter(None, ("copied", source.get("filter_subject"))))
    return None
