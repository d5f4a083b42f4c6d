"""Makes letters and puts them back; kills itself on the way: python -m tests.backends.rabbitmq_redrive URL MANAGEMENT DLQ POINT BATCH [NTH [none]]

POINT: `read`, `before publish`, `confirmed` (and not yet taken out), `taken out`, in the NTH batch (from 1). Or, of letters that went over
a limit: `put back` among their like (and not yet taken out of where they were kept), `all back`, `nothing leads there`, `deleted`. With `none` letters
are taken and none is put back.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import pika
import pytest

from brokercli.backends.dead_letters import Lift, Move, Repair, RepairPolicy
from brokercli.backends.rabbitmq import rescuing
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.management import Management
from brokercli.backends.rabbitmq.moving import Mover
from brokercli.backends.rabbitmq.rescue_queue import RescueQueue, rescue_name
from brokercli.backends.rabbitmq.survivable import LIFTS
from brokercli.dialects import recognise, to_message
from brokercli.dialects.redrive_headers import stamp
from brokercli.model.address import Address
from brokercli.model.errors import Unreachable
from brokercli.model.message import Record
from brokercli.model.receipt import Receipts
from tests.backends.rabbitmq_places import SECONDS, Places
from tests.brokers.server import wait_until
from tests.faults.proxy import Proxy

POINTS = ("read", "before publish", "confirmed", "taken out")
RESCUE_POINTS = ("put back", "all back", "nothing leads there", "deleted")


LIMITLESS: dict[str, Any] = {"x_delivery_limit": ("l", -1)}


def break_off(places: Places, dlq: str) -> Lift:
    """Take letters over a connection that breaks while they are held, and return what lifted the limit meanwhile, closed."""
    with Proxy((places.broker.host, places.broker.port)) as proxy:
        backend = places.open(replace(places.connection, hosts=((proxy.address[0], proxy.port),), options={"give_up_after": "1"}))
        with backend.lift_limit(queue(dlq)) as lift, backend.repair(queue(dlq), RepairPolicy(batch=4)) as repair:
            letters(repair, 2)
            proxy.reset()
            with pytest.raises(Unreachable, match=r"while letters of .* were held"):
                letters(repair)
    await_end_of_runs(places, *(policy["name"] for policy in lifting(places, dlq)))
    return lift


def numbered(count: int) -> list[bytes]:
    return [b"%04d" % number for number in range(count)]


def make(places: Places, kind: str, **arguments: Any) -> str:
    """Make a queue that letters survive in."""
    return str(places.queue(kind, **(arguments | LIMITLESS if kind == "quorum" else arguments)))


def work_and_letters(places: Places, kind: str = "classic") -> tuple[str, str]:
    """Make a queue whose dead letters go to another."""
    dlq = make(places, kind)
    return places.queue(kind, x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode())), dlq


def count(places: Places, queue: str) -> int:
    return places.wire.declare_queue(queue, passive=True)[0]


def queue(name: str) -> Address:
    return Address(name, "queue")


def fail(places: Places, queue: str, bodies: Sequence[bytes], properties: dict[str, Any] | None = None, *, exchange: str = "", key: str | None = None) -> None:
    """Publish, be the worker who rejects each message that lies in the queue, and wait until all are where its dead letters go, where that
    is a queue that nobody consumes."""
    dlq = places.dead_letters.get(queue)
    before = None if dlq is None else places.counts(dlq)
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish(exchange, queue if key is None else key, body, pika.BasicProperties(delivery_mode=2, **(properties or {})), mandatory=True)
        for method, _, _ in channel.consume(queue, inactivity_timeout=SECONDS):
            assert method is not None, f"{queue} holds fewer than {len(bodies)} messages"
            channel.basic_reject(method.delivery_tag, requeue=False)
            if method.delivery_tag == len(bodies):
                break
    if dlq is not None and before is not None and not before[1]:
        wait_until(lambda: count(places, dlq) >= before[0] + len(bodies), SECONDS, f"{len(bodies)} dead letters in {dlq}")


def wear_out(places: Places, queue: str, dlq: str, *bodies: bytes) -> None:
    """Publish messages and return each until the queue's delivery limit sends it to its letters, in their order."""
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=1)
        for number, body in enumerate(bodies, 1):
            deadline = monotonic() + SECONDS
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
            for method, _, _ in channel.consume(queue, inactivity_timeout=0.05):
                if method is not None:
                    channel.basic_reject(method.delivery_tag, requeue=True)
                elif channel.queue_declare(dlq, passive=True).method.message_count >= number:
                    break
                assert monotonic() < deadline, f"{body!r} did not die of the delivery limit"


def lifting(places: Places, dlq: str) -> list[dict[str, Any]]:
    """The policies of runs that are there for a queue."""
    policies = places.api(f"policies/{places.virtual_host}")
    return [policy for policy in policies if policy["name"].startswith(LIFTS) and dlq in policy["pattern"].replace("\\", "")]


def await_end_of_runs(places: Places, *names: str) -> None:
    """Wait until the broker counts runs as gone, by the names of their policies: it gives back what a lost connection held before it deletes the
    queue of that connection by which the next run sees that they are at work."""
    def at_work() -> set[str]:
        return {facts["name"] for facts in places.api(f"queues/{places.virtual_host}?disable_stats=true")} & set(names)

    wait_until(lambda: not at_work(), SECONDS, "the end of the runs that were killed")


def moves_home(records: Sequence[Record], to: Address | None = None) -> list[Move]:
    """Each letter goes home, stripped and stamped as the operations do it."""
    moves = []
    for record in records:
        letter = recognise(record)
        assert to is not None or letter.home is not None
        moves.append(Move(record, stamp(to_message(letter), letter, 0), to or letter.home.address))  # type: ignore[union-attr]
    return moves


def letters(repair: Repair, count: int | None = None) -> list[Record]:
    """Read so many letters, all without a count."""
    records: list[Record] = []
    deadline = monotonic() + SECONDS
    while not repair.finished and (count is None or len(records) < count):
        batch = repair.read(0.2)
        records += batch.records() if batch is not None else []
        assert monotonic() < deadline, f"only {len(records)} letters came"
    return records


def redrive(repair: Repair, to: Address | None = None) -> Receipts:
    """Put back everything."""
    total = Receipts()
    deadline = monotonic() + SECONDS
    while not repair.finished:
        batch = repair.read(0.2)
        if batch is not None:
            total.add(repair.settle(moves_home(batch.records(), to)))
        assert monotonic() < deadline, "the end did not come"
    return total


def _of_a_rescue(holding: Holding) -> bool:
    return holding._queue.startswith(LIFTS)


def _kill_at(point: str, nth: int) -> None:
    counts = dict.fromkeys(POINTS + RESCUE_POINTS, 0)

    def reached(where: str) -> None:
        counts[where] += 1
        if where == point and counts[where] == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    take, begin, finish, acknowledge = Holding.take, Mover.begin, Mover.finish, Holding.acknowledge

    def taken(self: Holding, timeout: float) -> Any:
        deliveries = take(self, timeout)
        if deliveries and not _of_a_rescue(self):
            reached("read")
        return deliveries

    def begun(self: Mover, items: Any) -> Any:
        reached("before publish")
        return begin(self, items)

    def finished(self: Mover, window: Any) -> Any:
        problems = finish(self, window)
        reached("confirmed")
        return problems

    def acknowledged(self: Holding, tags: list[int]) -> bool:
        done = acknowledge(self, tags)
        if not _of_a_rescue(self):
            reached("taken out")
        return done

    put_back, remove, put_policy = RescueQueue._put_back, RescueQueue.remove, Management.put_policy

    def brought_back(self: RescueQueue, *arguments: Any) -> Any:
        done = put_back(self, *arguments)
        reached("put back")
        return done

    def removed(self: RescueQueue) -> None:
        reached("nothing leads there")
        remove(self)
        reached("deleted")

    def written(self: Management, name: str, pattern: str, *arguments: Any) -> None:
        if rescue_name(name) in pattern.replace("\\", ""):
            reached("all back")
        put_policy(self, name, pattern, *arguments)

    RescueQueue._put_back, RescueQueue.remove, Management.put_policy = brought_back, removed, written  # type: ignore[method-assign]
    Holding.take, Mover.begin, Mover.finish, Holding.acknowledge = taken, begun, finished, acknowledged  # type: ignore[method-assign]


def _put_back_until_killed(url: str, management: str, dlq: str, point: str, batch: str, nth: str = "1", take: str = "all") -> None:
    places = Places(url, management)
    rescuing.LASTING_SECONDS = 0.0  # that is for a broker that is killed
    _kill_at(point, int(nth))
    with (RabbitMQBackend(places.connection) as backend, backend.lift_limit(Address(dlq, "queue")) as lift,
          backend.repair(Address(dlq, "queue"), RepairPolicy(batch=int(batch))) as repair):
        print(lift.before, flush=True)  # noqa: T201  whoever started it asks what is left of it
        if take == "all":
            redrive(repair)
        else:
            letters(repair)


def main() -> None:
    """Do what the arguments say."""
    _put_back_until_killed(*sys.argv[1:])


if __name__ == "__main__":
    main()
