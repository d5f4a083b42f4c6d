"""RabbitMQ's management API, for looking and for policies: AMQP itself says neither what a queue is nor what it is bound to.

Plain HTTP without redirects and without the proxies of the environment: the login goes to the address that was said, or to
the usual ports of the broker's own host, and nowhere else. What answers is believed only when it names the same cluster.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from brokercli.backends.handshake import not_trusted
from brokercli.backends.rabbitmq.api_address import guessed, leads_elsewhere
from brokercli.backends.rabbitmq.connect import login_of
from brokercli.backends.rabbitmq.failures import reason
from brokercli.backends.tls import tls_context
from brokercli.model.connection import TLS, Connection
from brokercli.model.errors import Failed, NotAuthorised, Unreachable

_PAGE = 500
_NO_STATISTICS = "disable_stats=true"
_COUNTED = f"{_NO_STATISTICS}&enable_queue_totals=true"
_DOWN = "down"
_LARGEST_ANSWER = 64 * 1024 * 1024
_ANSWERS_LAST = 10
"""An answer comes within so many times the seconds that are waited for a piece of it: a long list is longer on its way than the first byte."""
_BROKE_OFF = 500
_AGAIN_AFTER = (0.05, 0.1, 0.2)
_TURN_ON = "rabbitmq-plugins enable rabbitmq_management turns it on; management in the context says where it is"
_SAY_IT = "management in the context says where it is; rabbitmqctl set_cluster_name gives all nodes one name to be known by"
_TAG = "the tag management lets a user in: rabbitmqctl set_user_tags USER management"
MAY_WRITE_POLICIES = "the tag policymaker lets a user write policies"

Facts = dict[str, Any]


class Away(Exception):
    """The management API does not help; the text says why, `hint` what would change that."""

    def __init__(self, why: str, hint: str = _TURN_ON) -> None:
        super().__init__(why)
        self.hint = hint


def is_down(facts: Facts | None) -> bool:
    """Whether whoever answers for a queue is away, as the management API says: then AMQP counts nothing in a quorum queue and in a stream,
    at once and whatever is there, and does not answer for a classic queue (seen on 4.3.6, three nodes)."""
    return facts is not None and facts.get("state") == _DOWN


class Management:
    """Asks for what the login may see in its virtual host. Connects when first asked, and once away stays away.

    Every question raises Away. For `seconds` an answer may be silent; it comes within ten times that, or it is none; where it is in a
    hurry it comes within `seconds`.
    """

    def __init__(self, connection: Connection, cluster: str | None, seconds: float, host: tuple[str, int | None] | None = None) -> None:
        """`host` is the one that the AMQP connection leads to, where an address that the context does not say is guessed. `cluster` is
        the name that connection was told; by it an address is known for the same broker's."""
        self._connection = connection
        self._host = host or connection.hosts[0]
        self._cluster = cluster
        self._seconds = seconds
        self._answers_last = _ANSWERS_LAST * seconds
        self._vhost = quote(connection.virtual_host, safe="")
        self._base: list[str] = []
        """The address, once it is known to be this broker's; those that were made of one another find it once."""
        self._http: Any = None
        self._connected_to = ""
        self._away: Away | None = None

    @property
    def preferred(self) -> bool:
        """Whether its address is known: said by the context, or found before."""
        return self._away is None and (self._connection.management is not None or bool(self._base))

    def hurried(self, known: float, guessed: float) -> Management:
        """Return another one that has so many seconds for a whole answer, fewer where the address has to be guessed, and no longer than this
        one waits for a piece of one; that it is away is not held against this one."""
        other = Management(self._connection, self._cluster, min(self._seconds, known if self.preferred else guessed), self._host)
        other._base, other._away, other._answers_last = self._base, self._away, other._seconds
        return other

    def queue(self, name: str) -> Facts | None:
        """Return everything known of a queue; None where there is none."""
        return _facts(self._ask(f"queues/{self._vhost}/{quote(name, safe='')}"))

    def exchange(self, name: str) -> Facts | None:
        """Return everything known of an exchange; None where there is none."""
        return _facts(self._ask(f"exchanges/{self._vhost}/{quote(name, safe='')}"))

    def queue_that_takes(self, name: str) -> Facts | None:
        """Return what tells what becomes of a message in a queue, up to five seconds old; None where there is none."""
        columns = "type,arguments,effective_policy_definition,messages_ready,message_bytes_ready,consumers,exclusive"
        return _facts(self._ask(f"queues/{self._vhost}/{quote(name, safe='')}?columns={columns}"))

    def bindings_to_queue(self, name: str) -> list[Facts]:
        """Return the bindings that lead to a queue, that of the default exchange among them."""
        return self._list(f"queues/{self._vhost}/{quote(name, safe='')}/bindings")

    def bindings_to_exchange(self, name: str) -> list[Facts]:
        """Return the bindings that lead to an exchange from others."""
        return self._list(f"exchanges/{self._vhost}/{quote(name, safe='')}/bindings/destination")

    def bindings_from(self, exchange: str) -> list[Facts]:
        """Return the bindings that lead away from an exchange."""
        return self._list(f"exchanges/{self._vhost}/{quote(exchange, safe='')}/bindings/source")

    def queues(self) -> Iterator[Facts]:
        """Yield all queues and streams by name."""
        return self._pages("queues", "name,type,messages,message_bytes,consumers,exclusive,auto_delete,durable,internal,state")

    def consumed(self) -> Iterator[Facts]:
        """Yield what consumers have before them and in hand, of all queues and streams by name, up to five seconds old."""
        return self._pages("queues", "name,type,messages,messages_dlx,messages_unacknowledged,consumers,exclusive,internal,state,policy")

    def exchanges(self) -> Iterator[Facts]:
        """Yield all exchanges by name."""
        return self._pages("exchanges", "name,type,durable,auto_delete,internal,arguments,policy")

    def queue_now(self, name: str) -> Facts | None:
        """Return what holds for a queue at this moment, without its statistics: those are up to five seconds old, and so is what
        they say about policies (seen on 4.3.6). Policies are left out here for classic queues, and before 4.2.5 for all."""
        return _facts(self._ask(f"queues/{self._vhost}/{quote(name, safe='')}?{_COUNTED}"))

    def queues_now(self) -> Iterator[Facts]:
        """Yield the same of all queues and streams, by name, without their counts."""
        return self._paged("queues", f"{_NO_STATISTICS}&sort=name")

    def queues_counted(self) -> Iterator[Facts]:
        """Yield the same with their counts, streams without. RabbitMQ leaves out whatever lies on a node that is down (seen on 4.3.6)."""
        return self._paged("queues", f"{_COUNTED}&sort=name")

    def queues_in_use(self) -> Iterator[Facts]:
        """Yield type, arguments, policy, consumers and the oldest time of all queues, up to five seconds old."""
        return self._pages("queues", "name,type,arguments,policy,consumers,messages,messages_dlx,messages_delayed,head_message_timestamp,exclusive,state")

    def policy(self, name: str) -> Facts | None:
        """Return a policy of the virtual host; None where there is none of that name."""
        return _facts(self._ask(f"policies/{self._vhost}/{quote(name, safe='')}"))

    def policies(self) -> list[Facts]:
        """Return the policies of the virtual host."""
        return self._list(f"policies/{self._vhost}")

    def operator_policies(self) -> list[Facts]:
        """Return those of the operator, which come before all others."""
        return self._list(f"operator-policies/{self._vhost}")

    def bindings(self) -> list[Facts]:
        """Return all bindings, those of the default exchange among them."""
        return self._list(f"bindings/{self._vhost}")

    def tags(self) -> set[str]:
        """Return the tags of this login."""
        said = (_facts(self._ask("whoami")) or {}).get("tags") or ()
        return set(said.replace(" ", "").split(",") if isinstance(said, str) else said)

    def nodes(self) -> list[Facts]:
        """Return the nodes of the cluster with their alarms; only for logins with the tag monitoring."""
        return self._list("nodes")

    def default_queue_type(self) -> str:
        """Return what a queue is made of here when nobody says it."""
        # the question for one virtual host alone is the administrator's
        found = [facts for facts in self._list("vhosts") if facts.get("name") == self._connection.virtual_host]
        said = found[0].get("default_queue_type") if found else None
        return said if isinstance(said, str) and said not in ("", "undefined") else "classic"

    def put_policy(self, name: str, pattern: str, apply_to: str, priority: int, definition: Facts) -> None:
        """Make or replace a policy of the virtual host; it holds at once. Raises NotAuthorised and Failed, with the broker's
        reason, where that is refused."""
        self._tell("PUT", f"policies/{self._vhost}/{quote(name, safe='')}", f"writing the policy {name}",
                   {"pattern": pattern, "apply-to": apply_to, "priority": priority, "definition": definition})

    def delete_policy(self, name: str) -> None:
        """Take a policy away; one that is gone already is none to complain about. Raises as `put_policy`."""
        self._tell("DELETE", f"policies/{self._vhost}/{quote(name, safe='')}", f"deleting the policy {name}")

    def delete_binding(self, found: Facts) -> None:
        """Take away a binding that was found here, whatever its arguments are; one that is gone is none to complain about. Raises as `put_policy`."""
        kind = "q" if found["destination_type"] == "queue" else "e"
        place = "/".join(quote(part, safe="") for part in (found["source"], kind, found["destination"], found["properties_key"]))
        self._tell("DELETE", f"bindings/{self._vhost}/e/{place}", f"unbinding {found['destination']}", may="read on the exchange, and write on the other end")

    def close(self) -> None:
        """Hang up."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _pages(self, what: str, columns: str) -> Iterator[Facts]:
        return self._paged(what, urlencode({"columns": columns, "sort": "name"}, safe=","))

    def _paged(self, what: str, query: str) -> Iterator[Facts]:
        """Yield by name. Every page begins with a name of the one before: what is deleted meanwhile moves all that follow forward,
        and between pages that only touch, names that are there all the time would slip through."""
        start, last = 0, ""
        while True:
            # the page of any size up to the largest that reaches furthest beyond the start
            size = max(range(1, _PAGE + 1), key=lambda size: size - start % size)
            page = start // size + 1
            answer = self._ask(f"{what}/{self._vhost}?page={page}&page_size={size}&{query}")
            past_the_end = answer is None and page > 1
            if not past_the_end and not isinstance(answer, dict):
                raise _strange()
            items = [] if past_the_end else _all_facts(answer.get("items"))
            pages = 1 if past_the_end else answer.get("page_count", 1)
            if not isinstance(pages, int) or not all(isinstance(facts.get("name"), str) for facts in items):
                raise _strange()
            if page > 1 and (not items or items[0]["name"] > last):
                start = max(start - _PAGE, 0)
                continue
            yield from (facts for facts in items if facts["name"] > last or not last)
            last = max(last, items[-1]["name"] if items else "")
            if page >= pages:
                return
            start = page * size - 1

    def _list(self, path: str) -> list[Facts]:
        answer = self._ask(path)
        return [] if answer is None else _all_facts(answer)

    def _ask(self, path: str) -> Any:
        if leads_elsewhere(path):
            raise Away("by the name . or .. it cannot be asked about anything", hint="another name can be asked about")
        try:
            status, text = self._exchange("GET", path)
            for seconds in _AGAIN_AFTER:
                if status != _BROKE_OFF:
                    break
                # what 4.3.6 says of a queue that is deleted while it looks for its figures
                sleep(seconds)
                status, text = self._exchange("GET", path)
            return self._judge(self._base[0], status, text)
        except Away as problem:
            self._away = problem
            self.close()
            raise

    def _tell(self, method: str, path: str, doing: str, body: Facts | None = None, may: str = "") -> None:
        """Change something; repeated where a connection that was kept is gone, which makes no difference to what is told."""
        try:
            status, text = self._exchange(method, path, body)
        except Away as problem:
            raise Unreachable(f"{doing[:1].upper()}{doing[1:]} had no answer: {problem}.", hint="whether it was done, the same command says") from None
        if status in (401, 403):
            raise NotAuthorised(f"No permission for {doing}.", hint=may or f"{MAY_WRITE_POLICIES}: rabbitmqctl set_user_tags USER management policymaker")
        if status >= 300 and not (method == "DELETE" and status == 404):
            raise Failed(f"RabbitMQ refused {doing}: {reason(text)} ({status}).")

    def _exchange(self, method: str, path: str, body: Facts | None = None) -> tuple[int, bytes]:
        if self._away is not None:
            raise self._away
        if not self._base:
            try:
                self._base.append(self._find())
            except Away as problem:
                self._away = problem
                self.close()
                raise
        return self._send(self._base[0], method, path, body)

    def _find(self) -> str:
        said = self._connection.management
        if said is not None:
            base = said if "://" in said else f"http://{said}"
            if self._cluster is not None and (other := self._other_cluster(base)) is not None:
                # what is read there may be true of another queue of the same name, whose letters survive what ours do not
                raise Away(f"{base}, where the context says that the management API is, belongs to the cluster {other}, and the connection leads to "
                           f"{self._cluster}: it is another broker's, or that of another node of this one", hint=_SAY_IT)
            return base
        problems: list[Away] = []
        for base in guessed(self._connection, self._host):
            try:
                if self._other_cluster(base) is None:
                    return base
            except Away as problem:
                problems.append(problem)
                continue
            problems.append(Away(f"what answers at {base} belongs to another broker, or to another node of this one", hint=_SAY_IT))
        # that it answers and refuses says more than that nothing answers at another port
        raise next((problem for problem in problems if "nothing answers" not in str(problem)), problems[0])

    def _other_cluster(self, base: str) -> str | None:
        """Return what the API at an address calls its cluster, where that is not the one that the connection leads to; None where it is. Nodes
        that were given no common name call their cluster each by its own: where this login is shown the nodes, one of them is known by that."""
        found = self._judge(base, *self._send(base, "GET", "cluster-name"))
        name = found.get("name") if isinstance(found, dict) else None
        if self._cluster is None or name in (None, self._cluster):
            return None
        status, text = self._send(base, "GET", "nodes")
        nodes = _all_facts(self._judge(base, status, text)) if status == 200 else []
        return None if any(node.get("name") == self._cluster for node in nodes) else str(name)

    def _send(self, base: str, method: str, path: str, body: Facts | None = None) -> tuple[int, bytes]:
        import http.client  # 15 ms, and not every command asks

        from brokercli.backends.rabbitmq.timely_answer import TimelyAnswer, TooSlow

        login = login_of(self._connection)
        if login is None:
            raise Away("the management API takes no client certificate as a login", hint="use a context with user and password")
        headers = {"Authorization": "Basic " + b64encode(":".join(login).encode()).decode(), "Accept": "application/json", "Content-Type": "application/json"}
        kept = self._http is not None and self._connected_to == base
        deadline = monotonic() + self._answers_last
        while True:
            try:
                if self._http is None or self._connected_to != base:
                    self._open(base)
                elif self._http.sock is not None:
                    self._http.sock.settimeout(self._seconds)
                self._http.response_class = partial(TimelyAnswer, silence=self._seconds, deadline=deadline)
                self._http.request(method, f"{urlsplit(base).path.rstrip('/')}/api/{path}", None if body is None else orjson.dumps(body), headers)
                answer = self._http.getresponse()
                return answer.status, self._read(answer, base)
            except TooSlow:
                self.close()
                raise Away(f"{base} answers too slowly") from None
            except ssl.SSLCertVerificationError as problem:
                self.close()
                reason, hint = not_trusted(problem, name_can_be_said=False)
                # a tls.ca would have messages go over TLS as well
                raise Away(f"the certificate of {base} was not accepted: {reason}",
                           hint if self._connection.tls else "amqps:// with tls.ca in the context is for both ports") from None
            except OSError as problem:
                self.close()
                if isinstance(problem, ssl.SSLError) and "WRONG_VERSION" in (problem.reason or ""):
                    raise Away(f"what answers at {base} speaks no TLS", hint="management = \"http://…\" in the context, or its port for TLS") from None
                # a connection that was kept may have been closed meanwhile
                if not kept:
                    raise Away(f"nothing answers at {base} ({(problem.strerror or str(problem) or 'no answer').lower()})") from None
            except http.client.HTTPException:
                self.close()
                if not kept:
                    raise Away(f"what answers at {base} is not RabbitMQ's management API") from None
            kept = False

    def _open(self, base: str) -> None:
        import http.client

        self.close()
        place = urlsplit(base)
        try:
            port = place.port
        except ValueError:
            port = -1
        if place.scheme not in ("http", "https") or not place.hostname or place.username is not None or port == -1:
            raise Away("management in the context is no http:// or https:// address of a host", hint='for example: management = "http://HOST:15672"')
        if place.scheme == "https":
            self._http = http.client.HTTPSConnection(place.hostname, port, timeout=self._seconds, context=tls_context(self._connection.tls or TLS()))
        else:
            self._http = http.client.HTTPConnection(place.hostname, port, timeout=self._seconds)
        self._connected_to = base

    def _read(self, answer: Any, base: str) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := answer.read(1024 * 1024):
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST_ANSWER:
                self.close()
                raise Away(f"what {base} answers is too long")
        return b"".join(pieces)

    def _judge(self, base: str, status: int, text: bytes) -> Any:
        if status == 404 or (status == 400 and b"page_out_of_range" in text):
            return None
        if status in (401, 403):
            # without the tag the right password is refused as well
            raise Away(f"the management API at {base} refuses this login", hint=_TAG)
        if status != 200:
            raise Away(f"the management API at {base} answers with HTTP {status}", hint="the broker's log says why; it may still be starting")
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise Away(f"what answers at {base} is not RabbitMQ's management API") from None


def _facts(answer: Any) -> Facts | None:
    return answer if isinstance(answer, dict) else None


def _all_facts(answer: object) -> list[Facts]:
    if not isinstance(answer, list) or not all(isinstance(facts, dict) for facts in answer):
        raise _strange()
    return answer


def _strange() -> Away:
    return Away("the management API answers in a form that is not known")
