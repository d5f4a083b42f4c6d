"""One example of each kind of thing that each broker can declare: what it is made with, what can change, what never can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from brokercli.model.declaration import Declaration, SettingValue, binding

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Declarable:
    """One kind of thing on one broker."""

    made: Callable[[str], Declaration]
    """From a name nobody else uses."""
    change: Mapping[str, SettingValue] = field(default_factory=dict)
    """A setting that can be changed, to another value than it is made with; empty where nothing can."""
    fixed: Mapping[str, SettingValue] = field(default_factory=dict)
    """A setting that cannot, to another value; empty where everything can."""
    before: Callable[[str], tuple[Declaration, ...]] = lambda name: ()
    """What has to be there first."""


def with_settings(declaration: Declaration, settings: Mapping[str, SettingValue]) -> Declaration:
    """Return it declared otherwise."""
    return replace(declaration, settings={**declaration.settings, **settings})


def _of(kind: str, **settings: SettingValue) -> Callable[[str], Declaration]:
    named: dict[str, SettingValue] = dict(settings)
    return lambda name: Declaration(kind, name, named)


def _stream(name: str) -> Declaration:
    return Declaration("stream", name, {"subjects": [f"{name}.>"], "max_age": DAY * 10**9, "storage": "file"})


def _bound(name: str) -> tuple[Declaration, ...]:
    return Declaration("exchange", name, {"type": "topic"}), Declaration("queue", name, {"type": "quorum"})


DECLARABLES: Mapping[tuple[str, str], Declarable] = {
    ("memory", "topic"): Declarable(_of("topic", keep=10, order="sent"), {"keep": 20}, {"order": "time"}),
    ("memory", "queue"): Declarable(_of("queue", keep=10), {"keep": 20}, {"exclusive": True}),
    ("kafka", "topic"): Declarable(lambda name: Declaration("topic", name, {"partitions": 2, "retention.ms": DAY * 1000}),
                                   {"retention.ms": 2 * DAY * 1000}, {"replication.factor": 3}),
    ("nats", "stream"): Declarable(_stream, {"max_age": 2 * DAY * 10**9}, {"storage": "memory"}),
    ("nats", "consumer"): Declarable(lambda name: Declaration("consumer", f"{name}/worker", {"max_deliver": 4, "ack_wait": 5 * 10**9}),
                                     {"max_deliver": 6}, {"ack_policy": "none"}, lambda name: (_stream(name),)),
    ("rabbitmq", "exchange"): Declarable(_of("exchange", type="topic"), {"alternate-exchange": "amq.fanout"}, {"type": "fanout"}),
    ("rabbitmq", "queue"): Declarable(lambda name: Declaration("queue", name, {"type": "quorum", "max-length": 100}), {"max-length": 200}, {"type": "classic"}),
    ("rabbitmq", "stream"): Declarable(lambda name: Declaration("stream", name, {"max-age": DAY}), {"max-age": 2 * DAY}, {"initial-cluster-size": 3}),
    ("rabbitmq", "binding"): Declarable(lambda name: binding(name, f"queue:{name}", "created"), before=_bound),
}
