"""`brokercli dlq`: the whole story on each broker, from the first look to an empty destination."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.commandline import CommandLine, Terminal
from tests.commands.conftest import Place
from tests.commands.dead_letters import Graveyard


def test_ls_finds_the_destination_with_what_is_pending(cli: CommandLine, graveyard: Graveyard, request: pytest.FixtureRequest) -> None:
    graveyard.bury("a", "b")
    where = ["--management", request.getfixturevalue("rabbitmq_management")] if graveyard.dlq.broker == "rabbitmq" else []
    assert cli("context", "add", "here", "--url", graveyard.dlq.server, *where).code == 0
    ended = cli("dlq", "ls", "@here/", "-o", "json")
    assert ended.code == 0, ended.stderr
    found = {row["dlq"]: row for row in map(orjson.loads, ended.lines)}
    row = next(found[name] for name in found if name.partition(":")[2] == graveyard.address.rpartition(":")[2])
    assert row["pending"] == 2


def test_inspect_groups_by_why_and_where_and_changes_nothing(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b", reason="timeout")
    graveyard.bury("c", reason="schema", **{"x_exception_class": "com.acme.BadSchema", "x_attempts": "5"})
    for _ in range(2):
        ended = cli("dlq", "inspect", graveyard.url, "-o", "json")
        assert ended.code == 0, ended.stderr
        groups = [orjson.loads(line) for line in ended.lines]
        assert [(group["count"], group["reason"], group["exception"], group["attempts"]) for group in groups] == [
            (2, "timeout", "", [3, 3]), (1, "schema", "com.acme.BadSchema", [5, 5])]
        assert {group["origin"].partition(":")[2] for group in groups} == {graveyard.origin}
        assert all(group["states"] == {"pending": group["count"]} for group in groups)
        assert "side effects: " in ended.stderr
    table = cli("dlq", "inspect", graveyard.url)
    assert b"com.acme.BadSchema" in table.stdout
    assert "3 letters" in table.stderr


def test_show_tells_everything_about_one(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury('{"order":1}', reason="timeout", **{"x_exception_stacktrace": "at com.acme.Main"})
    ended = cli("dlq", "show", "#1", graveyard.url)
    assert ended.code == 0, ended.stderr
    for part in (b"timeout", graveyard.origin.encode(), b'"order": 1', b"at com.acme.Main", b"pending"):
        assert part in ended.stdout
    told = orjson.loads(cli("dlq", "show", "#1", graveyard.url, "-o", "json").stdout)
    assert told["facts"]["body"] == '{"order":1}'
    missing = cli("dlq", "show", "#2", graveyard.url)
    assert (missing.code, missing.stdout) == (1, b"")
    assert "There is no letter #2" in missing.stderr


def test_without_yes_the_plan_is_printed_and_nothing_changes(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b")
    for options in ((), ("--dry-run",), ("--dry-run", "--yes")):
        ended = cli("dlq", "redrive", graveyard.url, *options)
        assert ended.code == 8, ended.stderr
        assert graveyard.origin.encode() in ended.stdout
        assert "nothing was changed; --yes redrives them" in ended.stderr
        assert "x-original-topic (2)" in ended.stderr  # taken off
    told = cli("dlq", "redrive", graveyard.url, "-o", "json")
    assert told.code == 8
    plan = orjson.loads(told.stdout)
    assert (plan["verb"], plan["letters"], list(plan["destinations"].values()), plan["left"]) == ("redrive", 2, [2], {})
    assert graveyard.pending == 2
    assert graveyard.at_home() == []


def test_redriven_letters_lie_at_home_as_they_were_less_what_their_death_added(cli: CommandLine, graveyard: Graveyard, tmp_path: Path) -> None:
    graveyard.bury("a", "b\xff\t", "")
    report = tmp_path / "report.json"
    ended = cli("dlq", "redrive", graveyard.url, "--yes", "--report", str(report))
    assert ended.code == 0, ended.stderr
    assert ended.stdout == b""
    assert "redriven: read 3, confirmed 3, refused 0, unknown 0, skipped 0" in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if line.startswith(("exactly once", "at least once"))]) == 1  # before it starts
    told = json.loads(report.read_text())
    assert (told["read"], told["confirmed"], told["exit_code"]) == (3, 3, 0)
    assert graveyard.pending == 0
    kept = [orjson.loads(line) for line in Path(told["journal"]).read_bytes().splitlines()]
    assert [envelope["body"] for envelope in kept] == ["a", "b\xff\t", ""]
    if graveyard.home.broker != "rabbitmq":
        envelopes = [orjson.loads(line) for line in cli("replay", graveyard.home.url, "-o", "json").lines]
        names = {header["name"] for envelope in envelopes for header in envelope["headers"]} - {"Nats-Msg-Id"}
        assert names == {"x-tenant", "x-brokercli-redriven-from", "x-brokercli-redriven-at", "x-brokercli-redriven-count"}
    assert graveyard.at_home() == [b"a", "b\xff\t".encode(), b""]


def test_a_second_run_finds_nothing_and_says_so_shortly(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a")
    assert cli("dlq", "redrive", graveyard.url, "--yes").code == 0
    again = cli("dlq", "redrive", graveyard.url, "--yes")
    assert again.code == 0, again.stderr
    assert "no pending letter in" in again.stderr
    assert "read 0, confirmed 0" in again.stderr
    assert " once" not in again.stderr  # no guarantee where there is nothing to promise
    assert len(again.stderr.splitlines()) == 2  # and nothing of what would be worth knowing before
    assert cli("dlq", "redrive", graveyard.url, "--yes", "--fail-if-empty").code == 9
    assert cli("dlq", "redrive", graveyard.url, "--fail-if-empty").code == 9
    assert graveyard.at_home() == [b"a"]


def test_dropped_letters_are_gone_from_the_pending_and_kept_in_the_journal(cli: CommandLine, graveyard: Graveyard, tmp_path: Path) -> None:
    graveyard.bury("keep", reason="timeout")
    graveyard.bury("a", "b", reason="schema")
    assert cli("dlq", "drop", graveyard.url, "--reason", "schema").code == 8
    assert graveyard.pending == 3
    kept = tmp_path / "kept.ndjson"
    ended = cli("dlq", "drop", graveyard.url, "--reason", "schema", "--yes", "--journal", str(kept))
    assert ended.code == 0, ended.stderr
    assert "dropped: read 2, confirmed 2" in ended.stderr
    assert "each letter is written to the journal before it is dropped" in ended.stderr
    assert not any(promise in ended.stderr for promise in ("exactly once", "at least once", "destination"))
    assert graveyard.pending == 1
    assert [orjson.loads(line)["body"] for line in kept.read_bytes().splitlines()] == ["a", "b"]
    assert graveyard.at_home() == []
    again = cli("dlq", "drop", graveyard.url, "--yes", "--journal", str(kept))
    assert (again.code, graveyard.pending) == (2, 1)
    assert str(kept) in again.stderr
    assert "name a file that does not exist yet" in again.stderr
    nowhere = cli("dlq", "drop", graveyard.url, "--yes", extra={"XDG_STATE_HOME": str(kept)})
    assert (nowhere.code, "--journal FILE" in nowhere.stderr, "does not exist yet" in nowhere.stderr) == (10, True, False)
    assert graveyard.pending == 1


def test_parked_letters_keep_everything_they_carry(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b")
    assert cli("dlq", "park", graveyard.url).code == 2
    assert cli("dlq", "park", graveyard.url, "--to", graveyard.home.url).code == 8
    ended = cli("dlq", "park", graveyard.url, "--to", graveyard.home.url, "--yes")
    assert ended.code == 0, ended.stderr
    assert "parked: read 2, confirmed 2" in ended.stderr
    assert graveyard.pending == 0
    if graveyard.home.broker != "rabbitmq":
        envelopes = [orjson.loads(line) for line in cli("replay", graveyard.home.url, "-o", "json").lines]
        kept = [{"x-original-topic", "x-attempts", "x-tenant"} <= {header["name"] for header in envelope["headers"]} for envelope in envelopes]
        assert kept == [True, True]
    assert graveyard.at_home() == [b"a", b"b"]


def test_letters_are_parked_in_the_time_that_a_verdict_may_take(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("1")
    park = ("dlq", "park", graveyard.url, "--to", graveyard.home.url, "--yes", "--delivery-timeout")
    ended = cli(*park, "0s")
    assert (ended.code, "--delivery-timeout 0s leaves the broker no time to answer" in ended.stderr) == (2, True), ended.stderr
    assert graveyard.pending == 1
    assert cli(*park, "20s").code == 0
    assert graveyard.at_home() == [b"1"]


def test_exported_letters_can_be_published_back(cli: CommandLine, graveyard: Graveyard, tmp_path: Path) -> None:
    graveyard.bury("a", "b")
    file = tmp_path / "letters.ndjson"
    ended = cli("dlq", "export", str(file), graveyard.url)
    assert ended.code == 0, ended.stderr
    assert "2 letters" in ended.stderr
    assert graveyard.pending == 2
    assert cli("dlq", "export", str(file), graveyard.url).code == 2
    assert cli("dlq", "drop", graveyard.url, "--yes").code == 0
    assert graveyard.pending == 0
    back = cli("publish", graveyard.dlq.url, "--input", "json", "-f", str(file))
    assert back.code == 0, back.stderr
    assert graveyard.pending == 2
    assert cli("dlq", "redrive", graveyard.url, "--yes").code == 0
    assert graveyard.at_home() == [b"a", b"b"]


def test_letters_are_exported_to_standard_output(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a", "b")
    ended = cli("dlq", "export", "-", graveyard.url)
    assert ended.code == 0, ended.stderr
    assert [orjson.loads(line)["body"] for line in ended.lines] == ["a", "b"]
    assert "exported: 2 letters" in ended.stderr
    assert "to standard output" in ended.stderr
    assert not (cli.home / "-").exists()
    none = cli("dlq", "export", "none.ndjson", graveyard.url, "--grep", "c", "--fail-if-empty")
    assert (none.code, none.stdout) == (9, b"")
    assert ", and none.ndjson was not made" in none.stderr
    assert not (cli.home / "none.ndjson").exists()


def test_nothing_dangerous_reaches_a_terminal_from_an_export(graveyard: Graveyard, terminal: Callable[..., Terminal]) -> None:
    graveyard.bury("\x1b]52;c;ZXZpbA==\x07 \u009b31m \u202e")
    shown = terminal("dlq", "export", "-", graveyard.url, extra={"NO_COLOR": "1"})
    assert shown.wait() == 0
    assert rb"\u009b31m \u202e" in shown.screen
    assert not [bad for bad in (b"\x1b]", b"\x07", "\u009b".encode(), "\u202e".encode()) if bad in shown.screen]


def test_a_report_goes_to_standard_output_where_no_plan_does(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a")
    refused = cli("dlq", "redrive", graveyard.url, "--report", "-", "--edit", "--yes")
    assert (refused.code, refused.stdout, "the plan goes there" in refused.stderr) == (2, b"", True), refused.stderr
    assert cli("dlq", "redrive", graveyard.url, "--journal", "-", "--yes").code == 2
    done = cli("dlq", "redrive", graveyard.url, "--report", "-", "--yes")
    assert (done.code, json.loads(done.stdout)["confirmed"]) == (0, 1), done.stderr
    assert not (cli.home / "-").exists()


def test_a_report_that_cannot_be_written_hides_nothing_graver(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("good", "bad")
    partly = cli("dlq", "redrive", graveyard.url, "--yes", "--report", "/dev/full", "--through", "sh -c 'read line; [ $line != bad ] && printf $line'")
    assert partly.code == 3, partly.stderr
    assert "The report /dev/full cannot be written" in partly.stderr
    done = cli("dlq", "redrive", graveyard.url, "--yes", "--report", "/dev/full")
    assert done.code == 10, done.stderr
    assert graveyard.pending == 0


def test_what_was_asked_for_and_not_met_is_said(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury('{"amount":1}', "[")
    (cli.home / "ids").write_text("no-such-letter\n")
    for options, words in ((("--where", "value.amount < 'x'"), "--where could not be evaluated for "),
                           (("--ids", "ids"), "--ids: 1 of 1 name matches no letter that was read: no-such-letter")):
        for command in (("inspect",), ("export", "-"), ("redrive",), ("drop", "--yes")):
            ended = cli("dlq", *command, graveyard.url, *options)
            assert ended.code == 0, ended.stderr
            assert ended.stderr.count(words) == 1, ended.stderr
    assert graveyard.pending == 2


def test_what_nobody_says_the_origin_of_is_left_and_said(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a")
    graveyard.bury("homeless", origin="", **{"x_original_topic": "", "x_attempts": "", "x_dlq_reason": "", "x_error_message": "boom"})
    ended = cli("dlq", "redrive", graveyard.url, "--yes")
    assert ended.code == 0, ended.stderr
    assert "read 2, confirmed 1, refused 0, unknown 0, skipped 1" in ended.stderr
    assert "left: 1 letter: nobody wrote down where it came from (--to says where it goes)" in ended.stderr
    assert graveyard.pending == 1
    only = cli("dlq", "redrive", graveyard.url)
    assert only.code == 0
    assert "nothing to redrive" in only.stderr
    assert cli("dlq", "redrive", graveyard.url, "--to", graveyard.home.url, "--yes").code == 0
    assert graveyard.pending == 0
    assert graveyard.at_home() == [b"a", b"homeless"]


def test_records_that_do_not_say_that_they_died_stay_unless_they_are_meant(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("work", **{"x_original_topic": "", "x_attempts": "", "x_dlq_reason": ""})
    for verb in ("redrive", "drop"):
        ended = cli("dlq", verb, graveyard.url, "--yes")
        assert ended.code == 0, ended.stderr
        assert "left: 1 letter: nothing in it says that it is a dead letter" in ended.stderr
        assert cli("dlq", verb, graveyard.url, "--yes", "--fail-if-empty").code == 0  # it matched, and was left
    assert cli("dlq", "redrive", graveyard.url, "--fail-if-empty").code == 0
    assert graveyard.pending == 1
    assert cli("dlq", "drop", graveyard.url, "--unrecognised", "--yes").code == 0
    assert graveyard.pending == 0


def test_forged_letters_are_left_and_nothing_is_lost(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("absurd", **{"x_attempts": "1" + "0" * 30, "x_brokercli_redriven_count": "1" + "0" * 30})
    graveyard.bury("itself", **{"x_original_topic": graveyard.dlq.name})
    graveyard.bury("control", **{"x_original_topic": "a\x1b[31mb"})
    inspected = cli("dlq", "inspect", graveyard.url)
    assert inspected.code == 0, inspected.stderr
    assert b"\x1b" not in inspected.stdout + inspected.stderr.encode()
    assert b"\x1b" not in cli("dlq", "show", "#3", graveyard.url).stdout
    ended = cli("dlq", "redrive", graveyard.url, "--yes")
    assert ended.code == 1, ended.stderr
    assert "read 3, confirmed 0, refused 1, unknown 0, skipped 2" in ended.stderr
    assert "left: 2 letters: the origin it names is none it can go to" in ended.stderr
    assert "its counter of redrives cannot be believed" in ended.stderr
    assert graveyard.pending == 3
    assert graveyard.at_home() == []


def test_a_letter_put_back_too_often_is_left_or_parked(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("again", **{"x_brokercli_redriven_count": "3"})
    left = cli("dlq", "redrive", graveyard.url, "--yes")
    assert left.code == 1, left.stderr
    assert "read 1, confirmed 0, refused 1, unknown 0, skipped 0" in left.stderr
    assert "left: 1 letter: put back 3 times already (--max-redrives)" in left.stderr
    assert cli("dlq", "redrive", graveyard.url, "--yes", "--max-redrives", "4").code == 0
    assert graveyard.at_home() == [b"again"]
    graveyard.bury("again", **{"x_brokercli_redriven_count": "4"})
    parked = cli("dlq", "redrive", graveyard.url, "--yes", "--park", graveyard.home.url)
    assert parked.code == 0, parked.stderr
    assert graveyard.pending == 0


def test_a_program_that_fails_leaves_the_letter(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("good", "bad", "fine")
    ended = cli("dlq", "redrive", graveyard.url, "--yes", "--through", "sh -c 'read line; [ $line != bad ] && printf mended-%s $line'")
    assert ended.code == 3, ended.stderr
    assert "read 3, confirmed 2, refused 1, unknown 0, skipped 0" in ended.stderr
    assert "left: 1 letter: --through: sh exited with 1" in ended.stderr
    assert "the same command goes on with what is left in" in ended.stderr
    again = cli("dlq", "redrive", graveyard.url, "--yes", "--fail-if-empty", "--through", "false")
    assert again.code == 1, again.stderr  # something matched, and nothing was done
    assert "read 1, confirmed 0, refused 1, unknown 0, skipped 0" in again.stderr
    assert graveyard.pending == 1
    assert graveyard.at_home() == [b"mended-good", b"mended-fine"]


def test_a_program_gets_what_goes_home_and_never_what_is_parked(cli: CommandLine, graveyard: Graveyard, make_place: Callable[..., Place]) -> None:
    parked = make_place(graveyard.home.broker)
    graveyard.bury("fresh")
    graveyard.bury("again", **{"x_brokercli_redriven_count": "3"})
    ended = cli("dlq", "redrive", graveyard.url, "--yes", "--park", parked.url, "--through", "sh -c 'printf mended-; cat'")
    assert ended.code == 0, ended.stderr
    assert graveyard.at_home() == [b"mended-fresh"]
    assert cli("replay", parked.url).lines == [b"again"]


def test_a_program_that_prints_nothing_leaves_the_letter(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("kept", "filtered", "")
    ended = cli("dlq", "redrive", graveyard.url, "--yes", "--through", "sh -c 'grep -v filtered || true'")
    assert ended.code == 3, ended.stderr
    assert "read 3, confirmed 2, refused 1" in ended.stderr
    assert "left: 1 letter: --through: sh printed nothing" in ended.stderr
    assert graveyard.pending == 1
    assert [body.strip() for body in graveyard.at_home() if body] == [b"kept"]


@pytest.mark.kafka
@pytest.mark.nats
def test_letters_go_to_another_broker_and_count_as_handled_here(cli: CommandLine, graveyard: Graveyard, make_place: Callable[..., Place]) -> None:
    graveyard.bury("a", "b")
    target = make_place("nats" if graveyard.home.broker == "kafka" else "kafka")
    assert cli("dlq", "redrive", graveyard.url, "--to", target.url).code == 8
    ended = cli("dlq", "redrive", graveyard.url, "--to", target.url, "--yes")
    assert ended.code == 0, ended.stderr
    assert "at least once" in ended.stderr
    assert "read 2, confirmed 2" in ended.stderr
    assert graveyard.pending == 0
    assert cli("replay", target.url).lines == [b"a", b"b"]


def test_a_destination_that_does_not_exist_is_said(cli: CommandLine, graveyard: Graveyard) -> None:
    for command in (("inspect",), ("redrive", "--yes"), ("drop", "--yes")):
        ended = cli("dlq", *command, f"{graveyard.url}-missing")
        assert ended.code == 1, ended.stderr
        assert "missing" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_destination_itself_is_no_place_to_put_letters(cli: CommandLine, graveyard: Graveyard) -> None:
    graveyard.bury("a")
    for command in (("redrive", "--to", graveyard.url, "--yes"), ("park", "--to", graveyard.url, "--yes")):
        ended = cli("dlq", command[0], graveyard.url, *command[1:])
        assert ended.code == 2, ended.stderr
        assert "where the letters lie now" in ended.stderr
    assert graveyard.pending == 1


@pytest.mark.parametrize("where", ["", "  "])
def test_an_empty_expression_is_not_every_letter(cli: CommandLine, graveyard: Graveyard, where: str) -> None:
    graveyard.bury("a", "b")
    for command in (("drop", "--yes"), ("redrive", "--yes"), ("inspect",), ("export", "letters")):
        ended = cli("dlq", command[0], graveyard.url, *command[1:], "--where", where)
        assert (ended.code, "--where needs an expression" in ended.stderr) == (2, True), ended.stderr
    assert cli("replay", graveyard.home.url, "--where", where).code == 2
    assert graveyard.pending == 2
