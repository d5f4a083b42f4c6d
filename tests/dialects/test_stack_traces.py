"""The failure itself, out of what a runtime prints of it."""

from __future__ import annotations

import pytest

from brokercli.dialects.stack_traces import class_of, failure_of, innermost_of, root_class_of, root_message_of

JAVA = """w.Wrapper: outer; nested: no
\tat w.Wrapper.run(Wrapper.java:7)
\tSuppressed: w.Closing: not this
\tCaused by: w.Closed: nor this
Caused by: w.Middle: because
\t... 3 more
Caused by: java.sql.SQLException: no such order: 7
\t... 9 more
"""


@pytest.mark.parametrize(("text", "name"), [
    ("java.lang.IllegalStateException: no such order", "java.lang.IllegalStateException"), ("w.Cause", "w.Cause"), ("w.Cause\r\n   at x", "w.Cause"),
    ("w.Cause: \n\tat x", "w.Cause"),
    ("ValueError: no", "ValueError"), ("ValueError", "ValueError"), ("NotFoundException", "NotFoundException"), ("OrderRejected: no", "OrderRejected"),
    ("a.b.Outer$Inner: no", "a.b.Outer$Inner"), ("  a.B: no\n\tat x", "a.B"), ("std::logic_error: no", "std::logic_error"),
    ("OrderRejected", ""), ("no such order", ""), ("the order: was not there", ""), ("", ""), (": no", ""), ("a.B:no", ""), ("a.b.\x1b[2J: no", "")])
def test_a_class_is_what_stands_before_the_text_and_looks_like_one(text: str, name: str) -> None:
    assert class_of(text) == name


def test_of_causes_the_last_that_is_one_of_the_exception_itself_is_the_root() -> None:
    assert (root_class_of(JAVA), root_message_of(JAVA)) == ("java.sql.SQLException", "no such order: 7")
    alone = JAVA.partition("Caused by: w.Middle")[0]
    assert (root_class_of(alone), root_message_of(alone)) == ("w.Wrapper", "outer; nested: no")
    assert (root_class_of(""), root_message_of(""), root_message_of("w.Wrapper\n\tat x")) == ("", "", "")


def test_of_dotnets_exceptions_the_innermost_that_reads_like_one_is_told() -> None:
    assert innermost_of("System.Exception: a ---> System.IO.IOException: b\r\n   at X\r\n   --- End of inner exception stack trace ---") == (
        "System.IO.IOException", "b")
    assert innermost_of("System.Exception: an arrow ---> in its text\r\n   at X")[0] == "System.Exception"
    assert innermost_of("nothing of the kind") == ("", "")


@pytest.mark.parametrize(("traceback", "failure"), [
    ("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    raise KeyError\nKeyError: 'x'\n\nDuring handling of the above exception, another "
     "exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2, in g\n    commit()\nsqlalchemy.exc.IntegrityError: duplicate key\n"
     "DETAIL:  Key (id)=(7) already exists.\n\n[SQL: INSERT]\n(Background on this error at: https://sqlalche.me/e/20/gkpj)\n",
     ("sqlalchemy.exc.IntegrityError", "duplicate key")),
    ("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    raise Closed\nClosed\n", ("Closed", "")),
    ("shop.Closed: at noon: no", ("shop.Closed", "at noon: no")), ("Traceback (most recent call last):\n", ("", "")), ("", ("", ""))])
def test_of_a_traceback_the_line_behind_the_last_frame_is_told_however_many_follow(traceback: str, failure: tuple[str, str]) -> None:
    assert failure_of(traceback) == failure
