"""The fastest loops pika allows, to compare with: python pika_loop.py publish|stream|queue|reject URL QUEUE COUNT (lines on standard input)."""

from __future__ import annotations

import sys

import pika
from pika.adapters.select_connection import SelectConnection

WINDOW = 2000


def main(what: str, url: str, queue: str, count: int) -> None:
    """Open a connection and run one loop."""

    def on_open(connection: SelectConnection) -> None:
        connection.channel(on_open_callback=lambda channel: LOOPS[what](connection, channel, queue, count))

    connection = SelectConnection(pika.URLParameters(url), on_open_callback=on_open)
    connection.ioloop.start()


def publish(connection: SelectConnection, channel: pika.channel.Channel, queue: str, count: int) -> None:
    """Publish the lines of standard input with confirms and mandatory, a window at a time."""
    lines = sys.stdin.buffer.read().split(b"\n")[:count]
    persistent = pika.BasicProperties(delivery_mode=2)
    sent = 0

    def more(confirmed: int) -> None:
        nonlocal sent
        while sent < count and sent - confirmed < WINDOW:
            channel.basic_publish("", queue, lines[sent], persistent, mandatory=True)
            sent += 1
        if confirmed == count:
            connection.close()
            connection.ioloop.stop()

    channel.confirm_delivery(ack_nack_callback=lambda frame: more(frame.method.delivery_tag), callback=lambda _: more(0))


def stream(connection: SelectConnection, channel: pika.channel.Channel, queue: str, count: int) -> None:
    """Read a stream from its start and write the bodies."""
    bodies: list[bytes] = []
    seen = 0

    def on_message(channel: pika.channel.Channel, method: object, properties: object, body: bytes) -> None:
        nonlocal seen
        bodies.append(body)
        seen += 1
        if seen % (WINDOW // 2) == 0 or seen == count:
            sys.stdout.buffer.write(b"\n".join(bodies) + b"\n")
            bodies.clear()
            channel.basic_ack(method.delivery_tag, multiple=True)  # type: ignore[attr-defined]
        if seen == count:
            connection.close()
            connection.ioloop.stop()

    channel.basic_qos(prefetch_count=WINDOW, callback=lambda _: channel.basic_consume(queue, on_message, arguments={"x-stream-offset": "first"}))


def look(connection: SelectConnection, channel: pika.channel.Channel, queue: str, count: int) -> None:
    """Read a queue, write the bodies, and put everything back; returns once the broker has it."""
    bodies: list[bytes] = []

    def on_message(channel: pika.channel.Channel, method: object, properties: object, body: bytes) -> None:
        bodies.append(body)
        if len(bodies) == count:
            sys.stdout.buffer.write(b"\n".join(bodies) + b"\n")
            channel.basic_cancel(method.consumer_tag, callback=lambda _: back(method.delivery_tag))  # type: ignore[attr-defined]

    def back(tag: int) -> None:
        channel.basic_nack(tag, multiple=True, requeue=True)
        channel.queue_declare(queue, passive=True, callback=lambda _: end())

    def end() -> None:
        connection.close()
        connection.ioloop.stop()

    # everything is held until the end, so that all of it is seen
    channel.basic_qos(prefetch_count=0, callback=lambda _: channel.basic_consume(queue, on_message))


def reject(connection: SelectConnection, channel: pika.channel.Channel, queue: str, count: int) -> None:
    """Reject everything, as a consumer does that cannot work; returns once the broker has been told."""
    seen = 0

    def on_message(channel: pika.channel.Channel, method: object, properties: object, body: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen % (WINDOW // 2) == 0 or seen == count:
            channel.basic_nack(method.delivery_tag, multiple=True, requeue=False)  # type: ignore[attr-defined]
        if seen == count:
            channel.queue_declare(queue, passive=True, callback=lambda _: end())

    def end() -> None:
        connection.close()
        connection.ioloop.stop()

    channel.basic_qos(prefetch_count=WINDOW, callback=lambda _: channel.basic_consume(queue, on_message))


LOOPS = {"publish": publish, "stream": stream, "queue": look, "reject": reject}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
