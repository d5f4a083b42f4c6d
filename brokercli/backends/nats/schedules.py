"""Subjects of a stream on which a message waits to be published later: the next one there ends its schedule (seen on 2.15.1)."""

from __future__ import annotations

from collections.abc import Callable

from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.fetch import fetch_last
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.not_letters import is_schedule, publishes_later
from brokercli.backends.nats.rewriting import stored_as
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.errors import BrokercliError, NotAuthorised


class Schedules:
    """Asks once about each subject on which none waits."""

    def __init__(self, jetstream: JetStream, info: Json) -> None:
        self._jetstream = jetstream
        self._config = info["config"]
        self._stream = str(self._config["name"])
        self._free: set[str] = set()
        self._any = publishes_later(self._config)

    def refusal(self, subject: str) -> str:
        """Return why a message must not be sent on a subject; empty where it may. Raises where that is not known."""
        if not self._any or subject in self._free:
            return ""
        try:
            last = self._jetstream.link.run(fetch_last(self._jetstream, self._stream, stored_as(self._config, subject) or subject))
        except NotAuthorised:
            return (f"whether a schedule of stream {self._stream} waits on {subject}, and would end when a message comes behind it, this login may not ask "
                    f"({self._jetstream.prefix}.STREAM.MSG.GET.{self._stream})")
        if last is not None and is_schedule(last):
            return f"on {subject} a schedule of stream {self._stream} waits (Nats-Schedule), which ends when a message comes behind it there"
        self._free.add(subject)
        return ""

    def passing(self, prepare: Callable[..., Sent]) -> Callable[..., Sent]:
        """Return what makes messages that are sent together ready, as `prepare` does, and refuses those on subjects where one waits, or where that is
        not known: who does not answer is asked once."""
        if not self._any:
            return prepare
        known: dict[bytes, str] = {}
        trouble = ""

        def prepare_free(item: object) -> Sent:
            nonlocal trouble
            sent = prepare(item)
            why = known.get(sent.subject)
            if why is None:
                try:
                    why = trouble or self.refusal(sent.subject.decode(errors="surrogateescape"))
                except BrokercliError as problem:
                    why = trouble = f"whether a schedule of stream {self._stream} waits there could not be asked: {str(problem).rstrip('.')}"
                known[sent.subject] = why
            if why:
                raise Refusal(why)
            return sent
        return prepare_free
