"""The JetStream API, as far as we need it: raw JSON in and out, so that no unknown field is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson

from brokercli.backends.nats import INTEREST_STREAM, LIMITS_STREAM, WORK_QUEUE_STREAM
from brokercli.backends.nats.failures import CONSUMER_NOT_FOUND, STREAM_NOT_FOUND, api_failure, nobody_answers, silent
from brokercli.backends.nats.link import NO_RESPONDERS, Link
from brokercli.model.errors import Failed, TimedOut, Unreachable

Json = dict[str, Any]

OWN_PREFIX = "$JS.API"
"""Under which whoever logs in asks its own account, on a leaf node without JetStream perhaps the one behind it."""

ANSWER_SECONDS = 5.0
"""How long an answer is waited for, unless the connection is given longer to be made: then so is each answer."""

PATIENCE = 10.0
"""Seconds to wait for a list."""

_STEP_BACK = 256
"""Names to go back where a page does not meet the one before; as many as the server lists at once."""

_RESOURCES = {"limits": LIMITS_STREAM, "workqueue": WORK_QUEUE_STREAM, "interest": INTEREST_STREAM}


Thing = TypeVar("Thing")
Found = TypeVar("Found")
AT_ONCE = 64
"""How many things are asked about at the same time."""


async def each(things: Iterable[Thing], ask: Callable[[Thing], Awaitable[Found]]) -> list[Found]:
    """Ask about many things, `AT_ONCE` of them at a time: a server has only so much patience. Return the answers in the order of the
    things. Raises what the first question raises that fails."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(thing: Thing) -> Found:
        async with turn:
            return await ask(thing)

    return list(await asyncio.gather(*map(one, things)))


def told_in(answer: Json, stream: str) -> Json | None:
    """Return what an answer to STREAM.INFO tells of a stream, None where it says that there is none. Raises for any other error in it."""
    error = answer.get("error")
    if error is None:
        return answer
    if error.get("err_code") == STREAM_NOT_FOUND:
        return None
    raise api_failure(error, f"stream {stream}")


class JetStream:
    """Questions about streams. Every method raises model.errors: NotAuthorised, TimedOut, Unreachable, Failed."""

    def __init__(self, link: Link, prefix: str = "") -> None:
        """`prefix`: under which the API is asked; without it, under the one that the connection's options say."""
        self.link = link
        options = link.connection.options
        domain = options.get("domain")
        self.prefix = prefix or options.get("js_api_prefix") or (f"$JS.{domain}.API" if domain else OWN_PREFIX)

    @property
    def domain(self) -> str:
        """The domain whose streams can be asked about: of one behind a leaf node a message may reach others all the same. Empty where none is said."""
        return str(self.link.connection.options.get("domain") or self.link.server.get("domain") or "")

    @property
    def imported(self) -> bool:
        """Whether another account's API is asked: subjects that are imported from it may be called otherwise there."""
        return not self.prefix.startswith("$JS.")

    def nobody_listens(self, subject: str) -> str:
        """Say that none of these streams captures a subject."""
        if self.imported:
            return f"no stream of those that {self.prefix} answers for listens on {subject}"
        return (f"no stream in the JetStream domain {self.domain} listens on {subject}" if self.domain else
                f"no stream listens on {subject}, so nothing would be stored")

    async def ask(self, operation: str, question: Json | None = None, *, what: str, timeout: float | None = None) -> Json:
        """Ask one operation of the API (`STREAM.INFO.ORDERS`) and return its answer; raises for an error in it."""
        answer = await self.ask_about(what, operation, question, timeout)
        if "error" in answer:
            raise api_failure(answer["error"], what)
        return answer

    async def try_ask(self, operation: str, question: Json | None = None, *, timeout: float | None = None, repeat: bool = True) -> Json:
        """The same, with an error returned under `error` as the API gives it. `repeat`: ask again after a lost connection."""
        patience = max(ANSWER_SECONDS, self.link.connection.connect_timeout) if timeout is None else timeout
        answer = await self.link.ask(f"{self.prefix}.{operation}", orjson.dumps(question) if question is not None else b"", patience, repeat=repeat)
        if answer.status == NO_RESPONDERS:
            raise nobody_answers(self.prefix)
        try:
            decoded = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            raise Failed(f"What answers on {self.prefix} is not JetStream.") from None
        return decoded if isinstance(decoded, dict) else {}

    async def info(self, stream: str, question: Json | None = None) -> Json:
        """Return configuration and state of a stream; raises NotFound."""
        return await self.ask(f"STREAM.INFO.{stream}", question, what=f"stream {stream}")

    async def info_or_none(self, stream: str, question: Json | None = None) -> Json | None:
        """The same, None where there is no such stream."""
        return told_in(await self.ask_about(f"stream {stream}", f"STREAM.INFO.{stream}", question), stream)

    async def capturing(self, subject: str) -> list[str]:
        """Return the names of the streams whose subjects overlap with this one."""
        return [str(name) for name in await self._pages("STREAM.NAMES", {"subject": subject}, "streams")]

    async def all(self, silent: list[str] | None = None) -> list[Json]:
        """Return every stream with configuration and state, by name.

        In a cluster the servers that keep a stream may be away: it is left out of the answer, and its name is added to
        `silent`. Without that list raises Unreachable: nobody may take what does not answer for what is not there.
        """
        return sorted(await self._pages("STREAM.LIST", {}, "streams", silent), key=lambda stream: str(stream["config"]["name"]))

    async def names(self) -> list[str]:
        """Return the names of all streams, in order."""
        return sorted(str(name) for name in await self._pages("STREAM.NAMES", {}, "streams"))

    async def consumer_names(self, stream: str) -> list[str]:
        """Return the names of a stream's consumers."""
        return [str(name) for name in await self._pages(f"CONSUMER.NAMES.{stream}", {}, "consumers")]

    async def consumers(self, stream: str, silent: list[str] | None = None) -> list[Json]:
        """Return every consumer of a stream; as `all` those that do not answer."""
        return await self._pages(f"CONSUMER.LIST.{stream}", {}, "consumers", silent)

    async def consumer_or_none(self, stream: str, name: str) -> Json | None:
        """Return configuration and state of a consumer, None where it or its stream is not there."""
        answer = await self.ask_about(f"consumer {stream}/{name}", f"CONSUMER.INFO.{stream}.{name}")
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
            return None
        raise api_failure(error, f"consumer {stream}/{name}")

    async def ask_about(self, what: str, operation: str, question: Json | None = None, timeout: float | None = None) -> Json:
        """As `try_ask`; where nobody answers about the thing it is said so."""
        try:
            return await self.try_ask(operation, question, timeout=timeout)
        except TimedOut:
            if "cluster" in self.link.server or self._elsewhere:
                raise silent(what, self.domain if self._elsewhere else "") from None
            raise

    @property
    def _elsewhere(self) -> bool:
        """Whether another domain than the server's own is asked, over a leaf node."""
        return self.domain != str(self.link.server.get("domain") or "")

    async def _pages(self, operation: str, question: Json, field: str, silent: list[str] | None = None) -> list[Any]:
        """Every page begins with one of the page before: what is deleted meanwhile moves all that follow forward."""
        found: dict[str, Any] = {}
        offset, what = 0, f"consumers of stream {operation.split('.', 2)[2]}" if operation.startswith("CONSUMER") else "streams"
        while True:
            # a server in a cluster waits 4 s for those that do not answer
            answer = await self.ask(operation, question | {"offset": offset}, what=what, timeout=PATIENCE)
            missing = [str(name) for name in answer.get("missing") or []]
            if missing and silent is None:
                raise Unreachable(f"Of the {what} some do not answer: {', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}.",
                                  hint="the servers that keep them are away; without them nothing can be said")
            page = dict.fromkeys(missing) | {_name_of(item): item for item in answer.get(field) or []}
            if offset and found.keys().isdisjoint(page):
                offset = max(offset - _STEP_BACK, 0)
                continue
            found |= page
            after = offset + len(page)
            if not page or after >= int(answer.get("total", 0)):
                break
            offset = after - 1
        if silent is not None:
            silent.extend(name for name, item in found.items() if item is None)
        return [item for item in found.values() if item is not None]


def _name_of(item: Any) -> str:
    """Return the name in what an API answer says of a stream, of a consumer, or of one that is named only."""
    if isinstance(item, str):
        return item
    return str(item["name"] if "name" in item else item["config"]["name"])


def resource_of(info: Json) -> str:
    """Return the row of the support table a stream belongs to."""
    return _RESOURCES.get(str(info["config"].get("retention", "limits")), LIMITS_STREAM)
