"""`brokercli publish`: an argument, files or standard input to one address, each message with the broker's verdict."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from brokercli.commands import options as shared
from brokercli.commands.app import MESSAGES

EXAMPLES = """[bold]Examples[/bold]

brokercli publish orders.created '{"id":1}'

brokercli publish orders.created -k customer-7 -H x-attempts=1 < orders.ndjson

brokercli replay orders.created -o json | jq -c 'select(.key=="c-7")' | brokercli publish orders.fixed --input json"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("publish", rich_help_panel=MESSAGES, epilog=EXAMPLES)(publish)


def publish(
    context: typer.Context,
    address: shared.AddressArgument,
    body: Annotated[str | None, typer.Argument(metavar="[BODY]", help="The one body; without it bodies are read from -f or standard input.")] = None,
    file: Annotated[list[str] | None, typer.Option("--file", "-f", metavar="FILE",
                                                   help="Read bodies from FILE; repeat for several, - is standard input.")] = None,
    input_: Annotated[Literal["lines", "whole", "json", "nul"], typer.Option(
        "--input", help="What a body is: a line, a whole file, an envelope, or up to NUL.")] = "lines",
    delimiter: Annotated[str | None, typer.Option("--delimiter", metavar="TEXT", help="What ends a line instead of a newline (\\t, \\x1e, any text).")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", metavar="TEXT", help="Key of every message; '' is an empty key, which is not no key.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE",
                                                     help="Header; repeat for several. NAME alone is null, NAME= empty.")] = None,
    header_json: Annotated[list[str] | None, typer.Option("--header-json", metavar="NAME=JSON",
                                                          help="Header with a type: n={\"int32\":5}, b={\"base64\":\"AP8=\"}.")] = None,
    property_: Annotated[list[str] | None, typer.Option("--property", metavar="NAME=VALUE", help="AMQP property: content_type=…, priority=5.")] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="TEXT", help="Message id: Nats-Msg-Id, AMQP message_id, x-message-id on Kafka.")] = None,
    time_: Annotated[str | None, typer.Option("--time", metavar="TIME", help="The message's own time, where the broker keeps one.")] = None,
    partition: Annotated[int | None, typer.Option("--partition", "-p", min=0, max=2**31 - 1, metavar="N",
                                                  help="Kafka partition; without it the key decides, as in Java's clients.")] = None,
    routing_key: Annotated[str | None, typer.Option("--routing-key", metavar="TEXT", help="Routing key or subject, where the address leaves it open.")] = None,
    tombstone: Annotated[bool, typer.Option("--tombstone", "-Z", help="One message with a null body.")] = False,
    core: Annotated[bool, typer.Option("--core", help="Fire and forget (NATS without JetStream): confirmed means that the server has read it.")] = False,
    correlate: Annotated[bool, typer.Option("--correlate", help="Add x-correlation-id, x-trace-id, traceparent, x-origin-service and x-attempts.")] = False,
    correlation_id: Annotated[str | None, typer.Option("--correlation-id", metavar="TEXT", help="With --correlate: this id for all messages.")] = None,
    origin_service: Annotated[str | None, typer.Option("--origin-service", metavar="NAME", help="With --correlate: who sends; without it brokercli.")] = None,
    rate: shared.RateOption = None,
    receipts: shared.ReceiptsOption = False,
    on_bad_input: Annotated[Literal["stop", "skip"], typer.Option("--on-bad-input",
                                                                  help="A line that is no envelope, or too long: stop there, or go on.")] = "stop",
    max_message: Annotated[int, typer.Option("--max-message", metavar="BYTES", min=1, help="Longest body taken from input.")] = 64 << 20,
    keep_control_headers: shared.KeepControlOption = False,
    delivery_timeout: shared.DeliveryTimeoutOption = "30s",
    fail_if_empty: shared.FailIfEmptyOption = False,
    quiet: shared.QuietOption = False,
    report: shared.ReportOption = None,
    context_name: shared.ContextOption = None,
    connect_timeout: shared.ConnectTimeoutOption = None,
) -> None:
    """Publish messages and say what became of each: confirmed, refused, or unknown. Exits with 0 only when all are confirmed."""
    from brokercli.backends.contract import PublishPolicy
    from brokercli.commands.files import check_report
    from brokercli.commands.publish_input import Wanted, open_source
    from brokercli.commands.publish_output import Decided, Delivery
    from brokercli.commands.publish_template import template_of
    from brokercli.commands.session import open_address, streams_of
    from brokercli.model.capability import Capability
    from brokercli.model.errors import UsageProblem
    from brokercli.operations.bulk import prepare_for_bulk
    from brokercli.operations.correlation import Correlated
    from brokercli.operations.one_id import OneId
    from brokercli.operations.publishing import Publishing, Rate, Source

    check_report(report, "what --receipts prints" if receipts else None, files=file or ())
    streams = streams_of(context)
    wanted = Wanted(body, tombstone, tuple(file or ()), input_, delimiter, max_message)
    template = template_of(key, header or [], header_json or [], property_ or [], id_, time_, partition, routing_key)
    per_second, seconds = shared.parse_rate(rate), shared.parse_delivery_timeout(delivery_timeout)
    source: Source = open_source(wanted, template, streams)
    if correlate:
        source = Correlated(source, template, "brokercli" if origin_service is None else origin_service, correlation_id)
    elif correlation_id is not None or origin_service is not None:
        raise UsageProblem(f"--{'origin-service' if correlation_id is None else 'correlation-id'} goes with --correlate.")
    with Decided() as decided, open_address(address, context_name, "publish", connect_timeout=connect_timeout) as session:
        session.require(Capability.FIRE_AND_FORGET if core else Capability.PUBLISH, *wanted.capabilities(template))
        if routing_key is not None and not session.backend.leaves_route_open(session.address):
            raise UsageProblem(f"--routing-key goes with an address that leaves it open, and {session.address} says where messages go.")
        if id_ is not None and session.has(Capability.DEDUPLICATE):
            source = OneId(source, id_)
        policy = PublishPolicy(template, seconds, receipts, core, keep_control_headers, bodies_only=wanted.bodies_only and not correlate)
        prepare_for_bulk()
        with (session.backend.publisher(session.address, policy) as publisher,
              Delivery(streams, decided, "published", receipts=receipts, quiet=quiet, report=report,
                       stops_at_bad_input=on_bad_input == "stop", typed=wanted.typed(streams)) as delivery):
            publishing = Publishing(publisher, delivery.take, delivery.stopping, Rate(per_second), on_bad_input, seconds, delivery.silence.waits)
            began = time.monotonic()
            delivery.run(publishing, lambda: publishing.run(source), lambda: time.monotonic() - began, fail_if_empty=fail_if_empty)
    raise typer.Exit(decided.code or 0)
