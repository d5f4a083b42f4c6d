"""Whether a queue is there still whose letters somebody holds: what is held of one that was deleted is nowhere else."""

from __future__ import annotations

from brokercli.backends.rabbitmq.failures import NoSuch
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.errors import BrokercliError

_PATIENCE = 10.0


class StillThere:
    """Asked once, when it first matters: asked later, another of its name might answer."""

    def __init__(self, link: Link, queue: str) -> None:
        self._link = link
        self._queue = queue
        self._asked = False
        self._problem: BrokercliError | None = None

    @property
    def learnt(self) -> BrokercliError | None:
        """What is known without asking; None where nothing is known to be wrong."""
        return self._problem

    def note(self, problem: BrokercliError) -> None:
        """Learn it from a question or a refusal of something else; of anything but NoSuch nothing is learnt."""
        if isinstance(problem, NoSuch) and not self._asked:
            self._asked, self._problem = True, problem

    def ask(self) -> BrokercliError | None:
        """Return None where it is there, NoSuch where it was deleted, alone or with its virtual host, and else why that is not known. Waits for
        a connection that is lost."""
        if not self._asked:
            try:
                self._link.ask(f"looking whether the queue {self._queue} is there", lambda channel, answered: channel.queue_declare(
                    self._queue, passive=True, callback=answered), timeout=_PATIENCE)
            except BrokercliError as problem:
                self._problem = problem
            self._asked = True
        return self._problem
