"""The stream that records what JetStream says of messages that died: planned, compared with what there is, declared."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.dead_letters import Capture
from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.dead_letter_names import ADVISORIES
from brokercli.backends.nats.failures import api_failure
from brokercli.backends.nats.span import NANOSECONDS
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import check_stream_name, covers, overlap
from brokercli.backends.nats.wording import duration
from brokercli.model.amount import amount
from brokercli.model.errors import Failed

MAX_AGE_DAYS = 30
_DAY = 86_400 * NANOSECONDS
_COMPARED = ("retention", "storage", "max_age", "num_replicas", "discard", "deny_delete", "sealed")
# stream name in use with a different configuration; subjects overlap with an existing stream
_OTHER_CONFIGURATION, _OVERLAP = 10058, 10065
# the account requires a stream to have max_bytes set
_SIZE_REQUIRED = 10113


async def plan(jetstream: JetStream, stream: str, name: str | None) -> Capture:
    """Say what is missing for the deaths of a stream to be recorded. Raises Failed where the name is taken by something else,
    or where another stream records some of them."""
    return await plan_for(jetstream, await jetstream.info(stream), name)


async def plan_for(jetstream: JetStream, info: Json, name: str | None) -> Capture:
    """The same for a stream of which the configuration is known, because it is there or because it will be."""
    stream = str(info["config"]["name"])
    name = name or f"{stream}_DLQ"
    check_stream_name(name)
    wanted = _wanted(info, name)
    mine = await jetstream.info_or_none(name)
    missing = []
    for subject in wanted["subjects"]:
        config = await _first_of(jetstream, [one for one in await jetstream.capturing(subject) if one != name])
        if config is None:
            missing.append(subject)
            continue
        other = str(config["name"])
        if not any(covers(str(pattern), subject) for pattern in config.get("subjects") or []):
            raise Failed(f"Stream {other} records some of the deaths of {stream} ({', '.join(config.get('subjects') or [])}), and JetStream lets no second "
                         "stream overlap with it.", hint=f"add {subject} to its subjects instead")
        if (mine is None or _is_for_something_else(mine)) and _covers_all(config, wanted["subjects"]):
            return Capture(other, f"stream {other} records the deaths of {stream} already", False)
    if mine is None:
        return Capture(name, _words(info, wanted | {"subjects": missing}), True, wanted | {"subjects": missing})
    return _compared(stream, mine, wanted, missing)


def _is_for_something_else(info: Json) -> bool:
    subjects = info["config"].get("subjects") or []
    return bool(subjects) and not any(overlap(str(subject), f"{ADVISORIES}.>") for subject in subjects)


async def _first_of(jetstream: JetStream, names: Sequence[str]) -> Json | None:
    """Return the configuration of the first of some streams that is still there."""
    for name in names:
        info = await jetstream.info_or_none(name)
        if info is not None:
            config: Json = info["config"]
            return config
    return None


def _covers_all(config: Json, subjects: list[str]) -> bool:
    """Whether a stream captures every one of some subjects whole."""
    return all(any(covers(str(pattern), subject) for pattern in config.get("subjects") or []) for subject in subjects)


def _wanted(info: Json, name: str) -> Json:
    stream = info["config"]["name"]
    return {"name": name, "subjects": [f"{ADVISORIES}.MAX_DELIVERIES.{stream}.>", f"{ADVISORIES}.MSG_TERMINATED.{stream}.>"], "retention": "limits",
            "storage": "file", "max_age": MAX_AGE_DAYS * _DAY, "num_replicas": int(info["config"].get("num_replicas") or 1), "discard": "old",
            "allow_direct": True, "description": f"Deaths of messages in stream {stream}, as JetStream announces them"}


def _words(info: Json, wanted: Json) -> str:
    stream = info["config"]["name"]
    words = (f"stream {wanted['name']} would record the deaths of {stream}: subjects {', '.join(wanted['subjects'])}; limits retention, file storage, "
             f"{amount(wanted['num_replicas'], 'replica')}, kept for {MAX_AGE_DAYS} days. It holds pointers: "
             f"the messages stay in {stream}")
    if resource_of(info) == LIMITS_STREAM:
        age = int(info["config"].get("max_age") or 0)
        return words + (f", and are gone when they are {duration(age)} old (its max_age)" if 0 < age < MAX_AGE_DAYS * _DAY else "")
    return words + f". A message that a worker terminates (+TERM) is deleted from {stream} at once: its record then says that it died, not what it said"


def _compared(stream: str, mine: Json, wanted: Json, missing: list[str]) -> Capture:
    """Compare with the stream of that name. What it records already is left to it, however it keeps it."""
    config = mine["config"]
    name = str(config["name"])
    has = [str(subject) for subject in config.get("subjects") or []]
    lacking = [subject for subject in missing if not any(covers(pattern, subject) for pattern in has)]
    if _is_for_something_else(mine):
        raise Failed(f"There is a stream {name} already, for something else: it captures {', '.join(has)}.",
                     hint="dlq capture --name, declare retry --dead-letter and dead_letter in a file give the new one another name")
    differences = [f"{setting} is {_shown(setting, config.get(setting))}, a new one would have {_shown(setting, wanted.get(setting))}"
                   for setting in _COMPARED if (config.get(setting) or None) != (wanted.get(setting) or None)]
    left = f"; left as they are: {', '.join(differences)}" if differences else ""
    if not lacking:
        return Capture(name, f"stream {name} records the deaths of {stream} already{left}", False)
    return Capture(name, f"stream {name} would get subjects: it has {', '.join(has) or 'none'}, and {', '.join(lacking)} would be added{left}", True,
                   config | {"subjects": has + lacking, "exists": True})


def _shown(setting: str, value: object) -> str:
    if setting == "max_age":
        return f"{value / _DAY:g} days" if isinstance(value, int) and value else "unlimited"
    return str(value) if value else "no"


async def declare(jetstream: JetStream, planned: Capture) -> None:
    """Do what was planned. Raises Failed where something else of that name came meanwhile."""
    if not planned.changes:
        return
    config: Json = dict(planned.settings)
    operation = "UPDATE" if config.pop("exists", False) else "CREATE"
    if operation == "UPDATE":
        # only the subjects are ours to change: whatever else was changed meanwhile stays
        now = (await jetstream.info(planned.name))["config"]
        config = now | {"subjects": list(dict.fromkeys([*(now.get("subjects") or []), *list(config["subjects"])]))}
    answer = await jetstream.try_ask(f"STREAM.{operation}.{planned.name}", config)
    error = answer.get("error")
    if error is None:
        return
    if error.get("err_code") in (_OTHER_CONFIGURATION, _OVERLAP):
        raise Failed(f"Stream {planned.name} was not declared: another one of that name, or on these subjects, has come meanwhile "
                     f"({error.get('description')}).", hint="the same command says what there is now")
    if error.get("err_code") == _SIZE_REQUIRED:
        raise Failed(f"Stream {planned.name} was not declared: the account takes no stream without a max_bytes (NATS error {_SIZE_REQUIRED}).",
                     hint=f"brokercli declare stream {planned.name} --subjects '{','.join(map(str, config['subjects']))}' --set max_bytes=64MiB")
    raise api_failure(error, f"stream {planned.name}")
