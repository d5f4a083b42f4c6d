"""Takes the passwords out of URLs in what is said: a URL may stand where somebody expected something else, and then it is quoted."""

from __future__ import annotations

import re

# a login ends at the last @ of a word: what is not encoded as it should be is a password all the same
_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^\s:@]*)(?P<password>:\S*)?@")
# who writes one word in front of the host writes a token there
_TOKENS = ("nats", "tls")


def without_logins(text: str) -> str:
    """Return `text` with `****` for each password and token in a URL; a user's name stays."""
    return _LOGIN.sub(_hidden, text) if "://" in text else text


def _hidden(login: re.Match[str]) -> str:
    scheme, user = login["scheme"], login["user"]
    if login["password"] is not None:
        return f"{scheme}://{user}:****@"
    return f"{scheme}://{'****' if scheme.lower() in _TOKENS else user}@"
