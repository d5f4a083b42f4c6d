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
    """Return the first message at or after a time (RFC 3339), None where there is none. Needs nats-server 2.11 (ADR-31).

    Where what lay at the end of one of its files was deleted, a server says of times in there that there is none, whatever lies behind (seen on
    2.15.1): that is not believed before the last message is seen to be older.
    """
    row = await _fetch(jetstream, stream, {"start_time": time})
    return row if row is not None else await _search(jetstream, stream, parse_time(time))


async def _search(jetstream: JetStream, stream: str, nanoseconds: int) -> Row | None:
    """Return the first message at or after a time by halving the sequences, which are in the order of their times."""
    found = await fetch_last(jetstream, stream, ">")
    if found is None or found.sequence is None or (found.nanoseconds or 0) < nanoseconds:
        return None
    low, high = 1, found.sequence
    while low < high:
        middle = (low + high) // 2
        row = await fetch_next(jetstream, stream, middle)
        if row is None or row.sequence is None or (row.nanoseconds or 0) >= nanoseconds:
            found, high = row or found, middle
        else:
            low = row.sequence + 1
    return found


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
