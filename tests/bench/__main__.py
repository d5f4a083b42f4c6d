"""Measure brokercli beside its peers and print the table of the README.

    python -m tests.bench                       everything, 1M messages (RabbitMQ 200k), 5 runs each
    python -m tests.bench --only nats --runs 3
    python -m tests.bench --write README.md     put the table between its marks there

Starts brokers of its own. Two cores are enough to be disturbed: nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench import kafka, nats, rabbitmq
from tests.bench.cases import Case
from tests.bench.measure import Command, Sample, alternate, per_message
from tests.bench.memory import peaks, startup, write_lines
from tests.bench.tools import brokercli, versions
from tests.brokers.kafka import Kafka
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import RabbitMQ

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Bench:
    """One measuring of everything; rows are printed as they come."""

    def __init__(self, directory: Path, only: list[str], count: int, runs: int) -> None:
        self._directory, self._only, self._count, self._runs = directory, only, count, runs
        self.rows = ["| work | brokercli | peer | ratio of the times | goal | |", "|---|---|---|---|---|---|"]

    def run(self) -> None:
        """Start each broker, measure beside it, stop it."""
        lines, few = write_lines(self._directory / "lines", self._count), write_lines(self._directory / "few", 1000)
        slow = write_lines(self._directory / "slow", self._count // 5)
        large = write_lines(self._directory / "large", self._count * 5)
        for name, kind in (("kafka", Kafka), ("nats", Nats), ("rabbitmq", RabbitMQ)):
            if self._only and name not in self._only:
                continue
            server = kind(self._directory / name)
            server.prepare()
            server.start()
            with ExitStack() as stack:
                stack.callback(server.stop)
                if isinstance(server, Kafka):
                    self._measure(kafka.cases(server, lines, few, self._count))
                    self._memory("Kafka", f"kafka://{server.address}/bench.in.ours", f"kafka://{server.address}/bench", large)
                elif isinstance(server, Nats):
                    self._measure(nats.cases(server, lines, few, self._count))
                    self._memory("JetStream", f"{server.address}/ours.created", f"{server.address}/stream:BENCH", large)
                elif isinstance(server, RabbitMQ):
                    self._measure(rabbitmq.cases(server, slow, self._count // 5))
                    self._memory("RabbitMQ", f"{server.address.rstrip('/')}/stream:bench", f"{server.address.rstrip('/')}/stream:bench", None)

    def _measure(self, cases: Iterator[Case]) -> None:
        for case in cases:
            commands = [case.ours, *(peer.command for peer in case.peers if peer.command is not None)]
            samples = alternate(commands, self._runs)
            ours = per_message(case.ours, samples[0])
            measured = iter(zip(commands[1:], samples[1:], strict=True))
            texts, ratios = [], []
            for peer in case.peers:
                if peer.command is None:
                    texts.append(f"{peer.name}: not measured, {peer.why_not}")
                    continue
                command, taken = next(measured)
                each = per_message(command, taken)
                texts.append(f"{peer.name}: {_amount(command, taken)}")
                ratios.append(ours / each)
            verdict = "reached" if case.reached(ratios[0]) else "**not reached**"
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            self._row(f"| {case.work} | {_amount(case.ours, samples[0])} | {'; '.join(texts)} | {shown} | {case.goal} | {verdict} |")

    def _memory(self, broker: str, into: str, out_of: str, large: Path | None) -> None:
        counts = (10_000, self._count if large else self._count // 5)
        commands = [(f"{broker} replay", Command(brokercli("replay", out_of, "-n", str(count)), count)) for count in counts]
        if large is not None:
            commands += [(f"{broker} publish", Command(brokercli("publish", into), self._count * 5, large)),
                         (f"{broker} replay, envelope", Command(brokercli("replay", into, "-o", "json"), self._count * 5))]
        for name, count, sample in peaks(commands):
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
    with tempfile.TemporaryDirectory(prefix="brokercli-bench-") as directory:
        bench = Bench(Path(directory), asked.only, asked.count, asked.runs)
        if not asked.only or "startup" in asked.only:
            bench.start_up()
        bench.run()
    note = f"Medians of {asked.runs} runs on 2 cores, {datetime.date.today()}: " + ", ".join(f"{name} {version}" for name, version in versions().items()) + "."
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
