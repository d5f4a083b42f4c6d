"""`brokercli context`: name brokers, and choose one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import SETUP

EXAMPLES = """[bold]Examples[/bold]

brokercli context add staging --url kafka://a.example:9092,b.example:9092 --user app --password-stdin < password.txt

brokercli context add prod --url amqps://rabbit.example/shop --user app --password-command "pass show rabbit/prod" --protected

brokercli context use staging

brokercli context show --origin"""

FILE: dict[str, Any] = {"metavar": "FILE", "parser": shared.parse_lasting_file}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", autocompletion=shared.complete_context, show_default=False, help="The context's name.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Name brokers, and choose the one that is meant where a command names none.", epilog=EXAMPLES)
    group.command("add")(add)
    group.command("use")(use)
    group.command("ls")(ls)
    group.command("show")(show)
    group.command("rm")(rm)
    app.add_typer(group, name="context", rich_help_panel=SETUP)


def _login(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Login", **settings)


def _tls(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="TLS", **settings)


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Letters, digits, dot, dash, underscore.")],
    url: Annotated[str, typer.Option("--url", metavar="URL", show_default=False, help="kafka://a,b nats://h amqp://h/vhost; kafkas tls amqps.")],
    user: Annotated[str | None, _login("--user", metavar="NAME", help="Who logs in.")] = None,
    password_stdin: Annotated[bool, _login("--password-stdin", help="Read the password from standard input and keep it in the configuration.")] = False,
    password_file: Annotated[str | None, _login("--password-file", help="Read it from FILE at every use.", **FILE)] = None,
    password_env: Annotated[str | None, _login("--password-env", metavar="VARIABLE", help="Take it from this environment variable at every use.")] = None,
    password_command: Annotated[str | None, _login(
        "--password-command", metavar="CMD", help="Run CMD, without a shell, at every use: it is the first line that this prints.")] = None,
    token_stdin: Annotated[bool, _login("--token-stdin", help="Read a NATS token from standard input and keep it in the configuration.")] = False,
    credentials: Annotated[str | None, _login("--credentials", help="A NATS .creds file, or one with an NKEY seed.", **FILE)] = None,
    mechanism: Annotated[str | None, _login("--mechanism", metavar="NAME", help="SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, …")] = None,
    ca: Annotated[str | None, _tls("--ca", help="Certificates to trust, PEM.", **FILE)] = None,
    certificate: Annotated[str | None, _tls("--certificate", help="Our certificate, PEM.", **FILE)] = None,
    key: Annotated[str | None, _tls("--key", help="Our private key, PEM; without it, the certificate's file has it.", **FILE)] = None,
    server_name: Annotated[str | None, _tls("--server-name", metavar="NAME", help="The name that the broker's certificate bears.")] = None,
    insecure: Annotated[bool, _tls("--insecure", help="Accept any certificate.")] = False,
    vhost: Annotated[str | None, typer.Option("--vhost", metavar="NAME", help="RabbitMQ's virtual host.")] = None,
    management: Annotated[str | None, typer.Option("--management", metavar="URL", help="RabbitMQ's management API.")] = None,
    dlq: Annotated[str | None, typer.Option("--dlq", metavar="ADDRESS", help="The dead letters meant where a command names none.")] = None,
    protected: Annotated[bool, typer.Option("--protected", help="Changing anything wants --context NAME spelled out.")] = False,
    readonly: Annotated[bool, typer.Option("--readonly", help="Refuse to change anything.")] = False,
    option: Annotated[list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="A setting of the client's own, where allowed.")] = None,
    connect_timeout: Annotated[float | None, typer.Option("--connect-timeout", metavar="DURATION", parser=shared.parse_connect_timeout,
                                                          help="Give up connecting after this long (5s).")] = None,
    check: Annotated[bool, typer.Option("--check", help="Connect first; write nothing when that fails.")] = False,
    use: Annotated[bool, typer.Option("--use", help="Choose it, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a context of this name.")] = False,
) -> None:
    """Write a context into your configuration. Connects nowhere, except with --check."""
    from brokercli.commands.context_settings import Given, write

    given = Given({
        "url": url, "user": user, "password.stdin": password_stdin, "password.file": password_file, "password.env": password_env,
        "password_command": password_command, "token.stdin": token_stdin, "credentials": credentials, "mechanism": mechanism, "tls.ca": ca,
        "tls.certificate": certificate, "tls.key": key, "tls.server_name": server_name, "tls.insecure": insecure, "vhost": vhost,
        "management": management, "dlq": dlq, "protected": protected, "readonly": readonly, "connect_timeout": connect_timeout}, tuple(option or ()))
    write(context, name, given, check=check, use=use, force=force)


def use(context: typer.Context, name: NameArgument) -> None:
    """Choose the context that is meant where a command and its environment name none."""
    from brokercli.commands.session import streams_of
    from brokercli.settings.contexts import read_contexts
    from brokercli.settings.resolve import choose
    from brokercli.settings.writing import use_context

    read_contexts().find(name)
    path = use_context(name)
    streams = streams_of(context)
    streams.say(f"{name} is chosen ({path})")
    choice = choose(None, None)
    if choice.name != name:
        streams.say(f"here {choice.source} chooses {choice.name or 'a URL'} instead")


def ls(context: typer.Context, output: shared.TableOption = "auto") -> None:
    """List the contexts, and which one is chosen."""
    from brokercli.commands.context_listing import listing
    from brokercli.commands.session import streams_of
    from brokercli.terminal.tables import print_table

    print_table(streams_of(context), listing(), output=output)


def show(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", autocompletion=shared.complete_context, help="Without it, the one that is chosen.")] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value is written.")] = False,
    output: shared.TableOption = "auto",
) -> None:
    """Show one context. Secrets are masked; references to them are shown, not followed."""
    from brokercli.commands.context_listing import explain
    from brokercli.commands.session import streams_of
    from brokercli.terminal.tables import print_json, print_table

    rows = explain(name, origin=origin)
    if output == "json":
        print_json(streams_of(context), [{str(row["setting"]): {"value": row["value"], "origin": row["origin"]} if origin else row["value"] for row in rows}])
    else:
        print_table(streams_of(context), rows, output=output)


def rm(context: typer.Context, name: NameArgument) -> None:
    """Take a context out of your configuration. Its broker is not touched."""
    from brokercli.commands.session import streams_of
    from brokercli.settings.writing import remove_context

    path, chosen = remove_context(name)
    streams_of(context).say(f"{name} is no longer in {path}" + ("; no context is chosen now" if chosen else ""))
