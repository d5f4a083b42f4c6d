"""`brokercli dlq` on a RabbitMQ quorum queue with a delivery limit: looks are refused, and what was confirmed lifts it meanwhile."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pytest

from brokercli.backends.rabbitmq.survivable import LIFTS
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import await_end_of_runs, count, lifting, numbered, wear_out
from tests.brokers.server import wait_until
from tests.commandline import CommandLine
from tests.faults.proxy import Proxy

CANNOT = 7
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class WornOut:
    """Three letters that died of a delivery limit."""

    places: Places
    work: str
    dlq: str

    @property
    def policies(self) -> list[str]:
        """Ours that are there for it."""
        return [policy["name"] for policy in lifting(self.places, self.dlq)]


@dataclass(frozen=True, slots=True)
class Started:
    """A command whose standard error is read while it runs."""

    process: subprocess.Popen[bytes]

    def wait_for(self, words: str) -> None:
        """Read until it has said so."""
        assert self.process.stderr is not None
        said = b""
        while words.encode() not in said:
            line = self.process.stderr.readline()
            assert line, f"{words!r} was not said: {said.decode()}"
            said += line


@pytest.fixture
def worn_out(cli: CommandLine, rabbitmq_address: str, rabbitmq_management: str) -> Iterator[WornOut]:
    """Letters behind the context `here`, which knows where the management API is."""
    places = Places(rabbitmq_address, rabbitmq_management)
    dlq = places.queue("quorum")
    work = places.queue("quorum", x_delivery_limit=("l", 21), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    wear_out(places, work, dlq, *numbered(3))
    assert cli("context", "add", "here", "--url", rabbitmq_address, "--management", rabbitmq_management).code == 0
    yield WornOut(places, work, dlq)
    places.close()


def test_a_look_is_refused_with_the_two_safe_ways_and_one_of_them_is_an_option(cli: CommandLine, worn_out: WornOut) -> None:
    refused = cli("dlq", "inspect", f"@here/queue:{worn_out.dlq}")
    assert refused.code == CANNOT
    assert "delivery limit of 20" in refused.stderr
    assert "--lift-limit lifts the limit" in refused.stderr
    assert "rabbitmqctl set_policy" in refused.stderr
    assert cli("dlq", "redrive", f"@here/queue:{worn_out.dlq}").code == CANNOT
    looked = cli("dlq", "inspect", f"@here/queue:{worn_out.dlq}", "--lift-limit", "-o", "json")
    assert looked.code == 0, looked.stderr
    assert orjson.loads(looked.stdout)["count"] == 3
    assert f"side effects: the delivery limit of 20 of {worn_out.dlq} was lifted meanwhile" in looked.stderr
    assert worn_out.policies == []
    assert count(worn_out.places, worn_out.dlq) == 3


def test_a_redrive_that_was_confirmed_lifts_the_limit_and_says_so(cli: CommandLine, worn_out: WornOut) -> None:
    planned = cli("dlq", "redrive", f"@here/queue:{worn_out.dlq}", "--lift-limit")
    assert planned.code == 8, planned.stderr
    assert "was lifted meanwhile" in planned.stderr
    assert "to redrive them lifts it once more" in planned.stderr
    held_back = cli("dlq", "redrive", f"@here/queue:{worn_out.dlq}", "--yes", "--no-lift-limit")
    assert (held_back.code, count(worn_out.places, worn_out.dlq)) == (CANNOT, 3)
    done = cli("dlq", "redrive", f"@here/queue:{worn_out.dlq}", "--yes")
    assert done.code == 0, done.stderr
    before, _, after = done.stderr.partition("is lifted meanwhile by the policy brokercli-lift-")
    assert "at least once" in before
    assert "the policy that did it is gone" in after
    assert worn_out.policies == []
    assert worn_out.places.taken(worn_out.work) == numbered(3)


def test_a_context_that_is_only_for_reading_lets_no_limit_be_lifted(cli: CommandLine, worn_out: WornOut, rabbitmq_address: str,
                                                                    rabbitmq_management: str) -> None:
    assert cli("context", "add", "shut", "--url", rabbitmq_address, "--management", rabbitmq_management, "--readonly").code == 0
    refused = cli("dlq", "inspect", f"@shut/queue:{worn_out.dlq}", "--lift-limit")
    assert refused.code == 2
    assert "read-only" in refused.stderr
    assert count(worn_out.places, worn_out.dlq) == 3


def test_a_limit_that_is_an_argument_is_told_what_is_done_about_it(cli: CommandLine, worn_out: WornOut) -> None:
    places = worn_out.places
    dlq = places.queue("quorum", x_delivery_limit=("l", 1))
    work = places.queue("quorum", x_delivery_limit=("l", 2), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    wear_out(places, work, dlq, *numbered(2))
    refused = cli("dlq", "inspect", f"@here/queue:{dlq}")
    assert refused.code == CANNOT
    assert "--lift-limit has what goes over it kept in another queue until it is done" in refused.stderr
    looked = cli("dlq", "inspect", f"@here/queue:{dlq}", "--lift-limit", "-o", "json")
    assert (looked.code, orjson.loads(looked.stdout)["count"]) == (0, 2), looked.stderr
    assert "the order and the contents of those that did not go over the limit; the others have one header more" in looked.stderr
    assert f"the delivery limit of 1 of {dlq}" in looked.stderr
    done = cli("dlq", "redrive", f"@here/queue:{dlq}", "--yes")
    assert done.code == 0, done.stderr
    assert f"more often than its delivery limit of 1 allows is kept in the queue {LIFTS}" in done.stderr
    assert "the policy and the queue that keep such letters are gone" in done.stderr
    assert sorted(places.taken(work)) == numbered(2)


def test_a_second_interrupt_while_letters_are_given_back_deletes_none(cli: CommandLine, worn_out: WornOut, rabbitmq_management: str) -> None:
    places, dlq = worn_out.places, worn_out.dlq

    def everything() -> int:
        return int(places.api(f"queues/%2F/{dlq}?disable_stats=true&enable_queue_totals=true")["messages"])

    # the figure is a moment old, and was two on its way up as well
    wait_until(lambda: everything() == 3, PATIENCE, "the three letters in the broker's figures")
    with Proxy((places.broker.host, places.broker.port)) as proxy:
        assert cli("context", "add", "far", "--url", f"amqp://guest:guest@127.0.0.1:{proxy.port}/", "--management", rabbitmq_management).code == 0
        started = Started(cli.start("dlq", "redrive", f"@far/queue:{dlq}", "--yes", "--rate", "1/m"))
        wait_until(lambda: everything() == 2, PATIENCE, "the first letter put back")
        # the broker hears nothing of what is given back until the second interrupt is over
        proxy.hold()
        started.process.send_signal(signal.SIGINT)
        started.wait_for("Ctrl-C again stops now")
        started.process.send_signal(signal.SIGINT)
        proxy.heal()
        ended = cli.finish(started.process)
    assert ended.code == 130, ended.stderr
    wait_until(lambda: count(places, dlq) == 2, PATIENCE, "what was held back in the queue")
    await_end_of_runs(places, *worn_out.policies)
    assert cli("dlq", "redrive", f"@here/queue:{dlq}", "--yes").code == 0
    assert worn_out.policies == []
    assert sorted(places.taken(worn_out.work)) == numbered(3)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_look_that_is_stopped_while_nobody_reads_says_what_became_of_the_limit(cli: CommandLine, worn_out: WornOut, signals: int) -> None:
    places = worn_out.places
    dlq = places.queue("quorum")
    # more than a pipe holds that nobody reads
    places.put("", dlq, [b"x" * 100_000] * 4)
    process = cli.start("dlq", "export", "-", f"@here/queue:{dlq}", "--lift-limit")
    assert process.stdout is not None
    assert process.stdout.read(1) == b"{"
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
    # the reader takes nothing until it has ended
    process.wait(PATIENCE)
    ended = cli.finish(process)
    assert ended.code == 130, ended.stderr
    assert f"the delivery limit of 20 of {dlq} was lifted meanwhile; the policy that did it is gone" in ended.stderr
    assert count(places, dlq) == 4
