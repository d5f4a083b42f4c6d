"""Reading a configuration file: what is wrong is said with file and line, and what could be meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.errors import UsageProblem
from brokercli.settings.file import LARGEST, line_of, read_configuration


def refusal(path: Path, content: bytes | str) -> UsageProblem:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageProblem) as refused:
        read_configuration(path)
    return refused.value


@pytest.mark.parametrize(("content", "line", "words", "hint"), [
    ('curent = "a"\n', 1, "'curent' is no known key", "did you mean current?"),
    ('current = "a"\n\n[contexts.a]\n# the broker\nurl = "nats://h"\npasword = "x"\n', 6, "'pasword' is no known key", "did you mean password?"),
    ('[contexts.a]\nurl = "nats://h"\n[contexts.a.tls]\nca = "x"\nverify = false\n', 5, "'verify' is no known key", "known keys: ca"),
    ('[contexts.a]\nurl = """\nnats://h"""\n\nprotected = "yes"\n', 5, "protected is not true or false", None),
    ('[contexts.a]\nurl = "nats://h"\nconnect_timeout = true\n', 3, "connect_timeout is not a number of seconds", None),
    ('[contexts.a]\nurl = "nats://h"\npassword_command = "pass show x"\n', 3, "password_command is not a list of strings", None),
    ('[contexts.a]\nurl = ["nats://h"]\n', 2, "url is not a string", None),
    ('[contexts.a]\nuser = "x"\n', 1, "the context a has no url", "for example"),
    ('[contexts.local]\nurl = "nats://h"\n', 1, "local is the built-in context", "another name"),
    ('[contexts."a/b"]\nurl = "nats://h"\n', 1, "'a/b' is no name for a context", "letters"),
    ('contexts = 5\n', 1, "contexts is not a table", None),
    ('current = 5\n', 1, "current is not the name", None),
    ('a.b.c.d = 1\n', 1, "'a' is no known key", None),
    ('[contexts.a]\nurl = "nats://h"\npassword = "x"\npassword_command = ["y"]\n', 4, "both password and password_command", "keep one"),
])
def test_what_does_not_belong_is_refused_with_its_line(tmp_path: Path, content: str, line: int, words: str, hint: str | None) -> None:
    path = tmp_path / "config.toml"
    problem = refusal(path, content)
    assert str(problem).startswith(f"{path}:{line}: ")
    assert words in str(problem)
    assert hint is None or hint in str(problem.hint)


@pytest.mark.parametrize(("content", "words"), [
    (b"\xef\xbb\xbfcurrent = 'a'\n", ":1: the file starts with a byte order mark"),
    ("current = 'a'\n".encode("utf-16"), ":1: the file starts with a byte order mark"),
    (b"current = 'a'\n# caf\xe9\n", ":2: the file is not UTF-8"),
    (b"current = \n", "is not TOML: Invalid value (at line 1, column 11)"),
    (b"[contexts.a]\nurl = 'nats://h'\npassword = hunter2\n", "(at line 3"),
    (b"contexts = " + b"[" * 100_000, "is nested too deeply"),
])
def test_what_is_no_configuration_at_all_is_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    problem = refusal(tmp_path / "config.toml", content)
    assert words in str(problem)
    assert "hunter2" not in f"{problem} {problem.hint}"


def test_a_number_with_too_many_digits_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[contexts.a]\nurl = "nats://h"\nconnect_timeout = {"9" * 5000}\n')
    with pytest.raises(UsageProblem, match="holds a number with far too many digits"):
        read_configuration(path)


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(UsageProblem, match=f"100000000 bytes; more than {LARGEST} are not read"):
        read_configuration(path)


def test_a_directory_and_a_named_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("directory", "a directory"), ("pipe", "no regular file")):
        with pytest.raises(UsageProblem, match=what):
            read_configuration(tmp_path / name)


def test_no_file_is_no_configuration(tmp_path: Path) -> None:
    assert read_configuration(tmp_path / "config.toml") is None
    assert read_configuration(tmp_path / "nowhere" / "config.toml") is None


def test_a_wrong_value_is_never_quoted(tmp_path: Path) -> None:
    problem = refusal(tmp_path / "config.toml", '[contexts.a]\nurl = "nats://h"\npassword = ["hunter2"]\n')
    assert "hunter2" not in f"{problem} {problem.hint}"


@pytest.mark.parametrize(("name", "hint"), [("config.toml", "BROKERCLI_CONFIG_DIR"), ("brokercli.toml", "make it readable")])
def test_one_that_cannot_be_read_says_what_to_do(tmp_path: Path, name: str, hint: str) -> None:
    """A link to itself stands for the configuration of somebody else: root may read all."""
    (tmp_path / name).symlink_to(tmp_path / name)
    with pytest.raises(UsageProblem, match="cannot be read: Too many levels of symbolic links") as refused:
        read_configuration(tmp_path / name)
    assert hint in str(refused.value.hint)


@given(before=st.integers(0, 5), comments=st.integers(0, 3), after=st.integers(0, 5))
def test_the_line_of_a_key_is_where_it_is_written_however_long_the_statements_around_it_are(before: int, comments: int, after: int) -> None:
    filler = [f'k{number} = """\n[contexts.a]\nurl = 5\n"""' for number in range(before)]
    text = "\n".join([*filler, "[x]", *["# url = 1"] * comments, 'url = [\n 1,\n]', *[f"z{number} = 1" for number in range(after)]])
    assert line_of(text, ("x", "url")) == 4 * before + 1 + comments + 1
