"""What a change of settings does to the messages of a queue or stream, said in its plan.

As seen on 4.3.6 where a policy says it: a length limit drops what is beyond it at once, and a time to live is for messages that are
published afterwards. A classic queue takes in its policy setting by setting, the limit before `overflow`: so one that is to refuse
publishers from now on drops what is beyond a limit that comes with it all the same. A quorum queue does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from brokercli.backends.rabbitmq.inventory import Have
from brokercli.backends.rabbitmq.keeping import CLASSIC, KEEPING, STREAM
from brokercli.backends.rabbitmq.telling import fate_of_the_dead, told
from brokercli.model.amount import amount
from brokercli.model.declaration import SettingValue

_DROPS = "drop-head"


def consequences(have: Have, settings: Mapping[str, SettingValue]) -> list[str]:
    """Return what becomes of messages, a sentence each; `settings` are those that are declared, None for one that is unset."""
    change = _Settings(have, settings)
    if have.type == STREAM:
        return list(_of_a_stream(change))
    return [*_of_limits(change), *_of_times(change), *_of_deaths(change)]


class _Settings:
    """The settings of something before and after a change."""

    def __init__(self, have: Have, settings: Mapping[str, SettingValue]) -> None:
        self.have = have
        self._settings = settings

    def before(self, setting: str) -> Any:
        return self.have.value(setting)

    def after(self, setting: str) -> Any:
        if setting not in self._settings:
            return self.have.value(setting)
        value = self._settings[setting]
        return KEEPING[setting].default if value is None else value

    def sinks(self, setting: str) -> bool:
        """Whether a limit is new or lower than before; a negative number is none."""
        before, after = self.before(setting), self.after(setting)
        return isinstance(after, int) and after >= 0 and not (isinstance(before, int) and 0 <= before <= after)

    def is_changed(self, setting: str) -> bool:
        return bool(self.before(setting) != self.after(setting))

    @property
    def fate(self) -> str:
        """What becomes of a message that dies."""
        return fate_of_the_dead(self.after("dead-letter-exchange"), self.after("dead-letter-routing-key"))

    @property
    def there(self) -> str:
        count = self.have.messages
        return "" if count is None else f"{amount(count, 'message is', 'messages are')} there: "


def _of_limits(change: _Settings) -> Iterator[str]:
    dropped, drops = change.before("overflow") == _DROPS, change.after("overflow") == _DROPS
    limits = [setting for setting in ("max-length", "max-length-bytes") if isinstance(change.after(setting), int)]
    at_once = drops or (dropped and change.have.type == CLASSIC)
    for setting in limits:
        # a limit that only refused publishers before is a new one for what is there
        if not at_once or not (change.sinks(setting) or (drops and not dropped)):
            continue
        beyond = _beyond(setting, change.after(setting), change.have.messages)
        if beyond:
            kept = "" if drops else "; declared first, and alone, overflow keeps them"
            yield f"{change.there}{beyond} {change.fate} at once{kept}"
        elif drops:
            yield f"from now on its oldest messages are {change.fate} when it is full"
    if limits and not drops and change.is_changed("overflow"):
        yield "from now on publishers are refused when it is full, instead of its oldest messages being pushed out"


def _beyond(setting: str, limit: int, messages: int | None) -> str:
    """Say what is beyond a limit; empty where it is known that nothing is."""
    if messages == 0:
        return ""
    if setting == "max-length-bytes":
        return f"the oldest, until what is left has {amount(limit, 'byte')} at most, are"
    if messages is not None and messages <= limit:
        return ""
    return f"all but the newest {limit:,} are" if limit else "all of them are" if messages is not None else "all messages are"


def _of_times(change: _Settings) -> Iterator[str]:
    if change.sinks("message-ttl"):
        kept = "" if change.have.messages == 0 else "; those that are there keep the time they have"
        yield f"messages that are published from now on are {change.fate} after {told(change.after('message-ttl'))}{kept}"
    if change.sinks("expires"):
        count = change.have.messages
        lost = "with its messages" if count is None else f"with {amount(count, 'message')} now" if count else "with what is in it then"
        nobody = "; it has none" if change.have.consumers == 0 else ""
        yield f"the queue itself is deleted, {lost}, after {told(change.after('expires'))} without consumers{nobody}"


def _of_deaths(change: _Settings) -> Iterator[str]:
    if change.is_changed("dead-letter-exchange") and change.after("dead-letter-exchange") is None:
        yield "what dies in it is kept nowhere from now on"
    if change.sinks("delivery-limit"):
        yield f"a message that is returned more than {amount(change.after('delivery-limit'), 'time')} is {change.fate} from now on"


def _of_a_stream(change: _Settings) -> Iterator[str]:
    # the newest segment stays whatever it holds
    if change.sinks("max-age"):
        yield f"{change.there}those older than {told(change.after('max-age') * 1000)} are deleted, in whole segments"
    if change.sinks("max-length-bytes"):
        yield f"{change.there}the oldest beyond {amount(change.after('max-length-bytes'), 'byte')} are deleted, in whole segments"
