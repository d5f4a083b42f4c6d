"""From an address and --context to one connection: which context is meant, and what it says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from brokercli.backends.registry import check_used, refused_option
from brokercli.model.address import Address, parse_address
from brokercli.model.connection import TLS, Connection, Secret
from brokercli.model.errors import Unreachable, UsageProblem
from brokercli.model.scheme import TLS_ALWAYS
from brokercli.settings.broker_url import BrokerURL, parse_broker_url
from brokercli.settings.contexts import LOCAL, SECRETS, Context, Contexts, read_contexts
from brokercli.settings.places import local_files, whole_path
from brokercli.settings.secrets import (
    BACKGROUND_TIMEOUT,
    COMMAND_TIMEOUT,
    check_private,
    check_private_file,
    is_literal,
    resolve_secret,
    run_password_command,
)

NO_CONTEXT_HINT = """choose one of three ways:
  brokercli demo                            starts a broker of your own, selects it and shows around (or: brokercli context use local)
  brokercli context add NAME --url URL      names a broker; brokercli context use NAME selects it
  nats://HOST/ADDRESS                       as the address, for once (also kafka://, amqp://; or BROKERCLI_URL=URL)"""


class NothingChosen(UsageProblem):
    """No option, variable or file says which broker is meant."""


class Choice(NamedTuple):
    """Which broker a command talks to, before anything about it is read."""

    name: str | None
    """A context; None: `url` says it."""
    url: str | None
    source: str
    """Who chose: `--context`, `the address`, BROKERCLI_CONTEXT, BROKERCLI_URL, or `FILE:LINE`."""
    said: bool
    """Chosen in this very command, not by environment or file."""


class ResolvedContext(NamedTuple):
    """A connection with all secrets fetched, and what its context says about using it."""

    connection: Connection
    name: str
    """The context; for a URL the URL without secrets."""
    said: bool
    """The context was named in this command (--context, @NAME/, a URL)."""
    protected: bool = False
    """Changing anything wants the context named in the command."""
    readonly: bool = False
    """Changing anything is refused."""
    dlq: str | None = None
    """The dead letters meant where a command names none."""
    source: str = ""
    """Who chose it; see `Choice`."""

    def within(self, connect_timeout: float | None) -> Connection:
        """Return the connection, to be made within so many seconds; None: its own."""
        return self.connection if connect_timeout is None else replace(self.connection, connect_timeout=connect_timeout)


def choose(address: Address | None, context_option: str | None, environment: Mapping[str, str] = os.environ) -> Choice:
    """Decide which broker is meant: address or option, then environment, then the project's file, then the user's.

    Raises UsageProblem where two places contradict each other and where nothing is chosen: a script must not publish
    to a place that nobody named.
    """
    choice = _said(address, context_option, environment)
    return _written(read_contexts(environment)) if choice is None else choice


def _written(contexts: Contexts) -> Choice:
    chosen = contexts.current()
    if chosen is None:
        raise NothingChosen("No broker is chosen.", hint=NO_CONTEXT_HINT)
    return Choice(chosen[0], None, chosen[1], False)


def _said(address: Address | None, context_option: str | None, environment: Mapping[str, str]) -> Choice | None:
    if context_option is not None and not context_option.strip():
        # a script whose variable is not set must not reach whatever broker is current
        raise UsageProblem("--context is empty: it names no broker.", hint="name one, or leave the option out for the current context")
    asked = address.context if address else None
    if address is not None and address.url:
        if context_option:
            raise UsageProblem("The address names its broker, and so does --context.", hint="leave one of them out")
        return Choice(None, address.url, "the address", True)
    if asked and context_option and asked != context_option:
        raise UsageProblem(f"The address says @{asked}/, and --context says {_shown(context_option)}.", hint="leave one of them out")
    for source, value in (("--context", context_option), ("the address", asked)):
        if value:
            return Choice(None, value, source, True) if "://" in value else Choice(value, None, source, True)
    name, url = environment.get("BROKERCLI_CONTEXT"), environment.get("BROKERCLI_URL")
    if name and url:
        raise UsageProblem("BROKERCLI_CONTEXT and BROKERCLI_URL are both set.", hint="unset one of them, or use --context")
    if name:
        return Choice(name, None, "BROKERCLI_CONTEXT", False)
    if url:
        return Choice(None, url, "BROKERCLI_URL", False)
    return None


def resolve_connection(address: Address | None, context_option: str | None, *, seconds: float | None = None, background: bool = False) -> ResolvedContext:
    """Return the connection meant, secrets fetched; starts the local broker when that is meant.

    `context_option` is a name, or a URL. A program that tells the password is given so many `seconds`, or a minute.
    With `background` nothing is started, nobody is asked and no program is waited for longer than a completion may take:
    Unreachable instead. Raises UsageProblem for everything that is written wrongly.
    """
    choice = _said(address, context_option, os.environ)
    # also for the one that is built in: a file that has another of that name is refused
    contexts = read_contexts() if choice is None or choice.name is not None else None
    if choice is None:
        assert contexts is not None
        choice = _written(contexts)
    if choice.url is not None:
        url = parse_broker_url(choice.url, choice.source if choice.source.isupper() else f"The URL in {choice.source}")
        return ResolvedContext(_connection(url, {}, Context("")), str(url), choice.said, source=choice.source)
    if choice.name == LOCAL:
        return ResolvedContext(_local_connection(background), LOCAL, choice.said, source=choice.source)
    assert choice.name is not None
    assert contexts is not None
    try:
        context = contexts.find(choice.name)
    except UsageProblem as problem:
        raise UsageProblem(f"{problem} ({choice.source})" if choice.source != "--context" else str(problem), hint=problem.hint) from None
    settings = context.settings
    dlq = settings.get("dlq")
    return ResolvedContext(connection_of(context, seconds=seconds, background=background), context.name, choice.said, bool(settings.get("protected")),
                           bool(settings.get("readonly")), str(dlq) if dlq else None, choice.source)


def connection_of(context: Context, *, seconds: float | None = None, background: bool = False) -> Connection:
    """Return a context's connection, secrets fetched; see `resolve_connection`."""
    if context.name == LOCAL:
        return _local_connection(background)
    url = parse_broker_url(str(context.settings["url"]), context.where("url"))
    _check_readers(context, url)
    if background and any(str(context.settings.get(key, "")).startswith("keyring:") for key in SECRETS):
        raise Unreachable("The keyring is not asked in the background.")
    secrets = {key: resolve_secret(str(context.settings[key]), context.where(key), _base(context)) for key in SECRETS if key in context.settings}
    if "password_command" in context.settings:
        command = context.settings["password_command"]
        assert isinstance(command, tuple)
        secrets["password"] = run_password_command(command, context.where("password_command"), BACKGROUND_TIMEOUT if background else seconds or COMMAND_TIMEOUT)
    return _connection(url, secrets, context)


def check(context: Context) -> None:
    """Raise UsageProblem for what is wrong with a context as written; fetches no secret and connects nowhere."""
    _connection(parse_broker_url(str(context.settings["url"]), context.where("url")), {}, context)
    if dlq := _text(context.settings, "dlq"):
        named = parse_address(dlq)
        if named.url is not None or named.context not in (None, context.name):
            # not repeated: there may be a password in it
            raise UsageProblem(f"{context.where('dlq')} names a broker, and that is the context's own.",
                               hint="the name alone is enough: orders.dlq, stream:ORDERS-DLQ, queue:orders.dlq")
    if "@" in (_text(context.settings, "management") or ""):
        raise UsageProblem(f"{context.where('management')} holds a login, and the management API is asked with the context's own.",
                           hint="http://HOST:15672; user and password are given by themselves")


def _connection(url: BrokerURL, secrets: Mapping[str, Secret], context: Context) -> Connection:
    settings = context.settings
    if settings:
        check_used(url.scheme, settings, context.where)
    options = {key.removeprefix("options."): str(value) for key, value in settings.items() if key.startswith("options.")}
    if options and (refused := refused_option(url.scheme, options)):
        raise UsageProblem(f"{context.where(f'options.{refused.name}')} {refused.why}.", hint=refused.instead)
    timeout = settings.get("connect_timeout")
    vhost = _text(settings, "vhost") or url.virtual_host or "/"
    if url.virtual_host and url.virtual_host != vhost:
        raise UsageProblem(f"{context.where('vhost')} and its url name two different virtual hosts.", hint="leave one of them out")
    credentials = _path(context, "credentials")
    if credentials:
        check_private_file(Path(credentials), context.where("credentials"))
    return Connection(
        scheme=url.scheme, hosts=url.hosts, user=_text(settings, "user") or url.user, password=secrets.get("password") or url.password,
        token=secrets.get("token") or url.token, credentials=credentials, mechanism=_text(settings, "mechanism"), virtual_host=vhost,
        tls=_tls(context, url.scheme, secrets), management=_text(settings, "management"), options=options,
        **({"connect_timeout": timeout} if isinstance(timeout, float) else {}))


def _tls(context: Context, scheme: str, secrets: Mapping[str, Secret]) -> TLS | None:
    settings = context.settings
    if scheme not in TLS_ALWAYS and not any(key.startswith("tls.") for key in settings):
        return None
    certificate, key = _path(context, "tls.certificate"), _path(context, "tls.key")
    if key and not certificate:
        raise UsageProblem(f"{context.where('tls.key')} is given without the certificate that it belongs to.", hint="tls.certificate in the context")
    # without a tls.key of its own the key lies with the certificate
    for said, path in (("tls.key", key), ("tls.certificate", None if key else certificate)):
        if path and (said == "tls.key" or _holds_key(path)):
            check_private_file(Path(path), context.where(said))
    return TLS(ca=_path(context, "tls.ca"), certificate=certificate, key=key, key_password=secrets.get("tls.key_password"),
               server_name=_text(settings, "tls.server_name"), insecure=bool(settings.get("tls.insecure")))


def _holds_key(certificate: str) -> bool:
    try:
        return b"PRIVATE KEY-----" in Path(certificate).read_bytes()
    except OSError:
        return False  # whoever uses it says what is wrong with it


def _check_readers(context: Context, url: BrokerURL) -> None:
    """A file with a secret itself in it, for this context, is for its owner alone."""
    if context.file is None:
        return
    literal = any(key in context.settings and is_literal(str(context.settings[key])) for key in SECRETS)
    if literal or url.password or url.token:
        check_private(context.file.path, context.file.mode, context.file.owned)


def _local_connection(background: bool) -> Connection:
    from brokercli.local.server import connection, running_connection

    place = local_files()
    return running_connection(place) if background else connection(place)


def _base(context: Context) -> Path | None:
    return context.file.path.parent if context.file else None


def _path(context: Context, key: str) -> str | None:
    text = _text(context.settings, key)
    return str(whole_path(text, context.where(key), _base(context))) if text else None


def _text(settings: Mapping[str, object], key: str) -> str | None:
    value = settings.get(key)
    return str(value) if value else None


def _shown(context_option: str) -> str:
    return "a URL" if "://" in context_option else context_option
