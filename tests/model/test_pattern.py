"""Patterns of names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.pattern import matches


@pytest.mark.parametrize(("name", "pattern", "is_like"), [
    ("orders", "ord*", True), ("orders", "order?", True), ("orders", "Orders", False), ("orders", "order", False), ("a\nb", "a*", True),
    ("orders[1]", "orders[1]", True), ("orders1", "orders[1]", False), ("orders[1]", "orders[*]", True), ("a", "[!b]", False), ("a]", "a]", True)])
def test_only_a_star_and_a_question_mark_stand_for_something_else(name: str, pattern: str, is_like: bool) -> None:
    assert matches(name, pattern) is is_like


@given(st.text())
def test_every_name_is_like_itself(name: str) -> None:
    assert matches(name, name)
