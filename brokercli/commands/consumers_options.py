"""Which consumer is meant, and the options that several commands about consumers have."""

from __future__ import annotations

from typing import Annotated

import typer

from brokercli.commands.options import complete_address, complete_consumer

_HOW = "Kafka: a group; JetStream: STREAM/NAME; RabbitMQ: the queue that is consumed; @CONTEXT/ before it, or a broker's URL."
NameArgument = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_consumer, show_default=False, help=_HOW)]
NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME...", autocompletion=complete_consumer, show_default=False,
                                                    help=f"Names, or patterns with * and ?. {_HOW}")]
PatternsArgument = Annotated[list[str] | None, typer.Argument(metavar="[PATTERN]...", autocompletion=complete_consumer, show_default=False,
                                                              help="Only names like these, with * and ?; @CONTEXT/ another broker; also a broker's URL.")]
SourceOption = Annotated[str | None, typer.Option("--address", metavar="ADDRESS", autocompletion=complete_address,
                                                  help="Only what it reads of this, where it reads several.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it. Without this it is said what would be done; on a terminal it is asked.")]
