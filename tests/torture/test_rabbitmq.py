"""RabbitMQ: killed, cut off and frozen, nothing is lost, invented, damaged or claimed; and who does wrong is caught."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.torture.arena import Arena
from tests.torture.chosen import at_a_moment, disturbed, is_documented, moments, publishing_moments, two_at_once, undisturbed
from tests.torture.controls import CONTROLS
from tests.torture.rabbitmq_site import LIMITED
from tests.torture.rabbitmq_stream import STREAM
from tests.torture.running import run_trial
from tests.torture.trial import Result, Trial, control_trial

pytestmark = pytest.mark.rabbitmq
Hold = Callable[[Arena, Trial], Result]


@pytest.mark.parametrize("point", moments("rabbitmq"))
def test_a_redrive_that_is_killed_at_a_named_moment_keeps_every_promise(rabbitmq_arena: Arena, hold: Hold, point: str) -> None:
    assert hold(rabbitmq_arena, at_a_moment("rabbitmq", point, "redrive", "classic")).happened["crash"] == 1


@pytest.mark.parametrize("point", publishing_moments("rabbitmq"))
def test_a_publish_that_is_killed_at_a_named_moment_keeps_every_promise(rabbitmq_arena: Arena, hold: Hold, point: str) -> None:
    assert hold(rabbitmq_arena, at_a_moment("rabbitmq", point, "publish", "classic")).happened["crash"] == 1


@pytest.mark.parametrize(("name", "kind"), [
    ("broker killed", "quorum"), ("SIGKILL", LIMITED), ("SIGSTOP and SIGCONT", "classic"), ("lose answers", "classic"), ("refuse", "quorum")])
def test_a_redrive_that_is_disturbed_from_outside_keeps_every_promise(rabbitmq_arena: Arena, hold: Hold, name: str, kind: str) -> None:
    hold(rabbitmq_arena, disturbed("rabbitmq", name, "redrive", kind))


@pytest.mark.parametrize("name", ["SIGTERM", "hang up", "cut at its end"])
def test_a_publish_that_is_disturbed_from_outside_keeps_every_promise(rabbitmq_arena: Arena, hold: Hold, name: str) -> None:
    hold(rabbitmq_arena, disturbed("rabbitmq", name, "publish", "classic"))


@pytest.mark.parametrize("operation", ["selected", "to", "park", "drop"])
def test_every_other_operation_that_is_killed_with_half_a_batch_done_keeps_every_promise(rabbitmq_arena: Arena, hold: Hold, operation: str) -> None:
    assert hold(rabbitmq_arena, at_a_moment("rabbitmq", "journal forced to the disk", operation, "quorum")).happened["crash"] == 1


def test_two_runs_at_once_keep_every_promise(rabbitmq_arena: Arena, hold: Hold) -> None:
    hold(rabbitmq_arena, two_at_once("rabbitmq", "quorum"))


def test_out_of_a_file_what_is_killed_goes_on_and_keeps_every_promise(rabbitmq_arena: Arena, hold: Hold) -> None:
    assert hold(rabbitmq_arena, at_a_moment("rabbitmq", "copies confirmed", "file", "quorum")).happened["crash"] == 1


def test_letters_that_go_to_another_broker_and_are_not_marked_yet_are_there_once_more_at_most(rabbitmq_arena: Arena, hold: Hold) -> None:
    result = hold(rabbitmq_arena, at_a_moment("rabbitmq", "copies confirmed there", "elsewhere", "quorum"))
    assert result.happened["crash"] == 1
    assert result.duplicates > 0  # what was confirmed there and not marked here


def test_a_copy_that_is_killed_before_it_wrote_down_what_was_confirmed_goes_on_and_repeats_one_step_at_most(rabbitmq_arena: Arena, hold: Hold) -> None:
    result = hold(rabbitmq_arena, at_a_moment("rabbitmq", "copies confirmed", "copy", STREAM))
    assert result.happened["crash"] == 1
    assert result.duplicates > 0


def test_a_replay_whose_connection_is_cut_in_its_midst_prints_everything_once(rabbitmq_arena: Arena, hold: Hold) -> None:
    assert hold(rabbitmq_arena, disturbed("rabbitmq", "reset", "read", STREAM)).happened["reset"] == 1


def test_what_a_run_says_that_it_promises_is_documented(rabbitmq_arena: Arena, hold: Hold) -> None:
    result = hold(rabbitmq_arena, undisturbed("rabbitmq", "quorum"))
    guarantee = result.runs[0].stderr.partition("\n")[0]
    assert is_documented(guarantee, result.dlq), guarantee


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if "rabbitmq" in control.where])
def test_a_fault_that_was_planted_is_caught(rabbitmq_arena: Arena, name: str) -> None:
    kinds = {violation.kind for violation in run_trial(rabbitmq_arena, control_trial("rabbitmq", name, "planted", "classic")).violations}
    assert CONTROLS[name].shows in kinds, f"{CONTROLS[name].words}, and the checker said {sorted(kinds)}"
