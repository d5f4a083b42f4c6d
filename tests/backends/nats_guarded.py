"""A NATS with logins: one that may everything, one that may only ask about a stream or consumer it knows by name, one that
may list streams and see no consumer, one that may ask for their names, one that may do everything with JetStream and publish
to nothing but what begins with `open`, one that may do everything but ask which stream listens on a subject, or how UNTOLD is made, one
that may do everything but ask about consumers, one that may do everything but ask for a message."""

from __future__ import annotations

from pathlib import Path

from brokercli.model.connection import Connection, Secret
from tests.backends.nats_streams import Streams
from tests.brokers.nats import Nats
from tests.brokers.server import HOST

_PASSWORD = "nats-s3cret"
_USERS = f"""{{users: [
  {{user: "all", password: "{_PASSWORD}"}}
  {{user: "looks", password: "{_PASSWORD}", permissions: {{
      publish: ["$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>"], subscribe: ["_INBOX.>"]}}}}
  {{user: "lists", password: "{_PASSWORD}", permissions: {{
      publish: ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.LIST"], subscribe: ["_INBOX.>"]}}}}
  {{user: "names", password: "{_PASSWORD}", permissions: {{
      publish: ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES"], subscribe: ["_INBOX.>"]}}}}
  {{user: "reads", password: "{_PASSWORD}", permissions: {{publish: ["$JS.API.>", "open.>"], subscribe: ["_INBOX.>"]}}}}
  {{user: "puts", password: "{_PASSWORD}", permissions: {{publish: {{deny: ["$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.UNTOLD"]}}}}}}
  {{user: "counts", password: "{_PASSWORD}", permissions: {{publish: {{deny: ["$JS.API.CONSUMER.LIST.>", "$JS.API.CONSUMER.NAMES.>"]}}}}}}
  {{user: "blind", password: "{_PASSWORD}", permissions: {{publish: {{deny: ["$JS.API.STREAM.MSG.GET.>"]}}}}}}
]}}"""


class GuardedNats(Nats):
    """Wants a login."""

    def __init__(self, directory: Path, **options: object) -> None:
        super().__init__(directory, settings={"authorization": _USERS}, **options)  # type: ignore[arg-type]

    def login(self, user: str) -> Connection:
        """Return the connection of a user: `all`, `looks`, `lists`, `names`, `reads`, `puts`, `counts` or `blind`."""
        return Connection("nats", ((HOST, self.port),), user=user, password=Secret(_PASSWORD), connect_timeout=20.0)

    def streams(self) -> Streams:
        """Make streams on it as the user who may."""
        return Streams(self.address, {"user": "all", "pass": _PASSWORD})
