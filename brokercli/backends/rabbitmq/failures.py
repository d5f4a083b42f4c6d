"""What RabbitMQ says when it closes a channel or a connection, in our words."""

from __future__ import annotations

import re
from typing import Any

import orjson
from pika import exceptions

from brokercli.model.errors import BrokercliError, Bug, Failed, NotAuthorised, NotFound, Unreachable

_NAMED = re.compile(r"no (queue|exchange) '(.*)' in vhost '(.*)'", re.DOTALL)

# a queue that exists and whose node is down is "not found" as well: so said at once, or by 4.3.6 after 70 seconds (seen)
_AWAY = re.compile(r"home node|failed to perform operation|stopped by supervisor")

NO_ANSWER = ("the node that keeps what was asked about may be away, which brokercli doctor tells; or the broker is overloaded, or blocked by an "
             "alarm")
"""What there is to say of a question that was not answered."""

_CHANNELS = "brokercli takes several channels at a time: 16 are enough (channel_max; rabbitmqctl set_user_limits for max-channels)"

_OTHER_TYPE = re.compile(r"invalid arg 'x-consumer-timeout' for queue '(.*)' in vhost '.*' of queue type rabbit_(\w+)_queue", re.DOTALL)

_INTERNAL_ERROR = 541

_EXCLUSIVE = re.compile(r"queue '(.*)' in vhost '.*' in exclusive use", re.DOTALL)


class NoSuch(NotFound):
    """The broker says that there is nothing of this name, and not only that it cannot be reached."""


class NoCopy(Failed):
    """The node that we are connected to has no copy of a stream that runs. It is said for a moment as well by one that has a copy, when the node that
    led the stream was killed (seen on 4.3.6, three nodes)."""


class FailedItself(Failed):
    """RabbitMQ failed and ended the whole connection, over whatever was done there: it need not be what was asked."""


class NoVirtualHost(NotAuthorised):
    """The broker lets nobody into a virtual host that there is not."""


class NotLetIn(NotAuthorised):
    """The broker lets this login not into a virtual host that there is. Of one that is being deleted it says the same: the permissions go first, and its
    queues and the connections to it afterwards (seen on 4.3.6)."""


def deleted_with_all(virtual_host: str) -> NoSuch:
    """Return what to raise where the whole virtual host went while something was done in it."""
    return NoSuch(f"The virtual host {virtual_host} was deleted meanwhile, and everything in it.", hint="rabbitmqctl list_vhosts shows which there are")


def deleted(queue: str) -> NoSuch:
    """Return what to raise where there is no longer a queue out of which something came. Of a virtual host that is deleted the queues go before the
    connections, so it may have gone with all of it (seen on 4.3.6)."""
    return NoSuch(f"The queue {queue} was deleted meanwhile.", hint="brokercli ls shows what there is")


def gist(text: str) -> str:
    """Leave out the name of the code in front of a reply text."""
    return re.sub(r"^[A-Z_]+ - ", "", text).strip().rstrip(".")


def translate(problem: BaseException, doing: str, where: Any) -> BrokercliError:
    """Return what to raise for what ended a channel while `doing` something; `where` is the broker."""
    if isinstance(problem, BrokercliError):
        return problem
    if isinstance(problem, (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker)):
        return from_reply(problem.reply_code, problem.reply_text, doing)
    if isinstance(problem, exceptions.NoFreeChannels):
        return too_few_channels("too few channels", f"{doing} needs one more")
    if isinstance(problem, (exceptions.AMQPConnectionError, exceptions.ChannelClosed, exceptions.ConnectionWrongStateError, exceptions.ChannelWrongStateError)):
        return Unreachable(f"The connection to {where} broke while {doing}.", hint="brokercli doctor says what answers and what does not")
    return Bug(f"in the RabbitMQ backend, {doing}", problem)


def too_few_channels(has: str, needs: str) -> Failed:
    """Return what to raise where a connection needs more channels than it may have."""
    return Failed(f"The broker lets a connection have {has} (channel_max){',' if needs.startswith('and') else ':'} {needs}.", hint=_CHANNELS)


def from_reply(code: int, text: str, doing: str) -> BrokercliError:
    """Return what to raise for a reply code and text."""
    if code == 404:
        if (named := _NAMED.search(text)) and not named[2]:
            # the default exchange is missing only while all of it goes
            return deleted_with_all(named[3])
        if named:
            return NoSuch(f"There is no {named[1]} {named[2]} in the virtual host {named[3]}.", hint="brokercli ls shows what there is")
        if _AWAY.search(text):
            return Unreachable(f"The node that keeps the queue is away, so {doing} is not possible: {gist(text)}.",
                               hint="brokercli doctor says which nodes run")
        return NotFound(f"Not found while {doing}: {gist(text)}.", hint="brokercli ls shows what there is")
    if code == 403 and (used := _EXCLUSIVE.search(text)):
        # what a classic queue says to the next consumer; a quorum queue shares out all the same (seen on 4.3.6)
        return Failed(f"Another consumer has the queue {used[1]} for itself: {doing} was refused.", hint="stop that consumer first")
    if code == 403 and "internal exchange" in text:
        return Failed(f"Only other exchanges publish to an internal exchange: {gist(text)}.", hint="publish to one that is bound to it; brokercli describe"
                      " shows which")
    if code == 403:
        return NotAuthorised(f"No permission for {doing}: {gist(text)}.", hint="rabbitmqctl set_permissions, or a context with another login")
    if code == 405:
        return Failed(f"Locked while {doing}: {gist(text)}.", hint="another connection has it for itself")
    if code == 406 and "running replica" in text:
        return NoCopy(f"This node of the cluster has no copy of the stream, and {doing} needs one.",
                      hint="connect to a node that has; brokercli describe shows which")
    if code == 406 and "acknowledgement" in text and "timed out" in text:
        return Failed(f"The broker took back what was held while {doing}: it lets nobody hold messages for longer than its consumer_timeout,"
                      " 30 minutes where nothing else is set.", hint="the same command goes on with what is left")
    if code == 406 and (other := _OTHER_TYPE.search(text)):
        # only a quorum queue is given that argument (seen on 4.3.6)
        return NoSuch(f"The quorum queue {other[1]} was deleted meanwhile: the one of that name now is a {other[2]}{'' if other[2] == 'stream' else ' queue'}.")
    if code == 406 and "queue limit in vhost" in text:
        return Failed(f"RabbitMQ refused {doing}: {gist(text)} ({code}).",
                      hint="delete queues that nobody needs, or have the limit raised: rabbitmqctl list_vhost_limits, set_vhost_limits")
    if code == _INTERNAL_ERROR:
        # a stream that is deleted while a consumer is being opened on it ends the whole connection so (seen on 4.3.6)
        return FailedItself(f"RabbitMQ itself failed while {doing}: {gist(text)} (541).",
                      hint="it may have been deleted at this moment: brokercli ls shows what there is; else the broker's log says why")
    if code == 320:
        return Unreachable(f"The broker closed the connection while {doing}: {gist(text)}.")
    if code == 530:
        return Failed(f"The broker closed the connection while {doing}: {gist(text)} (530).", hint=_CHANNELS)
    return Failed(f"RabbitMQ refused {doing}: {gist(text)} ({code}).")


def ended_for_good(problem: BaseException | None, virtual_host: str) -> BrokercliError | None:
    """Return what to raise where a connection ended for a reason that another one would end for as well: its virtual host was deleted (the words of
    4.0 and 4.3), or more was asked of it than is allowed, as channels."""
    if not isinstance(problem, exceptions.ConnectionClosedByBroker):
        return None
    if problem.reply_code == 320 and re.search(r"vhost '.*' is deleted", problem.reply_text, re.DOTALL):
        # one that is made anew under its name is another
        return deleted_with_all(virtual_host)
    if problem.reply_code == 530:
        return from_reply(530, problem.reply_text, "it was in use")
    return None


def failed_itself(reason: str) -> bool:
    """Whether RabbitMQ ended a connection because it failed itself, by the reason that its watchers are told."""
    return reason.endswith(f"({_INTERNAL_ERROR})")


def says_absent(answer: object) -> bool:
    """Whether the answer to a question says that what it was about does not exist."""
    return isinstance(answer, exceptions.ChannelClosedByBroker) and answer.reply_code == 404 and not _AWAY.search(answer.reply_text)


def size_limit(text: str) -> int | None:
    """Return the largest message the broker takes, where the text says it."""
    found = re.search(r"larger than configured max size (\d+)", text)
    return int(found[1]) if found else None


def topic_denied(text: str) -> bytes | None:
    """Return the routing key that a login's topic permissions deny, where the text says it: other keys may be permitted."""
    found = re.search(r"access to topic '(.*)' in exchange '", text, re.DOTALL)
    return found[1].encode() if found else None


def reason(text: bytes) -> str:
    """Return why the management API refused something, as it says it."""
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return "without a reason"
    return " ".join(str(said.get("reason") or said.get("error") or said).removeprefix("Validation failed").split()) if isinstance(said, dict) else str(said)
