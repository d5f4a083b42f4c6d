"""Positions, ranges, durations and times as they are typed: each is what it says, to the nanosecond, or is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.errors import UsageProblem
from brokercli.model.position import (
    LARGEST_NUMBER,
    End,
    Last,
    Moment,
    Number,
    PerPartition,
    Position,
    Span,
    Start,
    format_time,
    parse_duration,
    parse_position,
    parse_range,
    parse_time,
    read_time,
)

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
NOON = 1_795_521_600 * SECOND  # 2026-11-24T12:00:00Z
COUNTS = st.integers(0, LARGEST_NUMBER)


@pytest.mark.parametrize(("text", "position"), [
    ("start", Start()), ("end", End()), ("0", Number(0)), ("9223372036854775807", Number(LARGEST_NUMBER)), ("-20", Last(20)),
    ("3:1200", PerPartition(((3, 1200),))), ("3:1200,0:7", PerPartition(((3, 1200), (0, 7)))),
    ("@now", Moment(NOON)), ("@-1h30m", Moment(NOON - HOUR * 3 // 2)), ("@+90s", Moment(NOON + 90 * SECOND)),
    ("@2026-11-24T12:00Z", Moment(NOON)), ("@2026-11-24", Moment(NOON - 12 * HOUR)),
    # seconds, milli-, micro- and nanoseconds since 1970, by their digits
    ("@1795521600", Moment(NOON)), ("@1795521600000", Moment(NOON)), ("@1795521600000000", Moment(NOON)), ("@1795521600000000001", Moment(NOON + 1)),
    ("@999999999", Moment(999_999_999 * SECOND))])
def test_a_position_is_what_is_typed(text: str, position: Position) -> None:
    assert parse_position(text, now=NOON) == position


@pytest.mark.parametrize(("text", "why"), [
    ("", "no position"), ("Start", "no position"), ("1 ", "no position"), ("--1", "no position"), ("1:2,", "no position"), ("+5", "no position"),
    ("٣", "no position"), ("1:2,1:3", "a partition twice"), ("9223372036854775808", "larger than any broker counts"),
    ("-9223372036854775808", "larger than any broker counts"), ("0:9223372036854775808", "larger than any broker counts"),
    pytest.param("1" * 5000, "larger than any broker counts", id="thousands of digits"),
    ("@", "no time"), ("@12345678", "no time"), ("@-", "no duration"), ("@-1", "no duration"),
    ("@12345678901234567890", "no time")])
def test_what_is_no_position_is_refused_for_what_is_wrong_with_it(text: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why):
        parse_position(text)


@given(st.builds(Number, COUNTS) | st.builds(Last, COUNTS) | st.sampled_from([Start(), End()]) | st.builds(Moment, st.integers(-(10**18), 10**19))
       | st.builds(PerPartition, st.dictionaries(st.integers(0, 99), COUNTS, min_size=1, max_size=3).map(lambda offsets: tuple(offsets.items()))))
def test_a_position_that_is_printed_is_read_back(position: Position) -> None:
    assert parse_position(str(position)) == position


def test_a_relative_time_counts_from_now() -> None:
    before = time.time_ns()
    position = parse_position("@-1h")
    # the clock is read as a float of whole microseconds
    assert isinstance(position, Moment)
    assert before - 10_000 <= position.nanoseconds + HOUR <= time.time_ns() + 10_000


@pytest.mark.parametrize(("text", "start", "end"), [
    ("100:200", Number(100), Number(200)), ("100:", Number(100), End()), (":200", Start(), Number(200)), ("start:-5", Start(), Last(5)),
    ("@2026-11-24T12:00:00Z:@2026-11-24T13:00Z", Moment(NOON), Moment(NOON + HOUR)), ("@2026-11-24T12:00Z:end", Moment(NOON), End()),
    ("3:10:", PerPartition(((3, 10),)), End()), ("3:10:3:20", PerPartition(((3, 10),)), PerPartition(((3, 20),)))])
def test_both_ends_of_a_range_are_where_positions_meet(text: str, start: Position, end: Position) -> None:
    assert parse_range(text) == Span(start, end)


@pytest.mark.parametrize(("text", "why"), [("100", "is no range"), ("a:b", "is no range"), ("1:2:3", "more than one way")])
def test_a_range_that_could_be_two_or_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why):
        parse_range(text)


@pytest.mark.parametrize(("text", "nanoseconds"), [
    ("250ms", SECOND // 4), ("90s", 90 * SECOND), ("2m", 120 * SECOND), ("1h30m", HOUR * 3 // 2), ("2d", 48 * HOUR), ("1w", 168 * HOUR), ("0.1s", SECOND // 10),
    ("0s", 0)])
def test_a_duration_counts_what_its_units_say(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "h", "1h 30m", "-1h", "1y", "1.h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", f"{'9' * 400}s", f"{'9' * 5000}w"], ids=len)
def test_a_duration_that_nothing_can_wait_for_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="A duration is 100 years at most"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "nanoseconds"), [
    ("2026-11-24T13:30:00.123456789+01:30", NOON + 123_456_789), ("2026-11-24 12:00", NOON), ("2026-11-24T12:00:00,5z", NOON + SECOND // 2),
    ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999Z", -SECOND // 1000), ("2026-11-24T07:00:00-0500", NOON)])
def test_a_time_is_read_to_the_nanosecond_and_without_a_zone_is_utc(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize("text", ["ns", f"{10**40}ns", "1.5ns", "2026-02-30", "-"])
def test_what_was_never_written_for_a_time_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="is no time"):
        read_time(text)


@given(st.integers(-(2**63), 2**63 - 1).map(lambda milliseconds: milliseconds * 1_000_000) | st.integers(1 - 10**30, 10**30 - 1))
def test_any_time_is_read_as_it_is_written_also_in_a_year_that_has_no_name(nanoseconds: int) -> None:
    assert read_time(format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize("text", ["2026-02-30", "2026-11-24T25:00", "2026-11-24T12", "24.11.2026", "2026-11-24T12:00:00.1234567890Z", "2026-11-24T12:00+25:00"])
def test_a_time_that_never_is_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="is no time"):
        parse_time(text)


@pytest.mark.parametrize(("nanoseconds", "text"), [
    (NOON, "2026-11-24T12:00:00.000Z"), (NOON + 1_000_000, "2026-11-24T12:00:00.001Z"), (NOON + 1_001_000, "2026-11-24T12:00:00.001001Z"),
    (NOON + 1_000_001, "2026-11-24T12:00:00.001000001Z"), (-1, "1969-12-31T23:59:59.999999999Z"), (10**24, f"{10**24}ns")])
def test_a_time_is_written_with_as_many_digits_as_it_needs(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text
