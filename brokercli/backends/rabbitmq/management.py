"""The management API, where there is one: what AMQP itself cannot say."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import orjson

from brokercli.backends.rabbitmq.connect import port_of, tls_context
from brokercli.model.connection import Connection

_PORT_DISTANCE = 10_000
_LARGEST_ANSWER = 64 * 1024 * 1024
PAGE = 500


class ManagementMissing(Exception):
    """The management API does not help; the text says why, and what would."""


class NotThere(Exception):
    """The management API works and knows no such thing."""


class Management:
    """Questions to the management API with the login of the connection. Connects when first asked, to one host only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.address = connection.management.rstrip("/") if connection.management else _usual(connection)
        self._opener: OpenerDirector | None = None
        self._missing: ManagementMissing | None = None

    def get(self, *path: str, **query: str | int) -> Any:
        """Return what is at a path, whose parts are quoted here. Raises ManagementMissing and NotThere."""
        if self._missing is not None:
            raise self._missing
        url = f"{self.address}/api/" + "/".join(quote(part, safe="", errors="surrogateescape") for part in path)
        request = Request(url + (f"?{urlencode(query)}" if query else ""), headers={"Authorization": self._login(), "Accept": "application/json"})
        try:
            with self._open().open(request, timeout=self._connection.connect_timeout) as answer:
                content = answer.read(_LARGEST_ANSWER + 1)
        except HTTPError as problem:
            problem.close()
            if problem.code == 404:
                raise NotThere from None
            if problem.code in (401, 403):
                raise ManagementMissing(f"{self.address} refuses {self._connection.user or 'this login'} ({problem.code}); "
                                        "the tag management lets a user in: rabbitmqctl set_user_tags") from None
            raise ManagementMissing(f"{self.address} answers {problem.code}") from None
        except (URLError, OSError, HTTPException, ValueError) as problem:
            self._missing = ManagementMissing(f"the management API does not answer at {self.address} ({_why(problem)}); rabbitmq-plugins enable "
                                              "rabbitmq_management turns it on, management in the context says where it is")
            raise self._missing from None
        if len(content) > _LARGEST_ANSWER:
            raise ManagementMissing(f"{self.address} answers with more than {_LARGEST_ANSWER >> 20} MiB")
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise ManagementMissing(f"{self.address} is not RabbitMQ's management API") from None

    def pages(self, *path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """Yield the items of a list that comes in pages."""
        page = 1
        while True:
            answer = self.get(*path, page=page, page_size=PAGE, **query)
            if isinstance(answer, list):
                yield from answer
                return
            yield from answer.get("items", ())
            if page >= answer.get("page_count", 1):
                return
            page += 1

    def _login(self) -> str:
        connection = self._connection
        password = connection.password.reveal() if connection.password is not None else "guest" if connection.user is None else ""
        return "Basic " + b64encode(f"{connection.user if connection.user is not None else 'guest'}:{password}".encode()).decode()

    def _open(self) -> OpenerDirector:
        if self._opener is None:
            context = tls_context(self._connection.tls) if self._connection.tls is not None else ssl.create_default_context()
            self._opener = build_opener(ProxyHandler({}), HTTPHandler(), HTTPSHandler(context=context), _SameHost())
        return self._opener


class _SameHost(HTTPRedirectHandler):
    """Follows a redirect only where it stays with the host, the port and the encryption that the login was meant for."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            raise URLError("it redirects to another host")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _usual(connection: Connection) -> str:
    host, port = connection.hosts[0]
    scheme = "http" if connection.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port_of(connection, port) + _PORT_DISTANCE}"


def _why(problem: Exception) -> str:
    reason = getattr(problem, "reason", problem)
    return str(getattr(reason, "strerror", None) or reason or type(problem).__name__)
