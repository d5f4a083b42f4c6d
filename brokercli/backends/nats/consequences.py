"""What a change or a removal does beside what it says: messages that go, consumers that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brokercli.backends.nats.streams import Json
from brokercli.backends.nats.subjects import covers
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, Difference, SettingValue
from brokercli.model.errors import Failed
from brokercli.model.position import NANOSECONDS, parse_time


def of_creating_a_stream(declaration: Declaration, clustered: bool) -> list[str]:
    """Say what a new stream is that its declaration does not say."""
    settings = declaration.settings
    remarks = []
    if not settings.get("subjects") and not settings.get("mirror") and not settings.get("sources"):
        remarks.append(f"no subjects are named: it captures {declaration.name}")
    if settings.get("storage") == "memory":
        remarks.append("its messages are gone when its server stops" if int(_number(settings, "num_replicas", 1)) <= 1 else
                       "its messages are gone when all its servers stop")
    elif clustered and int(_number(settings, "num_replicas", 1)) <= 1:
        remarks.append("one replica: its messages are as safe as one server's disk")
    if settings.get("sources") and settings.get("subjects") and not settings.get("duplicate_window"):
        remarks.append("it remembers no message ids, as it is filled from others and no duplicate_window is named: a repeat is stored again")
    if settings.get("no_ack"):
        remarks.append("no_ack: nobody can know that a message was stored")
    return remarks


def of_changing_a_stream(info: Json, changes: Sequence[Difference], now: int) -> list[str]:
    """Say what becomes of stored messages, and of those that are published."""
    state, remarks = info["state"], []
    messages = int(state["messages"])
    for change in changes:
        want = change.want
        if change.setting == "max_msgs" and _limits(want) and messages > _as_number(want):
            over = messages - _as_number(want)
            remarks.append(f"the oldest {over:,} of its {amount(messages, 'message')} {'is' if over == 1 else 'are'} deleted at once")
        elif change.setting == "max_bytes" and _limits(want) and int(state["bytes"]) > _as_number(want):
            remarks.append(f"it holds {amount(int(state['bytes']), 'byte')}: its oldest messages are deleted at once, until {_as_number(want):,} are left")
        elif change.setting == "max_age" and _limits(want) and messages and now - parse_time(str(state["first_ts"])) > _as_number(want):
            age = _as_number(want) / NANOSECONDS
            remarks.append(f"its messages that are older than {age:g} s are deleted at once; the oldest is from {state['first_ts']}")
        elif change.setting == "max_msgs_per_subject" and _limits(want) and messages:
            remarks.append(f"of subjects that hold more than {amount(_as_number(want), 'message')}, the older ones are deleted at once")
        elif change.setting == "retention" and want == "interest" and messages:
            remarks.append("messages are kept only while a consumer waits for them from then on")
        elif change.setting == "subjects" and isinstance(change.have, list) and isinstance(want, list):
            lost = [str(subject) for subject in change.have if not any(covers(str(pattern), str(subject)) for pattern in want)]
            if lost:
                remarks.append(f"it no longer captures {', '.join(lost)}: what is published there is not stored any more")
        elif change.setting == "duplicate_window" and _as_number(want) < _as_number(change.have):
            remarks.append(f"message ids are remembered for {_as_number(want) / NANOSECONDS:g} s only: a repeat that comes later is stored again")
    return remarks


def of_copying(origin: str, config: Mapping[str, object] | None) -> list[str]:
    """Say what it means for a stream to be copied from; its configuration is None where it is not there. Since nats-server 2.14
    a work queue is copied through a consumer that acknowledges (ADR-60; seen on 2.15.1: it is empty afterwards)."""
    if config is None:
        return [f"there is no stream {origin}: nothing is copied until there is"]
    if config.get("retention") == "workqueue":
        return [f"stream {origin} is a work queue: what is copied counts as done there, and goes unless another consumer still waits for it"]
    return []


def of_creating_a_consumer(declaration: Declaration) -> list[str]:
    """Say what a new consumer is that its declaration does not say."""
    return [] if declaration.settings.get("ack_policy") else ["each message is acknowledged (ack_policy explicit, as no other is named)"]


def of_changing_a_consumer(changes: Sequence[Difference], retention: str) -> list[str]:
    """Say what becomes of its messages. A narrower filter deletes on an interest stream (seen on 2.15.1)."""
    remarks = []
    for change in changes:
        if change.obstacle:
            continue
        if change.setting == "max_deliver" and _as_number(change.have) > 0:
            remarks.append("messages that it has given up stay given up")
        elif change.setting in ("filter_subject", "filter_subjects"):
            remarks.append("it goes on where it is: messages before that are not delivered to it, whatever the new filter")
            if retention == "interest":
                remarks.append("messages that it does not get any more, and no other consumer waits for, are deleted at once")
    return remarks


def of_removing_a_stream(info: Json, consumers: Sequence[str], readers: Sequence[str]) -> list[str]:
    """Say what goes with a stream. `readers` are the streams that mirror it or are filled from it."""
    messages, remarks = int(info["state"]["messages"]), []
    held = f"{amount(messages, 'message')} ({amount(int(info['state']['bytes']), 'byte')})"
    remarks.append(f"{held} {'goes' if messages == 1 else 'go'} with it" if messages else "it holds no messages")
    if consumers:
        remarks.append(f"its consumer{'' if len(consumers) == 1 else 's'} {', '.join(consumers)} {'goes' if len(consumers) == 1 else 'go'} with it")
    if readers:
        remarks.append(f"{', '.join(readers)} {'gets' if len(readers) == 1 else 'get'} nothing from it any more")
    return remarks


def of_removing_a_consumer(info: Json, stream: Json, others: int) -> list[str]:
    """Say what goes with a consumer. `others` is how many consumers its stream has beside those that go."""
    remarks = []
    waiting, pending = int(info.get("num_waiting", 0)), int(info.get("num_ack_pending", 0))
    behind = int(info.get("num_pending", 0)) + pending
    if waiting or info.get("push_bound"):
        user = amount(waiting, "request for messages waits", "requests for messages wait") if waiting else "somebody gets what it pushes"
        remarks.append(f"it is in use: {user}")
    if pending:
        remarks.append(f"{amount(pending, 'message is', 'messages are')} delivered and not acknowledged")
    remarks.append(f"its position goes: it has {amount(behind, 'message')} left")
    return remarks + of_nobody_waiting(info, stream, others)


def of_nobody_waiting(info: Json, stream: Json, others: int) -> list[str]:
    """Say what becomes of the messages that a consumer has not finished once it is gone. Seen on 2.15.1: with the last consumer
    of an interest stream all of its messages go, those that were given up among them."""
    name, retention, messages = stream["config"]["name"], stream["config"].get("retention"), int(stream["state"]["messages"])
    ahead, pending = int(info.get("num_pending", 0)), int(info.get("num_ack_pending", 0))
    if retention == "interest" and not others and messages:
        told = "the one message" if messages == 1 else f"all {amount(messages, 'message')}"
        return [f"deletes {told} of stream {name}: it keeps {'it' if messages == 1 else 'them'} only for this consumer"]
    if retention == "interest" and (most := min(messages, ahead + max(pending, _given_up_at_most(info)))):
        return [f"deletes the messages of stream {name} that only this consumer waits for: {most:,} at most"]
    if retention == "workqueue" and (left := ahead + pending):
        return [f"leaves {amount(left, 'message')} in stream {name} that nobody gets any more, until another consumer takes its place"]
    return []


def deletes(info: Json, stream: Json, others: int) -> bool:
    """Whether messages may go with a consumer."""
    return stream["config"].get("retention") == "interest" and bool(of_nobody_waiting(info, stream, others))


def refuse_what_came(name: str, stream: str) -> Failed:
    """Return what to raise where messages would go with a consumer with which none went when that was said."""
    return Failed(f"Messages have come to stream {stream} since this was said, and would be deleted with {name}. It was not deleted.",
                  hint="the same command says what would go with it now")


def _given_up_at_most(info: Json) -> int:
    """Return how many messages it may have given up or in hand: those it has delivered and that lie above what is acknowledged."""
    if int(info["config"].get("max_deliver") or -1) < 0:
        return 0
    delivered, floor = (int((info.get(part) or {}).get("stream_seq", 0)) for part in ("delivered", "ack_floor"))
    return max(delivered - floor, 0)


def _number(settings: Mapping[str, SettingValue], name: str, default: int) -> int:
    value = settings.get(name)
    return value if isinstance(value, int) else default


def _as_number(value: SettingValue) -> int:
    return value if isinstance(value, int) else 0


def _limits(value: SettingValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
