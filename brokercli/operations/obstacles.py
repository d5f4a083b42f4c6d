"""Why nothing can be put where a plan would put it, found out while nothing is done."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from brokercli.backends.contract import Backend, PublishPolicy
from brokercli.model.address import Address
from brokercli.model.errors import Failed, NotFound, Unsupported, UsageProblem

ASKED = 20
"""So many destinations are asked for: a plan is read by somebody who waits for it."""


def obstacles(backend: Backend, destinations: Iterable[Address]) -> dict[str, str]:
    """Return, for each of the first destinations to which nothing can be put, why. Sends nothing. What a login may not ask, and a
    broker that does not answer, are no obstacle that is known."""
    found = {}
    for destination in islice(destinations, ASKED):
        try:
            backend.publisher(backend.resolve(destination, "publish"), PublishPolicy(only_wanted=True)).close()
        except (Failed, NotFound, Unsupported, UsageProblem) as problem:
            found[str(destination)] = str(problem).rstrip(".")
    return found
