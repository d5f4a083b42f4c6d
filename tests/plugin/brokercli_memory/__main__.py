"""The broker itself: topics that keep their messages, queues that hand them to whoever listens. All of it is lost at its end."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from brokercli.backends.envelope import decode_envelope
from brokercli_memory.wire import DEFAULT_PORT, GREETING, LARGEST_BODY


@dataclass
class Log:
    """One topic or queue: (offset, time, envelope), and where each id was stored."""

    kind: str
    entries: list[tuple[int, int, str]] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    first: int = 0
    next: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Group:
    """How far some readers of topics are, and who they are."""

    positions: dict[str, int] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)


logs: dict[tuple[str, str], Log] = {}
groups: dict[str, Group] = {}
changed = threading.Condition()
LONGEST_NAME = 200


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Do what one question asks."""
    with changed:
        verb = question.pop("do")
        if verb == "create":
            if question.get("new") and (question["kind"], question["name"]) in logs:
                return {"problem": "exists", "why": f"There is a {question['kind']} {question['name']} already."}
            if len(question["name"]) > LONGEST_NAME:
                return {"problem": "name", "why": f"A name has {LONGEST_NAME} characters at most."}
            logs.setdefault((question["kind"], question["name"]), Log(question["kind"], settings=question.get("settings", {})))
            return {}
        if verb == "delete":
            logs.pop((question["kind"], question["name"]), None)
            for group in groups.values() if question["kind"] == "topic" else ():
                group.positions.pop(question["name"], None)
            return {}
        if verb == "list":
            return {"logs": [{"kind": kind, "name": name, "settings": log.settings, **_state(log)} for (kind, name), log in sorted(logs.items())]}
        if "group" in question or verb == "groups":
            return _about_groups(verb, **question)
        log = logs.get((question["kind"], question["name"]))
        if log is None:
            return {"problem": "missing", "why": f"There is no {question['kind']} {question['name']} on this broker."}
        match verb:
            case "state":
                return _state(log)
            case "configure":
                if log.settings != question["was"]:
                    return {"problem": "changed", "why": f"The {question['kind']} {question['name']} was changed meanwhile."}
                log.settings |= question["settings"]
                return {}
            case "trim":
                log.entries = [entry for entry in log.entries if entry[0] >= question["first"]]
                log.first = max(log.first, question["first"])
                return {}
            case "publish":
                verdicts = [_store(log, message) for message in question["messages"]]
                changed.notify_all()
                return {"verdicts": verdicts}
            case "read":
                changed.wait_for(lambda: log.next > question["from"], question["wait"])
                begin = max(0, question["from"] - log.first)
                return {"entries": log.entries[begin:begin + question["most"]]}
        return {"problem": "unknown", "why": f"A memory broker cannot {verb}."}


def _about_groups(verb: str, group: str = "", member: str = "", positions: dict[str, list[int]] | None = None) -> dict[str, Any]:
    if verb in ("commit", "join"):
        groups.setdefault(group, Group())
    if verb != "groups" and group not in groups:
        return {"problem": "missing", "why": f"There is no group {group} on this broker."}
    match verb:
        case "groups":
            return {"groups": {name: {"positions": found.positions, "members": found.members} for name, found in sorted(groups.items())}}
        case "join":
            groups[group].members.append(member)
        case "leave":
            groups[group].members.remove(member)
        case "move" | "forget" if groups[group].members:
            return {"problem": "busy", "why": f"The group {group} is at work: {', '.join(groups[group].members)}."}
        case "forget":
            del groups[group]
        case "commit" | "move":
            found = groups[group].positions
            if verb == "move" and any(found.get(topic, -1) != have for topic, (have, _) in (positions or {}).items()):
                return {"problem": "moved", "why": f"The group {group} moved meanwhile."}
            found.update({topic: want for topic, (_, want) in (positions or {}).items()})
        case _:
            return {"problem": "unknown", "why": f"A memory broker cannot {verb} a group."}
    return {}


def _state(log: Log) -> dict[str, int]:
    return {"first": log.first, "next": log.next, "bytes": sum(len(text) for _, _, text in log.entries)}


def _store(log: Log, message: dict[str, Any]) -> dict[str, Any]:
    body = decode_envelope(message["envelope"].encode(), 1).body or b""
    if len(body) > LARGEST_BODY:
        return {"refused": f"The body has {len(body)} bytes, and this broker takes {LARGEST_BODY} at most."}
    if log.kind == "topic" and message["id"] is not None:
        if message["id"] in log.ids:
            return {"offset": log.ids[message["id"]], "duplicate": True}
        log.ids[message["id"]] = log.next
    log.entries.append((log.next, time.time_ns() if message["time"] is None else message["time"], message["envelope"]))
    log.next += 1
    if keep := log.settings.get("keep"):
        log.entries = log.entries[-keep:]
        log.first = log.next - len(log.entries)
    return {"offset": log.next - 1, "duplicate": False}


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.rfile.readline() != GREETING:
            self.wfile.write(b"this is a memory broker\n")
            return
        self.wfile.write(GREETING)
        for line in self.rfile:
            self.wfile.write(orjson.dumps(answer(orjson.loads(line))) + b"\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    _Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PORT), _Conversation).serve_forever()
