"""What a server says of itself: its cluster, JetStream and its limits, streams without their servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from brokercli.backends.dead_letters import some_of
from brokercli.backends.nats import descriptor
from brokercli.backends.nats.account import Room, tiers_of
from brokercli.backends.nats.listing import SILENT
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.backends.reaching import obstacles
from brokercli.model.amount import amount
from brokercli.model.checkup import Check, Health
from brokercli.model.connection import spell_place
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable

SHOWN = 5
# JetStream refuses what does not fit any more; before that somebody should have heard of it
NEARLY_FULL = 0.9


def check_up(jetstream: JetStream) -> Iterator[Check]:
    """Yield the checks. The servers that this one names are tried: a client that loses its connection goes to those."""
    link = jetstream.link
    server = link.server
    began = time.monotonic()
    link.run(link.barrier())
    yield Check("server", Health.OK, f"{server.get('server_name') or server.get('server_id')}, NATS {server.get('version')}, answers in "
                f"{(time.monotonic() - began) * 1000:.1f} ms")
    if link.connection.tls is None and (link.connection.password or link.connection.token):
        yield Check("login", Health.WARNING, f"the login for {link.connection} travels without TLS", "tls:// where the server has it")
    yield from _cluster(server, link.connection.connect_timeout)
    try:
        account = link.run(jetstream.ask("INFO", what="this account"))
    except BrokercliError as error:
        yield Check("JetStream", Health.FAILED if isinstance(error, Unreachable) else Health.WARNING, str(error).rstrip("."), error.hint)
        return
    yield _account(account)
    yield _streams(jetstream, Room(account))


def _cluster(server: Json, seconds: float) -> Iterator[Check]:
    others = [(place.hostname, place.port or descriptor.default_port) for url in server.get("connect_urls") or [] if (place := urlsplit(f"//{url}")).hostname]
    if not others:
        return
    missing = obstacles(others, seconds)
    for (host, port), reason in missing.items():
        yield Check("cluster", Health.WARNING, f"the cluster tells clients that they may come to {spell_place(host, port)}, and from here that fails: {reason}",
                    "a lost connection could not move there; client_advertise of that server says what clients are told")
    if not missing:
        yield Check("cluster", Health.OK, f"{server.get('cluster') or 'cluster'}: {', '.join(spell_place(*place) for place in others)}")


def _account(account: Json) -> Check:
    full = []
    for tier, usage in tiers_of(account).items():
        # how many consumers an account allows, it allows of each stream
        for name, reserved in (("streams", ""), ("storage", "reserved_storage"), ("memory", "reserved_memory")):
            most = int((usage.get("limits") or {}).get(f"max_{name}", -1))
            taken = max(int(usage.get(name) or 0), int(usage.get(reserved) or 0))
            if most > 0 and taken >= NEARLY_FULL * most:
                full.append(f"{name} {taken:,} of {most:,}{f' ({tier})' if tier else ''}")
    if full:
        return Check("JetStream", Health.WARNING, f"the account has used up nearly all it may: {'; '.join(full)}", "what does not fit is refused")
    used = {name: int(account.get(name, 0)) for name in ("streams", "consumers", "storage", "memory")}
    return Check("JetStream", Health.OK, f"{amount(used['streams'], 'stream')}, {amount(used['consumers'], 'consumer')}, "
                 f"{amount(used['storage'], 'byte')} in files, {used['memory']:,} in memory")


def _streams(jetstream: JetStream, room: Room) -> Check:
    silent: list[str] = []
    try:
        infos = jetstream.link.run(jetstream.all(silent))
    except NotAuthorised as error:
        return Check("streams", Health.WARNING, f"which there are is not known: {str(error).rstrip('.')}", error.hint)
    behind = [str(info["config"]["name"]) for info in infos if any(map(_behind, (info.get("cluster") or {}).get("replicas") or ()))]
    if silent:
        return Check("streams", Health.FAILED, f"{some_of(silent, SHOWN)} {SILENT}", "start those servers, or restore the streams from a backup")
    if behind:
        return Check("streams", Health.WARNING, f"not every replica is there and up to date: {some_of(behind, SHOWN)}", "a server is away, or catching up")
    full = [str(info["config"]["name"]) for info in infos if 0 < room.consumers(info["config"]) <= int(info["state"].get("consumer_count") or 0)]
    if full:
        return Check("streams", Health.WARNING, f"as many consumers as the account allows of one: {some_of(full, SHOWN)}", "one more is refused")
    return Check("streams", Health.OK, f"{len(infos)}, all answer")


def _behind(replica: Json) -> bool:
    return bool(replica.get("offline")) or not replica.get("current")
