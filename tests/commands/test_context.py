"""`brokercli context`: brokers by name, secrets neither typed nor shown."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commandline import CommandLine, command, environment


@pytest.fixture
def configuration(cli: CommandLine) -> Path:
    """Return the path of the configuration file that `cli` uses."""
    return cli.home / "config_home" / "brokercli" / "config.toml"


def test_a_context_is_added_chosen_listed_shown_and_removed(cli: CommandLine, configuration: Path) -> None:
    assert cli("context", "add", "staging", "--url", "kafka://a:9092,b:9092", "--user", "app", "--protected", "--use").code == 0
    listed = [json.loads(line) for line in cli("context", "ls", "-o", "json").lines]
    assert [(row["name"], row["current"], row["broker"]) for row in listed] == [
        ("local", False, "a nats-server of your own, started on demand"), ("staging", True, "kafka://a:9092,b:9092")]
    assert json.loads(cli("context", "show", "-o", "json").stdout) == {"context": "staging", "url": "kafka://a:9092,b:9092", "user": "app", "protected": "true"}
    assert cli("context", "use", "local").code == 0
    assert cli("context", "rm", "staging").code == 0
    ended = cli("context", "show", "staging")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "There is no context 'staging'" in ended.stderr
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


def test_every_value_says_where_it_is_written(cli: CommandLine, configuration: Path) -> None:
    cli("context", "add", "a", "--url", "nats://h", "--server-name", "n", "--use")
    shown = json.loads(cli("context", "show", "--origin", "-o", "json").stdout)
    assert shown["context"] == {"value": "a", "origin": f"{configuration}:1"}
    assert shown["tls.server_name"] == {"value": "n", "origin": f"{configuration}:6"}
    assert json.loads(cli("context", "show", "--origin", "-o", "json", extra={"BROKERCLI_CONTEXT": "a"}).stdout)["context"]["origin"] == "BROKERCLI_CONTEXT"


def test_a_name_that_is_taken_is_not_overwritten_without_force(cli: CommandLine) -> None:
    assert cli("context", "add", "a", "--url", "nats://one").code == 0
    ended = cli("context", "add", "a", "--url", "nats://two")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "--force" in ended.stderr
    assert cli("context", "add", "a", "--url", "nats://two", "--force").code == 0
    assert json.loads(cli("context", "show", "a", "-o", "json").stdout)["url"] == "nats://two"


@pytest.mark.parametrize("password", ["hunter2", "a@b#c/d:e%f", "Sésame ouvre-toi", "env:HOME", "literal:x"])
def test_a_password_on_standard_input_is_kept_and_never_shown(cli: CommandLine, configuration: Path, password: str) -> None:
    ended = cli("context", "add", "a", "--url", "nats://h", "--user", "u", "--password-stdin", stdin=f"{password}\n".encode())
    shown = cli("context", "show", "a", "--origin")
    assert (ended.code, shown.code) == (0, 0)
    assert password not in (ended.stdout + shown.stdout).decode() + ended.stderr + shown.stderr
    assert b"****" in shown.stdout
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


def test_there_is_no_option_that_takes_a_password(cli: CommandLine) -> None:
    ended = cli("context", "add", "a", "--url", "nats://h", "--password", "hunter2")
    assert ended.code == 2
    assert b"hunter2" not in ended.stdout


def test_a_password_in_the_url_moves_out_of_it_with_a_warning(cli: CommandLine, configuration: Path) -> None:
    ended = cli("context", "add", "a", "--url", "amqp://u:hunt%40er2@h/shop")
    assert ended.code == 0
    assert "shell's history" in ended.stderr
    assert "hunt" not in ended.stderr
    text = configuration.read_text()
    assert 'url = "amqp://h/shop"' in text
    assert 'password = "hunt@er2"' in text


@pytest.mark.parametrize(("written", "shown"), [
    ('dlq = "amqp://u:s3cretpw@h/shop/queue:dead"', "amqp://****@h/shop/queue:dead"), ('dlq = "nats://s3cretpw@h/stream:DLQ"', "nats://****@h/stream:DLQ"),
    ('dlq = "kafka://u:s3/cretpw@h/dead"', "kafka://****@h/dead"), ('management = "http://u:s3cretpw@h:15672"', "http://****@h:15672"),
    ('management = "u:s3cretpw@h:15672"', "****@h:15672"), ('dlq = "@other/queue:dead"', "@other/queue:dead"), ('dlq = "queue:a@b"', "queue:a@b"),
    ('management = "http://h:15672"', "http://h:15672"),
])
def test_a_password_in_an_address_of_the_file_is_not_shown(cli: CommandLine, configuration: Path, written: str, shown: str) -> None:
    cli("context", "add", "a", "--url", "amqp://h")
    with configuration.open("a") as file:
        file.write(f"{written}\n")
    for output in ("json", "table"):
        ended = cli("context", "show", "a", "--origin", "-o", output)
        assert ended.code == 0, ended.stderr
        assert "cretpw" not in f"{ended.stdout!r}{ended.stderr}"
    assert json.loads(cli("context", "show", "a", "-o", "json").stdout)[written.partition(" ")[0]] == shown


def test_references_to_secrets_are_kept_as_references(cli: CommandLine, configuration: Path) -> None:
    cli("context", "add", "a", "--url", "nats://h", "--password-env", "SESAME")
    cli("context", "add", "b", "--url", "nats://h", "--password-file", "secret.txt")
    cli("context", "add", "c", "--url", "nats://h", "--password-command", "pass show 'my broker'")
    text = configuration.read_text()
    assert 'password = "env:SESAME"' in text
    assert f'password = "file:{cli.home / "secret.txt"}"' in text
    assert 'password_command = ["pass", "show", "my broker"]' in text
    assert json.loads(cli("context", "show", "c", "-o", "json").stdout)["password_command"] == "pass …"


@pytest.mark.parametrize(("options", "words"), [
    (("--url", "nats://u:x@h", "--password-env", "A"), "more than one way"),
    (("--url", "nats//h"), "--url is no URL"),
    (("--url", "kafka://h", "--option", "plugin.library.paths=/tmp/x.so"), "is not on the list"),
    (("--url", "kafka://h", "--option", "acks"), "has no value"),
    (("--url", "nats://h", "--password-command", "'"), "cannot be split"),
    (("--url", "nats://h", "--password-stdin"), "is empty"),
    # as "$VARIABLE" is in a script, where nothing set it
    (("--url", "nats://h", "--password-command", ""), "--password-command is empty"),
    (("--url", "nats://h", "--password-command", " "), "--password-command is empty"),
    (("--url", "nats://h", "--password-env", ""), "--password-env is empty"),
    (("--url", "nats://h", "--user", ""), "--user is empty"),
    (("--url", "tls://h", "--server-name", ""), "--server-name is empty"),
    (("--url", "nats://h", "--user", "\udcff"), "not UTF-8"),
    (("--url", "nats://\udcff"), "not UTF-8"),
    (("--url", "nats://h", "--dlq", "nats://u:s3cretpw@h/stream:DLQ"), "names a broker"),
    (("--url", "nats://h", "--dlq", "amqp://u:s3cretpw@h"), "names a host and what is on it"),
])
def test_what_cannot_work_is_refused_and_nothing_is_written(cli: CommandLine, configuration: Path, options: tuple[str, ...], words: str) -> None:
    ended = cli("context", "add", "a", *options)
    assert (ended.code, ended.stdout) == (2, b"")
    assert words in ended.stderr
    assert "s3cretpw" not in ended.stderr
    assert not configuration.exists()


def test_a_password_is_not_waited_for_on_a_terminal(terminal: Callable[..., object]) -> None:
    shown = terminal("context", "add", "a", "--url", "nats://h", "--password-stdin")
    assert shown.wait() == 2  # type: ignore[attr-defined]
    assert b"nothing is piped there" in shown.screen  # type: ignore[attr-defined]


def test_check_connects_first_and_writes_nothing_when_that_fails(cli: CommandLine, configuration: Path, kafka_address: str) -> None:
    ended = cli("context", "add", "away", "--url", "kafka://127.0.0.1:1", "--check", "--connect-timeout", "2")
    assert ended.code == 5
    assert not configuration.exists()
    ended = cli("context", "add", "there", "--url", f"kafka://{kafka_address}", "--check")
    assert (ended.code, "answers" in ended.stderr) == (0, True)


def test_a_context_that_does_not_exist_cannot_be_chosen(cli: CommandLine, configuration: Path) -> None:
    cli("context", "add", "staging", "--url", "nats://h")
    ended = cli("context", "use", "stagin")
    assert ended.code == 2
    assert "did you mean staging?" in ended.stderr
    assert "current" not in configuration.read_text()


def test_a_choice_of_the_environment_is_said_where_it_goes_before_ours(cli: CommandLine) -> None:
    ended = cli("context", "use", "local", extra={"BROKERCLI_URL": "nats://u:hunter2@h"})
    assert (ended.code, "here BROKERCLI_URL chooses a URL instead" in ended.stderr) == (0, True)
    assert "hunter2" not in ended.stderr


def test_a_projects_choice_is_said_where_it_goes_before_ours(cli: CommandLine) -> None:
    project = cli.home / "shop"
    (project / ".git").mkdir(parents=True)
    (project / "brokercli.toml").write_text('current = "dev"\n[contexts.dev]\nurl = "nats://localhost"\n')
    ended = cli("context", "use", "local", cwd=project)
    assert ended.code == 0
    assert "chooses dev instead" in ended.stderr
    assert json.loads(cli("context", "show", "-o", "json", cwd=project).stdout)["context"] == "dev"
    assert json.loads(cli("context", "show", "-o", "json").stdout)["context"] == "local"


def test_a_projects_context_that_asks_too_much_is_listed_with_the_reason(cli: CommandLine) -> None:
    (cli.home / "brokercli.toml").write_text('[contexts.evil]\nurl = "nats://h"\npassword_command = ["touch", "ran"]\n')
    listed = cli("context", "ls")
    assert listed.code == 0
    assert b"not used from a project's file" in listed.stdout
    assert not (cli.home / "ran").exists()


def test_nothing_chosen_exits_with_2_and_three_ways(cli: CommandLine) -> None:
    for arguments in (("publish", "orders", "x"), ("tail", "orders"), ("ls",), ("describe", "orders"), ("context", "show")):
        ended = cli(*arguments)
        assert (ended.code, ended.stdout) == (2, b"")
        assert "brokercli demo" in ended.stderr
        assert "brokercli context add" in ended.stderr
        assert "BROKERCLI_URL" in ended.stderr


@pytest.mark.parametrize("variables", [
    {"LC_ALL": "C", "LANG": "C"}, {"PYTHONOPTIMIZE": "1"}, {"PYTHONWARNINGS": "error"}, {"TERM": "dumb"},
])
def test_odd_environments_change_nothing(cli: CommandLine, variables: dict[str, str]) -> None:
    assert cli("context", "add", "a", "--url", "nats://höst", "--use", extra=variables).code == 0
    shown = cli("context", "show", "-o", "json", extra=variables)
    assert (shown.code, json.loads(shown.stdout)["url"], shown.stderr) == (0, "nats://höst", "")
    assert cli("context", "ls", extra=variables).code == 0


def test_a_home_that_cannot_be_written_says_what_to_set(cli: CommandLine) -> None:
    (cli.home / "config_home").write_text("")  # a file where the directory would be: not even root can write below it
    ended = cli("context", "use", "local")
    assert ended.code == 10
    assert "BROKERCLI_CONFIG_DIR" in ended.stderr
    ended = cli("context", "ls")
    assert (ended.code, b"local" in ended.stdout) == (0, True)


@pytest.mark.parametrize(("name", "words"), [("~no-such-user/x", "begins with a home directory that is not known"), ("x", "the working directory is gone")])
def test_a_path_that_leads_nowhere_is_a_mistake_and_no_bug_of_ours(cli: CommandLine, name: str, words: str) -> None:
    gone = ["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$0" "$@"']
    for extra, arguments in (({"BROKERCLI_CONFIG_DIR": name}, ("context", "ls")), ({"BROKERCLI_STATE_DIR": name}, ("local", "status")),
                             ({}, ("context", "add", "a", "--url", "nats://x", "--ca", name))):
        ended = subprocess.run([*gone, *command(arguments)], env=environment(cli.home, extra), cwd=cli.home, capture_output=True, text=True, check=False)
        assert (ended.returncode, words in ended.stderr) == (2, True), ended.stderr


def test_without_a_home_nothing_is_written_anywhere(cli: CommandLine) -> None:
    nowhere = {"HOME": "", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
    assert cli("context", "ls", extra=nowhere).code == 0
    home_of_the_user = cli("context", "use", "local", extra={**nowhere, "BROKERCLI_CONFIG_DIR": str(cli.home / "said")})
    assert home_of_the_user.code == 0
    assert [path.name for path in (cli.home / "said").iterdir()] == ["config.toml"]


def test_a_context_of_a_broker_that_nothing_speaks_to_is_not_written(cli: CommandLine) -> None:
    ended = cli("context", "add", "web", "--url", "http://localhost:8080")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "No broker speaks http://." in ended.stderr
    assert b"web" not in cli("context", "ls").stdout
