"""brokercli as its users run it, but for what a trial ordered: python -m tests.torture.child ORDERS dlq redrive …

ORDERS is JSON: `broker`, and where wanted `window` (letters settled together at most), `crash` ([moment, how manieth]),
`control` (the name of a fault from controls.py) and `operation`.
"""

from __future__ import annotations

import json
import signal
import sys

from tests.torture import controls, crash


def main() -> None:
    """Obey the orders, then run the command."""
    # whoever runs all this in the background has Ctrl-C ignored, and brokercli would leave it so
    signal.signal(signal.SIGINT, signal.default_int_handler)
    orders = json.loads(sys.argv[1])
    sys.argv = ["brokercli", *sys.argv[2:]]
    if orders.get("window"):
        _narrow(orders["window"])
    if orders.get("control"):
        controls.CONTROLS[orders["control"]].plant(orders["broker"])
    if orders.get("crash"):
        name, count = orders["crash"]
        crash.crash_at(orders["broker"], name, count, operation=orders.get("operation", "redrive"))
    from brokercli.__main__ import main as run

    run()


def _narrow(window: int) -> None:
    from brokercli.backends.dead_letters import RepairPolicy

    timeout, _, *others = RepairPolicy.__init__.__defaults__ or ()
    RepairPolicy.__init__.__defaults__ = (timeout, window, *others)
    from brokercli.operations import filed_letters

    filed_letters._PART = window


if __name__ == "__main__":
    main()
