"""What became of messages that were in flight when the connection went, or when their stream changed its leader.

Three ways to the truth, none of which adds anything to a message:
- A message with a `Nats-Msg-Id` may be sent again while the stream's duplicate window lasts: the stream stores it once.
- Else the stream is read from the last acknowledged sequence on. If until then every sequence was ours (nobody else was
  publishing), and what lies behind is byte for byte the beginning of what was in flight, in its order, then those are stored.
- The others are certainly not stored, and may be sent again, if the server is a new process and alone: whatever the old
  one had read from the socket and not stored died with it. Else they may still be on their way.
A message that the server answered with "no responders", each time that it was sent, reached nobody and may always be sent again.

Whatever none of this decides is unknown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from brokercli.backends.dead_letters import some_of
from brokercli.backends.nats.convert import Refusal, sent_id
from brokercli.backends.nats.fetch import fetch_message
from brokercli.backends.nats.in_flight import OUT_OF_REACH, UNHEARD, Sent
from brokercli.backends.nats.records import Row
from brokercli.backends.nats.streams import JetStream
from brokercli.backends.nats.subjects import covers, fault, has_wildcards
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound, Unreachable

if TYPE_CHECKING:
    from brokercli.backends.nats.link import Link

SECOND = 1_000_000_000
# how long messages that a living server may still be storing are waited for
PATIENCE_SECONDS = 3.0
# how long after its stream's leader was heard a message may be unheard: until every server knows what the new leader listens on
OUT_OF_REACH_SECONDS = 5.0
# questions under way while the stream is read
TOGETHER = 64
# repeats are not sent in the last moments of a duplicate window: they travel, too
MARGIN_SECONDS = 2.0
# an answer about a stream without a leader does not come; a slow server is given more each time, up to this
SLOWEST_SECONDS = 5.0


Leader: TypeAlias = tuple[str, str] | None
"""A server of a cluster, and since when it leads; None where there is no cluster, or no leader."""


@dataclass(slots=True)
class Target:
    """What is known of the stream that a publisher publishes to."""

    stream: str
    subjects: tuple[str, ...]
    duplicate_window: float
    """Seconds; 0 where the stream detects none."""
    last_sequence: int
    alone: bool
    """Whether the server we talk to is no part of a cluster and keeps the stream itself: its process is all there is."""
    server_id: str
    leader: Leader = None
    """Who keeps the stream, as last heard."""
    domain: str = ""
    """The JetStream domain it lies in; empty where there are none."""

    def captures(self, subject: str) -> bool:
        """Whether the stream takes messages on a subject."""
        return any(covers(pattern, subject) for pattern in self.subjects)

    def subject_for(self, route: str | None) -> bytes:
        """Return the subject on which a message with a route of its own goes out. Raises Refusal where the stream does not capture it."""
        if not route:
            raise Refusal(f"it has no subject of its own, and stream {self.stream} captures more than one")
        problem = fault(route)
        if problem or has_wildcards(route):
            raise Refusal(f"{route[:200]!r} is no subject to publish to: {problem or 'it is a wildcard'}")
        if not self.captures(route):
            raise Refusal(f"stream {self.stream} does not capture the subject {route[:200]}; it captures {some_of(self.subjects, 3)}")
        return route.encode(errors="surrogateescape")


@dataclass(slots=True)
class Outcome:
    """What settling found out."""

    stored: dict[int, int] = field(default_factory=dict)
    """Message number → its sequence."""
    repeat: set[int] = field(default_factory=set)
    """Numbers of those that may be sent again."""
    last_sequence: int = 0
    why: str = ""
    """Why the others are unknown."""
    nobody: str = UNHEARD
    """Why those that nobody heard are not stored, where they may not be sent again."""
    out_of_reach: dict[int, str] = field(default_factory=dict)
    """Number → why nobody heard it though its stream is there and listens."""


def target_of(info: dict[str, Any], server: Mapping[str, Any]) -> Target:
    """Read an answer of STREAM.INFO and a server's INFO."""
    config = info["config"]
    leader = _leader(info)
    alone = "cluster" not in server and int(config.get("num_replicas") or 1) == 1 and (leader is None or leader[0] == server.get("server_name"))
    return Target(str(config["name"]), tuple(config.get("subjects") or ()), int(config.get("duplicate_window") or 0) / SECOND,
                  int(info["state"]["last_seq"]), alone, str(server.get("server_id", "")), leader, str(info.get("domain") or ""))


def _leader(info: dict[str, Any]) -> Leader:
    cluster = info.get("cluster") or {}
    return (str(cluster["leader"]), str(cluster.get("leader_since", ""))) if cluster.get("leader") else None


class Recovery:
    """Settles, once per lost connection or leader."""

    def __init__(self, link: Link, target: Target) -> None:
        self._link = link
        self._target = target
        self._jetstream = JetStream(link)
        self._unheard: dict[int, tuple[Leader, float]] = {}
        """Number of a message that nobody heard → the leader that answered all the same, and since when it does."""
        self._trouble = "nothing was said of its stream"

    @property
    def nobody(self) -> str:
        """Why a message was not stored that nobody heard, as far as it is known: what came of asking about its stream."""
        return f"nobody took it: {self._trouble}"

    async def find_out(self, on_their_way: Callable[[], tuple[Mapping[int, Sent], int | None]], seconds: float, *, starting: bool) -> Outcome:
        """Wait for the stream's leader, for so many seconds at most; then find out about the messages that are on their way, in the order they
        were sent. With them comes the last acknowledged sequence where all up to it were ours, else None.

        `starting`: the server may have just started, and not have found its streams again yet.
        """
        try:
            await self._led(seconds, starting=starting)
            return await self._settle(*on_their_way(), seconds)
        except BrokercliError as problem:
            return Outcome(why=str(problem).rstrip("."), nobody=UNHEARD if isinstance(problem, NotFound) else self.nobody)

    async def led_by_another(self) -> bool:
        """Whether the stream has got another leader since it was last asked about: what the old one did not confirm, it may never."""
        try:
            leader = _leader(await self._info(SLOWEST_SECONDS))
        except BrokercliError:
            return False
        return leader is not None and leader != self._target.leader

    async def _led(self, seconds: float, *, starting: bool) -> None:
        """Return once the stream has a leader that answers. Raises NotFound where it is gone, and after so many seconds what the last
        question came to."""
        began, patience = time.monotonic(), 1.0
        if not starting:
            # whoever answers that nobody listens does so at once
            await asyncio.sleep(0.1)
        while True:
            waited = time.monotonic() - began
            try:
                info = await self._info(patience)
            except (NotFound, NotAuthorised) as problem:
                if isinstance(problem, NotAuthorised) or not starting or waited >= min(PATIENCE_SECONDS, seconds):
                    raise
            except BrokercliError:
                if waited >= seconds:
                    raise
            else:
                leader = _leader(info)
                if leader is not None or not info.get("cluster"):
                    self._target.leader, self._target.subjects = leader, tuple(info["config"].get("subjects") or ())
                    return
                if waited >= seconds:
                    raise Unreachable(f"Stream {self._target.stream} has no leader.")
            patience = min(SLOWEST_SECONDS, 2 * patience)
            await asyncio.sleep(0.2)

    async def _info(self, seconds: float) -> dict[str, Any]:
        stream = self._target.stream
        try:
            info = await self._jetstream.ask(f"STREAM.INFO.{stream}", what=f"stream {stream}", timeout=seconds)
        except BrokercliError as problem:
            self._trouble = str(problem).rstrip(".")
            raise
        self._trouble = f"stream {stream} " + ("has no leader" if info.get("cluster") and _leader(info) is None else "is there, and did not hear it")
        return info

    async def _settle(self, waiting: Mapping[int, Sent], floor: int | None, delivery_timeout: float) -> Outcome:
        server = self._link.server
        reborn = self._target.alone and "cluster" not in server and server.get("server_id") != self._target.server_id
        unheard = {number: sent.subject.decode(errors="surrogateescape") for number, sent in waiting.items() if sent.unheard}
        heard = {number: sent for number, sent in waiting.items() if number not in unheard}
        outcome = Outcome(repeat={number for number, subject in unheard.items() if self._target.captures(subject)})
        lasting = outcome.repeat & self._unheard_for(min(OUT_OF_REACH_SECONDS, delivery_timeout / 2), unheard)
        outcome.out_of_reach = dict.fromkeys(lasting, OUT_OF_REACH.format(self._target.stream))
        outcome.repeat -= lasting
        limit = time.monotonic() - self._target.duplicate_window + MARGIN_SECONDS
        recognised = {number for number, sent in heard.items() if sent.first_sent > limit and sent_id(sent.block) is not None}
        if floor is None:
            outcome.why = "others publish to the stream as well"
        elif len(recognised) < len(heard):
            try:
                await self._look_up(heard, floor, reborn, delivery_timeout, outcome)
            except BrokercliError as problem:
                outcome.stored.clear()
                outcome.why = str(problem).rstrip(".")
        outcome.repeat |= recognised - outcome.stored.keys()
        self._target.server_id = str(server.get("server_id", ""))
        return outcome

    def _unheard_for(self, seconds: float, unheard: Iterable[int]) -> set[int]:
        """Return the numbers of messages that nobody heard in so many seconds in which one leader answered."""
        leader, now = self._target.leader, time.monotonic()
        before = {number: since for number, since in self._unheard.items() if since[0] == leader}
        self._unheard = {number: before.get(number, (leader, now)) for number in unheard}
        return {number for number, (_, since) in self._unheard.items() if now - since >= seconds}

    async def _look_up(self, waiting: Mapping[int, Sent], floor: int, reborn: bool, delivery_timeout: float, outcome: Outcome) -> None:
        deadline = time.monotonic() + min(PATIENCE_SECONDS, delivery_timeout)
        order = list(waiting)
        next_sequence = floor + 1
        while True:
            info = await self._jetstream.info(self._target.stream)
            last = int(info["state"]["last_seq"])
            if last < floor:
                outcome.stored.clear()
                outcome.why = f"the stream has lost what it had acknowledged (it ends at {last}, {floor} was acknowledged)"
                return
            while next_sequence <= last and len(outcome.stored) < len(order):
                stop = min(last + 1, next_sequence + TOGETHER, floor + 1 + len(order))
                rows = await asyncio.gather(*(fetch_message(self._jetstream, self._target.stream, sequence) for sequence in range(next_sequence, stop)))
                for sequence, row in zip(range(next_sequence, stop), rows, strict=True):
                    number = order[len(outcome.stored)]
                    if row is None or not _same(row, waiting[number]):
                        outcome.stored.clear()
                        outcome.why = "others publish to the stream as well, or have deleted from it"
                        return
                    outcome.stored[number] = sequence
                next_sequence = stop
            if last >= next_sequence:
                outcome.stored.clear()
                outcome.why = "others publish to the stream as well"
                return
            outcome.last_sequence = last
            if len(outcome.stored) == len(order):
                return
            if reborn:
                outcome.repeat.update(order[len(outcome.stored):])
                return
            if time.monotonic() >= deadline:
                outcome.why = "the server may still be storing it"
                return
            await asyncio.sleep(0.1)


def _same(row: Row, sent: Sent) -> bool:
    return row.subject == sent.subject and row.body == sent.body and row.block == sent.block
