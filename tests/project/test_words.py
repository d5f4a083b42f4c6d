"""Nothing in the repository names a package registry's host, a path of somebody's machine, a test that is not run, a function that is
not there, or a command that is not."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from brokercli.backends.registry import BUILT_IN
from brokercli.commands.app import build
from brokercli.settings.schema import CONTEXT_KEYS, TLS_KEYS
from tests.torture.crash import ELSEWHERE, FROM_A_FILE, PUBLISHING, REPAIRING, RESUMING, THROUGH, UNPERMITTED, find

ROOT = Path(__file__).resolve().parents[2]
# put together here, so that this file does not name them either
HOSTS = [".".join(parts) for parts in (
    ("pypi", "org"), ("pythonhosted", "org"), ("maven", "org"), ("maven", "apache", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"),
    ("golang", "org"), ("deb", "debian", "org"), ("snapshot", "debian", "org"), ("security", "debian", "org"), ("archive", "ubuntu", "com"))]
PATHS = ["/" + "/".join(parts) + "/" for parts in (("work", "main"), ("work", "shared"), ("root",))]


def texts() -> dict[str, str]:
    """Return every text file that git would submit."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    found = {}
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                found[name] = content.decode(errors="replace")
    return found


def lines_with(pattern: str, *, under: str = "") -> list[str]:
    """Return `file:line` of every match."""
    return [f"{name}:{number}" for name, text in texts().items() if name.startswith(under)
            for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]


def test_no_package_registry_is_named() -> None:
    assert lines_with("|".join(re.escape(host) for host in HOSTS)) == []


def test_no_path_of_a_machine_is_named() -> None:
    assert lines_with("|".join(rf"(?<![\w.$}}]){re.escape(path)}" for path in PATHS)) == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = "|".join(("mark." + "skip", "mark." + "xfail", r"pytest\." + r"skip\(", r"pytest\." + r"xfail\(", "import" + "orskip"))
    assert lines_with(marks, under="tests/") == []


def test_every_file_of_the_program_that_the_documentation_names_is_there() -> None:
    sources = [f"/{name}" for name in texts() if name.endswith(".py")]
    missing = []
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for name in re.findall(r"`((?:\w+/)*\w+\.py)`", page.read_text(encoding="utf-8")):
            places = [name.replace("/X/", f"/{broker}/") for broker in BUILT_IN]  # X is each of them
            missing += [f"{page.name}: {place}" for place in places if not any(source.endswith(f"/{place}") for source in sources)]
    assert missing == []


def test_what_is_counted_is_said_of_one_as_well() -> None:
    in_the_plural_alone = r"\{[^{}]+:,\} (?!is\b|was\b|has\b)[a-z]+s\b"
    assert lines_with(in_the_plural_alone, under="brokercli/") == [], "brokercli/model/amount.py knows how to say it"


def test_nothing_is_left_to_do() -> None:
    assert lines_with(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")) + r")\b", under="brokercli/") == []


def hints() -> dict[str, str]:
    """Return what the program gives as hints, each with where it is written; what is put in when it runs reads `{}`."""
    found = {}
    for name, text in texts().items():
        if name.startswith("brokercli/") and name.endswith(".py"):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.keyword) and node.arg == "hint":
                    parts = ["{}" if isinstance(part, ast.FormattedValue) else part.value for part in ast.walk(node.value)
                             if isinstance(part, ast.FormattedValue) or (isinstance(part, ast.Constant) and isinstance(part.value, str))]
                    found[f"{name}:{node.lineno}"] = "".join(parts)
    return found


def test_every_command_that_a_hint_names_is_there() -> None:
    commands: dict[str, Any] = getattr(typer.main.get_command(build()), "commands")  # noqa: B009  typer's own group is not click's
    missing = []
    for where, hint in hints().items():
        for first, second in re.findall(r"\bbrokercli ([a-z]+)(?: ([a-z]+))?", hint):
            below = getattr(commands.get(first), "commands", None)
            if first not in commands or (second and below is not None and second not in below):
                missing.append(f"{where}: brokercli {first} {second}")
    assert missing == []


def options(command: Any) -> set[str]:
    """Return the options of a command and of those below it."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*(options(child) for child in getattr(command, "commands", {}).values()))


def test_every_option_that_takes_a_value_says_what_it_is() -> None:
    def unsaid(command: Any) -> list[str]:
        own = [f"{command.name} {parameter.opts[0]}" for parameter in command.params if parameter.param_type_name == "option" and not parameter.is_flag
               and not parameter.metavar and not getattr(parameter.type, "choices", ())]
        return own + [one for child in getattr(command, "commands", {}).values() for one in unsaid(child)]

    assert unsaid(typer.main.get_command(build())) == []


def test_every_option_and_every_setting_of_a_context_that_a_hint_names_is_there() -> None:
    known = options(typer.main.get_command(build())) | {"--upgrade"}  # pip's
    settings = {*CONTEXT_KEYS, *(f"tls.{key}" for key in TLS_KEYS)}
    missing = []
    for where, hint in hints().items():
        missing += [f"{where}: {option}" for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?!-?{)", hint) if option not in known]
        missing += [f"{where}: {key}" for key in re.findall(r"([\w.]+) in the context", hint) if key not in settings]
    assert missing == []


def functions_that_the_torture_watches() -> set[str]:
    planted = (ROOT / "tests" / "torture" / "controls.py").read_text()
    moments = (*REPAIRING.values(), *PUBLISHING.values(), RESUMING, ELSEWHERE, FROM_A_FILE, THROUGH, UNPERMITTED)
    watched = {point.where for named in moments for point in named.values()}
    return watched | set(re.findall(r'replace\("([\w.]+:[\w.]+)"', planted))


@pytest.mark.parametrize("function", sorted(functions_that_the_torture_watches()))
def test_a_function_at_which_the_torture_kills_or_plants_is_there_under_its_name(function: str) -> None:
    owner, name = find(function)
    assert hasattr(owner, name), "where it is called otherwise now, tests/torture/crash.py and controls.py have to follow"
