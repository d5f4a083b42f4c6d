"""The scheme of a URL, and what it says about the rest of it; read where URLs are parsed, spelled and hidden."""

import re

from brokercli.model.errors import UsageProblem

SCHEME = "[A-Za-z][A-Za-z0-9+.-]*"
"""How one is written. Its case says nothing (RFC 3986, 3.1): what reads a URL keeps it in small letters, as those below are."""
TLS_ALWAYS = ("kafkas", "tls", "amqps")
"""Speak TLS without being told to."""
WITH_TOKEN = ("nats", "tls")
"""Have a token where others have a user: nats://TOKEN@HOST."""
WITH_VIRTUAL_HOST = ("amqp", "amqps")
"""Have a virtual host behind the host."""

_SEVERAL = re.compile(rf"({SCHEME})://[^/]*(?:,{SCHEME}://[^/]*)+(?=/[^/]|/?\Z)")


def with_one_scheme(text: str) -> str:
    """Write `nats://a,nats://b/orders`, as other clients want the servers of a cluster, as `nats://a,b/orders`; what says it once is returned as it is.

    Raises UsageProblem where the servers differ in more than their places: one connection has one scheme and one login. Nothing is quoted.
    """
    match = _SEVERAL.match(text)
    if match is None:
        return text
    scheme, *others = re.findall(rf"(?:^|,)({SCHEME})://", match[0])
    servers = [server.rpartition("@") for server in re.split(rf"(?:^|,){SCHEME}://", match[0])[1:]]
    logins = {login for login, at, _ in servers if at}
    if {other.lower() for other in others} != {scheme.lower()} or len(logins) > 1:
        raise UsageProblem("The servers of one URL have one scheme and one login.", hint=f"{scheme.lower()}://HOST:PORT,HOST:PORT")
    login = "".join(f"{one}@" for one in logins)
    return f"{scheme}://{login}{','.join(place for _, _, place in servers)}{text[match.end():]}"
