"""Names that only the configuration or a broker knows, for one TAB. Starts nothing, asks nobody, waits for nobody's password."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from brokercli.commands.shell_words import Candidate
from brokercli.model.address import KINDS, Address, spell_exchange
from brokercli.model.errors import BrokercliError

CONNECT_TIMEOUT = 0.7
"""Seconds; the whole answer has 0.9."""
MOST = 500
"""Names offered at once; more help nobody choose."""


def contexts(incomplete: str) -> list[Candidate]:
    """Return the names of contexts."""
    from brokercli.settings.contexts import read_contexts

    try:
        return [(name, "") for name in read_contexts().names() if name.startswith(incomplete)]
    except BrokercliError:
        return []


def addresses(incomplete: str, context_name: str | None) -> list[Candidate]:
    """Return addresses that begin so: contexts for `@…`, kinds, and what the broker lists."""
    return _named(incomplete, context_name, _on_broker)


def consumers(incomplete: str, context_name: str | None) -> list[Candidate]:
    """Return names of consumers that begin so: contexts for `@…`, and what the broker says."""
    return _named(incomplete, context_name, _consumers)


def _named(incomplete: str, context: str | None, ask: Callable[[str, str | None], list[Candidate]]) -> list[Candidate]:
    """Return what begins so: contexts for `@…`, behind `@CONTEXT/` and without it what `ask` says of the rest and the context."""
    if "://" in incomplete:
        return []
    rest, prefix = incomplete, ""
    if incomplete.startswith("@"):
        context, slash, rest = incomplete[1:].partition("/")
        if not slash:
            return [(f"@{known}/", "context") for known, _ in contexts(context)]
        prefix = f"@{context}/"
    try:
        return [(prefix + word, what) for word, what in ask(rest, context)]
    except BrokercliError:
        return []


def _consumers(incomplete: str, context: str | None) -> list[Candidate]:
    from brokercli.backends.registry import open_backend
    from brokercli.settings.resolve import resolve_connection

    connection = resolve_connection(None, context, background=True).connection
    with open_backend(replace(connection, connect_timeout=CONNECT_TIMEOUT)) as backend:
        return [(name, "") for name in backend.consumers().names() if name.startswith(incomplete)][:MOST]


def _on_broker(incomplete: str, context: str | None) -> list[Candidate]:
    from brokercli.backends.registry import find, open_backend
    from brokercli.settings.resolve import resolve_connection

    connection = resolve_connection(None, context, background=True).connection
    descriptor = find(connection.scheme)
    kind, colon, name = incomplete.partition(":")
    if colon and kind not in KINDS:
        colon = ""
    wanted = (kind,) if colon else ()
    name = name if colon else incomplete
    kinds = [] if colon else [(f"{known}:", "kind of address") for known in descriptor.kinds if known.startswith(incomplete)]
    found: list[tuple[str, str, str]] = []
    with open_backend(replace(connection, connect_timeout=CONNECT_TIMEOUT)) as backend:
        for listing in backend.list(wanted):
            # with its kind an exchange is spelled as in an address
            spelled = spell_exchange(listing.name) if colon and listing.kind == "exchange" else listing.name
            if spelled.startswith(name):
                found.append((listing.kind, listing.name, listing.resource))
                if len(found) == MOST:
                    break
    names = [name for _, name, _ in found]
    words = [(str(Address(name, kind)) if colon or names.count(name) > 1 or not _bare(name) else name, resource) for kind, name, resource in found]
    return words + kinds


def _bare(name: str) -> bool:
    """Whether a name means itself without its kind: `a:b`, `@a/b` and `-a` would be read as something else."""
    from brokercli.model.address import parse_address

    try:
        return not name.startswith("-") and parse_address(name) == Address(name)
    except BrokercliError:
        return False


def settings(kind: str, incomplete: str, context: str | None, after: str) -> list[Candidate]:
    """Return the settings of a kind on the broker that is chosen, each with `after` behind its name; connects nowhere."""
    from brokercli.backends.registry import find, settings_of
    from brokercli.settings.resolve import resolve_connection

    try:
        descriptor = find(resolve_connection(None, context, background=True).connection.scheme)
    except BrokercliError:
        return []
    return [(f"{setting.name}{after}", setting.help) for setting in settings_of(descriptor).get(kind, ()) if setting.name.startswith(incomplete)]
