"""Reading one stored message at its number, from the stream's leader, which needs no consumer and changes nothing."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from brokercli.backends.nats.failures import NO_MESSAGE, api_failure
from brokercli.backends.nats.records import Row
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.position import parse_time


async def fetch_message(jetstream: JetStream, stream: str, sequence: int) -> Row | None:
    """Return the message at a sequence, None where it is gone."""
    return await _fetch(jetstream, stream, {"seq": sequence})


async def fetch_next(jetstream: JetStream, stream: str, sequence: int, subject: str = ">") -> Row | None:
    """Return the first message at or after a sequence on a subject (wildcards work), None where there is none."""
    return await _fetch(jetstream, stream, {"seq": sequence, "next_by_subj": subject})


async def fetch_last(jetstream: JetStream, stream: str, subject: str) -> Row | None:
    """Return the last message on a subject, None where there is none."""
    return await _fetch(jetstream, stream, {"last_by_subj": subject})


async def fetch_at_time(jetstream: JetStream, stream: str, time: str) -> Row | None:
    """Return the first message at or after a time (RFC 3339), None where there is none. Needs nats-server 2.11 (ADR-31)."""
    return await _fetch(jetstream, stream, {"start_time": time})


async def _fetch(jetstream: JetStream, stream: str, question: Json) -> Row | None:
    answer = await jetstream.ask_about(f"stream {stream}", f"STREAM.MSG.GET.{stream}", question)
    error = answer.get("error")
    if error is None:
        return row_of(answer["message"])
    if error.get("err_code") == NO_MESSAGE:
        return None
    raise api_failure(error, f"stream {stream}")


def row_of(message: dict[str, Any]) -> Row:
    """Read the `message` of an answer; header block and body are base64 there, so both are exact."""
    return Row(str(message["subject"]).encode(errors="surrogateescape"), int(message["seq"]), parse_time(str(message["time"])),
               b64decode(message.get("hdrs", "")), b64decode(message.get("data", "")))
