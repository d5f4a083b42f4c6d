"""Letters that are stored where they were to go, and that RabbitMQ put back before they were taken out, because it failed over a letter behind them:
taken once more and taken out, or they would go there again with every run, which all end in the same place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from time import monotonic, sleep

from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.counting import counting
from brokercli.backends.rabbitmq.encoded_headers import split_table
from brokercli.backends.rabbitmq.exact_properties import split_headers
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.errors import BrokercliError

_PATIENCE, _STEP = 10.0, 0.02
_COUNTED_ON = frozenset({"x-acquired-count", "x-delivery-count"})
"""What a quorum queue writes anew with each delivery."""


class TakenAgain:
    """Holds as many as were held when the connection ended: those were handed over without harm, and what comes behind them is not asked for."""

    def __init__(self, link: Link, queue: str, wanted: int, *, part: int, lasting: bool) -> None:
        self._found: dict[bytes, list[int]] = defaultdict(list)
        self._holding: Holding | None = None
        self.complete = False
        """Whether as many are held."""
        deadline = monotonic() + _PATIENCE
        try:
            # asked for before they are back, it would begin with what RabbitMQ fails over
            while (count := link.ask("counting what was put back", counting(queue))[0]).messages < wanted or not count.certain:
                if monotonic() > deadline:
                    return
                sleep(_STEP)
            self._holding = Holding(link, queue, wanted, part=part, others=count.consumers, lasting=lasting)
            while not self._holding.finished and monotonic() < deadline:
                for delivery in self._holding.take(_STEP) or ():
                    self._found[_looks(delivery)].append(delivery.tag)
            self.complete = self._holding.taken == wanted
        except BrokercliError:
            return  # whoever is in doubt stays so

    def take_out(self, letters: Sequence[Delivery]) -> set[int]:
        """Take out what is like these letters, one for each; return the tags under which those came at first that are certainly out."""
        chosen = {letter.tag: same.pop(0) for letter in letters if (same := self._found.get(_looks(letter)))}
        return set(chosen) if chosen and self._holding is not None and self._holding.acknowledge(sorted(chosen.values())) else set()

    def close(self) -> None:
        """Give back the others."""
        if self._holding is not None:
            self._holding.give_back()


def _looks(delivery: Delivery) -> bytes:
    """Return what a letter is known by: everything but how often it was handed out."""
    fixed, table = split_headers(delivery.properties)
    known = blake2b(fixed, digest_size=16)
    for name, value in split_table(table) if table else ():
        if name not in _COUNTED_ON:
            known.update(name.octets + value)
    for octets in (delivery.exchange, delivery.routing_key, delivery.body):
        known.update(b"%d:%b" % (len(octets), octets))
    return known.digest()
