"""What is said to install is what pyproject.toml asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from brokercli.backends.registry import descriptors
from brokercli.local.program import INSTALL

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_client_that_is_missing_is_installed_in_the_version_that_fits() -> None:
    wanted = {f"pip install '{requirement}'" for requirement in PROJECT["dependencies"]}
    assert {descriptor.install for descriptor in descriptors() if descriptor.name in ("kafka", "nats", "rabbitmq")} <= wanted


def test_the_local_brokers_program_is_installed_in_the_version_that_fits() -> None:
    assert f"pip install '{PROJECT['optional-dependencies']['local'][0]}'" in INSTALL
