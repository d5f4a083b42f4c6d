"""What a consumer is told that reads for us: how far ahead, and what is promised of every look."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import Consumer

from brokercli.backends.kafka.connect import Troubles

READING = {
    # a full local queue pauses fetching for this long; at its default of 1000 it decides the speed of a bulk read
    "fetch.queue.backoff.ms": 1, "fetch.wait.max.ms": 10,
    # of a partition, and of all that a broker has: two full batches, of which one is read while the other is on its way
    "fetch.message.max.bytes": 2 << 20, "fetch.max.bytes": 8 << 20,
    # whichever comes first; the bytes do not count headers
    "queued.min.messages": 6_000, "queued.max.messages.kbytes": 8192}
FOLLOWING = {
    **READING,
    # a broker answers as soon as something comes, so whoever waits for that asks four times a second and not a hundred times: a tail to which
    # nothing came took 6 % of a core of its broker
    "fetch.wait.max.ms": 250}
NOTHING_AHEAD = {
    **READING,
    # more is asked for once nothing waits, which costs a bulk read a tenth of its speed: a letter has a kilobyte of headers, or a
    # megabyte where a stack trace is among them, and the client bounds neither
    "queued.min.messages": 1}
PROMISED = {
    "group.id": "brokercli-look", "enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "error",
    "enable.partition.eof": True}


class Lent(NamedTuple):
    """A consumer to read with, what it reports, and what gives it back."""

    consumer: Consumer
    troubles: Troubles
    give_back: Callable[[], None]
