"""What a broker says of itself: its version, alarms, nodes, queues that do not work, and whether it can be asked at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import monotonic, sleep
from typing import Any

from brokercli.backends.dead_letters import some_of
from brokercli.backends.rabbitmq.connect import login_of, user_of
from brokercli.backends.rabbitmq.management import Away, Facts, Management
from brokercli.model.amount import amount
from brokercli.model.checkup import Check, Health
from brokercli.model.connection import Connection

SHOWN = 5
_IN_THE_MAKING_SECONDS, _LOOK_AGAIN = 3.0, 0.3
# of a node: what the management API calls it, and what it means for who publishes
_ALARMS = {"mem_alarm": "memory", "disk_free_alarm": "disk space"}


def check_up(connection: Connection, properties: Mapping[str, Any], management: Management) -> Iterator[Check]:
    """Yield the checks; what only the management API knows ends with the first question that it does not answer."""
    yield Check("broker", Health.OK, f"{properties.get('product', 'RabbitMQ')} {properties.get('version', '')}, cluster {properties.get('cluster_name', '?')}, "
                f"virtual host {connection.virtual_host}")
    if connection.tls is None and login_of(connection) is not None:
        yield Check("login", Health.WARNING, f"the login as {user_of(connection)} travels without TLS", "amqps:// where the broker has it")
    try:
        tags = management.tags()
        yield Check("management API", Health.OK, f"answers, and this login is {', '.join(sorted(tags)) or 'nobody'} there")
        yield _queues(management)
    except Away as problem:
        yield Check("management API", Health.WARNING, f"{problem}; without it nothing can be listed, and less is known of queues", problem.hint)
        return
    if not tags & {"monitoring", "administrator"}:
        yield Check("nodes", Health.WARNING, "alarms and nodes are not known: this login may not see them",
                    "the tag monitoring lets it: rabbitmqctl set_user_tags USER monitoring")
        return
    try:
        yield from _nodes(management.nodes())
    except Away as problem:
        yield Check("nodes", Health.WARNING, str(problem), problem.hint)


def _queues(management: Management) -> Check:
    count, broken = _broken(management)
    deadline = monotonic() + _IN_THE_MAKING_SECONDS
    while broken and monotonic() < deadline:
        sleep(_LOOK_AGAIN)
        # what is being made or deleted counts as down meanwhile (a stream on 4.3.6): only what stays so does not work
        _, now = _broken(management)
        broken = {name: state for name, state in now.items() if name in broken}
    if broken:
        named = [f"{name} ({state})" for name, state in broken.items()]
        return Check("queues", Health.FAILED, f"{amount(len(broken), f'of {count} does', f'of {count} do')} not work: {some_of(named, SHOWN)}",
                     "the nodes that keep them are away, or too few of them are there")
    return Check("queues", Health.OK, f"{count}, all running")


def _broken(management: Management) -> tuple[int, dict[str, str]]:
    """Return how many queues there are, and the states of those that do not work."""
    count, broken = 0, {}
    for facts in management.queues():
        count += 1
        if facts.get("state") not in (None, "running", "idle", "flow"):
            broken[str(facts["name"])] = str(facts["state"])
    return count, broken


def _nodes(nodes: list[Facts]) -> Iterator[Check]:
    for node in sorted(nodes, key=lambda node: str(node.get("name"))):
        what = f"node {node.get('name')}"
        if not node.get("running", True):
            yield Check(what, Health.FAILED, "is not running")
            continue
        alarms = [words for name, words in _ALARMS.items() if node.get(name)]
        apart = [str(other) for other in node.get("partitions") or ()]
        if apart:
            yield Check(what, Health.FAILED, f"has lost {', '.join(apart)}: a network partition", "restart the nodes of the side that may lose what it took")
        elif alarms:
            yield Check(what, Health.FAILED, f"is short of {' and '.join(alarms)}: whoever publishes has to wait",
                        "free some, or raise its limit: vm_memory_high_watermark, disk_free_limit")
        else:
            yield Check(what, Health.OK, "running, no alarm")
