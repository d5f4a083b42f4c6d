"""The stream that the demonstration works on."""

from __future__ import annotations

from brokercli.local.state import Identity
from brokercli.local.wire import request
from brokercli.model.errors import Failed

STREAM = "ORDERS"
SUBJECTS = ("orders.>",)


def ensure_stream(identity: Identity) -> bool:
    """Create the stream unless it is there, and return whether it was created. What it holds is left alone.

    Raises Failed where a stream of this name captures other subjects, or another stream captures these.
    """
    answer = request(identity.port, identity.token, "$JS.API.STREAM.NAMES", {"subject": SUBJECTS[0]})
    if STREAM in (answer.get("streams") or []):
        return False
    if answer.get("streams"):
        raise Failed(f"On the local broker the stream {answer['streams'][0]} captures {SUBJECTS[0]} already.", hint="remove it, or look around on your own")
    # ADR-31 of nats-architecture-and-design: direct gets make reading single messages cheap
    request(identity.port, identity.token, f"$JS.API.STREAM.CREATE.{STREAM}",
            {"name": STREAM, "subjects": list(SUBJECTS), "storage": "file", "retention": "limits", "num_replicas": 1, "allow_direct": True})
    return True
