"""What one consumer says of itself, read once: who works on it, how far it is, what holds it up."""

from __future__ import annotations

from dataclasses import dataclass

from brokercli.backends.nats.configuration import filters_of, value_of
from brokercli.backends.nats.failures import CONSUMER_NOT_FOUND, STREAM_NOT_FOUND
from brokercli.backends.nats.obstacles import check_consumer_name
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.backends.nats.subjects import check_stream_name
from brokercli.model.amount import amount
from brokercli.model.errors import NotFound, UsageProblem

DURABLE, EPHEMERAL = "durable consumer", "ephemeral consumer"
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """One answer of CONSUMER.INFO or an entry of CONSUMER.LIST."""

    info: Json

    @property
    def config(self) -> Json:
        """Return its raw configuration."""
        config: Json = self.info["config"]
        return config

    @property
    def stream(self) -> str:
        """Return the stream it belongs to."""
        return str(self.info["stream_name"])

    @property
    def name(self) -> str:
        """Return what brokercli calls it."""
        return f"{self.stream}/{self.info['name']}"

    @property
    def kind(self) -> str:
        """Return whether it stays when nobody uses it."""
        return DURABLE if self.config.get("durable_name") else EPHEMERAL

    @property
    def pushes(self) -> bool:
        """Whether it publishes what it delivers, instead of being asked for it."""
        return bool(self.config.get("deliver_subject"))

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the subjects it gets; empty: all."""
        return filters_of(self.config)

    @property
    def members(self) -> int:
        """Return how many requests for messages wait, or whether somebody gets what it pushes."""
        return int(bool(self.info.get("push_bound"))) if self.pushes else int(self.info.get("num_waiting", 0))

    @property
    def member_words(self) -> str:
        """Say who works on it, as far as the server tells; empty: nobody."""
        if not self.members:
            return ""
        return "somebody gets what it pushes" if self.pushes else f"{amount(self.members, 'waiting request')}"

    @property
    def pinned(self) -> str | None:
        """Say for each group who alone gets its messages: a client is known by the id that the server gives it and by nothing else (ADR-42). None
        where nobody is pinned by policy, or the server does not tell."""
        if value_of("consumer", "priority_policy", self.config) != "pinned_client":
            return None
        return "; ".join(f"{group['group']}: " + (f"whoever has the Nats-Pin-Id {group['pinned_client_id']}, since {group.get('pinned_ts')}"
                                                  if group.get("pinned_client_id") else "nobody") for group in self.info.get("priority_groups") or ()) or None

    @property
    def in_hand(self) -> int:
        """Return how many messages are delivered and wait for their acknowledgement."""
        return int(self.info.get("num_ack_pending", 0))

    @property
    def lag(self) -> int:
        """Return how many messages it has not finished."""
        return int(self.info.get("num_pending", 0)) + self.in_hand

    @property
    def delivered(self) -> int:
        """Return the highest sequence it has delivered."""
        return int((self.info.get("delivered") or {}).get("stream_seq", 0))

    @property
    def floor(self) -> int:
        """Return the sequence up to which everything is acknowledged."""
        return int((self.info.get("ack_floor") or {}).get("stream_seq", 0))

    @property
    def position(self) -> int:
        """Return the next sequence it would read if everybody who works on it stopped: what waits for an acknowledgement is
        read again, what was given up is not."""
        return (self.floor if self.in_hand else self.delivered) + 1

    @property
    def paused_until(self) -> str | None:
        """Return until when nothing is delivered, None where it is not paused."""
        until = self.config.get("pause_until") or self.info.get("pause_until")
        return str(until) if self.info.get("paused") and until and until != _NEVER else None

    @property
    def words(self) -> str:
        """Return its state in a word."""
        if self.info.get("paused"):
            return "paused"
        return "active" if self.members or self.in_hand else "idle"

    @property
    def holdups(self) -> list[str]:
        """Say what keeps it from delivering."""
        found = []
        if self.info.get("paused"):
            found.append(f"paused until {self.paused_until or 'a time it does not say'}")
        most = value_of("consumer", "max_ack_pending", self.config)
        if isinstance(most, int) and 0 < most <= self.in_hand:
            found.append(f"{amount(self.in_hand, 'message is', 'messages are')} not acknowledged, as many as max_ack_pending allows: "
                         "nothing more is delivered until some are")
        if self.pushes and not self.members:
            found.append(f"nobody listens on {self.config['deliver_subject']}")
        return found


def split_name(name: str) -> tuple[str, str]:
    """Return stream and consumer. Raises NotFound for what no consumer is called."""
    stream, _, consumer = name.partition("/")
    try:
        check_stream_name(stream)
        check_consumer_name(consumer)
    except UsageProblem:
        raise NotFound(f"There is no consumer {name[:200]}: they are named STREAM/NAME.", hint="brokercli consumers ls shows them") from None
    return stream, consumer


async def ask_state(jetstream: JetStream, name: str) -> ConsumerState:
    """Return the state of a consumer. Raises NotFound."""
    stream, consumer = split_name(name)
    info = await jetstream.consumer_or_none(stream, consumer)
    if info is None:
        raise missing(name)
    return ConsumerState(info)


def missing(name: str) -> NotFound:
    """Return the failure of a consumer that is not there."""
    return NotFound(f"There is no consumer {name}.", hint="brokercli consumers ls shows them; names are case-sensitive")


def is_missing(error: Json) -> bool:
    """Whether an error of the API says that the consumer or its stream is not there."""
    return error.get("err_code") in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND)
