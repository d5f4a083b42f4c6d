"""`brokercli declare`: what is missing is made, what differs is shown, and nothing that exists is changed without --yes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.commandline import CommandLine
from tests.native.memory import MemoryBroker


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    return unique("orders")


def settings(memory: MemoryBroker, name: str) -> dict[str, object] | None:
    """What the broker has, asked without the code under test; None where there is no such topic."""
    return next((log["settings"] for log in memory.ask("list")["logs"] if log["name"] == name), None)


def test_what_is_missing_is_made_and_made_again_is_unchanged(cli: CommandLine, memory: MemoryBroker, name: str) -> None:
    made = cli("declare", "topic", name, "--set", "keep=5", "--set", "max.age=7d", "--set", "owners=a,b")
    assert made.code == 0, made.stderr
    assert made.stdout.decode() == f"+ topic {name}\n    keep     5\n    max.age  7d\n    owners   a,b\n"
    assert made.stderr == f"created: topic {name}\n"
    assert settings(memory, name) == {"keep": 5, "max.age": 604_800_000, "owners": ["a", "b"]}
    again = cli("declare", "topic", name, "--set", "max.age=168h")
    assert (again.code, again.stdout.decode(), again.stderr) == (0, f"= topic {name}: unchanged\n", "")


def test_a_dry_run_shows_what_would_be_made_and_exits_with_8(cli: CommandLine, memory: MemoryBroker, name: str) -> None:
    ended = cli("declare", "topic", name, "--set", "keep=5", "--dry-run")
    assert ended.code == 8
    assert ended.stdout.decode().startswith(f"+ topic {name}\n")
    assert "nothing was changed" in ended.stderr
    assert settings(memory, name) is None


def test_what_differs_is_shown_and_changed_only_with_yes(cli: CommandLine, memory: MemoryBroker, name: str) -> None:
    cli("declare", "topic", name, "--set", "keep=5", "--set", "max.size=1MiB")
    ended = cli("declare", "topic", name, "--set", "keep=6", "--set", "max.size=1MiB")
    assert (ended.code, ended.stdout.decode()) == (8, f"~ topic {name}\n    keep  5 → 6\n")
    assert ended.stderr == "nothing was changed; --yes does it\n"
    assert settings(memory, name) == {"keep": 5, "max.size": 1_048_576}
    dry = cli("declare", "topic", name, "--set", "keep=6", "--yes", "--dry-run")
    assert (dry.code, settings(memory, name)) == (8, {"keep": 5, "max.size": 1_048_576})
    changed = cli("declare", "topic", name, "--set", "keep=6", "--yes")
    assert (changed.code, changed.stderr) == (0, f"changed: topic {name}\n")
    assert settings(memory, name) == {"keep": 6, "max.size": 1_048_576}


def test_a_setting_is_unset_and_unset_again_is_unchanged(cli: CommandLine, memory: MemoryBroker, name: str) -> None:
    cli("declare", "topic", name, "--set", "keep=5", "--set", "max.age=7d")
    planned = cli("declare", "topic", name, "--unset", "keep", "--unset", "max.age")
    assert (planned.code, planned.stdout.decode()) == (8, f"~ topic {name}\n    keep     5 → 0 (default)\n    max.age  7d → (default)\n")
    assert settings(memory, name) == {"keep": 5, "max.age": 604_800_000}
    assert cli("declare", "topic", name, "--unset", "keep", "--unset", "max.age", "--yes").code == 0
    again = cli("declare", "topic", name, "--unset", "keep", "--unset", "max.age")
    assert (again.code, again.stdout.decode(), again.stderr) == (0, f"= topic {name}: unchanged\n", "")


@pytest.mark.parametrize(("arguments", "words", "hint"), [
    (["--unset", "kepp"], "--unset: a Memory topic has no setting 'kepp'.", "did you mean keep?"),
    (["--unset", "order"], "order cannot be unset, because it never changes", ""),
    (["--unset", "keep", "--set", "keep=3"], "keep is set and unset at once.", "leave one of them out"),
])
def test_what_cannot_be_unset_is_refused(cli: CommandLine, memory: MemoryBroker, name: str, arguments: list[str], words: str, hint: str) -> None:
    ended = cli("declare", "topic", name, *arguments)
    assert (ended.code, ended.stdout) == (2, b"")
    assert words in ended.stderr
    assert hint in ended.stderr
    assert settings(memory, name) is None


def test_what_never_changes_is_refused_with_what_to_do_and_nothing_is_changed(cli: CommandLine, memory: MemoryBroker, name: str) -> None:
    cli("declare", "topic", name, "--set", "keep=5")
    for more in ([], ["--yes"], ["--dry-run"]):
        ended = cli("declare", "topic", name, "--set", "keep=6", "--set", "order=time", *more)
        assert ended.code == 1
        assert ended.stdout.decode().splitlines() == [f"! topic {name}", "    keep   5 → 6", "    order  sent → time",
                                                      "           what is stored is not sorted again; make the topic anew"]
        assert "cannot be as declared; order: what is stored is not sorted again; make the topic anew. Nothing was changed." in ended.stderr
        assert settings(memory, name) == {"keep": 5}


def test_a_plan_is_data_with_json(cli: CommandLine, memory: MemoryBroker, name: str) -> None:
    made = json.loads(cli("declare", "topic", name, "--set", "keep=5", "-o", "json").stdout)
    assert (made["action"], made["kind"], made["name"], made["settings"], made["state"]) == ("create", "topic", name, {"keep": 5}, "done")
    ended = cli("declare", "topic", name, "--set", "keep=6", "-o", "json")
    assert ended.code == 8
    assert json.loads(ended.stdout) == {"action": "change", "kind": "topic", "name": name, "settings": {"keep": 6},
                                        "differences": [{"setting": "keep", "have": 5, "want": 6}], "remarks": []}
    refused = cli("declare", "topic", name, "--set", "order=time", "-o", "json")
    assert json.loads(refused.stdout)["differences"][0]["obstacle"] == "what is stored is not sorted again; make the topic anew"
    assert json.loads(refused.stderr)["exit_code"] == refused.code == 1


@pytest.mark.parametrize(("arguments", "code", "words", "hint"), [
    (["topic", "orders", "--set", "kep=1"], 2, "no setting 'kep'", "did you mean keep?"),
    (["topic", "orders", "--set", "keep=many"], 2, "'many' is no whole number", ""),
    (["topic", "orders", "--partitions", "6"], 2, "--partitions: a Memory topic has no such setting", ""),
    (["stream", "orders"], 7, "its topics keep their messages: declare a topic", "Memory has: topic, queue"),
    (["binding", "orders/k", "queue:q"], 7, "nothing is routed in a memory broker", ""),
    (["binding", "orders/k"], 7, "nothing is routed in a memory broker", ""),
    (["consumer", "orders"], 2, "a stream and a name are", "ORDERS/worker"),
    (["retry", "stream:orders", "--delays", "5s"], 7, "delays nothing", ""),
    (["retry", "exchange:orders", "--delays", "5s"], 2, "exchange:orders is no retry", ""),
    (["topic", "queue:orders"], 2, "queue:orders is no topic", "topic:queue:orders"),
    (["topic", ""], 2, "cannot be a name", ""),
    (["retry", "orders"], 2, "Retries need delays", "--delays 5s,30s,5m"),
    (["retry", "orders", "--delays", "5s", "--consumer", ""], 2, "cannot have an empty name", "leave it out"),
    (["retry", "orders", "--delays", "5s", "--dead-letter", ""], 2, "cannot have an empty name", "leave it out"),
    (["retry", "orders", "--delays", "5s,1m", "--attempts", "2"], 2, "2 attempts wait 1 time", "--attempts 3"),
    (["retry", "orders", "--delays", "5s", "--set", "kep=1"], 2, "no setting 'kep'", "did you mean keep?"),
    (["retry", "orders", "--delays", "5s"], 7, "delays nothing", ""),
    (["settings", "topics"], 2, "'topics' is no kind", "did you mean topic?"),
])
def test_what_is_asked_wrongly_changes_nothing(cli: CommandLine, memory: MemoryBroker, arguments: list[str], code: int, words: str, hint: str) -> None:
    before = memory.ask("list")
    ended = cli("declare", *arguments)
    assert (ended.code, ended.stdout) == (code, b"")
    assert words in ended.stderr
    assert hint in ended.stderr
    assert memory.ask("list") == before


def test_unknown_settings_are_refused_before_anything_connects(cli: CommandLine) -> None:
    ended = cli("declare", "topic", "orders", "--set", "retention=1d", "--context", "kafka://127.0.0.1:1")
    assert ended.code == 2
    assert "did you mean retention.ms?" in ended.stderr


def test_the_name_can_say_its_broker(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str) -> None:
    del cli.extra["BROKERCLI_URL"]
    assert cli("context", "add", "shop", "--url", memory_address).code == 0
    for spelling in (f"@shop/{name}", f"@shop/topic:{name}", f"{memory_address}/{name}", f"{memory_address}/topic:{name}"):
        assert cli("declare", "topic", spelling, "--set", "keep=5").code == 0, spelling
    assert settings(memory, name) == {"keep": 5}


def test_a_read_only_context_shows_the_plan_and_refuses_to_do_it(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str) -> None:
    cli("declare", "topic", name, "--set", "keep=5")
    assert cli("context", "add", "looked-at", "--url", memory_address, "--readonly").code == 0
    here = ["--context", "looked-at"]
    assert cli("declare", "topic", name, "--set", "keep=5", *here).code == 0
    shown = cli("declare", "topic", name, "--set", "keep=6", *here)
    assert (shown.code, shown.stderr) == (8, "nothing was changed; this context is read-only\n")
    assert cli("declare", "topic", f"{name}.new", "--dry-run", *here).code == 8
    for arguments in ([name, "--set", "keep=6", "--yes"], [f"{name}.new"]):
        refused = cli("declare", "topic", *arguments, *here)
        assert refused.code == 2
        assert "is read-only: nothing is changed there" in refused.stderr
    assert (settings(memory, name), settings(memory, f"{name}.new")) == ({"keep": 5}, None)


def test_a_protected_context_is_changed_only_by_who_names_it(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str) -> None:
    del cli.extra["BROKERCLI_URL"]
    assert cli("context", "add", "production", "--url", memory_address, "--protected").code == 0
    assert cli("context", "use", "production").code == 0
    refused = cli("declare", "topic", name)
    assert refused.code == 2
    assert "is protected: name it to change anything there" in refused.stderr
    assert settings(memory, name) is None
    assert cli("declare", "topic", name, "--context", "production").code == 0
    assert settings(memory, name) == {}


@pytest.mark.parametrize(("answer", "code", "kept"), [(b"y\r", 0, 6), (b"n\r", 8, 5)])
def test_on_a_terminal_it_is_asked(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str, terminal: Callable[..., object], answer: bytes,
                                   code: int, kept: int) -> None:
    cli("declare", "topic", name, "--set", "keep=5")
    shown = terminal("declare", "topic", name, "--set", "keep=6", "--context", memory_address)
    shown.wait_for(b"1 change: do it? [y/N]")  # type: ignore[attr-defined]
    shown.press(answer)  # type: ignore[attr-defined]
    assert shown.wait() == code  # type: ignore[attr-defined]
    assert settings(memory, name) == {"keep": kept}


def test_settings_are_listed_with_what_never_changes(cli: CommandLine) -> None:
    rows = [json.loads(line) for line in cli("declare", "settings", "topic", "--broker", "kafka", "-o", "json").lines]
    found = {row["setting"]: row for row in rows}
    assert {row["kind"] for row in rows} == {"topic"}
    assert found["retention.ms"]["form"] == "duration"
    assert found["retention.ms"]["fixed"] is None
    assert "replicas" in found["replication.factor"]["fixed"]


def test_a_broker_that_is_away_is_told_so(cli: CommandLine) -> None:
    ended = cli("declare", "topic", "orders", "--context", "memory://127.0.0.1:1")
    assert (ended.code, ended.stdout) == (5, b"")


def test_a_long_obstacle_folds_on_a_narrow_terminal(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str,
                                                    terminal: Callable[..., object]) -> None:
    cli("declare", "topic", name)
    shown = terminal("declare", "topic", name, "--set", "order=time", "--context", memory_address, columns=50, extra={"NO_COLOR": "1"})
    assert shown.wait() == 1  # type: ignore[attr-defined]
    lines = shown.screen.decode().replace("\r", "").splitlines()  # type: ignore[attr-defined]
    assert lines[:4] == [f"! topic {name}", "    order  sent → time", "           what is stored is not sorted again;", "           make the topic anew"]


OWN = {
    "kafka": [["topic", "{name}", "--partitions", "2", "--replication-factor", "1", "--set", "retention.ms=7d"]],
    "nats": [["stream", "{name}", "--subjects", "{name}.>", "--max-age", "7d", "--storage", "memory"],
             ["consumer", "{name}/worker", "--max-deliver", "5", "--ack-wait", "10s", "--filter-subject", "{name}.created"]],
    "rabbitmq": [["exchange", "{name}", "--type", "topic"], ["queue", "{name}", "--type", "quorum", "--set", "max-length=100"],
                 ["binding", "{name}/created.#", "queue:{name}"], ["binding", "{name}/ -> exchange:amq.fanout"], ["stream", "{name}.log", "--max-age", "7d"]],
}


@pytest.mark.parametrize("server", [pytest.param(broker, marks=getattr(pytest.mark, broker)) for broker in OWN])
def test_each_kind_of_thing_is_declared_in_its_brokers_own_words(cli: CommandLine, request: pytest.FixtureRequest, server: str, name: str) -> None:
    management = ["--management", request.getfixturevalue("rabbitmq_management")] if server == "rabbitmq" else []
    address = request.getfixturevalue(f"{server}_address")
    assert cli("context", "add", "here", "--url", address if "://" in address else f"kafka://{address}", *management).code == 0
    cli.extra["BROKERCLI_CONTEXT"] = "here"
    commands = [[word.replace("{name}", name) for word in words] for words in OWN[server]]
    for words in commands:
        made = cli("declare", *words)
        assert (made.code, made.stdout[:2]) == (0, b"+ "), made.stderr
    again = cli("declare", *commands[-1], "-o", "json")
    assert (again.code, json.loads(again.stdout)["action"]) == (0, "unchanged"), again.stdout
    kinds = [word for kind in ("topic", "stream", "consumer", "binding", "exchange", "queue") for word in ("--prune-name", f"{kind}:{name}*")]
    assert cli("topology", "apply", "-", "--yes", *kinds).code == 0
    assert cli("declare", *commands[0], "--dry-run").code == 8
