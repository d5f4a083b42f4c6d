"""Dead letters as envelopes."""

from __future__ import annotations

import json
from pathlib import Path


def write_alike_letters(path: Path, bodies: Path, headers: dict[str, str]) -> Path:
    """Write an envelope for each line of a file, all with the same headers. Returns the file."""
    said = [{"name": name, "value": value} for name, value in headers.items()]
    with bodies.open() as lines, path.open("w") as envelopes:
        envelopes.writelines(json.dumps({"headers": said, "body": line.removesuffix("\n")}) + "\n" for line in lines)
    return path


def write_own_letters(path: Path, count: int, home: dict[str, str], properties: dict[str, object] | None = None) -> Path:
    """Write envelopes of `count` letters, as consumers in many languages write them down: each with the time, the words and the ids of its own
    death. `home` are the headers that say where they came from; with `properties` each has a message id too. Returns the file."""
    with path.open("w") as envelopes:
        for number in range(count):
            headers = {**home, "x-attempts": "3", "x-reason": f"no stock of item {number % 977}", "x-error": f"TimeoutError: order {number} after 5 s",
                       "x-failed-at": f"2026-11-27T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1000:03d}Z",
                       "traceparent": f"00-{number:032x}-{number:016x}-01"}
            body = f'{{"id":{number:08d},"customer":"c-{number % 100:02d}","amount":12.5,"status":"created","note":"xxxxxxxxxxxxxxxx"}}'
            envelope = {"headers": [{"name": name, "value": value} for name, value in headers.items()], "body": body}
            if properties is not None:
                envelope["properties"] = {**properties, "message_id": f"{number:08x}-0000-4000-8000-{number:012x}"}
            envelopes.write(json.dumps(envelope) + "\n")
    return path
