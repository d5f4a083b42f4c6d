"""A message that died in any framework goes back as its producer sent it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.dialects import recognise, stamp, to_message
from brokercli.model.message import Message
from tests.dialects.frameworks import FRAMEWORKS, Framework
from tests.dialects.originals import originals


def _broker_of(framework: Framework) -> str:
    return framework.write(Message(body=b"{}")).broker


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=repr)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_goes_back_is_what_was_sent(framework: Framework, data: st.DataObject) -> None:
    original = data.draw(originals(_broker_of(framework), framework.only))
    message = to_message(recognise(framework.write(original)))
    assert (message.body, message.key, message.headers) == (original.body, original.key, original.headers)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=repr)
def test_the_documented_format_is_recognised(framework: Framework) -> None:
    letter = recognise(framework.write(Message(body=b'{"id":1}', headers=(("app-trace", b"abcd"),) if framework.only != "bare" else ())))
    assert letter.dialect == framework.dialect
    assert letter.home is not None
    assert str(letter.home.address) == framework.home
    assert letter.attempts == framework.attempts
    assert letter.remarks == () or framework.write.__name__ in ("uber", "easynetq_base64")


@pytest.mark.parametrize("framework", [framework for framework in FRAMEWORKS if framework.only != "bare"], ids=repr)
def test_headers_do_not_grow_however_often_a_letter_dies_and_is_put_back(framework: Framework) -> None:
    message = Message(body=b'{"id":1}')
    sizes = []
    for number in range(1, 4):
        letter = recognise(framework.write(message))
        assert letter.redrives == number - 1
        message = stamp(to_message(letter), letter, 10**18)
        sizes.append(len(message.headers))
    assert sizes == [3, 3, 3]
