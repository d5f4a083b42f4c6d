"""Workers that fail: they take what a consumer gives them and acknowledge, refuse, give up or keep it, message by message."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nats

ACK, NAK, TERM, KEEP = b"+ACK", b"-NAK", b"+TERM because it is broken", None
BATCH = 500
PATIENCE = 30.0
"""Seconds; nats-py itself waits half a second for an answer."""


def work(address: str, stream: str, consumer: str, answer: Callable[[bytes], bytes | None]) -> list[bytes]:
    """Pull until nothing comes any more, answer each message, and return the bodies in the order they came."""
    return asyncio.run(_work(address, stream, consumer, answer))


def fail(address: str, stream: str, consumer: str = "worker", alive: Callable[[bytes], bool] = lambda body: False) -> None:
    """Refuse every message, as often as the consumer allows, but for those that are `alive`."""
    work(address, stream, consumer, lambda body: ACK if alive(body) else NAK)


async def _work(address: str, stream: str, consumer: str, answer: Callable[[bytes], bytes | None]) -> list[bytes]:
    client = await nats.connect(address, connect_timeout=PATIENCE)
    inbox = client.new_inbox()
    arriving: asyncio.Queue[Any] = asyncio.Queue()
    await client.subscribe(inbox, cb=arriving.put)
    taken: list[bytes] = []
    try:
        while True:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", b'{"batch":%d,"no_wait":true}' % BATCH, reply=inbox)
            got: list[Any] = []
            while len(got) < BATCH:
                message = await asyncio.wait_for(arriving.get(), PATIENCE)
                if not message.reply:
                    break
                got.append(message)
            for message in got:
                reply = answer(message.data)
                if reply is not None:
                    await client.request(message.reply, reply, PATIENCE)
            taken += [message.data for message in got]
            if not got and not await _gives_more(client, stream, consumer):
                return taken
    finally:
        await client.close()


async def _gives_more(client: Any, stream: str, consumer: str) -> bool:
    """Whether a consumer that gave nothing will: it hears of a message a moment after it was stored and confirmed (seen on 2.15.1)."""
    info = json.loads((await client.request(f"$JS.API.CONSUMER.INFO.{stream}.{consumer}", b"", PATIENCE)).data)
    limits = info["config"]
    if info["num_pending"]:
        return info["num_ack_pending"] < limits["max_ack_pending"] or limits["max_ack_pending"] < 0
    for subject in limits.get("filter_subjects") or [limits.get("filter_subject") or ">"]:
        question = {"seq": info["delivered"]["stream_seq"] + 1, "next_by_subj": subject}
        if "message" in json.loads((await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps(question).encode(), PATIENCE)).data):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as a worker saw it, in seconds of a clock that only goes forward."""

    body: bytes
    attempt: int
    """As the server counts, 1 at first."""
    asked: float
    """When the request that brought it was sent: it was not delivered before."""
    came: float


def keep_failing(address: str, stream: str, consumer: str, answer: bytes | None, until: Callable[[], bool]) -> list[Delivery]:
    """Pull again and again, answer every message the same (None: not at all), until something is true."""
    return asyncio.run(_keep_failing(address, stream, consumer, answer, until))


async def _keep_failing(address: str, stream: str, consumer: str, answer: bytes | None, until: Callable[[], bool]) -> list[Delivery]:
    client = await nats.connect(address, connect_timeout=PATIENCE)
    seen: list[Delivery] = []
    deadline = time.monotonic() + 30
    try:
        inbox = client.new_inbox()
        arriving = await client.subscribe(inbox)
        while not until():
            assert time.monotonic() < deadline, f"nothing came of it in 30 s; seen: {seen}"
            asked = time.monotonic()
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", b'{"batch":1,"no_wait":true}', reply=inbox)
            message = await arriving.next_msg(timeout=PATIENCE)
            if not message.reply:
                await asyncio.sleep(0.01)
                continue
            seen.append(Delivery(message.data, int(message.reply.split(".")[4]), asked, time.monotonic()))
            if answer is not None:
                await client.publish(message.reply, answer)
        return seen
    finally:
        await client.close()
