"""What counting letters keeps, however many different ones there are."""

from __future__ import annotations

import gc

import pytest

from brokercli.backends.contract import Outline
from brokercli.backends.dead_letters import State
from brokercli.backends.envelope import decode_record
from brokercli.model.errors import NotFound
from brokercli.model.message import Message, Record
from brokercli.operations import inspecting
from brokercli.operations.inspecting import Group, find_letter, inspect, pending_envelopes
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.record_list import RecordList
from tests.operations.looked import Looked

SECOND = 1_000_000_000
RECOGNISER = Recogniser(None, fetch_originals=False)  # type: ignore[arg-type]
ALL, ONE_BY_ONE = LetterFilter(), LetterFilter(since=0)


class Outlined(RecordList):
    """Records that can be counted by kind."""

    def outlines(self) -> list[Outline]:
        return [(record.message.headers, record.message.key, record.message.body, record.time, "dlq") for record in self.records()]


def lying(count: int, reason: str = "timeout", name: str = "0:#", handled: int = 0) -> Looked:
    """Return a look at so many letters, in batches of ten, each of them with its number in what is asked for; the first are `handled`."""
    def record(number: int) -> Record:
        headers = (("x-dlq-reason", reason.replace("#", str(number)).encode()), ("x-original-topic", b"orders"))
        return Record("kafka", {"topic": "dlq", "partition": 0, "offset": number}, name.replace("#", str(number)), number * SECOND,
                      Message(body=b"{}", headers=headers))

    return Looked((Outlined([record(number) for number in range(first, first + 10)]) for first in range(0, count, 10)),
                  lambda record: record.place["offset"] in range(handled))


@pytest.mark.parametrize("letter_filter", [ALL, ONE_BY_ONE], ids=["by kind", "one by one"])
def test_groups_beyond_so_many_are_counted_together_and_all_counts_stay_right(letter_filter: LetterFilter,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "MOST_GROUPS", 7)
    counted = inspect(lying(60, "order # timed out"), RECOGNISER, letter_filter)
    assert (counted.matched, counted.together, len(counted.groups)) == (60, 53, 8)
    assert [(group.count, group.reason, group.origin, group.sample_name) for group in counted.by_count()][:2] == [
        (53, "various", "various", "0:7"), (1, "order 0 timed out", "topic:orders", "0:0")]


@pytest.mark.parametrize("letter_filter", [ALL, ONE_BY_ONE], ids=["by kind", "one by one"])
def test_letters_that_are_counted_together_stay_so_where_shorter_words_make_room_again(letter_filter: LetterFilter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "MOST_BYTES", 5000)

    def record(number: int, words: bytes) -> Record:
        headers = (("x-dlq-reason", b"order %d timed out" % (number % 10)), ("x-dlq-error-message", words), ("x-original-topic", b"orders"))
        return Record("kafka", {"topic": "dlq", "partition": 0, "offset": number}, f"0:{number}", SECOND, Message(body=b"{}", headers=headers))

    # the first ten were handled: what is shown of their groups is taken from letters that are pending, once there are some
    letters = [record(number, b"short" if 10 <= number < 20 else b"very long " * 100) for number in range(30)]
    counted = inspect(Looked((Outlined(letters[first:first + 10]) for first in (0, 10, 20)), lambda letter: letter.place["offset"] in range(10)),
                      RECOGNISER, letter_filter)
    assert (counted.matched, counted.together, len(counted.groups)) == (30, 15, 6)


@pytest.mark.parametrize("letter_filter", [ALL, ONE_BY_ONE], ids=["by kind", "one by one"])
@pytest.mark.parametrize(("handled", "sample"), [(0, "0:0"), (5, "0:5"), (10, "0:10"), (13, "0:13"), (20, "0:0")])
def test_the_sample_is_the_first_that_is_pending_where_one_is(letter_filter: LetterFilter, handled: int, sample: str) -> None:
    (group,) = inspect(lying(20, handled=handled), RECOGNISER, letter_filter).groups.values()
    assert group.sample_name == sample


def test_nothing_is_counted_together_where_there_are_few_groups() -> None:
    counted = inspect(lying(60), RECOGNISER, ALL)
    assert (counted.matched, counted.together, len(counted.groups)) == (60, 0, 1)


def test_no_letter_is_kept_that_was_counted() -> None:
    counted = inspect(lying(30, "order # timed out"), RECOGNISER, ONE_BY_ONE)
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Record) and one.message.headers[:1] and "timed out" in str(one.message.headers[0][1])]
    assert len(counted.groups) == 30


@pytest.mark.parametrize(("wanted", "position"), [("#1", "0:5"), ("#7", "0:11"), ("#15", "0:19"), ("0:2", "0:2"), ("0:12", "0:12")])
def test_a_letter_is_found_by_its_place_or_as_the_nth_that_is_pending(wanted: str, position: str) -> None:
    found = find_letter(lying(20, handled=5), RECOGNISER, wanted)
    assert found is not None
    letter, state = found
    assert (letter.record.position, state is State.PENDING) == (position, position != "0:2")


@pytest.mark.parametrize(("wanted", "body"), [("7", b"at 7"), ("8", b"at 1"), ("eight", b"at 2")])
def test_a_position_means_the_letter_there_also_where_one_before_it_has_it_for_its_id(wanted: str, body: bytes) -> None:
    def letter(number: int, identity: str) -> Record:
        return Record("nats", {"subject": "dlq", "sequence": number}, str(number), None, Message(body=b"at %d" % number, id=identity))

    looked = Looked([RecordList([letter(1, "8"), letter(2, "eight"), letter(3, "7")]), RecordList([letter(6, "8"), letter(7, "x")])])
    found = find_letter(looked, RECOGNISER, wanted)
    assert found is not None
    assert found[0].record.message.body == body


@pytest.mark.parametrize("wanted", ["#0", "#16", "#x", "0:20", ""])
def test_there_is_no_letter_of_another_number(wanted: str) -> None:
    with pytest.raises(NotFound, match=f"There is no letter {wanted}") as nowhere:
        find_letter(lying(20, handled=5), RECOGNISER, wanted)
    assert "#1 is the first pending one" in str(nowhere.value.hint), "of several partitions it need not be the oldest"


@pytest.mark.parametrize("letter_filter", [ALL, ONE_BY_ONE], ids=["by kind", "one by one"])
def test_letters_are_counted_by_what_became_of_them_and_only_pending_ones_are_exported(letter_filter: LetterFilter) -> None:
    counted = inspect(lying(20, handled=5), RECOGNISER, letter_filter)
    group, = counted.groups.values()
    assert (counted.read, counted.matched, counted.homeless, counted.gone, counted.states) == (20, 20, 0, 0, {State.REDRIVEN: 5, State.PENDING: 15})
    assert (group.count, group.first, group.last, group.states) == (20, 0, 19 * SECOND, counted.states)
    handled: list[int] = []
    lines = [line for batch in pending_envelopes(lying(20, handled=5), RECOGNISER, letter_filter, on_handled=handled.append) for line in batch]
    assert (handled, [decode_record(line, 1).position for line in lines]) == ([5, 0], [f"0:{number}" for number in range(5, 20)])


@pytest.mark.parametrize("letter_filter", [ALL, ONE_BY_ONE], ids=["by kind", "one by one"])
def test_letters_without_a_home_and_those_of_which_nothing_is_left_are_counted_apart(letter_filter: LetterFilter) -> None:
    def letter(number: int, *headers: tuple[str, bytes], body: bytes | None = b"{}") -> Record:
        return Record("kafka", {"topic": "dlq", "partition": 0, "offset": number}, f"0:{number}", number * SECOND, Message(body=body, headers=headers))

    pointer = tuple((f"__dlq.errors.{name}", value) for name, value in (("topic", b"orders"), ("partition", b"0"), ("offset", b"7")))
    mixed = [letter(1, ("x-dlq-reason", b"late"), ("x-original-topic", b"orders")), letter(2), letter(3, *pointer, body=None),
             letter(4, ("x-dlq-reason", b"late"), ("x-original-topic", b"orders")), letter(5)]
    counted = inspect(Looked([Outlined(mixed), Outlined(mixed[:2])]), RECOGNISER, letter_filter)
    assert (counted.read, counted.matched, counted.homeless, counted.gone) == (7, 7, 3, 1)
    assert counted.seconds == {1: 2, 2: 2, 3: 1, 4: 1, 5: 1}
    assert sorted((group.dialect, group.count) for group in counted.groups.values()) == [("generic", 3), ("share group", 1), ("unknown", 3)]


def test_a_group_says_the_first_and_the_last_death_and_the_fewest_and_most_attempts_in_whatever_order_they_are_read() -> None:
    group = Group("generic", "late", "", "topic:orders", "", "0:1", "", ())
    for died, attempts in ((5, 2), (3, None), (None, 1), (9, 4), (4, 3)):
        group.take(died, attempts, State.PENDING)
    assert (group.count, group.first, group.last, group.fewest_attempts, group.most_attempts, group.states) == (5, 3, 9, 1, 4, {State.PENDING: 5})


def test_seconds_beyond_so_many_are_counted_by_larger_shares_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "_MOST_MOMENTS", 16)
    counted = inspect(lying(100), RECOGNISER, ALL)
    assert (sum(counted.seconds.values()), len(counted.seconds), min(counted.seconds), max(counted.seconds)) == (100, 13, 0, 96)


@pytest.mark.parametrize(("letter_filter", "samples"), [(ALL, ["#1", "#2", "#12"]), (ONE_BY_ONE, ["", "", ""])])
def test_a_sample_of_each_group_is_named_by_its_number_where_its_broker_numbers_nothing(letter_filter: LetterFilter, samples: list[str]) -> None:
    counted = inspect(lying(12, "order # timed out", name=""), RECOGNISER, letter_filter)
    found = {group.reason: group.sample_name for group in counted.groups.values()}
    assert [found[f"order {number} timed out"] for number in (0, 1, 11)] == samples


def test_a_number_with_too_many_digits_is_no_letter() -> None:
    with pytest.raises(NotFound):
        find_letter(lying(2), RECOGNISER, f"#{'9' * 5000}")
