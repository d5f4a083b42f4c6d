"""A command loads what it needs and nothing else: every call and every TAB pays for what is imported."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from brokercli.backends.contract import Backend
from brokercli.backends.registry import descriptors

ROOT = Path(__file__).resolve().parents[2]
SLOW = ("rich", "confluent_kafka", "nats", "pika", "asyncio", "orjson", "importlib.metadata", "nats.js", "subprocess", "ipaddress")


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter and return which of the slow modules it has loaded."""
    ended = subprocess.run([sys.executable, "-c", f"import sys\n{program}\nsys.stdout.flush()\nprint('\\nloaded', *[m for m in {SLOW!r} if m in sys.modules])"],
                           cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].split()[1:])


def test_importing_the_command_tree_loads_nothing_slow() -> None:
    assert loaded_by("import brokercli.commands.app") == set()


def test_building_every_command_loads_nothing_slow() -> None:
    assert loaded_by("from brokercli.commands.app import build\nbuild()") == set()


def test_a_command_loads_no_other_command() -> None:
    program = ("from brokercli.commands.app import build\nbuild(['--no-color', 'dlq', 'redrive', 'orders.dlq'])\n"
               "commands = [name for name, module in sys.modules.items() if name.startswith('brokercli.commands.') and hasattr(module, 'register')]\n"
               "assert commands == ['brokercli.commands.dlq_redrive'], commands")
    assert loaded_by(program) == set()


def test_asking_what_each_built_in_broker_can_do_loads_no_client() -> None:
    program = "from brokercli.commands.run import run\nassert run(['brokers', 'kafka', '-o', 'json']) == 0"
    assert loaded_by(program) & {"confluent_kafka", "nats", "pika"} == set()


@pytest.mark.parametrize("descriptor", list(descriptors()), ids=lambda descriptor: descriptor.name)
def test_every_descriptor_names_a_backend_that_is_there(descriptor: object) -> None:
    module, _, name = descriptor.implementation.partition(":")  # type: ignore[attr-defined]
    implementation = getattr(import_module(module), name)
    assert issubclass(implementation, Backend)
    assert not implementation.__abstractmethods__


@pytest.mark.parametrize(("broker", "client"), [("kafka", "confluent_kafka"), ("rabbitmq", "pika")])
def test_a_client_that_has_a_use_for_asyncio_is_loaded_without_it(broker: str, client: str) -> None:
    assert loaded_by(f"import brokercli.backends.{broker}.client") & {client, "asyncio"} == {client}


def test_what_was_put_off_is_the_same_once_somebody_asks_for_it() -> None:
    program = ("from brokercli.backends.later import put_off\nwith put_off('asyncio'):\n    import asyncio as later\nassert 'asyncio' not in sys.modules\n"
               "assert callable(later.shield)\nimport asyncio\nassert later is not asyncio and later.shield is asyncio.shield\n"
               "async def nothing(): return 7\nassert asyncio.run(nothing()) == 7")
    assert loaded_by(program) >= {"asyncio"}


def test_nats_client_loads_without_its_jetstream_which_is_there_for_those_who_ask() -> None:
    assert loaded_by("import brokercli.backends.nats.client") & {"nats", "nats.js"} == {"nats"}
    program = ("import brokercli.backends.nats.client, nats.aio.client as client\nassert client.nats.js.api.Header.STATUS == 'Status'\n"
               "import nats.js\nassert client.nats.js is nats.js\nassert callable(nats.js.JetStreamContext)")
    assert loaded_by(program) >= {"nats.js"}


def test_nats_client_loads_without_looking_through_what_is_installed_and_knows_its_version_all_the_same() -> None:
    program = "import brokercli.backends.nats.client, nats.aio.client as client\n"
    assert loaded_by(program) & {"nats", "importlib.metadata"} == {"nats"}
    assert loaded_by(program + "from importlib.metadata import version\nassert client.__version__ == version('nats-py')") >= {"importlib.metadata"}


def test_without_a_folder_that_says_it_the_version_is_asked_for_as_ever() -> None:
    program = ("import os\nfrom contextlib import nullcontext\nos.scandir = lambda folder: nullcontext(())\n"
               "import brokercli.backends.nats.client, nats.aio.client as client\nassert client.__version__ not in ('', '0.0.0')")
    assert loaded_by(program) >= {"importlib.metadata"}


def test_one_who_asks_while_the_client_loads_gets_the_real_module() -> None:
    program = ("from brokercli.backends.later import put_off\nwith put_off('asyncio'):\n"
               "    import asyncio\n    shield = asyncio.shield\n    from asyncio import gather\nimport asyncio\nassert asyncio.shield is shield")
    assert loaded_by(program) >= {"asyncio"}


@pytest.mark.parametrize("interrupted", ["dataclasses", "json", "uuid"])
def test_ctrl_c_while_a_command_is_loaded_ends_it_with_130_and_no_crash(interrupted: str, tmp_path: Path) -> None:
    program = ("import os, signal, sys\nclass Interrupting:\n  def find_spec(self, name, path, target=None):\n"
               f"    if name == {interrupted!r}: os.kill(os.getpid(), signal.SIGINT)\n"
               "sys.meta_path.insert(0, Interrupting())\nsys.argv[1:] = ['context', 'ls']\nfrom brokercli.__main__ import main\nmain()")
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, env={"PATH": "", "HOME": str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (130, b""), ended.stderr
