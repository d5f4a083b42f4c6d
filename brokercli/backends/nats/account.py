"""What an account lets its streams have: JetStream says it of the account, or of each number of replicas (tiers) where it goes by those."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from brokercli.backends.nats.configuration import value_of
from brokercli.backends.nats.streams import Json
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, Difference


def tiers_of(account: Json) -> dict[str, Json]:
    """Return usage and limits by tier, `` where there are none; `account` is what the API says of it."""
    return dict(account.get("tiers") or {"": account})


@dataclass(slots=True)
class Room:
    """How much more an account takes; each stream that is to be made, or to grow, takes of it."""

    account: Json
    _streams: Counter[str] = field(default_factory=Counter)
    _reserved: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def consumers(self, stream: Json) -> int:
        """Return how many consumers the account allows of a stream with such a configuration; -1 is without end."""
        _, tier = self._tier(stream)
        return int((tier.get("limits") or {}).get("max_consumers") or -1)

    def unacknowledged(self, stream: Json) -> int:
        """Return how many messages the account lets a consumer of such a stream have without an acknowledgement; -1 is without end."""
        _, tier = self._tier(stream)
        return int((tier.get("limits") or {}).get("max_ack_pending") or -1)

    def take(self, declaration: Declaration, there: Json) -> Iterable[Difference]:
        """Return what keeps a stream from being made, or changed where `there` is its configuration; where nothing does, what it takes is counted
        (nats-server 2.15, checkLimits)."""
        config = there | dict(declaration.settings)
        name, tier = self._tier(config)
        limits = tier.get("limits") or {}
        most = int(limits.get("max_streams") or -1)
        if not there and 0 < most <= int(tier.get("streams") or 0) + self._streams[name]:
            yield Difference("max_streams", most, most + 1, f"the account allows {amount(most, 'stream')}{f' of tier {name}' if name else ''}")
            return
        consumers = int(str(value_of("stream", "max_consumers", config)))
        if 0 < (most := int(limits.get("max_consumers") or -1)) < consumers:
            yield Difference("max_consumers", there.get("max_consumers"), consumers, f"the account allows {amount(most, 'consumer')} of a stream")
            return
        memory = value_of("stream", "storage", config) == "memory"
        size, before = (max(0, int(str(value_of("stream", "max_bytes", one)))) for one in (config, there))
        why = ""
        if limits.get("max_bytes_required") and not size:
            why = "the account takes no stream without a max_bytes"
        elif 0 < (largest := int(limits.get("memory_max_stream_bytes" if memory else "storage_max_stream_bytes") or 0)) < size:
            why = f"the account takes no stream of more than {amount(largest, 'byte')} {'in memory' if memory else 'in files'}"
        aside = size * _copies(config, name)
        freed = before * _copies(there, name) if there and self._tier(there)[0] == name else 0
        allowed = int(limits.get("max_memory" if memory else "max_storage", -1))
        taken = int(tier.get("reserved_memory" if memory else "reserved_storage") or 0) + self._reserved[name, str(memory)] - freed
        wanted = aside if there else max(1, aside)  # a new one without a size wants a byte
        if not why and 0 <= allowed < taken + wanted and wanted > freed:
            why = (f"the account has {amount(max(0, allowed - taken), 'byte')} left {'in memory' if memory else 'in files'}"
                   f"{', with what this stream has' if freed else ''}, of {allowed:,}: max_bytes is set aside {'of each replica ' if aside > size else ''}"
                   f"when a stream is made{' or changed' if there else ''}")
        if why:
            setting = "max_bytes" if size != before or not there else "num_replicas"
            yield Difference(setting, (there.get(setting) or None) if there else None, config.get(setting) or None, why)
            return
        self._streams[name] += not there
        self._reserved[name, str(memory)] += aside - freed

    def _tier(self, stream: Json) -> tuple[str, Json]:
        tiers = tiers_of(self.account)
        name = "" if "" in tiers else f"R{int(stream.get('num_replicas') or 1)}"
        return name, tiers.get(name, {})


def _copies(stream: Json, tier: str) -> int:
    """Return how often what a stream sets aside counts; limits of a tier are about one copy."""
    return 1 if tier else int(stream.get("num_replicas") or 1)
