"""Whether a queue is there still whose letters somebody holds: what is held of one that was deleted is nowhere else."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from time import monotonic, sleep
from typing import Any

from brokercli.backends.rabbitmq.failures import NoSuch, translate
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.opening import Step
from brokercli.model.errors import BrokercliError, NotAuthorised

_PATIENCE = 10.0
_ASK_AGAIN_SECONDS = 0.1


class StillThere:
    """Asked once, when it first matters: asked later, another of its name might answer."""

    def __init__(self, link: Link, queue: str) -> None:
        self._link = link
        self._queue = queue
        self._doing = f"looking whether the queue {queue} is there"
        self._steps: tuple[Step, ...] = (lambda channel, answered: channel.queue_declare(queue, passive=True, callback=answered),)
        self._soon: Future[BrokercliError] | None = None
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

    def ask_soon(self, channel: Any) -> None:
        """Ask, on the connection's thread, just as the broker has ended a consumer of the queue: as soon as its channel is closed, which is being
        done. Until then what was said there before may cost the whole connection: to a consumer that comes while its quorum queue is being deleted
        RabbitMQ says that it failed itself (541, seen on 4.3.6), and whoever asks waits for the next connection. A queue that is there in this
        moment is another: a node that was away is not back so soon."""
        answer: Future[BrokercliError] = Future()
        self._soon = answer
        channel.add_on_close_callback(lambda *closed: self._ask_soon(answer))

    def _ask_soon(self, answer: Future[BrokercliError]) -> None:

        def there(channel: Any, answers: list[Any]) -> None:
            channel.close()
            answer.set_result(NoSuch(f"The queue {self._queue} was deleted meanwhile: there is another of that name now."))

        self._link.open_channel(None, self._steps, there, lambda problem: answer.set_result(translate(problem, self._doing, self._link.where)))

    def ask(self) -> BrokercliError | None:
        """Return None where it is there, NoSuch where it was deleted, alone or with its virtual host, and else why that is not known. Waits for
        a connection that is lost."""
        if self._soon is not None:
            soon, self._soon = self._soon, None
            try:
                self.note(soon.result(_PATIENCE))
            except FutureTimeout:
                pass
        if not self._asked:
            self._problem = self._ask()
            self._asked = True
        return self._problem

    def _ask(self) -> BrokercliError | None:
        deadline = monotonic() + _PATIENCE
        while True:
            try:
                self._link.ask(self._doing, *self._steps, timeout=_PATIENCE)
            except NotAuthorised as problem:
                # of a virtual host that is being deleted the permissions go first (seen on 4.3.6); soon it is known that all of it is gone
                if monotonic() >= deadline:
                    return problem
                sleep(_ASK_AGAIN_SECONDS)
            except BrokercliError as problem:
                return problem
            else:
                return None
