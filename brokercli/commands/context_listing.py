"""Contexts as rows that can be shown: no secret in any of them."""

from __future__ import annotations

from brokercli.model.description import Value
from brokercli.model.errors import BrokercliError, UsageProblem
from brokercli.settings.broker_url import parse_broker_url
from brokercli.settings.contexts import LOCAL, SECRETS, Context, Contexts, read_contexts
from brokercli.settings.secrets import is_literal


def listing() -> list[dict[str, Value]]:
    """Return one row per context. The chosen one is what the environment and the files choose, in this order."""
    from brokercli.settings.resolve import NothingChosen, choose

    contexts = read_contexts()
    try:
        chosen = choose(None, None).name
    except NothingChosen:
        chosen = None
    return [_row(contexts, name, chosen == name) for name in contexts.names()]


def _row(contexts: Contexts, name: str, chosen: bool) -> dict[str, Value]:
    try:
        context = contexts.find(name)
    except UsageProblem as problem:  # a project's file that is not trusted with what it asks for
        return {"current": chosen, "name": name, "broker": None, "careful": None, "written in": str(problem)}
    careful = " ".join(key for key in ("protected", "readonly") if context.settings.get(key))
    where = str(context.file.path) if context.file else context.origin("")
    return {"current": chosen, "name": name, "broker": _broker(context), "careful": careful or None, "written in": where}


def explain(name: str | None, *, origin: bool) -> list[dict[str, Value]]:
    """Return one row per setting, secrets masked."""
    from brokercli.settings.resolve import choose

    source = "the command line"
    if name is None:
        choice = choose(None, None)
        if choice.name is None:
            return [_with_origin({"setting": "url", "value": str(parse_broker_url(str(choice.url), choice.source))}, choice.source, origin)]
        name, source = choice.name, choice.source
    context = read_contexts().find(name)
    rows = [_with_origin({"setting": "context", "value": name}, source, origin)]
    if name == LOCAL:
        from brokercli.local.server import status
        from brokercli.settings.places import local_files

        found = status(local_files())
        where = f"127.0.0.1:{found.port}" if found.port else "started when it is first needed"
        return [*rows, _with_origin({"setting": "url", "value": f"nats://****@{where}" if found.port else where}, str(found.directory), origin)]
    return [*rows, *(_with_origin({"setting": key, "value": _masked(context, key)}, context.origin(key), origin) for key in context.settings)]


def _with_origin(row: dict[str, Value], origin: str, wanted: bool) -> dict[str, Value]:
    return row | {"origin": origin} if wanted else row


def _masked(context: Context, key: str) -> str:
    value = context.settings[key]
    if key == "url":
        return _broker(context)
    if key in SECRETS and is_literal(str(value)):
        return "****"
    if isinstance(value, tuple):
        return " ".join([value[0], *(["…"] if len(value) > 1 else [])])  # an argument may be a secret
    if isinstance(value, str) and ("://" in value or key == "management"):
        return _without_login(value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _without_login(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    login, _, place = rest.rpartition("@")
    return f"{scheme}{separator}****@{place}" if login else url


def _broker(context: Context) -> str:
    if context.name == LOCAL:
        return "a nats-server of your own, started on demand"
    try:
        return str(parse_broker_url(str(context.settings["url"]), "url"))
    except BrokercliError:
        return "not a usable URL"
