"""Changing the user's file: nothing of the user's is lost, nothing is readable by others, a failure changes nothing."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.model.errors import LocalIO, UsageProblem
from brokercli.settings import writing
from brokercli.settings.contexts import read_contexts
from brokercli.settings.schema import Setting
from brokercli.settings.writing import add_context, remove_context, use_context

WRITTEN_BY_HAND = """# my brokers

[contexts.a]
url = "nats://a"   # the old one

# the new one
[contexts.b]
url = 'kafka://b'
[contexts.b.options]
"linger.ms" = 5
"""


def test_a_context_is_written_for_its_owner_alone_and_read_back(home: Path) -> None:
    path = add_context("staging", {"url": "nats://h", "password_command": ("pass", "show x")})
    assert read_contexts().find("staging").settings == {"url": "nats://h", "password_command": ("pass", "show x")}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_every_setting_is_read_back_as_it_was_written(home: Path) -> None:
    settings = {"url": "nats://h", "password": 'a"b\\c\u00e9', "protected": True, "connect_timeout": 2.5, "tls.ca": "/x.pem", "options.name": "me"}
    add_context("v1.staging", settings)
    assert read_contexts().find("v1.staging").settings == settings


def test_settings_that_contradict_each_other_are_not_written(home: Path) -> None:
    with pytest.raises(UsageProblem, match="both password and password_command"):
        add_context("a", {"url": "nats://h", "password": "x", "password_command": ("y",)})
    assert not (home / ".config").exists()


@pytest.mark.parametrize(("name", "settings", "why"), [
    ("local", {}, "built-in context and cannot be defined"), ("", {}, "no name for a context"), ("a/b", {}, "no name for a context"),
    ("a" * 65, {}, "no name for a context"), ("a", {"user": "\ud800"}, "not UTF-8"), ("a", {"user": "b\udfff"}, "not UTF-8")])
def test_what_a_file_cannot_hold_is_not_written(home: Path, name: str, settings: dict[str, Setting], why: str) -> None:
    with pytest.raises(UsageProblem, match=why):
        add_context(name, {"url": "nats://h", **settings})
    with pytest.raises(UsageProblem, match="cannot be removed"):
        remove_context("local")
    assert not (home / ".config").exists()
    assert add_context("a" * 64, {"url": "nats://h"}).exists()


def test_comments_and_order_of_the_user_stay(user_configuration: Path) -> None:
    user_configuration.write_text(WRITTEN_BY_HAND)
    add_context("c", {"url": "amqp://c"})
    use_context("c")
    text = user_configuration.read_text()
    assert text == f'current = "c"\n{WRITTEN_BY_HAND}\n[contexts.c]\nurl = "amqp://c"\n'
    use_context("a")
    remove_context("c")
    assert user_configuration.read_text().rstrip("\n") == f'current = "a"\n{WRITTEN_BY_HAND}'.rstrip("\n")


def test_a_name_that_is_taken_is_kept_unless_it_is_to_be_replaced(user_configuration: Path) -> None:
    user_configuration.write_text(WRITTEN_BY_HAND)
    with pytest.raises(UsageProblem, match="There is a context a already"):
        add_context("a", {"url": "nats://z"})
    assert user_configuration.read_text() == WRITTEN_BY_HAND
    add_context("b", {"url": "nats://z"}, replace=True)
    assert read_contexts().find("b").settings == {"url": "nats://z"}  # nothing of the old one remains
    assert read_contexts().find("a").settings == {"url": "nats://a"}


@pytest.mark.parametrize("name", ["", "a/b", "local", "a b", "-x", "\x1b[2J", "x" * 65, "a\n"])
def test_a_name_that_cannot_be_is_refused(home: Path, name: str) -> None:
    with pytest.raises(UsageProblem):
        add_context(name, {"url": "nats://h"})
    assert not (home / ".config").exists()


def test_removing_the_chosen_context_leaves_none_chosen(user_configuration: Path) -> None:
    user_configuration.write_text(f'current = "a"\n{WRITTEN_BY_HAND}')
    assert remove_context("a") == (user_configuration, True)
    assert read_contexts().current() is None
    with pytest.raises(UsageProblem, match="has no context 'a'"):
        remove_context("a")


def test_a_file_laid_out_so_that_it_cannot_be_added_to_is_left_alone(user_configuration: Path) -> None:
    text = "contexts = { a = { url = 'nats://a' } }\n"
    user_configuration.write_text(text)
    with pytest.raises(UsageProblem, match="laid out in a way"):
        add_context("b", {"url": "nats://b"})
    assert user_configuration.read_text() == text


def test_a_broken_file_is_not_overwritten(user_configuration: Path) -> None:
    user_configuration.write_text("][")
    with pytest.raises(UsageProblem, match="is not TOML"):
        use_context("local")
    assert user_configuration.read_text() == "]["


def test_a_file_behind_a_link_is_changed_where_it_is(user_configuration: Path, home: Path) -> None:
    real = home / "dotfiles.toml"
    real.write_text(WRITTEN_BY_HAND)
    user_configuration.unlink()
    user_configuration.symlink_to(real)
    use_context("a")
    assert user_configuration.is_symlink()
    assert real.read_text().startswith('current = "a"\n')


def test_a_place_that_cannot_be_written_is_said_to_be_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("BROKERCLI_CONFIG_DIR", str(home / "file" / "below"))
    with pytest.raises(LocalIO, match="cannot be written") as refused:
        use_context("local")
    assert "BROKERCLI_CONFIG_DIR" in str(refused.value.hint)


@pytest.mark.parametrize("other", [lambda: add_context("mine", {"url": "nats://m"}), lambda: use_context("a"), lambda: remove_context("b")])
def test_of_two_changes_at_once_neither_undoes_the_other(user_configuration: Path, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    user_configuration.write_text(WRITTEN_BY_HAND)
    read, begun, other_is_done = writing.read_configuration, threading.Event(), threading.Event()

    def read_and_linger(path: Path) -> object:
        found = read(path)
        if not begun.is_set():
            begun.set()
            other_is_done.wait(0.5)  # the other one has to wait for us: only where it does not is it done by then
        return found

    monkeypatch.setattr(writing, "read_configuration", read_and_linger)
    first = threading.Thread(target=add_context, args=("first", {"url": "nats://f"}))
    first.start()
    begun.wait()
    other()
    other_is_done.set()
    first.join()
    together = read_contexts()
    assert "first" in together.names()
    assert "mine" in together.names() or together.current() is not None or "b" not in together.names()
