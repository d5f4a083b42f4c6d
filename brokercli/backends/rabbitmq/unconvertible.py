"""Messages that RabbitMQ has no form for in AMQP 0-9-1.

What was published over AMQP 1.0 it turns into a message of AMQP 0-9-1 as it hands it over, and it fails over a UUID or a char among application
properties or annotations, and over a ulong in a list there: whoever was to get it loses the whole connection (541, seen on 4.3.6: function_clause in
mc_amqpl:to_091). It stays where it lies, and so does what lies behind it: whoever comes next comes to it as well.
"""

from __future__ import annotations

from brokercli.model.amount import amount
from brokercli.model.errors import Failed

_MOST_LIKELY = "most likely it was published over AMQP 1.0 with a value that AMQP 0-9-1 has no form for, as a UUID among its application properties"


class OfNoForm(Failed):
    """RabbitMQ ended the connection over a message that it was to hand over."""


def no_form_for_letter(queue: str, before: int) -> OfNoForm:
    """Return what to raise where RabbitMQ failed as it handed over letters of a queue, and so many had come before."""
    where = f"behind the first {amount(before, 'letter')}" if before > 1 else "behind the first letter" if before else "at the front"
    return OfNoForm(f"RabbitMQ itself failed (541) over a letter {where} of {queue}, which no client of AMQP 0-9-1 can get: {_MOST_LIKELY}.",
                    hint="a client that speaks AMQP 1.0 gets it out, and nothing is reached behind it as long as it comes first; the broker's log"
                    " says mc_amqpl and function_clause where it is so")


def no_form_for_record(stream: str, offset: int | None) -> OfNoForm:
    """Return what to raise where RabbitMQ failed as it handed over the record of a stream at an offset; None: one of the last that there are, or
    of those that come."""
    where = f"the record at the offset {offset} of {stream}" if offset is not None else f"one of the last records of {stream}"
    instead = ("a client that speaks AMQP 1.0 or the stream protocol reads it; a stream that is deleted at this moment ends so as well: brokercli ls shows"
               " what there is" if offset is None
               else f"--from {offset + 1} begins behind it; a client that speaks AMQP 1.0 or the stream protocol reads it")
    return OfNoForm(f"RabbitMQ itself failed (541) over {where}, which no client of AMQP 0-9-1 can get: {_MOST_LIKELY}.", hint=instead)


def no_form_for_passing(reason: str) -> str:
    """Return what to say of the end of a connection over which messages were seen passing."""
    return f"{reason} over a message that came, which is not shown, nor what came right behind it: {_MOST_LIKELY}"
