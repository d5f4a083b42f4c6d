"""Where letters are put back: the stream that captures each subject, one publisher for all subjects of a stream, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.destination import open_publisher
from brokercli.backends.nats.letters import Letters
from brokercli.backends.nats.perishing import of_putting_back
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.rewriting import rewriting_of, stored_as
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.backends.nats.subjects import covers, fault, has_wildcards, overlap
from brokercli.backends.nats.unasked import UnaskedPublisher
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, NotAuthorised, TimedOut, Unreachable

Found = TypeVar("Found")
_SILENCE_SECONDS = 1.0
"""Who is waited for so long in vain keeps silent; who answers sooner, be it that nobody leads, may be asked for each letter."""
_TIMES = 9
"""A silence is remembered so many times as long as it was waited for: letters may each have another subject, and each of them asks."""


@dataclass(frozen=True, slots=True)
class Home:
    """An open way to one stream."""

    publisher: JetStreamPublisher
    stream: str
    """Empty where this login may not ask which stream listens."""
    patterns: tuple[str, ...]


class Homes:
    """Finds out about each destination once. What cannot work there is a reason, never a failure of the run."""

    def __init__(self, jetstream: JetStream, letters: Letters, policy: PublishPolicy, origins: Sequence[Json]) -> None:
        """`letters`: those that are put back; `origins`: the streams whose messages died, as far as they are known, whose subjects are their homes."""
        self._jetstream = jetstream
        self._origins = [info["config"] for info in origins]
        self._letters = letters
        self._policy = policy
        self._known: dict[tuple[str | None, str], Home | str] = {}
        self._streams: dict[str, Home] = {}
        self._silent: dict[str, tuple[str, float]] = {}
        """Stream, or empty for whoever says which there are → what came of asking about it, and until when that is enough."""
        self._shut: dict[int, bool] = {}
        """Publishers that have failed → whether others go on."""
        self._perishing: list[str] = []

    def find(self, destination: Address) -> Home | str:
        """Return the way to a destination, or why nothing can be put there."""
        key = destination.kind, destination.name
        home = self._known.get(key)
        if home is None:
            try:
                home = self._open(destination)
            except Unreachable as problem:
                # not for the next letter as well: the connection may be there again
                return str(problem).rstrip(".")
            except BrokercliError as problem:
                home = str(problem).rstrip(".")
            self._known[key] = home
        if isinstance(home, Home) and (failure := home.publisher.failure) is not None:
            return f"{destination} takes nothing any more: {str(failure).rstrip('.')}"
        return home

    def shut(self, publisher: JetStreamPublisher) -> bool:
        """Return whether a publisher that has failed is the only one: whether the server answers all the same. Asked once of each."""
        known = self._shut.get(id(publisher))
        if known is None:
            try:
                self._jetstream.link.require_answer()
                known = True
            except Unreachable:
                known = False
            self._shut[id(publisher)] = known
        return known

    def _open(self, destination: Address) -> Home | str:
        name = destination.name
        if destination.kind == "stream":
            if name == self._letters.stream and self._letters.consumers is None:
                return f"stream {name} is where the letter lies now"
            return self._stream(self._info(name))
        if destination.kind not in (None, "subject"):
            return f"NATS has no {destination.kind}s, and it would go to {destination}"
        problem = fault(name) or ("it is a wildcard" if has_wildcards(name) else None)
        if problem:
            return f"{name[:200]!r} is no subject to publish to: {problem}"
        home = self._leading_to(name)
        return self._comes_otherwise(name, home.stream if isinstance(home, Home) else "") or home

    def _leading_to(self, name: str) -> Home | str:
        known = self._open_to(name)
        if known is not None:
            return known
        try:
            capturing = self._ask("", lambda: self._jetstream.capturing(name))
            infos = [self._info(stream) for stream in capturing[:1]]
        except (NotAuthorised, TimedOut):
            return self._told_by_others(name) or Home(self._publisher(Address(name, "subject")), "", ())
        if not infos:
            return self._jetstream.nobody_listens(name)
        return self._allowed(self._stream(infos[0]), name)

    def _open_to(self, name: str) -> Home | str | None:
        for home in self._streams.values():
            if any(covers(pattern, name) for pattern in home.patterns):
                return self._allowed(home, name)
        return None

    def _told_by_others(self, name: str) -> Home | str | None:
        """Return the way into a stream that the acknowledgements of others have named, where it listens on this subject as well."""
        for home in list(self._known.values()):
            if isinstance(home, Home) and isinstance(home.publisher, UnaskedPublisher) and home.publisher.info is not None:
                self._stream(home.publisher.info)
        return self._open_to(name)

    def _comes_otherwise(self, name: str, reached: str) -> str:
        """Say where a subject is the one that messages have in the stream they died in, and not the one they came on: put there they would go elsewhere,
        and what would have had them again waits in vain."""
        for config in self._origins:
            rewriting, stream = rewriting_of(config), str(config["name"])
            if rewriting is None or not overlap(rewriting.pattern, name) or (reached == stream and stored_as(config, name) == name):
                continue
            elsewhere = f"leads into stream {reached} (--to stream:{reached} puts them there all the same)" if reached else "leads into no stream"
            return f"stream {stream} stores as {name} what comes on another subject ({rewriting}), and {name} {elsewhere}; --to subject:NAME says which it was"
        return ""

    def _info(self, stream: str) -> Json:
        return self._ask(stream, lambda: self._jetstream.info(stream))

    def _ask(self, about: str, question: Callable[[], Coroutine[Any, Any, Found]]) -> Found:
        known = self._silent.get(about)
        began = monotonic()
        if known is not None and began < known[1]:
            raise Unreachable(known[0])
        try:
            return self._jetstream.link.run(question())
        except Unreachable as problem:
            waited = monotonic() - began
            if waited >= _SILENCE_SECONDS:
                self._silent[about] = str(problem), began + (1 + _TIMES) * waited
            raise

    def _stream(self, info: Json) -> Home:
        config = info["config"]
        stream = str(config["name"])
        home = self._streams.get(stream)
        if home is None:
            publisher = self._publisher(Address(stream, "stream"))
            self._perishing += of_putting_back(info, self._letters.info)
            home = self._streams[stream] = Home(publisher, stream, tuple(config.get("subjects") or ()))
        return home

    def _publisher(self, address: Address) -> JetStreamPublisher:
        publisher = open_publisher(self._jetstream, address, self._policy)
        assert isinstance(publisher, JetStreamPublisher)  # nothing else confirms
        return publisher

    def _allowed(self, home: Home, name: str) -> Home | str:
        if home.stream == self._letters.stream and self._letters.awaits(name):
            return f"{name} leads into stream {home.stream}, where the letter lies now, and would be one again"
        return home

    @property
    def notes(self) -> list[str]:
        """What there is to know of where letters went, each once."""
        homes = [*self._streams.values(), *(home for home in self._known.values() if isinstance(home, Home))]
        return list(dict.fromkeys([*self._perishing, *(note for home in homes for note in home.publisher.notes)]))

    def close(self) -> None:
        """Let go of every publisher."""
        for home in [*self._streams.values(), *(home for home in self._known.values() if isinstance(home, Home))]:
            home.publisher.close()
