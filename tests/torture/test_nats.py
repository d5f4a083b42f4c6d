"""JetStream: killed, cut off and frozen, nothing is lost, invented, damaged or claimed; and who does wrong is caught."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.torture.arena import Arena
from tests.torture.chosen import at_a_moment, disturbed, is_documented, moments, publishing_moments, undisturbed
from tests.torture.controls import CONTROLS
from tests.torture.nats_pointers import POINTERS
from tests.torture.running import run_trial
from tests.torture.trial import Result, Trial, control_trial

pytestmark = pytest.mark.nats
Hold = Callable[[Arena, Trial], Result]


@pytest.mark.parametrize("point", moments("nats"))
def test_a_redrive_that_is_killed_at_a_named_moment_keeps_every_promise(nats_arena: Arena, hold: Hold, point: str) -> None:
    assert hold(nats_arena, at_a_moment("nats", point, "redrive", "limits")).happened["crash"] == 1


@pytest.mark.parametrize("point", publishing_moments("nats"))
def test_a_publish_that_is_killed_at_a_named_moment_keeps_every_promise(nats_arena: Arena, hold: Hold, point: str) -> None:
    assert hold(nats_arena, at_a_moment("nats", point, "publish", "limits")).happened["crash"] == 1


@pytest.mark.parametrize("name", ["broker killed", "SIGKILL", "SIGINT twice", "lose answers", "swallow", "hang up"])
def test_a_redrive_that_is_disturbed_from_outside_keeps_every_promise(nats_arena: Arena, hold: Hold, name: str) -> None:
    hold(nats_arena, disturbed("nats", name, "redrive", "workqueue"))


@pytest.mark.parametrize("name", ["broker killed", "SIGINT", "cut at its end"])
def test_a_publish_that_is_disturbed_from_outside_keeps_every_promise(nats_arena: Arena, hold: Hold, name: str) -> None:
    hold(nats_arena, disturbed("nats", name, "publish", "limits"))


@pytest.mark.parametrize("operation", ["selected", "to", "park", "drop"])
def test_every_other_operation_that_is_killed_with_half_a_batch_done_keeps_every_promise(nats_arena: Arena, hold: Hold, operation: str) -> None:
    assert hold(nats_arena, at_a_moment("nats", "journal forced to the disk", operation, "workqueue")).happened["crash"] == 1


def test_a_redrive_of_recorded_deaths_that_is_killed_keeps_every_promise_on_the_messages_they_point_at(nats_arena: Arena, hold: Hold) -> None:
    assert hold(nats_arena, at_a_moment("nats", "copies confirmed", "redrive", POINTERS)).happened["crash"] == 1


def test_through_a_program_what_is_killed_goes_on_and_keeps_every_promise(nats_arena: Arena, hold: Hold) -> None:
    assert hold(nats_arena, at_a_moment("nats", "while the program runs", "through", "limits")).happened["crash"] == 1


def test_letters_that_go_to_another_broker_and_are_not_marked_yet_are_there_once_more_at_most(nats_arena: Arena, hold: Hold) -> None:
    result = hold(nats_arena, at_a_moment("nats", "copies confirmed there", "elsewhere", "workqueue"))
    assert result.happened["crash"] == 1
    assert result.duplicates > 0  # what was confirmed there and not marked here


def test_a_copy_that_is_killed_before_it_wrote_down_what_was_confirmed_goes_on_and_repeats_one_step_at_most(nats_arena: Arena, hold: Hold) -> None:
    result = hold(nats_arena, at_a_moment("nats", "copies confirmed", "copy", "workqueue"))
    assert result.happened["crash"] == 1
    assert result.duplicates > 0


def test_a_replay_whose_connection_is_cut_in_its_midst_prints_everything_once(nats_arena: Arena, hold: Hold) -> None:
    assert hold(nats_arena, disturbed("nats", "reset", "read", "workqueue")).happened["reset"] == 1


def test_what_a_run_says_that_it_promises_is_documented(nats_arena: Arena, hold: Hold) -> None:
    result = hold(nats_arena, undisturbed("nats", "limits"))
    guarantee = result.runs[0].stderr.partition("\n")[0]
    assert is_documented(guarantee, result.dlq), guarantee


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if "nats" in control.where])
def test_a_fault_that_was_planted_is_caught(nats_arena: Arena, name: str) -> None:
    kinds = {violation.kind for violation in run_trial(nats_arena, control_trial("nats", name, "planted", "limits")).violations}
    assert CONTROLS[name].shows in kinds, f"{CONTROLS[name].words}, and the checker said {sorted(kinds)}"
