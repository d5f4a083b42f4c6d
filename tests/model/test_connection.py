"""What leads to a broker can be printed, logged and compared, and its secrets cannot."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, replace

import pytest

from brokercli.model.connection import TLS, Connection, Secret

SECRET = Secret("hunter2")
CONNECTION = Connection("amqps", (("a", None), ("::1", 5672)), user="app", password=SECRET, token=SECRET, tls=TLS(key_password=SECRET))


def test_a_secret_is_shown_by_nothing_but_its_one_way_out() -> None:
    shown = [f"{SECRET} {SECRET!r} {SECRET!s} {SECRET:>20}", "%s %r" % (SECRET, SECRET), "{} {!r}".format(SECRET, SECRET), str([SECRET]), repr(CONNECTION),  # noqa: UP031, UP032
             f"{CONNECTION}", CONNECTION.whereabouts, str(vars(type(SECRET))), str(dir(SECRET))]
    assert "hunter2" not in " ".join(shown)
    assert "****" in shown[0]
    assert SECRET.reveal() == "hunter2"
    assert not hasattr(SECRET, "__dict__")


@pytest.mark.parametrize("write", [pickle.dumps, copy.deepcopy, asdict], ids=["pickled", "copied", "taken apart"])
def test_a_secret_does_not_go_along_into_what_is_kept(write: object) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        write(CONNECTION)  # type: ignore[operator]


def test_secrets_are_the_same_where_their_values_are() -> None:
    assert (Secret("a"), Secret("a") == Secret("b"), Secret("a") == "a", len({Secret("a"), Secret("a"), Secret("b")})) == (Secret("a"), False, False, 2)


@pytest.mark.parametrize(("connection", "whereabouts"), [
    (CONNECTION, "amqps://a,[::1]:5672 as app"), (replace(CONNECTION, virtual_host="shop"), "amqps://a,[::1]:5672/shop as app"),
    (replace(CONNECTION, virtual_host="/shop", user=None), "amqps://a,[::1]:5672/shop"),
    (Connection("nats", (("h", 4222),), token=SECRET), "nats://h:4222"),
    (Connection("nats", (("h", 4222),), credentials="/c.creds"), "nats://h:4222 as /c.creds"),
])
def test_where_a_connection_leads_says_what_decides_on_the_messages_there(connection: Connection, whereabouts: str) -> None:
    assert connection.whereabouts == whereabouts
