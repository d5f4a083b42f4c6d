"""The suite can see a lie: each lie told here by a broken backend makes the test fail that is there to catch it.

A test that passes proves something only when it fails for the broken thing. The lies are those that would cost a user
messages, or the belief in what the tool says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from brokercli_memory import look, publish
from brokercli_memory.backend import MemoryBackend
from brokercli_memory.wire import Line, pack
from hypothesis import Phase, settings

from brokercli.model.message import Record
from brokercli.model.position import Number, Position
from brokercli.model.receipt import Receipts
from tests.conformance import test_fidelity, test_in_doubt, test_leaves_no_trace, test_look_new, test_look_stored, test_publish, test_views
from tests.faults.proxy import Proxy
from tests.native.harness import Broker, Resource

Patch = pytest.MonkeyPatch
Check = Callable[..., None]

Publisher, Reader, Batch = publish.MemoryPublisher, look.MemoryReader, look.MemoryBatch
say, count, records, read, offset_of = Line.say, Receipts.count, Batch.records, Reader.read, Reader._offset_of


def confirms_what_it_drops(patch: Patch) -> None:
    def send(self: Any, messages: Any) -> int:
        self._early.confirmed += len(messages)
        self._in_flight += len(messages)
        return len(messages)

    patch.setattr(Publisher, "send", send)


def confirms_what_nobody_answered(patch: Patch) -> None:
    def give_up(self: Any, receipts: Receipts) -> None:
        receipts.confirmed += len(self._batches.popleft()[0])

    patch.setattr(Publisher, "_give_up", give_up)


def calls_the_unanswered_refused(patch: Patch) -> None:
    def give_up(self: Any, receipts: Receipts) -> None:
        receipts.refused += len(self._batches.popleft()[0])

    patch.setattr(Publisher, "_give_up", give_up)


def swaps_two_neighbours(patch: Patch) -> None:
    def say_swapped(self: Any, question: dict[str, Any]) -> None:
        question.get("messages", []).sort(key=lambda message: message["envelope"])
        say(self, question)

    patch.setattr(Line, "say", say_swapped)


def sends_everything_twice(patch: Patch) -> None:
    def say_twice(self: Any, question: dict[str, Any]) -> None:
        if question["do"] == "publish":
            say(self, question)
            self.hear(None)
        say(self, question)

    patch.setattr(Line, "say", say_twice)


def loses_a_header(patch: Patch) -> None:
    patch.setattr(publish, "pack", lambda message: pack(replace(message, headers=message.headers[1:])))


def makes_null_empty(patch: Patch) -> None:
    patch.setattr(publish, "pack", lambda message: pack(replace(message, body=message.body or b"")))


def refuses_the_neighbours_too(patch: Patch) -> None:
    def count_all(self: Receipts, receipt: Any) -> None:
        if receipt.verdict == "refused":
            self.refused, self.confirmed = self.refused + self.confirmed, 0
        count(self, receipt)

    patch.setattr(Receipts, "count", count_all)


def takes_what_it_shows(patch: Patch) -> None:
    def read_and_take(self: Any, timeout: float) -> Any:
        batch = read(self, timeout)
        self._ask("trim", first=self._next)
        return batch

    patch.setattr(Reader, "read", read_and_take)


def shows_other_envelopes(patch: Patch) -> None:
    patch.setattr(Batch, "envelopes", lambda self: [b"{}" for _ in records(self)])


def selects_something_else(patch: Patch) -> None:
    patch.setattr(Batch, "select", lambda self, indices: Batch(self._source, self._entries[:len(indices)][::-1]))


def skips_a_record(patch: Patch) -> None:
    def all_but_one(self: Any) -> list[Record]:
        return [record for record in records(self) if record.place["offset"] != 7]

    patch.setattr(Batch, "records", all_but_one)
    patch.setattr(Batch, "__len__", lambda self: len(all_but_one(self)))


def follows_a_growing_end(patch: Patch) -> None:
    def grown(self: Any) -> bool:
        self._until = self._ask("state")["next"]
        return bool(self._next >= self._until)

    patch.setattr(Reader, "finished", property(grown))


def jumps_to_what_is_stored(patch: Patch) -> None:
    def jump(self: Any, position: Position, *, end: bool = False) -> int:
        if isinstance(position, Number):
            return int(max(self._first, min(position.value, self._end)))
        return int(offset_of(self, position, end=end))

    patch.setattr(Reader, "_offset_of", jump)


def starts_a_live_look_late(patch: Patch) -> None:
    def read_late(self: Any, timeout: float) -> Any:
        if not hasattr(self, "late"):
            self.late = True
            self._next = self._ask("state")["next"]
        return read(self, timeout)

    patch.setattr(Reader, "read", read_late)


def creates_what_is_missing(patch: Patch) -> None:
    resolve = MemoryBackend.resolve

    def resolve_or_create(self: Any, address: Any, purpose: Any) -> Any:
        self._line.ask({"do": "create", "kind": address.kind, "name": address.name})
        return resolve(self, address, purpose)

    patch.setattr(MemoryBackend, "resolve", resolve_or_create)


LIES: list[tuple[Callable[[Patch], None], Check, tuple[Any, ...]]] = [
    (confirms_what_it_drops, test_publish.test_what_is_confirmed_is_stored_once_and_in_the_order_given, ()),
    (swaps_two_neighbours, test_publish.test_what_is_confirmed_is_stored_once_and_in_the_order_given, ()),
    (sends_everything_twice, test_publish.test_what_is_confirmed_is_stored_once_and_in_the_order_given, ()),
    (loses_a_header, test_publish.test_bare_bodies_are_published_with_the_headers_of_the_template, ()),
    (makes_null_empty, test_publish.test_a_null_body_is_not_an_empty_one, ()),
    (refuses_the_neighbours_too, test_publish.test_an_oversized_message_is_refused_alone_and_its_neighbours_arrive, ()),
    (takes_what_it_shows, test_leaves_no_trace.test_a_look_at_what_is_stored_changes_nothing, ("to its end",)),
    (takes_what_it_shows, test_leaves_no_trace.test_messages_seen_live_are_still_there_for_those_they_were_meant_for, ()),
    (skips_a_record, test_look_stored.test_everything_is_read_in_order_with_the_numbers_the_broker_gave, ()),
    (jumps_to_what_is_stored, test_look_stored.test_a_number_that_is_not_stored_yet_is_refused_with_the_range_that_is, ()),
    (jumps_to_what_is_stored, test_look_stored.test_a_number_that_is_no_longer_stored_is_refused_and_the_start_moves_up, ()),
    (follows_a_growing_end, test_look_stored.test_a_source_that_grows_while_it_is_read_ends_where_it_ended_at_the_start, ()),
    (starts_a_live_look_late, test_look_new.test_what_arrives_after_the_look_was_opened_is_seen_and_what_was_there_is_not, ()),
]
"""What is broken, the test that must see it, and what else that test wants."""


def lie_to_the_impatient(lie: Callable[[Patch], None], patch: Patch) -> None:
    """Break the backend, and do not wait long for what it will never do then."""
    for module in (test_publish, test_look_stored, test_leaves_no_trace, test_in_doubt):
        if hasattr(module, "PATIENCE"):
            patch.setattr(module, "PATIENCE", 1.0)
    patch.setattr("tests.conformance.driving.PATIENCE", 1.0)
    for module in (test_views, test_fidelity):
        # the first example that shows the lie will do, it need not be the smallest
        patch.setattr(module, "EXAMPLES", settings(module.EXAMPLES, phases=[Phase.generate]))
    lie(patch)


def only_memory(broker: str, row: str) -> bool:
    """Pick the rows of the backend that is broken here."""
    return (broker, row) == ("memory", "topic")


@pytest.mark.needs(where=only_memory)
@pytest.mark.parametrize(("lie", "check", "more"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_lie_is_seen(lie: Callable[[Patch], None], check: Check, more: tuple[Any, ...], broker: Broker, resource: Resource, monkeypatch: Patch) -> None:
    check(broker, resource, *more)
    lie_to_the_impatient(lie, monkeypatch)
    another = broker.make("topic")
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        check(broker, another, *more)


@pytest.mark.needs(where=only_memory)
@pytest.mark.parametrize(("lie", "check"), [
    (shows_other_envelopes, test_views.test_the_three_views_of_stored_records_agree),
    (selects_something_else, test_views.test_the_three_views_of_stored_records_agree),
    (loses_a_header, test_fidelity.test_a_copy_through_envelopes_is_bit_exact),
    (makes_null_empty, test_fidelity.test_a_copy_through_records_is_bit_exact),
    (creates_what_is_missing, test_publish.test_a_destination_that_does_not_exist_is_refused_and_not_created),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_lie_about_any_message_is_seen(lie: Callable[[Patch], None], check: Check, broker: Broker, row: str, monkeypatch: Patch) -> None:
    lie_to_the_impatient(lie, monkeypatch)
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        check(broker, row)


@pytest.mark.needs(where=only_memory)
@pytest.mark.parametrize("lie", [confirms_what_nobody_answered, calls_the_unanswered_refused], ids=lambda lie: lie.__name__)
def test_a_lie_about_a_verdict_is_seen(lie: Callable[[Patch], None], broker: Broker, row: str, monkeypatch: Patch) -> None:
    lie_to_the_impatient(lie, monkeypatch)
    with Proxy((broker.host, broker.port)) as proxy:
        reached = broker.behind(proxy, lambda name: None)
        with pytest.raises(AssertionError):
            test_in_doubt.test_messages_whose_confirmation_is_lost_are_unknown(reached, reached.make(row), proxy)
        proxy.heal()
        reached.clean()
