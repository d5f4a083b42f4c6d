"""Dead letters in the configuration: names of their destinations, dialects of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokercli.model.errors import UsageProblem
from brokercli.settings.dead_letters import dead_letter_patterns, user_dialects

ACME = '[dialects.acme]\nwhen = ["acme-origin"]\ntopic = "acme-origin"\n'


def write(home: Path, content: str) -> dict[str, str]:
    """Write the user's configuration; return the environment that finds it."""
    (home / "config.toml").write_text(content)
    return {"BROKERCLI_CONFIG_DIR": str(home)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own, where a project's file may lie."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def test_names_and_dialects_of_both_files_count_and_the_project_hides_the_user(tmp_path: Path, elsewhere: Path) -> None:
    environment = write(tmp_path, 'dead_letters = ["*.graveyard", "x"]\n' + ACME + '[dialects.other]\nwhen = ["o"]\nqueue = "o"\n')
    (elsewhere / "brokercli.toml").write_text('dead_letters = ["x", "*.morgue"]\n[dialects.acme]\nwhen = ["acme-here"]\ntopic = "acme-here"\n')
    assert dead_letter_patterns(environment) == ("x", "*.morgue", "*.graveyard")
    found = {dialect.name: dialect for dialect in user_dialects(environment)}
    assert set(found) == {"acme", "other"}
    assert found["acme"].dialect.signs == {"acme-here"}


@pytest.mark.parametrize(("content", "line", "words"), [
    (ACME + 'topics = "x"\n', 4, "'topics', which no dialect has"), (ACME + '\npartition = { header = "p", format = "int16" }\n', 5, "no format 'int16'"),
    ('[dialects.acme]\nwhen = ["a"]\n', 1, "which header holds the origin")])
def test_a_mistake_in_a_dialect_is_refused_with_file_and_line(tmp_path: Path, content: str, line: int, words: str) -> None:
    environment = write(tmp_path, content)
    with pytest.raises(UsageProblem, match=words) as refused:
        user_dialects(environment)
    assert str(refused.value).startswith(f"{tmp_path / 'config.toml'}:{line}: ")


@pytest.mark.parametrize(("content", "words"), [
    ('dead_letters = "x"\n', "not a list of names"), ('dead_letters = ["*"]\n', "matches everything"), ("dialects = 1\n", "not a table"),
    ('[dialects]\nacme = 1\n', "acme is not a table"), ('[dialects."a/b"]\nwhen = []\n', "no name for a dialect")])
def test_what_is_no_such_setting_is_refused(tmp_path: Path, content: str, words: str) -> None:
    environment = write(tmp_path, content)
    with pytest.raises(UsageProblem, match=words):
        dead_letter_patterns(environment)
