"""Move everything in a queue with RabbitMQ's own shovel: python shovel.py MANAGEMENT SOURCE DESTINATION; returns when it is done."""

from __future__ import annotations

import base64
import json
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

NAME = "bench"


def main(management: str, source: str, destination: str) -> None:
    """Declare a shovel that deletes itself after what the queue held, and wait until it has."""
    _ask(management, "PUT", {"value": {"src-protocol": "amqp091", "src-uri": "amqp://", "src-queue": source, "dest-protocol": "amqp091",
                                       "dest-uri": "amqp://", "dest-queue": destination, "src-delete-after": "queue-length", "ack-mode": "on-confirm",
                                       "src-prefetch-count": 1000}})
    while _ask(management, "GET") != 404:
        time.sleep(0.02)


def _ask(management: str, method: str, body: object = None) -> int:
    login = base64.b64encode(b"guest:guest").decode()
    request = Request(f"{management}/api/parameters/shovel/%2f/{NAME}", method=method, data=None if body is None else json.dumps(body).encode(),
                      headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as refused:
        if refused.code != 404:
            raise
        return 404


if __name__ == "__main__":
    main(*sys.argv[1:])
