"""From the options of `context add` to settings, written down."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import typer

from brokercli.commands.session import streams_of
from brokercli.model.errors import UsageProblem
from brokercli.settings.broker_url import parse_broker_url
from brokercli.settings.contexts import SECRETS, Context
from brokercli.settings.places import whole_path
from brokercli.settings.schema import Setting
from brokercli.settings.secrets import is_literal, spell_literal
from brokercli.terminal.streams import Streams

_LONGEST = 65_536


@dataclass(frozen=True, slots=True)
class Given:
    """The options of `context add` as typed, by the keys they become."""

    values: Mapping[str, str | float | bool | None]
    options: tuple[str, ...]


def write(context: typer.Context, name: str, given: Given, *, check: bool, use: bool, force: bool) -> None:
    """Write the context down and say so. Raises UsageProblem for a broker that nothing here speaks to."""
    from brokercli.backends.registry import find
    from brokercli.settings.resolve import check as check_settings
    from brokercli.settings.resolve import connection_of
    from brokercli.settings.writing import add_context, use_context

    streams = streams_of(context)
    url = parse_broker_url(str(given.values["url"]), "--url")
    find(url.scheme)
    settings = settings_of(given, streams)
    check_settings(Context(name, settings))
    if check:
        from brokercli.backends.registry import open_backend

        with open_backend(connection_of(Context(name, settings))):
            streams.say(f"{url} answers")
    path = add_context(name, settings, replace=force)
    if url.password or url.token:
        streams.say("a secret on the command line stays in the shell's history, and others on this machine can see it; next time use --password-stdin")
    if any(is_literal(str(settings[key])) for key in SECRETS if key in settings):
        streams.say(f"the secret is kept in {path}, which only you can read")
    if use:
        use_context(name)
    streams.say(f"{name} is written into {path}" + (" and chosen" if use else f"; brokercli context use {name} chooses it"))


def settings_of(given: Given, streams: Streams) -> dict[str, Setting]:
    """Turn options into settings; a secret typed into the URL moves into a key of its own."""
    values = given.values
    for key, value in values.items():
        if value == "":
            raise UsageProblem(f"--{key.removeprefix('tls.').replace('.', '-').replace('_', '-')} is empty.", hint="leave it out, or say what it is to be")
    url = parse_broker_url(str(values["url"]), "--url")
    settings: dict[str, Setting] = {"url": url.without_secrets()}
    if user := values["user"] or url.user:
        settings["user"] = str(user)
    file, variable, command = values["password.file"], values["password.env"], values["password_command"]
    secrets = {
        "password": [url.password and spell_literal(url.password.reveal()), values["password.stdin"], file and f"file:{_absolute(file, 'password-file')}",
                     variable and f"env:{variable}", command],
        "token": [url.token and spell_literal(url.token.reveal()), values["token.stdin"]],
    }
    for key, ways in secrets.items():
        said = [way for way in ways if way]
        if len(said) > 1:
            raise UsageProblem(f"The {key} is given in more than one way.", hint="leave all but one out")
        if said and said[0] is command:
            settings["password_command"] = tuple(_words(str(command)))
        elif said:
            settings[key] = spell_literal(_read_secret(streams, key)) if said[0] is True else str(said[0])
    for key, value in values.items():
        if key in ("credentials", "tls.ca", "tls.certificate", "tls.key") and value:
            settings[key] = _absolute(value, key)
        elif key not in settings and "." not in key.removeprefix("tls.") and value and key != "password_command":
            settings[key] = value
    for option in given.options:
        name, equals, value = option.partition("=")
        if not equals:
            raise UsageProblem(f"--option {name} has no value.", hint="--option NAME=VALUE")
        settings[f"options.{name}"] = value
    return settings


def _read_secret(streams: Streams, key: str) -> str:
    if streams.stdin is None or streams.stdin_is_terminal:
        raise UsageProblem(f"--{key}-stdin reads the {key} from standard input, and nothing is piped there.",
                           hint=f"brokercli context add … --{key}-stdin < FILE")
    data = streams.stdin.read(_LONGEST + 1)
    try:
        secret = data.decode()
    except UnicodeDecodeError:
        raise UsageProblem(f"The {key} on standard input is not UTF-8.") from None
    secret = secret[:-2] if secret.endswith("\r\n") else secret.removesuffix("\n")
    if not secret or len(data) > _LONGEST:
        raise UsageProblem(f"The {key} on standard input is {'empty' if not secret else f'longer than any {key}'}.")
    return secret


def _absolute(path: object, key: str) -> str:
    return str(whole_path(str(path), f"--{key.removeprefix('tls.')}"))


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise UsageProblem(f"--password-command cannot be split into words: {problem}.") from None
    if not words:
        raise UsageProblem("--password-command is empty.")
    return words
