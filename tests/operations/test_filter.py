"""Which records a filter keeps, and what it refuses before anything is read."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.contract import Batch
from brokercli.backends.envelope import encode_record
from brokercli.model.errors import Failed, UsageProblem
from brokercli.model.message import Header, Message, Record, Typed
from brokercli.operations import filter as module
from brokercli.operations.filter import Filter, left

NOW = 1_795_428_000_000_000_000  # 2026-11-23T10:00Z
HOUR = 3_600_000_000_000


class Records(Batch):
    """A batch that says which of its views were asked for."""

    def __init__(self, records: Sequence[Record], asked: set[str] | None = None) -> None:
        self._records = list(records)
        self.asked: set[str] = set() if asked is None else asked

    def __len__(self) -> int:
        return len(self._records)

    def bodies(self) -> list[bytes]:
        self.asked.add("bodies")
        return [record.message.body or b"" for record in self._records]

    def envelopes(self) -> list[bytes]:
        self.asked.add(f"{len(self)} envelopes")
        return [encode_record(record) for record in self._records]

    def records(self) -> list[Record]:
        self.asked.add(f"{len(self)} records")
        return self._records

    def select(self, indices: Sequence[int]) -> Records:
        assert list(indices) == sorted(set(indices))
        return Records([self._records[index] for index in indices], self.asked)


def record(body: bytes | None = b"", *headers: Header, time: int | None = NOW) -> Record:
    return Record("kafka", {"topic": "t", "partition": 0, "offset": 1}, "0:1", time, Message(body, None, headers))


def bodies(*texts: bytes | None) -> Records:
    return Records([record(text) for text in texts])


def passing(filtering: Filter, batch: Batch) -> Batch:
    return left(batch, filtering.indices(batch))


def kept(filtering: Filter, batch: Records) -> list[bytes | None]:
    result = passing(filtering, batch)
    assert isinstance(result, Records)
    return [each.message.body for each in result.records()]


@pytest.mark.parametrize(
    ("grep", "matching"),
    [
        (["err"], [b"an error", b"err"]),
        (["an", "err"], [b"an error"]),
        (["."], []),
        (["/^err$/"], [b"err"]),
        (["/ERR/i"], [b"an error", b"err"]),
        (["/caf.$/"], ["café".encode()]),
        (["é"], ["café".encode()]),
        (["/\udcff/"], [b"\xff\x00"]),
        (["\udcff"], [b"\xff\x00"]),
        (["//"], []),
    ],
)
def test_a_text_is_looked_for_as_it_stands_and_a_regular_expression_between_slashes(grep: list[str], matching: list[bytes]) -> None:
    assert kept(Filter.compile(grep=grep), bodies(b"an error", b"err", "café".encode(), b"\xff\x00", b"", None)) == matching


def test_looking_into_bodies_builds_no_objects_and_no_envelopes() -> None:
    batch = bodies(b"a", b"b")
    assert len(passing(Filter.compile(grep=["a"]), batch)) == 1
    assert batch.asked == {"bodies"}


def test_each_condition_looks_only_at_what_the_one_before_left() -> None:
    batch = Records([record(b'{"n":1}', ("h", b"1")), record(b'{"n":2}', ("h", b"1")), record(b'{"n":3}'), record(b"x")])
    filtering = Filter.compile(grep=["n"], headers=["h"], where="value.n > 1")
    assert [each.message.body for each in passing(filtering, batch).records()] == [b'{"n":2}']
    assert batch.asked == {"bodies", "3 records", "2 envelopes", "1 records"}


def test_where_everything_passes_the_batch_is_the_same() -> None:
    batch = bodies(b"a", b"aa")
    assert passing(Filter.compile(grep=["a"]), batch) is batch
    assert passing(Filter.compile(), batch) is batch


HEADERS: list[Header] = [
    ("k", b"v"),
    ("k", b"second"),
    ("null", None),
    ("empty", b""),
    ("bool", True),
    ("int", 7),
    ("typed", Typed("int32", 5)),
    ("blob", Typed("bytes", b"\xff")),
    ("float", 1.5),
    ("single", Typed("float32", 0x3FC00000)),
    ("price", Typed("decimal", (2, -150))),
    ("list", Typed("array", (b"a", True, Typed("int8", 1)))),
]


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (["k"], True),
        (["k=v"], True),
        (["k=second"], True),
        (["k=V"], False),
        (["K=v"], False),
        (["k=", "k"], False),
        (["k=v", "int=7"], True),
        (["k=v", "int=8"], False),
        (["null"], True),
        (["null="], False),
        (["empty="], True),
        (["bool=true"], True),
        (["typed=5"], True),
        (["blob=\udcff"], True),
        (["float=1.5"], True),
        (["single=1.5", "price=-1.50"], True),
        (["list=[\"a\",true,{\"int8\":1}]"], True),
        (["missing"], False),
    ],
)
def test_a_header_matches_by_name_or_by_exact_value_of_any_of_that_name(wanted: list[str], matches: bool) -> None:
    assert len(passing(Filter.compile(headers=wanted), Records([record(b"", *HEADERS)]))) == matches


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"grep": [""]}, "needs a text"),
        ({"grep": ["/(/"]}, "no regular expression: missing \\), unterminated subpattern at position 0"),
        ({"headers": ["=v"]}, "names no header"),
        ({"where": "1 +"}, "no expression"),
        ({"where": " "}, "an empty one would let everything through"),
    ],
)
def test_what_cannot_be_compiled_is_refused_before_anything_is_read(options: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageProblem, match=reason):
        Filter.compile(**options)  # type: ignore[arg-type]


def test_a_regular_expression_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REGEX_SECONDS", 0.05)
    filtering = Filter.compile(grep=["/^(a+)+$/"])
    with pytest.raises(Failed, match="did not come to an end"):
        passing(filtering, bodies(b"a" * 64 + b"!"))
    assert len(passing(filtering, bodies(b"aaa"))) == 1


def test_a_search_leaves_no_alarm_behind_and_works_where_none_can_be_set() -> None:
    filtering, before = Filter.compile(grep=["/a/"]), signal.getsignal(signal.SIGALRM)
    assert kept(filtering, bodies(b"a", b"b")) == [b"a"]
    assert (signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM)) == ((0.0, 0.0), before)
    with ThreadPoolExecutor() as elsewhere:
        assert elsewhere.submit(kept, filtering, bodies(b"a", b"b")).result() == [b"a"]


def test_records_that_a_condition_cannot_be_told_of_are_told_at_the_end() -> None:
    filtering = Filter.compile(where="value.n > 1")
    assert (Filter.compile().note, filtering.note) == ("", "")
    assert kept(filtering, bodies(b'{"n":2}', b"no json", b"{}")) == [b'{"n":2}']
    assert filtering.note.startswith("--where could not be evaluated for 1 record, which counts as not matching: ")


@given(st.lists(st.binary(max_size=6), max_size=8), st.text(min_size=1, max_size=2))
def test_a_filter_keeps_exactly_the_bodies_that_hold_the_text(texts: list[bytes], text: str) -> None:
    needle = text.encode(errors="surrogateescape") if text.isascii() else text.encode(errors="replace").decode().encode()
    assert kept(Filter(texts=(needle,)), bodies(*texts)) == [each for each in texts if needle in each]
