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
    """How much more an account takes; each stream that is to be made takes of it."""

    account: Json
    _streams: Counter[str] = field(default_factory=Counter)
    _reserved: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def consumers(self, stream: Json) -> int:
        """Return how many consumers the account allows of a stream with such a configuration; -1 is without end."""
        _, tier = self._tier(stream)
        return int((tier.get("limits") or {}).get("max_consumers") or -1)

    def take(self, declaration: Declaration) -> Iterable[Difference]:
        """Return what keeps a stream that is not there from being made; one that can be made is counted (nats-server 2.15, checkLimits)."""
        name, tier = self._tier(dict(declaration.settings))
        limits = tier.get("limits") or {}
        most = int(limits.get("max_streams") or -1)
        if 0 < most <= int(tier.get("streams") or 0) + self._streams[name]:
            yield Difference("max_streams", most, most + 1, f"the account allows {amount(most, 'stream')}{f' of tier {name}' if name else ''}")
            return
        memory = value_of("stream", "storage", declaration.settings) == "memory"
        size = max(0, int(str(value_of("stream", "max_bytes", declaration.settings))))
        why = ""
        if limits.get("max_bytes_required") and not size:
            why = "the account takes no stream without a max_bytes"
        elif 0 < (largest := int(limits.get("memory_max_stream_bytes" if memory else "storage_max_stream_bytes") or 0)) < size:
            why = f"the account takes no stream of more than {amount(largest, 'byte')} {'in memory' if memory else 'in files'}"
        copies = 1 if name else int(str(declaration.settings.get("num_replicas") or 1))
        allowed = int(limits.get("max_memory" if memory else "max_storage", -1))
        taken = int(tier.get("reserved_memory" if memory else "reserved_storage") or 0) + self._reserved[name, str(memory)]
        if not why and 0 <= allowed < taken + max(1, size) * copies:  # one without a size wants a byte
            why = (f"the account has {amount(max(0, allowed - taken), 'byte')} left {'in memory' if memory else 'in files'}, of {allowed:,}: max_bytes is "
                   "set aside when a stream is made")
        if why:
            yield Difference("max_bytes", None, size or None, why)
            return
        self._streams[name] += 1
        self._reserved[name, str(memory)] += size * copies

    def _tier(self, stream: Json) -> tuple[str, Json]:
        tiers = tiers_of(self.account)
        name = "" if "" in tiers else f"R{int(stream.get('num_replicas') or 1)}"
        return name, tiers.get(name, {})
