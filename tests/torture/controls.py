"""Faults planted into brokercli on purpose, in the child only: a checker that does not catch each of them proves nothing."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.torture.check import Kind
from tests.torture.crash import replace
from tests.torture.fault import Fault


@dataclass(frozen=True, slots=True)
class Control:
    """One kind of carelessness. `plant` makes it, for one broker."""

    words: str
    shows: Kind
    """What the checker has to say, beside whatever else it says."""
    where: dict[str, Fault | None]
    """Broker → the disturbance that brings it to light; None where it shows by itself."""
    plant: Callable[[str], None]
    operation: str = "redrive"


def _mark_first(broker: str) -> None:
    def on_kafka(run: Callable[..., Any]) -> Callable[..., Any]:
        def marks_first(self: Any, copies: Sequence[Any], *more: Any) -> Any:
            run(self, [], *more)
            return run(self, copies, *more)
        return marks_first

    def on_nats(settle: Callable[..., Any]) -> Callable[..., Any]:
        def taken_out_first(self: Any, given: Any, *more: Any) -> Any:
            self._in_hand._remover.remove([row.sequence for row in given.rows()] if more else [move.record.place["sequence"] for move in given])
            return settle(self, given, *more)
        return taken_out_first

    def on_rabbitmq(settle: Callable[..., Any]) -> Callable[..., Any]:
        def acknowledged_first(self: Any, given: Any, *more: Any) -> Any:
            tags = [delivery.tag for delivery in given.deliveries()] if more else [move.record.tag for move in given]
            type(self._holding).acknowledge(self._holding, sorted(tags))
            self._holding.acknowledge = lambda tags: True
            return settle(self, given, *more)
        return acknowledged_first

    if broker == "kafka":
        replace("backends.kafka.transaction:Transactions.run", on_kafka)
    elif broker == "nats":
        replace("backends.nats.repair:NatsRepair.settle", on_nats)
        replace("backends.nats.repair:NatsRepair.forward", on_nats)
    else:
        replace("backends.rabbitmq.repair:RabbitMQRepair.begin", on_rabbitmq)
        replace("backends.rabbitmq.repair:RabbitMQRepair.forward", on_rabbitmq)


def _skip_the_drain(broker: str) -> None:
    from brokercli.model.receipt import Receipt, Receipts, Verdict

    def make(settle: Callable[..., Any]) -> Callable[..., Any]:
        def believe(self: Any, timeout: float | None = None) -> None:
            account = self.outcome.account
            judged = account.confirmed + account.refused + account.unknown - self._elsewhere
            confirmations = [Receipt(index, Verdict.CONFIRMED, "?") for index in range(judged, self.accepted)]
            self._take(Receipts(confirmed=len(confirmations), confirmations=confirmations))
        return believe
    replace("operations.publishing:Publishing.settle", make)


def _keep_the_first_id(broker: str) -> None:
    def make(prepared: Callable[..., Any]) -> Callable[..., Any]:
        def with_the_first_id(self: Any, index: int, move: Any, seen: set[int]) -> Any:
            handled = prepared(self, index, move, seen)
            if not isinstance(handled, str):
                message = move.record.message
                first = next((value.decode() for name, value in message.headers if name == "Nats-Msg-Id"), message.id)
                handled.copy = dataclasses.replace(handled.copy, id=first)
            return handled
        return with_the_first_id

    def make_together(forward: Callable[..., Any]) -> Callable[..., Any]:
        def with_the_first_ids(self: Any, batch: Any, *more: Any) -> Any:
            firsts = {record.place["sequence"]: record.message.id for record in batch.records()}
            copy_id = self._originals.copy_id
            self._originals.copy_id = lambda sequence, original: firsts[sequence] or copy_id(sequence, original)
            return forward(self, batch, *more)
        return with_the_first_ids
    replace("backends.nats.repair:NatsRepair._prepared", make)
    replace("backends.nats.repair:NatsRepair.forward", make_together)


def _publish_without_mandatory(broker: str) -> None:
    replace("backends.rabbitmq.bulk_frames:_MANDATORY", lambda flag: b"\0")


def _handle_when_read(broker: str) -> None:
    def on_kafka(read: Callable[..., Any]) -> Callable[..., Any]:
        from brokercli.backends.dead_letters import State

        def committed_at_once(self: Any, timeout: float) -> Any:
            batch = read(self, timeout)
            if batch is not None:
                self.mark(batch.records(), State.REDRIVEN)
            return batch
        return committed_at_once

    def on_nats(read: Callable[..., Any]) -> Callable[..., Any]:
        def taken_out_at_once(self: Any, timeout: float) -> Any:
            batch = read(self, timeout)
            if batch is not None:
                self._in_hand._remover.remove([record.place["sequence"] for record in batch.records()])
            return batch
        return taken_out_at_once

    def on_rabbitmq(take: Callable[..., Any]) -> Callable[..., Any]:
        def acknowledged_at_once(self: Any, timeout: float) -> Any:
            deliveries = take(self, timeout)
            if deliveries:
                acknowledge(self, [delivery.tag for delivery in deliveries])
            return deliveries
        return acknowledged_at_once

    if broker == "kafka":
        replace("backends.kafka.repair:KafkaRepair.read", on_kafka)
    elif broker == "nats":
        replace("backends.nats.repair:NatsRepair.read", on_nats)
    else:
        from brokercli.backends.rabbitmq.holding import Holding

        acknowledge = Holding.acknowledge
        replace("backends.rabbitmq.holding:Holding.take", on_rabbitmq)
        replace("backends.rabbitmq.holding:Holding.acknowledge", lambda original: lambda self, tags: True)


def _write_without_forcing(broker: str) -> None:
    def make(write_lines: Callable[..., Any]) -> Callable[..., Any]:
        def written(self: Any, lines: Sequence[bytes]) -> None:
            os.write(self._descriptor, b"".join(line + b"\n" for line in lines))
            self.count += len(lines)
        return written
    replace("operations.letter_file:LetterFile.write_lines", make)


def _enter_first(broker: str) -> None:
    def make(settle: Callable[..., Any]) -> Callable[..., Any]:
        def entered_first(self: Any, moves: Sequence[Any]) -> Any:
            self._enter([move.record for move in moves])
            return settle(self, moves)
        return entered_first
    replace("operations.filed_letters:FiledRepair.settle", make)


def _mark_here_first(broker: str) -> None:
    def make(settle: Callable[..., Any]) -> Callable[..., Any]:
        def marked_first(self: Any, decisions: Sequence[Any]) -> Any:
            from brokercli.backends.dead_letters import State

            self.repair.mark([decision.letter.record for decision in decisions], State.REDRIVEN)
            return settle(self, decisions)
        return marked_first
    replace("operations.settlers:PuttingElsewhere.settle", make)


def _believe_the_program(broker: str) -> None:
    def make(transform: Callable[..., Any]) -> Callable[..., Any]:
        def whatever_it_ends_with(self: Any, message: Any) -> Any:
            from brokercli.operations.through import Transformed

            output = subprocess.run(self._arguments, input=message.body or b"", stdout=subprocess.PIPE, check=False).stdout
            return Transformed(dataclasses.replace(message, body=output))
        return whatever_it_ends_with
    replace("operations.through:Through.transform", make)


CONTROLS: dict[str, Control] = {
    "marked before confirmed": Control("a letter counts as handled before its copy is confirmed", Kind.LOST, {
        "kafka": Fault("crash", "committed"), "nats": Fault("crash", "before publishing"), "rabbitmq": Fault("crash", "before publishing")}, _mark_first),
    "no last wait": Control("at the end nobody waits for the verdicts that are missing", Kind.LOST, dict.fromkeys(
        ("kafka", "nats", "rabbitmq"), Fault("cut at its end")), _skip_the_drain, operation="publish"),
    "the first id again": Control("a copy goes back under the Nats-Msg-Id that its message had first", Kind.LOST, {"nats": None}, _keep_the_first_id),
    "not mandatory": Control("what no queue takes is not returned", Kind.LOST, {"rabbitmq": None}, _publish_without_mandatory),
    "handled when read": Control("reading commits or acknowledges", Kind.LOST, dict.fromkeys(
        ("kafka", "nats", "rabbitmq"), Fault("crash", "a batch was read")), _handle_when_read),
    "journal not forced": Control("the journal is written and not forced to the disk", Kind.UNJOURNALLED, {
        "kafka": Fault("crash", "committed"), "nats": Fault("crash", "taken out"), "rabbitmq": Fault("crash", "acknowledged")}, _write_without_forcing),
    # of these nothing knows a broker: one is enough
    "written down first": Control("a line of a file counts as put back before its copy is confirmed", Kind.LOST, {"nats": Fault("crash", "before publishing")},
                                  _enter_first, operation="file"),
    "marked here first": Control("a letter counts as handled before another broker has its copy", Kind.LOST, {
        "nats": Fault("crash", "before publishing there")}, _mark_here_first, operation="elsewhere"),
    "any end will do": Control("what a program printed is taken, however it ended", Kind.MISPLACED, {"nats": None}, _believe_the_program, operation="through"),
}
