"""A stream of the same name in the account that logs in, where another account's streams are meant: an acknowledgement names its stream, and no account."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.nats.recovery import Target
from brokercli.backends.nats.streams import OWN_PREFIX, JetStream, Json
from brokercli.backends.nats.subjects import overlap
from brokercli.model.errors import Failed, NotAuthorised, TimedOut, Unreachable


def check_namesake(jetstream: JetStream, info: Json, target: Target, subjects: Sequence[str]) -> None:
    """Raise Failed where the own account has a stream of the same name that listens as well: what it stores and confirms would be taken for what
    `target`, the other account's, has. `info` is what is known of that one, `subjects` what is published on. Where this login may not ask, nothing is said."""
    if jetstream.prefix == OWN_PREFIX:
        return
    try:
        own = jetstream.link.run(JetStream(jetstream.link, OWN_PREFIX).info_or_none(target.stream))
    except (Failed, NotAuthorised, TimedOut, Unreachable):
        return  # it has no JetStream, as a rule
    if own is None or own["created"] == info["created"] or str(own.get("domain") or "") != target.domain:
        return
    captured = [str(pattern) for pattern in own["config"].get("subjects") or ()]
    shared = next((subject for subject in subjects if any(overlap(pattern, subject) for pattern in captured)), None)
    if shared is not None:
        raise Failed(f"The account that this login belongs to has a stream {target.stream} as well, and that one listens on {shared}: nothing would tell its "
                     f"acknowledgements from those of the stream that {jetstream.prefix} answers for.",
                     hint="log in to the account that has the stream, or to one that has none of this name")
