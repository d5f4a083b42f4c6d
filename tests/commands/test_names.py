"""What is no name is refused as that, whoever is asked about it and whatever the broker's client would do with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.commandline import CommandLine, environment
from tests.commands.conftest import Place
from tests.environment import ROOT

NO_TEXT = "shop\udcff"  # how the byte 0xff of a command line is read
COMMANDS = [["tail", "NAME"], ["publish", "NAME", "body"], ["describe", "NAME"], ["ls", "NAME"], ["dlq", "redrive", "NAME", "--yes"],
            ["consumers", "ls", "NAME"], ["consumers", "rm", "NAME", "--yes"], ["declare", "topic", "NAME"], ["declare", "binding", "NAME", "queue:q"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_bytes_that_are_not_utf_8_are_no_name(cli: CommandLine, command: list[str]) -> None:
    """Before anything connects: Kafka's client crashes over one."""
    cli.extra["BROKERCLI_URL"] = "kafka://127.0.0.1:1" if "topic" in command else "amqp://127.0.0.1:1"
    ended = cli(*(word.replace("NAME", NO_TEXT) for word in command))
    assert (ended.code, ended.stdout) == (2, b""), ended.stderr
    assert "A name holds bytes that are not UTF-8." in ended.stderr


@pytest.mark.parametrize(("address", "hint"), [("kafka://h", "for example: kafka://localhost/orders"), ("amqp://h", "amqp://HOST/VHOST/queue:NAME")])
def test_a_url_without_a_name_is_refused_with_an_example_for_that_broker(cli: CommandLine, address: str, hint: str) -> None:
    ended = cli("publish", address, "body")
    assert (ended.code, ended.stdout) == (2, b"")
    assert hint in ended.stderr


def test_what_an_exchange_does_not_have_is_said_in_english(cli: CommandLine, rabbitmq_address: str) -> None:
    for command in (["dlq", "inspect"], ["replay"]):
        ended = cli(*command, f"{rabbitmq_address.rstrip('/')}/exchange:amq.direct/key")
        assert (ended.code, ended.stdout) == (7, b"")
        assert " on an exchange: " in ended.stderr


@pytest.mark.parametrize("rest", ["orders", "queue:orders"])
def test_a_context_without_its_sign_is_taken_for_a_name_and_the_sign_is_named(cli: CommandLine, kafka_address: str, rabbitmq_address: str, rest: str) -> None:
    for name, url in (("kafka", f"kafka://{kafka_address}"), ("rabbit", rabbitmq_address)):
        assert cli("context", "add", name, "--url", url).code == 0
    for context in ("kafka", "rabbit"):
        ended = cli("publish", f"rabbit/{rest}", "body", "--context", context)
        assert (ended.code in (1, 2), f"did you mean @rabbit/{rest}? rabbit is a context" in ended.stderr) == (True, True), ended.stderr
        assert "did you mean @" not in cli("publish", f"other/{rest}", "body", "--context", context).stderr


@pytest.mark.nats
def test_a_command_line_is_taken_as_utf_8_whatever_the_locale_has(cli: CommandLine, make_place: Callable[..., Place]) -> None:
    """C without Python's own mend of it stands for every locale that has another encoding; of those the machine may have none."""
    elsewhere = environment(cli.home, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    address = make_place("nats").url.replace(".created", ".größe")
    for arguments in (["publish", address, "grüße → 日本", "-H", "ü=ö"], ["replay", address, "-o", "json", "--where", 'body.startsWith("grüße →")']):
        ended = subprocess.run([sys.executable, "-m", "brokercli", *arguments], env=elsewhere, cwd=ROOT, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
    stored = json.loads(ended.stdout)
    assert (stored["body"], stored["headers"]) == ("grüße → 日本", [{"name": "ü", "value": "ö"}])
    ended = subprocess.run([sys.executable, "-m", "brokercli", "context", "use", "größe"], env=elsewhere, cwd=ROOT, capture_output=True, check=False)
    assert b"\n  -> known: " in ended.stderr, "an arrow that such a terminal does not have"
