"""What JetStream and the server answer, as model.errors."""

from __future__ import annotations

from typing import Any

from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable

# numbers: nats-server's errors.json, each seen on 2.15.1
STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
NO_MESSAGE = 10037
NOT_AVAILABLE = 10008
NOT_ENABLED = (10039, 10076)
# maximum consumers limit reached (of the stream, or of the account); consumer inactive threshold exceeds system limit (of the stream)
NO_CONSUMER = (10026, 10153)

_NOT_STORED = 10077
_PLAIN = {
    10054: "with its headers it is larger than the stream allows (max_msg_size)",
    10060: "it expects another stream (header Nats-Expected-Stream)",
    10070: "it expects another message id before it (header Nats-Expected-Last-Msg-Id)",
    10071: "it expects another last sequence (header Nats-Expected-Last-Sequence or -Last-Subject-Sequence)",
    10109: "the stream is sealed",
    10111: "the stream does not allow rollups (header Nats-Rollup)",
    10164: "the stream allows no per-message time to live (header Nats-TTL)",
    10165: "its time to live is no valid one (header Nats-TTL)",
    10166: "the stream allows no per-message time to live (header Nats-TTL)",
    10168: "the stream does not count (header Nats-Incr)",
    10169: "the stream counts, and the message has no increment (header Nats-Incr)",
    10170: "the stream counts, and takes no message with a body",
    10174: "the stream allows no atomic batches (header Nats-Batch-Id)",
    10188: "the stream allows no scheduled messages (header Nats-Schedule)",
    10002: "the account has used up what it may store",
    10023: "JetStream has run out of storage",
    10047: "the account has used up its storage",
    10028: "the account has used up its memory",
}

_WHO_ANSWERS = "brokercli doctor shows which servers answer; a new leader takes seconds where more than half of them are there"


class NoConsumer(Failed):
    """A stream lets a look have no consumer; what it holds can be read without one. The text says why."""


def reason(error: dict[str, Any]) -> str:
    """Return why JetStream refused one message, with its own words and number."""
    code, words = error.get("err_code", 0), str(error.get("description", "no reason given"))
    plain = _not_stored(words) if code == _NOT_STORED else _PLAIN.get(code)
    return f"{plain} ({words}, NATS error {code})" if plain else f"{words} (NATS error {code})"


def _not_stored(words: str) -> str:
    """Say what the words of a store mean: they are handed on as they are (store.go and filestore.go, seen on 2.15.1)."""
    if words == "maximum messages per subject exceeded":
        return "the stream has as many messages of this subject as it keeps, and is set to refuse new ones (discard_new_per_subject)"
    if words.startswith("maximum "):
        return "the stream is full and set to refuse new messages"
    if words == "message too large":
        return "a stream that is kept in files takes less than 32 MiB, headers included"
    return "the stream could not store it"


def api_failure(error: dict[str, Any], what: str) -> BrokercliError:
    """Translate an error answer of the JetStream API; `what` is the thing asked about (`stream ORDERS`)."""
    code, words = error.get("err_code", 0), str(error.get("description", "no reason given"))
    if code == STREAM_NOT_FOUND:
        return NotFound(f"There is no {what}.", hint="brokercli ls shows what there is; names are case-sensitive")
    if code in (CONSUMER_NOT_FOUND, NO_MESSAGE):
        return NotFound(f"{what[:1].upper()}{what[1:]}: {words}.")
    if code in NOT_ENABLED:
        return without_jetstream(words)
    if code == NOT_AVAILABLE:
        return Unreachable(f"Nobody in the cluster can say anything about {what}: too few of its servers are there, or they are choosing a leader "
                           f"({words}, NATS error {code}).", hint=_WHO_ANSWERS)
    return Failed(f"NATS refused what was asked of {what}: {reason(error)}.")


def silent(what: str, domain: str = "") -> Unreachable:
    """Return the failure of a cluster, or of another JetStream domain, where nobody answers about a thing. Whoever leads it answers, and nobody else."""
    if domain:
        return Unreachable(f"Nobody in the JetStream domain {domain} answers about {what}: the leaf node that leads there is away, or the servers are.",
                           hint=_WHO_ANSWERS)
    return Unreachable(f"Nobody in the cluster answers about {what}: the servers that keep it are away, or are choosing a leader.", hint=_WHO_ANSWERS)


def without_jetstream(words: str = "nobody answers its API") -> Failed:
    """Return the failure of a server or account that has no JetStream."""
    return Failed(f"There is no JetStream on this server or in this account ({words}).",
                  hint="nats-server -js enables it; behind a leaf node the context's option domain reaches it; publish --core and tail work without it")


def nobody_answers(prefix: str) -> Failed | Unreachable:
    """Return the failure of an API that nobody answers under its prefix."""
    if prefix == "$JS.API":
        return without_jetstream()
    return Unreachable(f"Nobody answers JetStream's API under {prefix}.", hint="the leaf node or the import that leads there is away or missing, or the "
                       "context's option domain, or js_api_prefix, is mistaken")


def inbox_prefix(connection: Connection) -> str:
    """Return what the subjects begin with on which answers come."""
    return connection.options.get("inbox_prefix", "_INBOX")


def not_permitted(kind: str, subject: str, connection: Connection) -> NotAuthorised:
    """Return the failure of a permission violation."""
    doing = "publish to" if kind == "publish" else "subscribe to"
    user = f"User {connection.user!r}" if connection.user else "This login"
    inbox = f"{inbox_prefix(connection)}."
    needed = "JetStream needs it: " if subject.startswith(("$JS.", inbox)) else ""
    hint = f"{needed}allow it in the user's permissions on the server"
    if kind == "subscription" and subject.startswith(inbox):
        hint += "; where those name another prefix, the context's option inbox_prefix does"
    return NotAuthorised(f"{user} is not permitted to {doing} {subject}.", hint=hint)
