"""A virtual host that is being deleted loses its permissions first: for a moment nobody may do anything in it, and nobody is let in. That is no verdict
on a login that was permitted before."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from brokercli.backends.rabbitmq import link as links
from brokercli.backends.rabbitmq import still_there
from brokercli.backends.rabbitmq.failures import NoSuch
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.still_there import StillThere
from brokercli.model.errors import NotAuthorised
from tests.backends.rabbitmq_places import SECONDS, Places
from tests.brokers.server import wait_until

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def host(rabbitmq_address: str, rabbitmq_management: str) -> Iterator[Places]:
    """A virtual host that a test may delete."""
    made = Places(rabbitmq_address, rabbitmq_management, f"v-{uuid.uuid4().hex[:12]}")
    yield made
    made.close()


@pytest.fixture
def link(host: Places) -> Iterator[Link]:
    made = Link(host.connection)
    yield made
    made.close()


def forbid(host: Places) -> None:
    host.api(f"permissions/{host.virtual_host}/{host.broker.user}", "DELETE")


def permit(host: Places) -> None:
    host.api(f"permissions/{host.virtual_host}/{host.broker.user}", "PUT", configure=".*", write=".*", read=".*")


@pytest.fixture
def shut_out(host: Places, link: Link, monkeypatch: pytest.MonkeyPatch) -> Sequence[object]:
    """Lose the permission and then the connection; return the refusals that follow, of which there is one by now."""
    refusals: list[object] = []
    after_failed_attempt = Link._after_failed_attempt

    def refused(self: Link, problem: Any, since: float) -> None:
        refusals.append(problem)
        after_failed_attempt(self, problem, since)

    monkeypatch.setattr(Link, "_after_failed_attempt", refused)
    forbid(host)
    link.post(link.reconnect)
    wait_until(lambda: refusals, SECONDS, "a refusal")
    assert "has no permission for the virtual host" in str(refusals[0])
    return refusals


def test_a_connection_that_is_not_let_in_again_learns_that_its_virtual_host_was_deleted(host: Places, link: Link, shut_out: Sequence[object]) -> None:
    assert link.failure is None
    host.delete_virtual_host()
    wait_until(lambda: link.failure is not None, SECONDS, "the end of the connection")
    assert isinstance(link.failure, NoSuch)


def test_a_connection_that_is_let_in_again_goes_on(host: Places, link: Link, shut_out: Sequence[object]) -> None:
    permit(host)
    wait_until(lambda: link.live is not None and link.live.is_open, SECONDS, "a connection")
    assert link.failure is None


def test_a_login_that_is_not_let_in_any_more_is_told_so_after_a_while(host: Places, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_LET_IN_SECONDS", 0.5)
    forbid(host)
    link.post(link.reconnect)
    wait_until(lambda: link.failure is not None, SECONDS, "the end of the connection")
    assert isinstance(link.failure, NotAuthorised)
    permit(host)


def test_whether_a_queue_is_there_is_asked_until_it_is_known_that_all_of_it_is_gone(host: Places, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    there = StillThere(link, host.queue())
    forbid(host)
    refusals: list[NotAuthorised] = []
    ask = Link.ask

    def asked(self: Link, *arguments: Any, **named: Any) -> list[Any]:
        try:
            return ask(self, *arguments, **named)
        except NotAuthorised as problem:
            if not refusals:
                host.delete_virtual_host()
            refusals.append(problem)
            raise

    monkeypatch.setattr(Link, "ask", asked)
    assert isinstance(there.ask(), NoSuch)
    assert refusals


def test_where_nobody_may_ask_that_stays_unknown(host: Places, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(still_there, "_PATIENCE", 0.5)
    there = StillThere(link, host.queue())
    forbid(host)
    assert type(there.ask()) is NotAuthorised
    permit(host)
