"""Takes the passwords out of URLs in what is said: a URL may stand where somebody expected something else, and then it is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from brokercli.model.address import KINDS
from brokercli.model.scheme import SCHEME, WITH_TOKEN

# a login ends at the last @ of a word: what is not encoded as it should be is a password all the same
_LOGIN = re.compile(rf"(?P<scheme>{SCHEME})://(?P<user>[^\s:@]*)(?P<password>:\S*)?@")


# a word as somebody wrote it, where nothing else can be meant: all between the scheme and the last @ is the login, spaces and slashes too
_WRITTEN = re.compile(rf"(?P<scheme>{SCHEME}):(?P<slashes>/*)(?P<login>[^@]*(?:@[^@]*)*)@", re.DOTALL)
_BROKEN_OFF = re.compile(rf"{SCHEME}://[^:@]*:(?!\d+(?:[/,]|$))[^@]*", re.DOTALL)


def without_logins(text: str, words: Sequence[str] = ()) -> str:
    """Return `text` with `****` for each password and token in a URL; a user's name stays.

    `words` are what the text may quote, as they were written (a command line): in those a login is known also where it makes no URL, as it
    holds a space, the shell took it apart at one, or a slash is missing in front of it.
    """
    for login in _logins(words):
        # repr, as some of what is quoted is quoted so
        for said in (login, repr(login)[1:-1]):
            text = text.replace(f"{said}@", f"{login[0]}****@" if login[0] in ":/" else "****@")
    return _LOGIN.sub(_hidden, text) if "://" in text else text


def _logins(words: Sequence[str]) -> Iterator[str]:
    for index, word in enumerate(words):
        if match := _WRITTEN.search(word):
            yield from _password(match)
        elif _BROKEN_OFF.search(word):
            yield from _pieces(words[index + 1:])


def _password(written: re.Match[str]) -> Iterator[str]:
    scheme, slashes, login = written["scheme"], written["slashes"], written["login"]
    _, colon, password = login.partition(":")
    if colon and (slashes or scheme not in KINDS):
        yield f":{password}"
    elif login and scheme not in KINDS and (len(slashes) < 2 or scheme.lower() in WITH_TOKEN):
        yield f"{slashes[-1:] or ':'}{login}"  # a token, or all that there is before the @ is user:password


def _pieces(words: Sequence[str]) -> Iterator[str]:
    """What the shell made of the rest of a password with spaces in it, up to its @, and what is left of that when words are taken from its front."""
    for index, word in enumerate(words):
        if word.startswith(("-", "@")) or "://" in word:
            return
        if "@" in word:
            rest = [*words[:index], word.rpartition("@")[0]]
            yield from (" ".join(rest[first:]) for first in range(len(rest)))
            return


def _hidden(login: re.Match[str]) -> str:
    scheme, user = login["scheme"], login["user"]
    if login["password"] is not None:
        return f"{scheme}://{user}:****@"
    return f"{scheme}://{'****' if scheme.lower() in WITH_TOKEN else user}@"
