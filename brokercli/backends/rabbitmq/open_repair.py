"""Opening a run over the letters of a queue: what would lose some is refused, and reading and publishing get a connection each."""

from __future__ import annotations

from collections.abc import Callable

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq.existing import Existing
from brokercli.backends.rabbitmq.letters import count_ready
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.moving import Mover
from brokercli.backends.rabbitmq.perishing import Fate
from brokercli.backends.rabbitmq.repair import RabbitMQRepair
from brokercli.backends.rabbitmq.survivable import Conditions, Taking, require_survivable
from brokercli.backends.rabbitmq.topology import Routes
from brokercli.backends.rabbitmq.unrouted import handed_on
from brokercli.model.errors import Failed


def open_repair(conditions: Conditions, policy: RepairPolicy, lend: Callable[[], tuple[Link, Callable[[], None]]], existing: Existing,
                fate_of: Callable[[str], Fate | None], routes: Routes, user: str | None, taking: Taking) -> RabbitMQRepair:
    """Open a run; `taking` is told before letters are taken, `fate_of` says what a home does with what it takes, and `routes` know where exchanges
    lead. Raises Unsupported where letters could be lost if it were killed."""
    require_survivable(conditions, "Taking letters")
    if conditions.single_active and conditions.queue.consumers:
        raise Failed(f"{conditions.name} hands its messages to a single active consumer, and it has one.", hint="stop that consumer first")
    link, give_back = lend()
    try:
        # a broker that is short of memory or disk stops reading from a connection that publishes: acknowledgements go their own way
        publishing, give_back_publishing = lend()
    except BaseException:
        give_back()
        raise
    mover = Mover(publishing, existing, user, policy.delivery_timeout, give_back_publishing, fate_of,
                  lambda destination: handed_on([destination], routes), count_ready(conditions))
    try:
        return RabbitMQRepair(link, mover, conditions, policy, give_back, taking)
    except BaseException:
        mover.close()
        give_back()
        raise
