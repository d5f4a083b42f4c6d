"""What a stream that letters are put back into does with them besides keeping them. JetStream confirms a message that was stored, also where
the next one of its subject pushes it out.

That a limits stream drops its oldest messages is what it is for, and what was just stored is its newest: of its limits only those count that
the letters of one run are more than, and an age that is over before a consumer that is being restarted is there again.
"""

from __future__ import annotations

from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.streams import Json, resource_of
from brokercli.backends.nats.wording import duration
from brokercli.model.amount import amount
from brokercli.model.position import NANOSECONDS

_SOON = 60 * NANOSECONDS


def of_putting_back(info: Json, letters: Json) -> list[str]:
    """Say what becomes of letters, or of what they come upon, in the stream that they are put back into; `letters` is the stream that they lie in."""
    config, state, theirs = info["config"], info["state"], letters["state"]
    name, said = config["name"], []
    if config.get("persist_mode") == "async":
        said.append(f"stream {name} confirms before it writes (persist_mode): what it was about to write is lost where its server is killed, and was taken "
                    "away where it lay; the journal has it")
    if config.get("storage") == "memory" != letters["config"].get("storage") and int(config.get("num_replicas") or 1) == 1:
        said.append(f"stream {name} keeps its messages in memory (storage): what is put back is gone when its server stops, and was taken away where it lay; "
                    "the journal has it")
    if 0 < int(config.get("max_age") or 0) < _SOON:
        said.append(f"stream {name} deletes each message after {duration(int(config['max_age']))} (max_age): what no consumer has read by then is gone")
    if not config.get("duplicate_window"):
        said.append(f"stream {name} remembers no message ids (duplicate_window; it is filled from others, and has none unless it is declared): what a run "
                    "that was killed had stored there and not yet taken out is put back again")
    each, count = int(config.get("max_msgs_per_subject") or -1), int(theirs["messages"])
    # of a subject the oldest go also where the stream refuses what is new (discard), unless it says so of subjects as well (seen on 2.15.1)
    if each > 0 and (each == 1 or count > each) and not config.get("discard_new_per_subject"):
        said.append(f"stream {name} keeps {amount(each, 'message')} of each subject (max_msgs_per_subject) and drops the oldest: a letter that comes home "
                    "pushes out what is newer than its message was")
    if config.get("discard") == "new":
        return said
    for limit, held, one in (("max_msgs", "messages", "message"), ("max_bytes", "bytes", "byte")):
        most = int(config.get(limit) or -1)
        room = most if resource_of(info) == LIMITS_STREAM else most - int(state[held])
        if most > 0 and int(theirs[held]) > room:
            said.append(f"stream {name} keeps {amount(most, one)} ({limit}) and drops the oldest: what goes beyond is deleted")
    return said
