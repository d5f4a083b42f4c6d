"""Whatever a record holds, it is read without an exception, and no nonsense in it becomes a home or a number."""

from __future__ import annotations

from hypothesis import given, settings

from brokercli.dialects import Facts, parse_user_dialect, recognise, stamp, to_message
from brokercli.dialects.names import problem_with
from brokercli.model.message import Record
from tests.dialects.originals import soups

MINE = parse_user_dialect("mine", {
    "when": ["x-original-topic"], "topic": "x-original-topic", "partition": {"header": "x-original-partition", "format": "int32"},
    "attempts": "x-attempts", "failed_at": "x-failed-at", "strip": ["x-*"], "ignore_case": True})
TOPOLOGY = Facts(wait_queues={"orders": "orders.dlq"}, dead_letter_destinations=frozenset({"a" * 5000}))


@settings(max_examples=400, deadline=None)
@given(soups())
def test_no_record_makes_it_raise(record: Record) -> None:
    for letter in (recognise(record), recognise(record, extra=[MINE], facts=TOPOLOGY)):
        assert letter.record is record
        for home in letter.homes:
            assert home.derived.isprintable()
            assert problem_with(home.address.kind or "", home.address.name) is None
            assert home.address.kind == "exchange" or home.address.name != record.place.get(home.address.kind or "")
        assert letter.attempts is None or 0 <= letter.attempts <= 1_000_001
        assert letter.redrives is None or 0 <= letter.redrives <= 1_000_000
        assert all(remark.isprintable() for remark in letter.remarks)
        if letter.complete:
            message = stamp(to_message(letter), letter, 10**18)
            assert len(message.headers) <= len((letter.unwrapped or record.message).headers) + 3
