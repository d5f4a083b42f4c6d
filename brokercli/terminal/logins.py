"""Takes the passwords out of URLs in what is said: a URL may stand where somebody expected something else, and then it is quoted."""

from __future__ import annotations

import re

from brokercli.model.scheme import WITH_TOKEN

# a login ends at the last @ of a word: what is not encoded as it should be is a password all the same
_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^\s:@]*)(?P<password>:\S*)?@")


def without_logins(text: str) -> str:
    """Return `text` with `****` for each password and token in a URL; a user's name stays."""
    return _LOGIN.sub(_hidden, text) if "://" in text else text


def _hidden(login: re.Match[str]) -> str:
    scheme, user = login["scheme"], login["user"]
    if login["password"] is not None:
        return f"{scheme}://{user}:****@"
    return f"{scheme}://{'****' if scheme.lower() in WITH_TOKEN else user}@"
