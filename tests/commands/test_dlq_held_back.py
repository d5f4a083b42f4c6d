"""`brokercli dlq` on letters of a share group whose originals a transaction holds back that is still open: it reads those as well (KIP-932)."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from brokercli.model.address import Address
from tests.backends.kafka_topics import Topics
from tests.commandline import CommandLine

WHY = "a transaction that is still open holds it back"


def rejected_too_early(topics: Topics, *, copied: bool) -> tuple[Address, Address, Producer]:
    """Return a topic with one message in an open transaction, that of the share group's letter, which carries a copy of key and body where
    `copied`, and whoever can end the transaction."""
    home, dlq = topics.make(), topics.make()
    producer = topics.producer(transactional_id=home.name)
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(home.name, b"order", b"c-1", headers=[("x-tenant", b"shop")])
    assert producer.flush(60) == 0
    letters = topics.producer()
    written = {"topic": home.name, "partition": "0", "offset": "0", "group": "billing", "delivery.count": "1", "message": "rejected"}
    letters.produce(dlq.name, b"order" if copied else None, b"c-1" if copied else None,
                    headers=[(f"__dlq.errors.{name}", value.encode()) for name, value in written.items()])
    assert letters.flush(60) == 0
    return home, dlq, producer


@pytest.mark.kafka
@pytest.mark.parametrize("copied", [False, True], ids=["pointer", "copy"])
def test_an_original_in_an_open_transaction_is_not_called_gone_and_its_headers_are_not_lost(cli: CommandLine, topics: Topics, *, copied: bool) -> None:
    home, dlq, producer = rejected_too_early(topics, copied=copied)
    url = f"kafka://{topics.address}/{dlq.name}"
    inspected = cli("dlq", "inspect", url)
    assert "1 of them points at an original that cannot be read now: dlq show says why" in inspected.stderr
    assert "no longer stored" not in inspected.stderr
    assert f"the original it points at cannot be read now: {WHY}" in cli("dlq", "show", "#1", url).stdout.decode()
    assert f"its original cannot be read now: {WHY}" in cli("dlq", "redrive", url).stdout.decode()
    refused = cli("dlq", "redrive", url, "--yes")
    assert (refused.code, "confirmed 0, refused 1" in refused.stderr, f"its original cannot be read now: {WHY}" in refused.stderr) == (1, True, True)
    producer.commit_transaction(60)
    topics.wait_closed(home)
    assert cli("dlq", "redrive", url, "--yes").code == 0
    topics.wait_closed(home)
    came = [record.message for record in topics.read(home)]
    assert [(message.body, message.key, message.headers[0]) for message in came] == [(b"order", b"c-1", ("x-tenant", b"shop"))] * 2


@pytest.mark.kafka
def test_an_original_of_a_transaction_that_was_aborted_is_gone(cli: CommandLine, topics: Topics) -> None:
    home, dlq, producer = rejected_too_early(topics, copied=False)
    producer.abort_transaction(60)
    topics.wait_closed(home)
    assert "1 of them only points at an original that is no longer stored" in cli("dlq", "inspect", f"kafka://{topics.address}/{dlq.name}").stderr
