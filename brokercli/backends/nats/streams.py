"""The JetStream API, as far as we need it: raw JSON in and out, so that no unknown field is lost."""

from __future__ import annotations

from typing import Any

import orjson

from brokercli.backends.nats import INTEREST_STREAM, LIMITS_STREAM, WORK_QUEUE_STREAM
from brokercli.backends.nats.failures import CONSUMER_NOT_FOUND, STREAM_NOT_FOUND, api_failure, without_jetstream
from brokercli.backends.nats.link import NO_RESPONDERS, Link
from brokercli.model.errors import Failed

Json = dict[str, Any]

_RESOURCES = {"limits": LIMITS_STREAM, "workqueue": WORK_QUEUE_STREAM, "interest": INTEREST_STREAM}


class JetStream:
    """Questions about streams. Every method raises model.errors: NotAuthorised, TimedOut, Unreachable, Failed."""

    def __init__(self, link: Link) -> None:
        self.link = link
        options = link.connection.options
        domain = options.get("domain")
        self.prefix = options.get("js_api_prefix") or (f"$JS.{domain}.API" if domain else "$JS.API")

    async def ask(self, operation: str, question: Json | None = None, *, what: str, timeout: float = 5.0) -> Json:
        """Ask one operation of the API (`STREAM.INFO.ORDERS`) and return its answer; raises for an error in it."""
        answer = await self.try_ask(operation, question, timeout=timeout)
        if "error" in answer:
            raise api_failure(answer["error"], what)
        return answer

    async def try_ask(self, operation: str, question: Json | None = None, *, timeout: float = 5.0, repeat: bool = True) -> Json:
        """The same, with an error returned under `error` as the API gives it. `repeat`: ask again after a lost connection."""
        answer = await self.link.ask(f"{self.prefix}.{operation}", orjson.dumps(question) if question is not None else b"", timeout, repeat=repeat)
        if answer.status == NO_RESPONDERS:
            raise without_jetstream()
        try:
            decoded = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            raise Failed(f"What answers on {self.prefix} is not JetStream.") from None
        return decoded if isinstance(decoded, dict) else {}

    async def info(self, stream: str, question: Json | None = None) -> Json:
        """Return configuration and state of a stream; raises NotFound."""
        return await self.ask(f"STREAM.INFO.{stream}", question, what=f"stream {stream}")

    async def info_or_none(self, stream: str) -> Json | None:
        """The same, None where there is no such stream."""
        answer = await self.try_ask(f"STREAM.INFO.{stream}")
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") == STREAM_NOT_FOUND:
            return None
        raise api_failure(error, f"stream {stream}")

    async def capturing(self, subject: str) -> list[str]:
        """Return the names of the streams whose subjects overlap with this one."""
        return [name async for name in self._pages("STREAM.NAMES", {"subject": subject}, "streams")]

    async def all(self) -> list[Json]:
        """Return every stream with configuration and state, by name."""
        return sorted([stream async for stream in self._pages("STREAM.LIST", {}, "streams")], key=lambda stream: str(stream["config"]["name"]))

    async def names(self) -> list[str]:
        """Return the names of all streams, in order."""
        return sorted([str(name) async for name in self._pages("STREAM.NAMES", {}, "streams")])

    async def consumer_names(self, stream: str) -> list[str]:
        """Return the names of a stream's consumers."""
        return [str(name) async for name in self._pages(f"CONSUMER.NAMES.{stream}", {}, "consumers")]

    async def consumers(self, stream: str) -> list[Json]:
        """Return every consumer of a stream."""
        return [consumer async for consumer in self._pages(f"CONSUMER.LIST.{stream}", {}, "consumers")]

    async def consumer_or_none(self, stream: str, name: str) -> Json | None:
        """Return configuration and state of a consumer, None where it or its stream is not there."""
        answer = await self.try_ask(f"CONSUMER.INFO.{stream}.{name}")
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
            return None
        raise api_failure(error, f"consumer {stream}/{name}")

    async def _pages(self, operation: str, question: Json, field: str) -> Any:
        offset = 0
        while True:
            answer = await self.ask(operation, question | {"offset": offset}, what="streams")
            items = answer.get(field) or []
            for item in items:
                yield item
            offset += len(items)
            if not items or offset >= int(answer.get("total", 0)):
                return


def resource_of(info: Json) -> str:
    """Return the row of the support table a stream belongs to."""
    return _RESOURCES.get(str(info["config"].get("retention", "limits")), LIMITS_STREAM)
