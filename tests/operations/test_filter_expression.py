"""`--where`: what an expression may ask, and what it is told where it asks wrongly."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from brokercli.backends.envelope import encode_record
from brokercli.model.errors import Failed, UsageProblem
from brokercli.model.message import Message, Record, Typed
from brokercli.operations.expression import LONGEST, Expression

BODY = b'{"amount":150,"big":9007199254740993,"huge":18446744073709551615,"f":1.5,"none":null,"s":"abc","list":[1,2]}'
RECORD = Record(
    "kafka",
    {"topic": "orders", "partition": 3, "offset": 9007199254740993},
    "3:1",
    1_795_428_000_123_000_000,
    Message(BODY, b"c-7", (("a", b"1"), ("a", b"2"), ("n", None))),
)


def matches(text: str, record: Record = RECORD) -> bool:
    return Expression(text).matches(encode_record(record))


@pytest.mark.parametrize(
    "text",
    [
        "value.amount > 100",
        "value.amount > 100.5 && value.f < 2",
        "value.big == 9007199254740993 && value.big != 9007199254740992",
        "value.huge == 18446744073709551615u",
        "value.none == null",
        "value.s.matches('^a.c$') && value.s.startsWith('a') && value.s.contains('b')",
        "2 in value.list && size(value.list) == 2 && value.list[0] == 1",
        "value.list.exists(x, x > 1) && value.list.all(x, x < 3)",
        "!has(value.missing)",
        "value.missing == 1 || value.amount > 100",
        "value.amount > 100 || value.missing == 1",
        "key == 'c-7' && topic == 'orders' && partition == 3 && broker == 'kafka'",
        "offset == 9007199254740993",
        "sequence == null && subject == null",
        "header['a'] == '1' && header['n'] == null && 'a' in header",
        "headers.exists(h, h.name == 'a' && h.value == '2')",
        "timestamp(time) > timestamp('2026-11-23T09:00:00Z') && timestamp(time).getHours() == 10",
        "body.contains('amount')",
        "type(value.amount) == int || type(value.amount) == uint",
        "value.amount > 100 ? true : false",
    ],
)
def test_an_expression_asks_about_the_envelope_and_the_json_in_the_body(text: str) -> None:
    assert matches(text)


def test_a_header_that_is_a_number_is_compared_as_one_whatever_its_type_on_the_broker() -> None:
    headers = (("tries", Typed("int32", 3)), ("rate", Typed("float32", 0x3FC00000)), ("big", 9007199254740993), ("whole", 2.0),
               ("price", Typed("decimal", (1, 15))))
    record = Record("rabbitmq", {}, "", None, Message(b"", headers=headers))
    for text in ("header['tries'] > 2 && header['tries'] == 3", "header['rate'] == 1.5", "header['big'] == 9007199254740993", "header['whole'] > 1.5",
                 "header['price'].decimal == '1.5'", "headers.exists(h, h.name == 'tries' && h.value.int32 == 3)"):
        assert matches(text, record), text


@pytest.mark.parametrize(
    "text",
    [
        "value.s > 1",
        "value.s + 1 == 2",
        "value.amount / 0 == 1",
        "int(value.s) == 1",
        "sequence > 5",
        "value.s.matches('(')",
    ],
)
def test_what_cannot_be_evaluated_does_not_match_and_stops_nothing(text: str) -> None:
    expression = Expression(text)
    assert (expression.matches(encode_record(RECORD)), expression.unevaluated) == (False, 1)


@pytest.mark.parametrize("text", ["value.missing == 1", "value.missing.deeper > 1", "header['missing'] == '1'", "value.list[9] == 1"])
def test_what_asks_for_a_field_that_is_missing_does_not_match_and_is_no_mistake(text: str) -> None:
    expression = Expression(text)
    assert (expression.matches(encode_record(RECORD)), expression.unevaluated, expression.problem) == (False, 0, "")


@pytest.mark.parametrize("text", ["key == b'c-7'", "value.amount == '150'"])
def test_what_is_of_another_type_is_something_else_and_no_mistake(text: str) -> None:
    expression = Expression(text)
    assert (expression.matches(encode_record(RECORD)), expression.unevaluated) == (False, 0)


@pytest.mark.parametrize("body", [None, b"", b"not json", b"\xff", b"[1]", b"7", b'"text"', b"null"])
def test_a_body_that_is_no_object_does_not_match_and_stops_nothing(body: bytes | None) -> None:
    expression = Expression("value.amount > 100")
    assert (expression.matches(encode_record(Record("nats", {}, "", None, Message(body)))), expression.unevaluated) == (False, 1)


def test_a_body_nested_deeper_than_any_parser_likes_does_not_end_the_process() -> None:
    for depth in (1000, 100_000):
        assert not matches("value == 1", Record("nats", {}, "", None, Message(b"[" * depth + b"]" * depth)))


def test_a_missing_field_is_no_mistake_and_the_first_that_is_one_is_kept_to_be_told() -> None:
    expression = Expression("value.n > 1")
    for body in (b"{}", b'{"n":"x"}', b'{"n":2}', b'{"n":[]}'):
        expression.matches(encode_record(Record("nats", {}, "", None, Message(body))))
    assert expression.unevaluated == 2
    assert expression.problem.startswith("No such overload")


def test_an_expression_that_is_no_question_matches_nothing_and_says_so() -> None:
    expression = Expression("value.amount")
    assert not expression.matches(encode_record(RECORD))
    assert expression.problem == "it gives '150', which is neither true nor false"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 +", "unexpected the end at character 4"),
        ("key == 'a' and topic == 'b'", "unexpected 'and' at character 12"),
        ("value.amount = 1", "cannot read = "),
        ("key ==\n'a' b", "unexpected 'b' at character 5 of line 2"),
        ("amount > 1", "asks about amount, which no envelope has"),
        ("ofset > 1", "asks about ofset"),
        ("now() > time", r"calls now\(\), which is no function"),
        ("x" * (LONGEST + 1), "4,096 is the most"),
        ("(" * 2000 + "1" + ")" * 2000, "no expression"),
        ("", "no expression"),
    ],
)
def test_an_expression_that_is_wrong_is_refused_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(UsageProblem, match=reason):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("amount > 1", "a field of a JSON body is value.amount"), ("ofset > 1", "did you mean offset?"), ("key.containz('a')", "did you mean contains()?")],
)
def test_a_wrong_name_comes_with_the_right_one(text: str, hint: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        Expression(text)
    assert hint in (caught.value.hint or "")


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cel.cel", raising=False)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *package: None if name == "cel" else find_spec(name, *package))
    with pytest.raises(Failed, match="CEL library, which is not installed") as caught:
        Expression("true")
    assert caught.value.hint == "pip install 'brokercli[cel]'"
