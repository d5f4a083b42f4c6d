"""The worker of the demonstration: a service that takes orders off a durable consumer, and cannot bill every one of them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from brokercli.local.state import Identity
from brokercli.local.wire import Conversation, Delivery
from brokercli.model.errors import Failed

STREAM, CONSUMER, DEAD_LETTERS = "ORDERS", "billing", "ORDERS_DLQ"
_RECORDED_SECONDS = 5.0
_MORE_SECONDS = 5.0
"""How long what the consumer does not give, though it has it, is waited for: somebody else may have it in hand."""


@dataclass(slots=True)
class Worked:
    """What it did."""

    billed: int = 0
    failed: int = 0
    """Orders that it gave back after each try, until none was left."""


def work(identity: Identity, *, mended: bool) -> Worked:
    """Take every order there is: acknowledge what can be billed, give back what cannot. Until it is `mended` it fails on
    amounts that are texts. Returns once the deaths that this caused are recorded, or after some seconds."""
    worked = Worked()
    dead: set[bytes] = set()
    with Conversation(identity.port, identity.token) as conversation:
        before = _recorded(conversation)
        until = time.monotonic() + _MORE_SECONDS
        while True:
            delivery = conversation.pull(STREAM, CONSUMER)
            if delivery is None:
                # what was stored, or given back, a moment ago is not there for a consumer at once
                if not _gives_more(conversation) or time.monotonic() > until:
                    break
                time.sleep(0.02)
                continue
            fine = mended or _can_bill(delivery)
            conversation.settle(delivery, b"+ACK" if fine else b"-NAK")
            worked.billed += fine
            if not fine:
                dead.add(delivery.body)
            until = time.monotonic() + _MORE_SECONDS
        worked.failed = len(dead)
        until = time.monotonic() + _RECORDED_SECONDS
        while _recorded(conversation) < before + worked.failed and time.monotonic() < until:
            time.sleep(0.02)
    return worked


def _can_bill(delivery: Delivery) -> bool:
    try:
        order = json.loads(delivery.body)
    except ValueError:
        return True  # whatever it is, it is no order
    return not (isinstance(order, dict) and isinstance(order.get("amount"), str))


def _gives_more(conversation: Conversation) -> bool:
    """Whether the consumer has something left, or will hear of what is stored for it already."""
    info = conversation.request(f"$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}", {})
    if info["num_pending"] or info["num_ack_pending"]:
        return True
    try:
        newest = conversation.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"last_by_subj": info["config"].get("filter_subject") or ">"})
    except Failed:
        return False  # none is stored
    return int(newest["message"]["seq"]) > int(info["delivered"]["stream_seq"])


def _recorded(conversation: Conversation) -> int:
    messages = conversation.request(f"$JS.API.STREAM.INFO.{DEAD_LETTERS}", {})["state"]["last_seq"]
    return int(messages)
