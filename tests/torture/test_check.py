"""The checker sees what it is there for; and of a trial in which all went well it says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokercli.terminal.failure import present
from brokercli.terminal.streams import Streams
from tests.torture.check import Content, Found, Kind, Letter, Promise, Run, check_copied, check_letters, check_published, check_shown, duplicates

ALL = Promise(exactly_once=True, in_order=True)
AT_LEAST_ONCE = Promise(exactly_once=False)


def content(number: int, **changes: Any) -> Content:
    return replace(Content(b"body %d" % number, b"key", (("tenant", b"shop"),), (("priority", 3),)), **changes)


LETTERS = [Letter(f"m{number}", content(number), goes="home", copy=content(number)) for number in range(6)]
JOURNAL = {letter.identity: letter.lies for letter in LETTERS}
HOME = [Found(letter.identity, content(number)) for number, letter in enumerate(LETTERS)]


def report(code: int = 0, **counts: int) -> dict[str, Any]:
    account = {"confirmed": 0, "refused": 0, "unknown": 0, "skipped": 0} | counts
    return {"read": sum(account.values()), **account, "exit_code": code}


DONE = Run(0, report(confirmed=6))


def kinds(home: Sequence[Found] = HOME, *, runs: Sequence[Run] = (DONE,), pending: Sequence[Found] = (), promise: Promise = ALL,
          letters: Sequence[Letter] = LETTERS, journal: dict[str, Content] = JOURNAL) -> set[Kind]:
    return {violation.kind for violation in check_letters(letters, promise, runs, pending, {"home": home, "elsewhere": []}, journal)}


def test_nothing_is_said_where_every_letter_is_at_home_once() -> None:
    assert kinds() == set()


def test_a_letter_that_is_nowhere_is_lost() -> None:
    assert kinds(HOME[1:]) == {Kind.LOST}


def test_a_letter_that_was_only_dropped_is_not_lost() -> None:
    assert kinds([], letters=[replace(letter, goes=None, copy=None) for letter in LETTERS]) == set()


def test_a_letter_that_was_to_be_left_alone_and_is_gone_is_lost() -> None:
    assert kinds(HOME[:5], letters=[*LETTERS[:5], replace(LETTERS[5], chosen=False)], runs=[Run(0, report(confirmed=5))]) == {Kind.LOST}


def test_a_letter_that_was_to_be_left_alone_and_was_put_back_is_misplaced() -> None:
    letters = [*LETTERS[:5], replace(LETTERS[5], chosen=False)]
    assert kinds(letters=letters, runs=[Run(0, report(confirmed=5))], pending=[Found("m5", content(5))]) == {Kind.MISPLACED}


def test_a_message_that_nobody_put_there_is_found() -> None:
    assert kinds([*HOME, Found("stranger", content(0))]) == {Kind.CORRUPTED}


@pytest.mark.parametrize("change", [{"body": b"bod"}, {"body": None}, {"key": b""}, {"headers": ()}, {"headers": (("tenant", "shop"),)}, {"properties": ()}])
def test_a_copy_that_differs_in_anything_is_corrupted(change: dict[str, Any]) -> None:
    assert kinds([Found("m0", content(0, **change)), *HOME[1:]]) == {Kind.CORRUPTED}


def test_a_letter_that_was_changed_where_it_lies_is_corrupted() -> None:
    left = [Found("m5", content(5, body=b"touched"))]
    assert Kind.CORRUPTED in kinds(HOME[:5], pending=left, runs=[Run(3, report(3, confirmed=5, refused=1))])


def test_a_second_copy_is_a_duplicate_where_exactly_once_is_promised() -> None:
    assert kinds([*HOME, HOME[5]]) == {Kind.DUPLICATED}


def test_as_many_second_copies_as_a_killed_run_may_leave_are_none_and_one_more_is() -> None:
    runs = [Run(137, None, killed=True, window=2), DONE]
    assert kinds([*HOME, *HOME[:2]], runs=runs, promise=AT_LEAST_ONCE) == set()
    assert kinds([*HOME, *HOME[:3]], runs=runs, promise=AT_LEAST_ONCE) == {Kind.DUPLICATED}


def test_a_run_that_told_what_is_in_doubt_may_repeat_just_that() -> None:
    runs = [Run(4, report(4, confirmed=4, unknown=1, skipped=1)), Run(0, report(confirmed=2))]
    assert kinds([*HOME, HOME[4]], runs=runs, promise=AT_LEAST_ONCE) == set()
    assert kinds([*HOME, *HOME[4:]], runs=runs, promise=AT_LEAST_ONCE) == {Kind.DUPLICATED}


def test_copies_in_another_order_than_their_letters_lay_in_are_seen() -> None:
    assert kinds([HOME[1], HOME[0], *HOME[2:]]) == {Kind.DISORDERED}


def test_letters_of_different_partitions_may_overtake_each_other() -> None:
    lanes = [replace(letter, lane=str(number % 2)) for number, letter in enumerate(LETTERS)]
    assert kinds([*HOME[0::2], *HOME[1::2]], letters=lanes) == set()


def test_a_repeat_behind_its_place_is_no_disorder() -> None:
    runs = [Run(137, None, killed=True, window=1), DONE]
    assert kinds([*HOME, HOME[0]], runs=runs, promise=replace(ALL, exactly_once=False)) == set()


def test_a_repeat_in_another_partition_says_nothing_about_the_order() -> None:
    runs = [Run(137, None, killed=True, window=1), DONE]
    again = [replace(HOME[5], lane="a"), replace(HOME[0], lane="a"), *(replace(found, lane="b") for found in HOME[:5])]
    assert kinds(again, runs=runs, promise=replace(ALL, exactly_once=False)) == set()


def test_a_letter_in_another_place_than_its_home_is_misplaced() -> None:
    found = check_letters(LETTERS, ALL, [DONE], [], {"home": HOME[1:], "elsewhere": HOME[:1]}, JOURNAL)
    assert {violation.kind for violation in found} == {Kind.MISPLACED}


def test_a_letter_that_was_taken_out_and_is_in_no_journal_is_seen() -> None:
    assert kinds(journal={}) == {Kind.UNJOURNALLED}


def test_a_journal_with_another_body_is_seen() -> None:
    assert kinds(journal=JOURNAL | {"m3": content(3, body=b"?")}) == {Kind.CORRUPTED}


def test_more_confirmed_than_were_moved_is_a_phantom() -> None:
    left = [Found("m5", content(5))]
    assert Kind.PHANTOM in kinds(HOME[:5], pending=left, runs=[Run(3, report(3, confirmed=6, refused=1))])


def test_an_end_with_0_while_letters_are_left_is_a_phantom() -> None:
    assert Kind.PHANTOM in kinds(HOME[:5], pending=[Found("m5", content(5))], runs=[Run(0, report(confirmed=5))])


def test_a_letter_that_was_said_to_be_refused_and_was_moved_is_untrue() -> None:
    assert kinds(runs=[Run(3, report(3, confirmed=5, refused=1)), Run(0, report())]) == {Kind.UNTRUE}


def test_a_letter_that_is_left_at_the_end_is_unfinished() -> None:
    assert kinds(HOME[:5], pending=[Found("m5", content(5))], runs=[Run(3, report(3, confirmed=5, refused=1))]) == {Kind.UNFINISHED}


def test_a_letter_that_lies_twice_among_the_dead_is_a_duplicate() -> None:
    left = [Found("m5", content(5))] * 2
    assert Kind.DUPLICATED in kinds(HOME[:5], pending=left, runs=[Run(3, report(3, confirmed=5, refused=1))])


@pytest.mark.parametrize("run", [
    Run(0, None), Run(0, report(confirmed=6) | {"read": 7}), Run(0, report(3, confirmed=6)), Run(4, report(4, confirmed=6)),
    Run(0, report(confirmed=6, unknown=1)), Run(0, report(confirmed=6, refused=1)), Run(1, report(1, confirmed=6)), Run(5, report(5, confirmed=6)),
], ids=["0 without a report", "a sum that is none", "two exit codes", "4 without doubt", "doubt without 4", "0 with a refusal", "failed with a success",
        "unreachable with a success"])
def test_a_run_that_contradicts_itself_is_untrue(run: Run) -> None:
    assert Kind.UNTRUE in kinds(runs=[run, DONE])


def test_3_without_anything_done_is_untrue() -> None:
    assert Kind.UNTRUE in kinds(runs=[Run(3, report(3, refused=6)), DONE])


def test_a_traceback_is_seen() -> None:
    assert kinds(runs=[replace(DONE, stderr="Traceback (most recent call last):")]) == {Kind.BROKEN}


def test_what_brokercli_itself_says_is_a_bug_is_seen(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERCLI_STATE_DIR", str(tmp_path))
    present(KeyError("x"), Streams.system())
    said = Run(1, report(1, refused=6), stderr=capfd.readouterr().err)
    assert kinds(runs=[said, DONE]) == {Kind.BROKEN}


def test_one_who_was_killed_after_the_report_is_held_to_what_it_says() -> None:
    assert kinds(runs=[Run(137, report(confirmed=6), killed=True)]) == set()


MESSAGES = {f"m{number}": content(number) for number in range(3)}
STORED = [Found(identity, wanted) for identity, wanted in MESSAGES.items()]


def published(*verdicts: str, code: int = 0, silent: bool = False) -> Run:
    said = {name: verdicts.count(name) for name in ("confirmed", "refused", "unknown")}
    receipts = {identity: verdict for identity, verdict in zip(MESSAGES, verdicts, strict=False) if verdict != "skipped"}
    return Run(code, None if silent else report(code, **said, skipped=verdicts.count("skipped")), killed=silent, receipts=receipts, tried=tuple(MESSAGES))


def publishing(stored: Sequence[Found], *runs: Run, promise: Promise = AT_LEAST_ONCE) -> set[Kind]:
    return {violation.kind for violation in check_published(MESSAGES, promise, runs, stored)}


ALL_CONFIRMED = published("confirmed", "confirmed", "confirmed")


def test_nothing_is_said_where_every_confirmed_message_is_stored_once() -> None:
    assert publishing(STORED, ALL_CONFIRMED) == set()


def test_a_confirmed_message_that_is_not_stored_is_lost() -> None:
    assert publishing(STORED[1:], ALL_CONFIRMED) == {Kind.LOST}


def test_a_confirmed_message_that_is_stored_twice_is_a_duplicate() -> None:
    assert publishing([*STORED, STORED[0]], ALL_CONFIRMED) == {Kind.DUPLICATED}


def test_a_message_that_was_in_doubt_and_given_again_may_be_stored_twice_and_not_under_one_id() -> None:
    runs = published("unknown", "confirmed", "confirmed", code=4), replace(published("confirmed"), tried=("m0",))
    assert publishing([*STORED, STORED[0]], *runs) == set()
    assert publishing([*STORED, STORED[0]], *runs, promise=Promise(exactly_once=True)) == {Kind.DUPLICATED}


def test_a_message_without_a_receipt_from_one_who_was_killed_may_be_stored() -> None:
    runs = published("confirmed", silent=True, code=137), replace(published(), receipts={"m1": "confirmed", "m2": "confirmed"}, tried=("m1", "m2"),
                                                                 report=report(confirmed=2))
    assert publishing([*STORED, STORED[1]], *runs) == set()


@pytest.mark.parametrize(("unknown", "kinds"), [(1, set()), (0, {Kind.DUPLICATED})], ids=["counted as unknown", "counted as skipped"])
def test_a_message_without_a_receipt_may_be_stored_only_where_one_more_is_in_doubt_than_receipts_say(unknown: int, kinds: set[Kind]) -> None:
    code = 4 if unknown else 130
    stopped = replace(published("skipped", "confirmed", "confirmed", code=code), report=report(code, confirmed=2, unknown=unknown, skipped=1 - unknown))
    again = replace(published("confirmed"), tried=("m0",))
    assert publishing([*STORED, STORED[0]], stopped, again) == kinds


def test_a_message_that_was_said_to_be_refused_and_is_stored_is_untrue() -> None:
    assert Kind.UNTRUE in publishing(STORED, published("refused", "confirmed", "confirmed", code=3))


def test_a_message_that_is_stored_otherwise_than_it_was_given_is_corrupted() -> None:
    assert publishing([Found("m0", content(1)), *STORED[1:]], ALL_CONFIRMED) == {Kind.CORRUPTED}


def test_an_end_with_0_that_did_not_confirm_everything_is_a_phantom() -> None:
    assert Kind.PHANTOM in publishing(STORED, published("confirmed", "confirmed", "skipped"))


def test_receipts_that_the_account_does_not_know_are_untrue() -> None:
    assert Kind.UNTRUE in publishing(STORED, replace(ALL_CONFIRMED, report=report(confirmed=2)))


def test_copies_beyond_the_first_are_counted_for_each_message() -> None:
    assert duplicates({"home": [*HOME, HOME[0], HOME[1]], "elsewhere": [HOME[0]]}) == 3


def copied(stored: Sequence[Found] = HOME, *, runs: Sequence[Run] = (DONE,), allowed: int = 0) -> set[Kind]:
    return {violation.kind for violation in check_copied(LETTERS, runs, {"home": stored}, allowed, in_order=True)}


def test_nothing_is_said_where_everything_was_copied_once() -> None:
    assert copied() == set()


def test_what_was_not_copied_is_lost_also_where_the_last_run_says_that_all_was() -> None:
    assert copied(HOME[1:], runs=[Run(0, report(confirmed=5))]) == {Kind.LOST}


def test_more_confirmed_than_are_stored_is_a_phantom() -> None:
    assert copied(runs=[Run(4, report(4, unknown=6)), Run(0, report(confirmed=7))]) == {Kind.PHANTOM}


def test_copies_beyond_those_that_a_run_which_was_killed_may_repeat_are_duplicates() -> None:
    killed = [Run(137, killed=True), DONE]
    assert copied([*HOME[:2], *HOME], runs=killed, allowed=2) == set()
    assert copied([*HOME[:2], *HOME], runs=killed, allowed=1) == {Kind.DUPLICATED}


def test_a_copy_that_came_before_one_that_lay_before_it_is_seen() -> None:
    assert copied([HOME[1], HOME[0], *HOME[2:]]) == {Kind.DISORDERED}


def test_a_copy_that_differs_is_corrupted() -> None:
    assert copied([Found("m0", content(0, body=b"other")), *HOME[1:]]) == {Kind.CORRUPTED}


def shown(printed: Sequence[Found], *, code: int = 0, letters: Sequence[Letter] = LETTERS) -> set[Kind]:
    return {violation.kind for violation in check_shown(letters, Run(code), printed)}


def test_nothing_is_said_of_a_look_that_printed_everything_and_of_one_that_says_it_could_not() -> None:
    assert shown(HOME) == set()
    assert shown(HOME[:4], code=5) == set()
    assert shown([], code=130) == set()


def test_a_look_that_ended_with_0_before_the_end_is_a_phantom() -> None:
    assert shown(HOME[:5]) == {Kind.PHANTOM}


def test_what_a_look_passed_over_is_lost_and_what_it_printed_again_is_a_duplicate() -> None:
    assert shown([*HOME[:2], *HOME[3:]]) == {Kind.LOST}
    assert shown([*HOME[:2], *HOME[1:]]) == {Kind.DUPLICATED}


def test_partitions_are_looked_at_each_in_its_order() -> None:
    letters = [replace(letter, lane=str(number % 2)) for number, letter in enumerate(LETTERS)]
    assert shown([*HOME[1::2], *HOME[::2]], letters=letters) == set()
    assert shown([*HOME[3::2], *HOME[::2]], code=5, letters=letters) == {Kind.LOST}


def test_what_a_look_printed_otherwise_than_it_lies_there_is_corrupted() -> None:
    assert shown([Found("m0", content(0, body=b"other")), *HOME[1:]]) == {Kind.CORRUPTED}
    assert shown([*HOME, Found("m9", content(9))]) == {Kind.CORRUPTED}
