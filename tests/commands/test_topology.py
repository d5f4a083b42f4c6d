"""`brokercli topology`: a file against a broker, shown, done step by step, written down again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers.server import wait_until
from tests.commandline import CommandLine, Terminal
from tests.faults.proxy import Proxy
from tests.native.memory import MemoryBroker


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    return unique("shop")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.toml"


def there(memory: MemoryBroker, name: str) -> dict[str, object]:
    """Each thing whose name begins so, and its settings."""
    return {log["name"].removeprefix(name): log["settings"] for log in memory.ask("list")["logs"] if log["name"].startswith(name)}


def test_a_plan_shows_each_sign_and_exits_with_8_and_applying_it_leaves_nothing_to_do(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    memory.ask("create", kind="topic", name=f"{name}.same", settings={"keep": 1})
    memory.ask("create", kind="topic", name=f"{name}.other", settings={"keep": 1})
    memory.ask("create", kind="queue", name=f"{name}.old")
    file.write_text(f'prune = ["{name}.*"]\n[topic."{name}.same"]\nkeep = 1\n[topic."{name}.other"]\nkeep = 2\nmax.age = "7d"\n[queue."{name}.new"]\n')
    expected = (f"= topic {name}.same: unchanged\n~ topic {name}.other\n    keep     1 → 2\n    max.age  - → 7d\n+ queue {name}.new\n"
                f"- queue {name}.old\n    (0 messages go with it)\n")
    for arguments in (["plan", "--prune"], ["apply", "--prune"], ["apply", "--prune", "--yes", "--dry-run"]):
        planned = cli("topology", *arguments, str(file))
        assert (planned.code, planned.stdout.decode()) == (8, expected)
        assert planned.stderr.startswith("1 to create, 1 to change, 1 to delete, 1 unchanged\nnothing was changed; ")
    assert set(there(memory, name)) == {".same", ".other", ".old"}
    applied = cli("topology", "apply", str(file), "--prune", "--yes")
    assert applied.code == 0
    assert applied.stderr.splitlines()[1:] == [f"changed: topic {name}.other", f"created: queue {name}.new", f"deleted: queue {name}.old"]
    assert there(memory, name) == {".same": {"keep": 1}, ".other": {"keep": 2, "max.age": 604_800_000}, ".new": {}}
    assert cli("topology", "plan", str(file), "--prune").code == 0
    assert cli("topology", "apply", str(file), "--prune").code == 0


def test_a_quiet_run_prints_problems_only(cli: CommandLine, memory: MemoryBroker, name: str, file: Path, terminal: Callable[..., Terminal],
                                         memory_address: str) -> None:
    file.write_text(f'[topic."{name}"]\nkeep = 2\n')
    pending = cli("topology", "apply", "-q", str(file))
    assert (pending.code, pending.stdout, pending.stderr) == (8, b"", "")
    done = cli("topology", "apply", "-q", "--yes", str(file))
    assert (done.code, done.stdout, done.stderr, there(memory, name)) == (0, b"", "", {"": {"keep": 2}})
    unchanged = cli("declare", "topic", name, "--set", "keep=2", "-q")
    assert (unchanged.code, unchanged.stdout, unchanged.stderr) == (0, b"", "")
    file.write_text(f'[topic."{name}"]\nkeep = 3\norder = "time"\n[topic."{name}.new"]\n')
    cannot = cli("topology", "apply", "-q", "--yes", str(file))
    assert cannot.code == 1
    assert cannot.stdout.decode().splitlines()[0] == f"! topic {name}"
    assert ".new" not in cannot.stdout.decode() + cannot.stderr
    assert "cannot be as declared" in cannot.stderr
    asked = terminal("declare", "topic", name, "--set", "keep=4", "-q", "--context", memory_address)
    asked.wait_for(b"keep  2 \xe2\x86\x92 4")
    asked.press(b"n\r")
    assert asked.wait() == 8
    assert there(memory, name) == {"": {"keep": 2}}


def test_nothing_is_deleted_without_prune_or_beside_its_patterns(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    for part in (".a", ".b", "-not"):
        memory.ask("create", kind="queue", name=f"{name}{part}")
    file.write_text(f'prune = ["{name}.a"]\n[topic."{name}.t"]\n')
    assert cli("topology", "apply", str(file), "--yes").code == 0
    assert set(there(memory, name)) == {".a", ".b", "-not", ".t"}
    assert cli("topology", "apply", str(file), "--yes", "--prune").code == 0
    assert set(there(memory, name)) == {".b", "-not", ".t"}
    assert cli("topology", "apply", str(file), "--yes", "--prune-name", f"topic:{name}.*").code == 0
    assert set(there(memory, name)) == {".b", "-not", ".t"}
    assert cli("topology", "apply", str(file), "--yes", "--prune-name", f"queue:{name}.*").code == 0
    assert set(there(memory, name)) == {"-not", ".t"}


def test_a_file_that_declares_nothing_is_said_to(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    file.write_text("")
    assert cli("topology", "plan", str(file)).stderr == "nothing is declared\n"
    file.write_text(f'prune = ["{name}.*"]\n')
    assert cli("topology", "plan", str(file)).stderr == "nothing is declared; --prune deletes what its patterns name\n"
    for words in (["plan"], ["apply", "--yes"]):
        ended = cli("topology", *words, str(file), "--prune")
        assert (ended.code, ended.stdout, ended.stderr) == (0, b"", "nothing is declared, and nothing there has a name that is pruned\n")
        assert cli("topology", *words, str(file), "--prune", "-q").stderr == ""
        assert cli("topology", *words, str(file), "--prune", "-o", "json").stderr == ""


def test_prune_without_a_pattern_is_refused(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    file.write_text(f"[topic.{name}]\n")
    ended = cli("topology", "apply", str(file), "--prune", "--yes")
    assert ended.code == 2
    assert "deletes only what a pattern names" in ended.stderr
    assert there(memory, name) == {}


def test_where_something_cannot_be_as_declared_nothing_is_done(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    memory.ask("create", kind="topic", name=f"{name}.a", settings={"order": "sent"})
    file.write_text(f'[topic."{name}.new"]\n[topic."{name}.a"]\norder = "time"\n')
    for arguments in (["plan"], ["apply"], ["apply", "--yes"]):
        ended = cli("topology", *arguments, str(file))
        assert ended.code == 1
        assert f"! topic {name}.a\n    order  sent → time\n" in ended.stdout.decode()
        assert "cannot be as declared" in ended.stderr
    assert set(there(memory, name)) == {".a"}


def test_each_step_is_data_with_json(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    memory.ask("create", kind="topic", name=f"{name}.same")
    file.write_text(f'[topic."{name}.same"]\n[topic."{name}.new"]\nkeep = 2\n')
    planned = [json.loads(line) for line in cli("topology", "plan", str(file), "-o", "json").lines]
    assert [(row["action"], row["name"], "state" in row) for row in planned] == [("unchanged", f"{name}.same", False), ("create", f"{name}.new", False)]
    applied = [json.loads(line) for line in cli("topology", "apply", str(file), "--yes", "-o", "json").lines]
    assert [(row["action"], row["name"], row.get("state")) for row in applied] == [("unchanged", f"{name}.same", None), ("create", f"{name}.new", "done")]


def test_the_first_failure_stops_says_what_was_done_and_can_be_gone_on_from(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    too_long = "x" * 201  # planned without complaint, refused when it is made
    file.write_text(f'[topic."{name}.a"]\n[topic."{name}.{too_long}"]\n[topic."{name}.c"]\n')
    ended = cli("topology", "apply", str(file), "--yes")
    assert ended.code == 3
    assert f"created: topic {name}.a\n" in ended.stderr
    assert f"brokercli: topic {name}.{too_long}: " in ended.stderr
    assert f"1 of 3 done; not done: topic {name}.c\n  → run it again once that is mended: what is done is left as it is\n" in ended.stderr
    assert set(there(memory, name)) == {".a"}
    file.write_text(f'[topic."{name}.a"]\n[topic."{name}.c"]\n')
    again = cli("topology", "apply", str(file), "--yes")
    assert (again.code, again.stdout.decode()) == (0, f"= topic {name}.a: unchanged\n+ topic {name}.c\n")


def test_a_step_whose_verdict_did_not_come_is_in_doubt_and_the_rest_is_left(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    file.write_text(f'[topic."{name}.a"]\n[topic."{name}.b"]\n')
    with Proxy((memory.host, memory.port)) as proxy:
        through = ["--context", f"memory://{proxy.address[0]}:{proxy.address[1]}"]
        assert cli("topology", "plan", str(file), *through).code == 8
        # until then not all of what has passed is counted
        wait_until(lambda: not proxy.connections, 60, "the end of the connection")
        proxy.cut_after(proxy.passed("to client") + 1, "to client")  # the same once more, and then the first answer
        ended = cli("topology", "apply", str(file), "--yes", *through)
    assert ended.code == 4, ended.stderr
    assert f"it is not known whether topic {name}.a was created: " in ended.stderr
    assert f"0 of 2 done; not done: topic {name}.b" in ended.stderr
    assert set(there(memory, name)) <= {".a"}


def test_what_is_exported_plans_to_no_changes(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    settings = {"keep": 7, "max.age": 90_000, "max.size": 65_536, "sample": 0.5, "owners": ["a"], "steps": [5000], "labels": {"x": {"y": 1}}}
    memory.ask("create", kind="topic", name=f"{name}.a", settings=settings)
    memory.ask("create", kind="queue", name=f"{name}.b", settings={"keep": 3})
    ended = cli("topology", "export", str(file), "--name", f"{name}.*")
    assert (ended.code, ended.stdout, ended.stderr) == (0, b"", f"2 things written to {file}\n")
    written = tomllib.loads(file.read_text())
    assert written["topic"][f"{name}.a"]["max.age"] == "1m30s"
    assert set(written["topic"]) | set(written["queue"]) == {f"{name}.a", f"{name}.b"}
    assert cli("topology", "plan", str(file)).code == 0
    again = cli("topology", "export", str(file))
    assert again.code == 2
    assert "is there already" in again.stderr
    piped = cli("topology", "export", "--name", f"{name}.*")
    assert piped.stdout.decode() == file.read_text()
    assert cli("topology", "plan", "-", stdin=piped.stdout).code == 0


def test_an_export_that_takes_the_place_of_a_file_never_leaves_half_of_it(cli: CommandLine, memory: MemoryBroker, name: str, file: Path) -> None:
    memory.ask("create", kind="topic", name=f"{name}.a")
    file.write_text("the last one")
    kept = file.with_name("kept")
    kept.hardlink_to(file)
    ended = cli("topology", "export", str(file), "--name", f"{name}.*", "--force")
    assert ended.code == 0, ended.stderr
    assert f"{name}.a" in file.read_text()
    assert kept.read_text() == "the last one"  # it was not written into, but replaced
    assert file.stat().st_mode == kept.stat().st_mode


def test_a_file_that_another_export_has_made_meanwhile_is_not_written_over(cli: CommandLine, memory: MemoryBroker, memory_address: str, file: Path) -> None:
    host, _, port = memory_address.removeprefix("memory://").partition(":")
    with Proxy((host, int(port))) as proxy:
        proxy.hold_answers()
        export = cli.start("topology", "export", str(file), "--context", f"memory://{host}:{proxy.port}")
        wait_until(lambda: proxy.connections == 1, 30, "the export")
        file.write_text("the other's")
        proxy.heal()
        ended = cli.finish(export)
    assert (ended.code, ended.stderr) == (10, f"brokercli: {file} cannot be written: File exists.\n")
    assert file.read_text() == "the other's"


def test_what_is_wrong_in_a_file_is_said_with_its_line_before_anything_connects(cli: CommandLine, file: Path) -> None:
    file.write_text('[topic.orders]\n"retention.ms" = "7d"\n"retention.byte" = "1GB"\n')
    ended = cli("topology", "apply", str(file), "--yes", "--context", "kafka://127.0.0.1:1")
    assert ended.code == 2
    assert ended.stderr == f"brokercli: {file}:3: the topic orders has no setting 'retention.byte'.\n  → did you mean retention.bytes?\n"
    assert cli("topology", "plan", str(file.with_name("none.toml")), "--context", "kafka://127.0.0.1:1").code == 2


def test_a_file_for_another_broker_is_refused(cli: CommandLine, memory: MemoryBroker, file: Path) -> None:
    file.write_text('broker = "kafka"\n[topic.orders]\n')
    ended = cli("topology", "plan", str(file))
    assert ended.code == 2
    assert f"{file}:1: this file is for kafka, and the broker chosen is Memory." in ended.stderr


@pytest.mark.kafka
def test_what_a_worker_has_to_do_is_not_said_again_where_things_are_only_pruned(cli: CommandLine, kafka_address: str, name: str, file: Path) -> None:
    cli.extra["BROKERCLI_URL"] = f"kafka://{kafka_address}"
    file.write_text(f'[topic."{name}"]\n[retry."{name}"]\ndelays = ["5s"]\n')
    assert "what a worker has to do:" in cli("topology", "apply", str(file), "--yes").stderr
    assert cli("declare", "topic", f"{name}.old").code == 0
    planned = cli("topology", "plan", str(file), "--prune-name", f"{name}.*")
    assert planned.code == 8
    assert planned.stderr == f"1 to delete, 3 unchanged\nnothing was changed; topology apply --prune-name '{name}.*' --yes does it\n"
    file.write_text("")
    assert cli("topology", "apply", str(file), "--yes", "--prune-name", f"{name}*").code == 0


def test_a_read_only_context_shows_the_plan_and_refuses_to_apply_it(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str, file: Path) -> None:
    assert cli("context", "add", "looked-at", "--url", memory_address, "--readonly").code == 0
    file.write_text(f"[topic.{name}]\n")
    assert cli("topology", "plan", str(file), "-c", "looked-at").code == 8
    refused = cli("topology", "apply", str(file), "--yes", "-c", "looked-at")
    assert refused.code == 2
    assert "is read-only: nothing is changed there" in refused.stderr
    assert there(memory, name) == {}


def test_on_a_terminal_applying_asks_and_then_does_it(cli: CommandLine, memory: MemoryBroker, memory_address: str, name: str, file: Path,
                                                      terminal: Callable[..., object]) -> None:
    file.write_text(f"[topic.{name}]\n[queue.{name}]\n")
    shown = terminal("topology", "apply", str(file), "--context", memory_address)
    shown.wait_for(b"2 changes: do them? [y/N]")  # type: ignore[attr-defined]
    assert there(memory, name) == {}
    shown.press(b"y\r")  # type: ignore[attr-defined]
    assert shown.wait() == 0  # type: ignore[attr-defined]
    assert f"created: queue {name}".encode() in shown.screen  # type: ignore[attr-defined]


def test_the_schema_is_printed_with_every_broker_there_is(cli: CommandLine) -> None:
    schema = json.loads(cli("topology", "schema").stdout)
    assert "kafka-topic" in schema["$defs"]
    assert "memory-topic" in schema["$defs"]
    assert "memory" in schema["properties"]["broker"]["enum"]


SOURCES = {
    "kafka": ('[topic."{name}.created"]\npartitions = 2\nretention.ms = "7d"\n[retry."{name}.created"]\nattempts = 4\ndelays = ["5s", "30s"]\n',
              {"topic:{name}.*"}),
    "nats": ('[stream."{name}"]\nsubjects = ["{name}.>"]\nmax_age = "7d"\n[retry."{name}"]\nattempts = 4\ndelays = ["5s", "30s"]\nconsumer = "worker"\n',
             {"stream:{name}*", "consumer:{name}/*"}),
    "rabbitmq": ('[exchange."{name}"]\ntype = "topic"\n[queue."{name}.created"]\ntype = "quorum"\n[[binding]]\nsource = "{name}"\n'
                 'destination = "queue:{name}.created"\nrouting_key = "created"\n[retry."{name}.created"]\nattempts = 4\ndelays = ["5s", "30s"]\n',
                 {"exchange:{name}*", "queue:{name}*", "binding:{name}*"}),
}


@pytest.mark.parametrize("server", [pytest.param(broker, marks=getattr(pytest.mark, broker)) for broker in SOURCES])
def test_a_whole_topology_is_applied_changed_exported_and_pruned(cli: CommandLine, request: pytest.FixtureRequest, server: str, name: str, file: Path) -> None:
    management = ["--management", request.getfixturevalue("rabbitmq_management")] if server == "rabbitmq" else []
    address = request.getfixturevalue(f"{server}_address")
    assert cli("context", "add", "here", "--url", address if "://" in address else f"kafka://{address}", *management).code == 0
    cli.extra["BROKERCLI_CONTEXT"] = "here"
    text, patterns = SOURCES[server][0].replace("{name}", name), sorted(one.replace("{name}", name) for one in SOURCES[server][1])
    file.write_text(text)
    applied = cli("topology", "apply", str(file), "--yes")
    assert applied.code == 0, applied.stderr
    assert "what a worker has to do:" in applied.stderr
    unchanged = cli("topology", "plan", str(file))
    assert (unchanged.code, "a worker" in unchanged.stderr) == (0, False), unchanged.stdout
    longer = text.replace('"30s"', '"30s", "2m"')
    file.write_text(longer)
    changed = cli("topology", "apply", str(file), "--yes")
    assert changed.code == 0, changed.stderr
    assert any(line.startswith((b"+ ", b"~ ")) for line in changed.lines), changed.stdout
    names = [word for pattern in patterns for word in ("--name", pattern)]
    written = cli("topology", "export", *names)
    assert written.code == 0, written.stderr
    made = {(kind, one) for kind, table in tomllib.loads(written.stdout.decode()).items() if isinstance(table, dict) for one in table}
    assert len(made) >= 3, made
    planned = cli("topology", "plan", "-", stdin=written.stdout)
    assert planned.code == 0, planned.stdout
    prunes = [word for pattern in patterns for word in ("--prune-name", pattern)]
    pruned = cli("topology", "apply", "-", "--yes", *prunes)
    assert pruned.code == 0, pruned.stderr
    assert cli("topology", "export", *names).stdout.decode().count("[") == 0


def test_what_rabbitmq_lets_be_called_with_control_characters_is_exported_planned_and_made_again(
        cli: CommandLine, rabbitmq_address: str, rabbitmq_management: str, name: str) -> None:
    assert cli("context", "add", "here", "--url", rabbitmq_address, "--management", rabbitmq_management).code == 0
    cli.extra["BROKERCLI_CONTEXT"] = "here"
    work, source = f"{name}.q\x07\x01\t\x7f\x85", f"{name}.x\x1b[31m"
    text = (f'[exchange.{json.dumps(source)}]\ntype = "direct"\n[queue.{json.dumps(work)}]\ntype = "classic"\nmax-length = 5\n[[binding]]\n'
            f'source = {json.dumps(source)}\ndestination = {json.dumps(f"queue:{work}")}\nrouting_key = "a\\nb\\r\\u0007"\n')
    text = text.replace("\x7f", "\\u007f")  # which JSON leaves as it is, and TOML does not take
    assert cli("topology", "apply", "-", "--yes", stdin=text.encode()).code == 0
    names = ["--name", f"exchange:{name}*", "--name", f"queue:{name}*", "--name", f"binding:{name}*"]
    written = cli("topology", "export", *names)
    assert set(tomllib.loads(written.stdout.decode())["queue"]) == {work}
    assert "\x85" not in written.stdout.decode()
    planned = cli("topology", "plan", "-", stdin=written.stdout)
    assert (planned.code, planned.stderr.splitlines()[0]) == (0, "3 unchanged")
    assert "\\x1b[31m" in planned.stdout.decode() or "\\u001b[31m" in planned.stdout.decode()
    prunes = [word for pattern in (f"exchange:{name}*", f"queue:{name}*") for word in ("--prune-name", pattern)]
    assert cli("topology", "apply", "-", "--yes", *prunes).code == 0
    assert cli("topology", "export", *names).stdout.count(b"[") == 0


def test_what_rabbitmq_takes_out_of_names_is_refused_with_its_line(cli: CommandLine, rabbitmq_address: str, name: str) -> None:
    refused = cli("topology", "plan", "-", "--context", rabbitmq_address, stdin=f'# mine\n[queue.{name}]\n[queue."{name}\\nb"]\n'.encode())
    assert refused.code == 2
    assert refused.stderr.startswith("brokercli: standard input:3: The name '")
