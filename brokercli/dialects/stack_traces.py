"""The class and the message of an exception, out of the text a runtime prints for it."""

from __future__ import annotations

import re

_CLASS = re.compile(r"[A-Za-z_$][\w$`+]*(?:(?:\.|::)[A-Za-z_$<][\w$<>`+]*)*")
_CAUSED_BY = "Caused by: "
_INNER = "---> "
# a number that the runtime adds to errors of the system's, and one of several causes
_NET_EXTRAS = re.compile(r" \(0x[0-9A-Fa-f]{8}\)(?=:)|^\(Inner Exception #\d+\) ")
_ENOUGH = 200_000
_TRACEBACK = "Traceback (most recent call last):\n"


def class_of(text: str) -> str:
    """Return `java.lang.IllegalStateException` of `java.lang.IllegalStateException: no such order`; empty where the text
    does not begin like that."""
    head, colon, _ = text[:500].lstrip().partition("\n")[0].removesuffix("\r").partition(": ")
    if _CLASS.fullmatch(head) and (colon or "." in head or head.endswith(("Error", "Exception"))):
        return head
    return ""


def root_class_of(stack_trace: str) -> str:
    """Return the class after the last `Caused by:` of a Java stack trace, else the class it begins with."""
    text = stack_trace[:_ENOUGH]
    cause = text.rfind(f"\n{_CAUSED_BY}")
    return class_of(text[cause + 1 + len(_CAUSED_BY):]) if cause >= 0 else class_of(text)


def root_message_of(stack_trace: str) -> str:
    """Return the message after the last `Caused by:` of a Java stack trace, else the one it begins with; one line."""
    text = stack_trace[:_ENOUGH]
    cause = text.rfind(f"\n{_CAUSED_BY}")
    line = text[cause + 1 + len(_CAUSED_BY):] if cause >= 0 else text
    return line.lstrip().partition("\n")[0].partition(": ")[2].rstrip()


def innermost_of(text: str) -> tuple[str, str]:
    """Return the class and the message, one line, of the innermost exception in what .NET prints: the one behind the last `---> `.
    Empty where nothing begins like one."""
    for part in reversed(text[:_ENOUGH].split(_INNER)):
        line = _NET_EXTRAS.sub("", part.lstrip().partition("\n")[0])
        if name := class_of(line):
            return name, line.partition(": ")[2].rstrip().removesuffix("<---").rstrip()
    return "", ""


def failure_of(traceback: str) -> tuple[str, str]:
    """Return the class and the message, one line, of the exception that Python prints last, which may go on over several lines:
    the first line behind its frames, which are indented."""
    last = traceback.rfind(_TRACEBACK)
    lines = traceback[last + len(_TRACEBACK):].split("\n") if last >= 0 else traceback.rstrip().rsplit("\n", 1)[-1:]
    line = next((line for line in lines if line and not line[0].isspace()), "")
    return class_of(line) or line.partition(":")[0][:200], line.partition(": ")[2]
