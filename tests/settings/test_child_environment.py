"""Programs we run do not inherit what we log in with."""

from __future__ import annotations

from pathlib import Path

from brokercli.settings.child_environment import environment_for_children


def test_variables_that_hold_secrets_are_not_passed_on(user_configuration: Path, project_configuration: Path) -> None:
    user_configuration.write_text('[contexts.a]\nurl = "nats://h"\npassword = "env:A"\n[contexts.b]\nurl = "nats://h"\ntls = { key_password = \'env:B\' }\n')
    project_configuration.write_text('[contexts.c]\nurl = "nats://h"\ntoken = "env:C"\n')
    given = {"HOME": str(user_configuration.parents[2]), "A": "1", "B": "2", "C": "3", "D": "4", "BROKERCLI_URL": "nats://u:p@h"}
    assert environment_for_children(given) == {"HOME": given["HOME"], "D": "4"}


def test_a_url_without_a_login_is_passed_on(home: Path) -> None:
    given = {"HOME": str(home), "BROKERCLI_URL": "nats://h"}
    assert environment_for_children(given) == given


def test_a_broken_file_is_none_and_the_other_one_counts(user_configuration: Path, project_configuration: Path) -> None:
    user_configuration.write_text("][")
    project_configuration.write_text('[contexts.c]\nurl = "nats://h"\ntoken = "env:C"\n')
    given = {"HOME": str(user_configuration.parents[2]), "C": "3", "D": "4"}
    assert environment_for_children(given) == {"HOME": given["HOME"], "D": "4"}
