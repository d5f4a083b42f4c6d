"""What is done to a run from outside, and when: signals, the broker's death, the network's faults."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

from tests.commandline import Process
from tests.faults.proxy import Direction
from tests.torture.arena import Arena
from tests.torture.elsewhere import Elsewhere
from tests.torture.fault import Fault

AT_ITS_END = "cut at its end"
"""Cut as soon as the process is gone: what it gave to the system and did not wait for is lost."""
ANOTHER = "another run"
"""A second process does the same while the first is at work."""
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGINT twice", "SIGSTOP and SIGCONT")
NETWORK = ("reset", "hang up", "lose answers", "swallow", "hold", "refuse", AT_ITS_END)
_ENDS_BY_ITSELF = ("SIGINT twice", "SIGSTOP and SIGCONT", "broker killed", "lose answers", "swallow", "hold", "refuse")
Side = Arena | Elsewhere
"""A broker with a proxy in front of it."""
_SLOWEST = 40_000
_SLOW_SECONDS = 1.5
"""How long what is to be sent takes when it passes slowly."""


def draw(chance: Random, name: str) -> Fault:
    """Draw the moment and length of a fault."""
    return Fault(name, share=round(chance.random() * 1.1, 3), seconds=round(chance.uniform(0.05, 2.0), 2) if name in _ENDS_BY_ITSELF else 0.0,
                 slow=chance.random() < 0.5)


def disturb(arena: Arena, process: Process, fault: Fault, size: int, volume: int, patience: float,
            another: Callable[[], None] = lambda: None, direction: Direction = "to broker") -> bool:
    """Wait for the moment, do it, and return once it is over; False where the process ended before its moment came. `size` is how
    many bytes it has to send, or to get, by `direction`, `volume` how many the messages have; `another` starts a second process."""
    if fault.name == "crash":
        return False
    side = arena.elsewhere if fault.there else arena
    proxy = side.proxy
    if fault.slow or fault.name == AT_ITS_END:
        # whoever does not wait has to be gone long before everything has passed
        proxy.throttle(max(_SLOWEST, volume / (_SLOW_SECONDS * 2 if fault.name == AT_ITS_END else _SLOW_SECONDS)))
    if fault.name == AT_ITS_END:
        process.wait(patience)
        proxy.reset()
        return True
    goal = proxy.passed(direction) + int(fault.share * size)
    deadline = time.monotonic() + patience
    while proxy.passed(direction) <= goal and time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    if fault.name == ANOTHER:
        another()
    else:
        _ACTIONS[fault.name](side, process, fault)
    return True


def _signal(number: signal.Signals) -> Callable[[Side, Process, Fault], None]:
    return lambda side, process, fault: process.send_signal(number)


def _interrupt_twice(side: Side, process: Process, fault: Fault) -> None:
    process.send_signal(signal.SIGINT)
    _while_it_runs(process, fault.seconds / 4)
    process.send_signal(signal.SIGINT)


def _freeze(side: Side, process: Process, fault: Fault) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(fault.seconds)
    process.send_signal(signal.SIGCONT)


def _kill_broker(side: Side, process: Process, fault: Fault) -> None:
    side.server.kill()
    time.sleep(fault.seconds / 4)
    side.server.start()


def _passing(begin: str) -> Callable[[Side, Process, Fault], None]:
    def act(side: Side, process: Process, fault: Fault) -> None:
        getattr(side.proxy, begin)()
        _while_it_runs(process, fault.seconds)
        side.proxy.heal()
    return act


def _refuse(side: Side, process: Process, fault: Fault) -> None:
    side.proxy.refuse()
    side.proxy.reset()
    _while_it_runs(process, fault.seconds)
    side.proxy.heal()


def _while_it_runs(process: Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


_ACTIONS: dict[str, Callable[[Side, Process, Fault], None]] = {
    "SIGKILL": _signal(signal.SIGKILL), "SIGTERM": _signal(signal.SIGTERM), "SIGINT": _signal(signal.SIGINT), "SIGINT twice": _interrupt_twice,
    "SIGSTOP and SIGCONT": _freeze, "broker killed": _kill_broker,
    "reset": lambda side, process, fault: side.proxy.reset(), "hang up": lambda side, process, fault: side.proxy.hang_up(),
    "lose answers": _passing("lose_answers"), "swallow": _passing("swallow"), "hold": _passing("hold"), "refuse": _refuse,
}
