"""Kafka: killed, cut off and frozen, nothing is lost, invented, damaged or claimed; and who does wrong is caught."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.torture.arena import Arena
from tests.torture.chosen import at_a_moment, disturbed, is_documented, moments, publishing_moments, two_at_once, undisturbed
from tests.torture.controls import CONTROLS
from tests.torture.kafka_site import UNPERMITTED
from tests.torture.running import run_trial
from tests.torture.trial import Result, Trial, control_trial

pytestmark = pytest.mark.kafka
Hold = Callable[[Arena, Trial], Result]


@pytest.mark.parametrize("point", moments("kafka"))
def test_a_redrive_that_is_killed_at_a_named_moment_keeps_every_promise(kafka_arena: Arena, hold: Hold, point: str) -> None:
    assert hold(kafka_arena, at_a_moment("kafka", point, "redrive", "one partition")).happened["crash"] == 1


@pytest.mark.parametrize("point", publishing_moments("kafka"))
def test_a_publish_that_is_killed_at_a_named_moment_keeps_every_promise(kafka_arena: Arena, hold: Hold, point: str) -> None:
    assert hold(kafka_arena, at_a_moment("kafka", point, "publish", "one partition")).happened["crash"] == 1


@pytest.mark.parametrize("name", ["broker killed", "SIGKILL", "SIGTERM", "lose answers", "reset"])
def test_a_redrive_that_is_disturbed_from_outside_keeps_every_promise(kafka_arena: Arena, hold: Hold, name: str) -> None:
    hold(kafka_arena, disturbed("kafka", name, "redrive", "three partitions"))


@pytest.mark.parametrize("name", ["SIGKILL", "cut at its end"])
def test_a_publish_that_is_disturbed_from_outside_keeps_every_promise(kafka_arena: Arena, hold: Hold, name: str) -> None:
    hold(kafka_arena, disturbed("kafka", name, "publish", "one partition"))


@pytest.mark.parametrize("operation", ["selected", "to", "park", "drop"])
def test_every_other_operation_that_is_killed_with_half_a_batch_done_keeps_every_promise(kafka_arena: Arena, hold: Hold, operation: str) -> None:
    assert hold(kafka_arena, at_a_moment("kafka", "journal forced to the disk", operation, "three partitions")).happened["crash"] == 1


def test_two_runs_at_once_keep_every_promise(kafka_arena: Arena, hold: Hold) -> None:
    hold(kafka_arena, two_at_once("kafka", "one partition"))


def test_without_transactions_a_redrive_that_is_killed_between_the_copies_and_the_mark_repeats_no_more_than_it_said(kafka_arena: Arena, hold: Hold) -> None:
    assert hold(kafka_arena, at_a_moment("kafka", "copies confirmed", "redrive", f"one partition{UNPERMITTED}")).happened["crash"] == 1


def test_letters_that_go_to_another_broker_and_are_not_marked_yet_are_there_once_more_at_most(kafka_arena: Arena, hold: Hold) -> None:
    result = hold(kafka_arena, at_a_moment("kafka", "copies confirmed there", "elsewhere", "three partitions"))
    assert result.happened["crash"] == 1
    assert result.duplicates > 0  # what was confirmed there and not marked here


def test_a_copy_that_is_killed_before_it_wrote_down_what_was_confirmed_goes_on_and_repeats_one_step_at_most(kafka_arena: Arena, hold: Hold) -> None:
    result = hold(kafka_arena, at_a_moment("kafka", "copies confirmed", "copy", "three partitions"))
    assert result.happened["crash"] == 1
    assert result.duplicates > 0


def test_a_replay_whose_connection_is_cut_in_its_midst_prints_everything_once(kafka_arena: Arena, hold: Hold) -> None:
    assert hold(kafka_arena, disturbed("kafka", "reset", "read", "three partitions")).happened["reset"] == 1


def test_what_a_run_says_that_it_promises_is_documented(kafka_arena: Arena, hold: Hold) -> None:
    result = hold(kafka_arena, undisturbed("kafka", "one partition"))
    guarantee = result.runs[0].stderr.partition("\n")[0]
    assert is_documented(guarantee, result.dlq), guarantee


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if "kafka" in control.where])
def test_a_fault_that_was_planted_is_caught(kafka_arena: Arena, name: str) -> None:
    kinds = {violation.kind for violation in run_trial(kafka_arena, control_trial("kafka", name, "planted", "one partition")).violations}
    assert CONTROLS[name].shows in kinds, f"{CONTROLS[name].words}, and the checker said {sorted(kinds)}"
