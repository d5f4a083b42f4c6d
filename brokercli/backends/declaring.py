"""What a broker promises about declaring: plan without changing, apply one change at a time, say what there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from brokercli.model.declaration import Change, Declaration, RetrySpecification, RetryTopology


class Declarer(ABC):
    """The declaring side of an open backend (`Backend.declarer`). Settings have been checked against the descriptor's."""

    notes: Sequence[str] = ()
    """What cannot be seen or changed here, and why (no management API, no permission)."""

    @abstractmethod
    def plan(self, wanted: Sequence[Declaration]) -> list[Change]:
        """Compare each declaration with what there is, and return a change for every one, in the order in which they have
        to be applied. Only settings that are named are compared, as the broker fills them in. Changes nothing.

        Raises UsageProblem for what no broker of this kind could have (two declarations of the same thing with different
        settings, a consumer whose stream is neither there nor declared), Unsupported, with the reason, where this server
        or this login cannot do it.
        """

    @abstractmethod
    def apply(self, change: Change) -> None:
        """Do one CREATE, CHANGE or DELETE. Settings that the declaration does not name stay as they are, also ones that
        this version of brokercli does not know.

        Raises Failed when what is there is no longer what was planned on, or the broker refuses (its words in ours), after
        which this one thing is as it was; Unreachable when it is not known whether it was done.
        """

    @abstractmethod
    def declared(self, kinds: Sequence[str] = ()) -> Iterable[Declaration]:
        """Yield what there is, with the settings that are not defaults: what `plan` finds unchanged. The broker's own
        internals, and what it makes by itself (default exchanges, ephemeral consumers, exclusive queues), are left out."""

    @abstractmethod
    def plan_removal(self, unwanted: Sequence[Declaration]) -> list[Change]:
        """Return a DELETE for each thing that is there, in the order in which they have to be applied, with what goes with
        it in the remarks (messages it holds, who uses it). Changes nothing."""

    @abstractmethod
    def retry(self, specification: RetrySpecification) -> RetryTopology:
        """Say what makes such retries on this server. Asks it for what it has (settings of the source, its version) and
        changes nothing. Raises UsageProblem for what cannot be had: no such source, more delays than attempts allow."""
