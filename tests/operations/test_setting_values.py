"""Values of settings: what a user types, what a file holds, and how both are shown, mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.declaration import Form, Setting, SettingValue
from brokercli.model.setting_value import LARGEST, Unfit, find_setting, read_text, read_value, show

MILLISECONDS, SECONDS, NANOSECOND = 1_000_000, 1_000_000_000, 1


def setting(form: Form, *, unit: int = MILLISECONDS, items: Form = Form.TEXT, choices: tuple[str, ...] = ()) -> Setting:
    return Setting("it", form, "", unit, choices, items=items)


@pytest.mark.parametrize(("asked", "text", "value"), [
    (setting(Form.DURATION), "7d", 604_800_000),
    (setting(Form.DURATION), "1h30m", 5_400_000),
    (setting(Form.DURATION), "604800000", 604_800_000),
    (setting(Form.DURATION), "-1", -1),
    (setting(Form.DURATION, unit=NANOSECOND), "30s", 30_000_000_000),
    (setting(Form.DURATION, unit=SECONDS), "2m", 120),
    (setting(Form.SIZE), "64MiB", 67_108_864),
    (setting(Form.SIZE), "1GB", 1_000_000_000),
    (setting(Form.SIZE), "1.5KiB", 1536),
    (setting(Form.SIZE), "-1", -1),
    (setting(Form.SIZE), "2 kB", 2000),
    (setting(Form.SIZE), "3MB", 3_000_000),
    (setting(Form.SIZE), "1TB", 10**12),
    (setting(Form.WHOLE), "6", 6),
    (setting(Form.WHOLE), str(LARGEST), LARGEST),
    (setting(Form.REAL), "0.5", 0.5),
    (setting(Form.FLAG), "true", True),
    (setting(Form.TEXT), "a=b", "a=b"),
    (setting(Form.LIST), "a,b", ["a", "b"]),
    (setting(Form.LIST), '["a,b", "c"]', ["a,b", "c"]),
    (setting(Form.LIST), "", []),
    (setting(Form.LIST, items=Form.DURATION, unit=NANOSECOND), "5s,1m", [5_000_000_000, 60_000_000_000]),
    (setting(Form.TABLE), '{"a": {"b": [1, null]}}', {"a": {"b": [1, None]}}),
])
def test_what_is_typed_is_read_as_the_broker_counts(asked: Setting, text: str, value: SettingValue) -> None:
    assert read_text(asked, text) == value


@pytest.mark.parametrize(("asked", "text", "words"), [
    (setting(Form.DURATION), "7x", "is no duration"),
    (setting(Form.DURATION, unit=SECONDS), "1500ms", "not a whole number of seconds"),
    (setting(Form.SIZE), "64M", "is no size"),
    (setting(Form.SIZE), "0.3B", "not a whole number of bytes"),
    (setting(Form.WHOLE), "6.5", "is no whole number"),
    (setting(Form.WHOLE), str(LARGEST + 1), "larger than any broker counts"),
    (setting(Form.REAL), "half", "is no number"),
    (setting(Form.FLAG), "yes", "neither true nor false"),
    (setting(Form.TABLE), "a=b", "is no table"),
    (setting(Form.TABLE), "[1]", "is not a table"),
    (setting(Form.LIST), "[1", "is no list"),
    (setting(Form.TEXT, choices=("file", "memory")), "fil", "none of file, memory"),
    (setting(Form.LIST, choices=("delete", "compact")), "delete,compactt", "none of delete, compact"),
])
def test_what_does_not_fit_is_refused_with_the_reason(asked: Setting, text: str, words: str) -> None:
    with pytest.raises(Unfit, match=words):
        read_text(asked, text)


@pytest.mark.parametrize(("form", "value", "read"), [
    (Form.REAL, 1, 1.0), (Form.SIZE, "1MiB", 1_048_576), (Form.DURATION, "1s", 1000), (Form.DURATION, 5, 5), (Form.LIST, ["a"], ["a"])])
def test_a_file_may_write_sizes_and_durations_as_people_do(form: Form, value: object, read: SettingValue) -> None:
    found = read_value(setting(form), value)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(("form", "value"), [
    (Form.TEXT, 5), (Form.WHOLE, "5"), (Form.WHOLE, True), (Form.FLAG, 1), (Form.FLAG, "true"), (Form.LIST, "a"), (Form.TABLE, []), (Form.DURATION, 1.5),
    (Form.DURATION, False), (Form.SIZE, []),
])
def test_a_file_says_each_value_in_its_own_type(form: Form, value: object) -> None:
    with pytest.raises(Unfit, match="is not"):
        read_value(setting(form), value)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1).filter(lambda text: not text.startswith("["))
INNER = st.recursive(st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | st.text(st.characters(codec="utf-8")),
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3), max_leaves=6)
NUMBERS = st.integers(-LARGEST, LARGEST)


@given(st.one_of(
    st.tuples(st.just(setting(Form.TEXT)), WORDS), st.tuples(st.just(setting(Form.WHOLE)), NUMBERS), st.tuples(st.just(setting(Form.FLAG)), st.booleans()),
    st.tuples(st.sampled_from([setting(Form.DURATION, unit=unit) for unit in (1, MILLISECONDS, SECONDS)]), NUMBERS),
    st.tuples(st.just(setting(Form.SIZE)), NUMBERS), st.tuples(st.just(setting(Form.REAL)), st.floats(0, 1e9, allow_nan=False)),
    st.tuples(st.just(setting(Form.LIST)), st.lists(st.text(st.characters(codec="utf-8")), max_size=4)),
    st.tuples(st.just(setting(Form.LIST, items=Form.DURATION)), st.lists(NUMBERS, max_size=4)),
    st.tuples(st.just(setting(Form.TABLE)), st.dictionaries(st.text(st.characters(codec="utf-8")), INNER, max_size=4))))
def test_what_is_shown_can_be_typed_again(pair: tuple[Setting, SettingValue]) -> None:
    asked, value = pair
    assert read_text(asked, show(asked, value)) == value


def test_a_setting_may_last_as_long_as_a_broker_can_count() -> None:
    assert show(setting(Form.DURATION), 2**63 - 1) == "106751991167d7h12m55s807ms"
    assert read_text(setting(Form.DURATION), "106751991167d7h12m55s807ms") == 2**63 - 1


@pytest.mark.parametrize(("asked", "value", "text"), [
    (setting(Form.DURATION), 604_800_000, "7d"), (setting(Form.DURATION), 5_400_000, "1h30m"), (setting(Form.DURATION), -1, "-1"),
    (setting(Form.DURATION, unit=NANOSECOND), 90_061_001_000_000, "1d1h1m1s1ms"), (setting(Form.DURATION, unit=NANOSECOND), 1_000_001, "1000001"),
    (setting(Form.DURATION), 0, "0"), (setting(Form.DURATION), 1, "1ms"), (setting(Form.SIZE), 67_108_864, "64MiB"), (setting(Form.SIZE), 1_000_000, "1000000"),
    (setting(Form.SIZE), 2048, "2KiB"), (setting(Form.SIZE), 3 * 2**30, "3GiB"), (setting(Form.SIZE), 2**40, "1TiB"), (setting(Form.REAL), 2.0, "2"),
    (setting(Form.REAL), 0.5, "0.5"), (setting(Form.FLAG), True, "true"), (None, False, "false"), (None, 3_600_000, "3600000"), (None, ["a", 5], "a,5"),
    (setting(Form.LIST), ["a", "b"], "a,b"), (setting(Form.LIST), ["a,b", "é"], '["a,b", "é"]'), (setting(Form.LIST), ["", " a"], '["", " a"]'),
    (setting(Form.LIST), ["[a"], '["[a"]'), (setting(Form.LIST), [], "[]"), (None, [{"a": 1}], '[{"a": 1}]'), (None, {"b": 1, "a": "é"}, '{"a": "é", "b": 1}'),
    (None, None, "-"),
])
def test_values_are_shown_as_people_write_them(asked: Setting | None, value: SettingValue, text: str) -> None:
    assert show(asked, value) == text


@pytest.mark.parametrize(("name", "hint"), [
    ("retention", "did you mean retention.ms?"), ("retention_ms", "did you mean retention.ms?"), ("partition", "did you mean partitions?"),
    ("ms", "did you mean retention.ms?"), ("zzz", "known: partitions, retention.ms"), ("_", "known: partitions, retention.ms"),
])
def test_an_unknown_setting_is_refused_with_the_nearest_that_is_known(name: str, hint: str) -> None:
    known = [Setting("partitions", Form.WHOLE, ""), Setting("retention.ms", Form.DURATION, "")]
    with pytest.raises(Unfit, match="a topic has no setting") as refused:
        find_setting(name, known, "a topic")
    assert refused.value.hint == hint
