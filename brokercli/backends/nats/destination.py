"""What a publisher is opened to, and what is refused before anything is sent."""

from __future__ import annotations

from brokercli.backends.contract import Publisher, PublishPolicy
from brokercli.backends.nats import INTEREST_STREAM, descriptor
from brokercli.backends.nats.namesake import check_namesake
from brokercli.backends.nats.origins import named
from brokercli.backends.nats.publish import JetStreamPublisher
from brokercli.backends.nats.recovery import target_of
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import has_wildcards
from brokercli.backends.nats.unasked import NOT_ASKED, UnaskedPublisher
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.errors import Failed, NotAuthorised, TimedOut, Unsupported, UsageProblem

_FORGETFUL = ("stream {} remembers no message ids (duplicate_window; it is filled from others, and has none unless it is declared): what has the id of "
              "another is stored all the same")
_IMPORTED = "{}, and the account that it belongs to may call it otherwise: each message's acknowledgement says whether it was stored"


def open_publisher(jetstream: JetStream, destination: Address, policy: PublishPolicy) -> Publisher:
    """Open a publisher to a resolved address.

    Raises Failed where no stream listens or the stream takes no messages, Unsupported for what its resource cannot,
    UsageProblem for a stream that does not say which of its subjects is meant. Nothing was sent then.
    """
    link = jetstream.link
    if destination.kind == "stream":
        info = link.run(jetstream.info(destination.name))
        _check_template(policy, resource_of(info))
        if policy.fire_and_forget:
            raise Unsupported(descriptor.support[resource_of(info)][Capability.FIRE_AND_FORGET].note, hint="publish --core subject:NAME")
        subject = _only_subject(info) if policy.template.route is None else None
        _check_takes_messages(info)
        return _to_stream(jetstream, subject, info, policy)
    _check_template(policy, "subject")
    if policy.fire_and_forget:
        from brokercli.backends.nats.publish_core import CorePublisher

        return CorePublisher(link, destination.name, policy)
    try:
        names = link.run(jetstream.capturing(destination.name))
        infos = [link.run(jetstream.info(name)) for name in names]
    except (NotAuthorised, TimedOut):
        if policy.only_wanted:
            return UnaskedPublisher(jetstream, link, destination.name, policy)
        return JetStreamPublisher(link, destination.name, None, policy, (NOT_ASKED,))
    if not infos and jetstream.imported:
        return JetStreamPublisher(link, destination.name, None, policy, (_IMPORTED.format(jetstream.nobody_listens(destination.name)),))
    if not infos:
        why = jetstream.nobody_listens(destination.name)
        elsewhere = "the context's option domain reaches those of another; " if jetstream.domain else ""
        raise Failed(f"{why[:1].upper()}{why[1:]}.", hint=f"{elsewhere}brokercli declare stream NAME --subjects {destination.name} makes one; "
                     "publish --core sends to whoever listens now, unconfirmed")
    _check_takes_messages(infos[0])
    return _to_stream(jetstream, destination.name, infos[0], policy)


def _to_stream(jetstream: JetStream, subject: str | None, info: Json, policy: PublishPolicy) -> JetStreamPublisher:
    link = jetstream.link
    target = target_of(info, link.server)
    check_namesake(jetstream, info, target, target.subjects if subject is None else [subject])
    of_interest = resource_of(info) == INTEREST_STREAM
    if policy.only_wanted:
        from brokercli.backends.nats.kept import KeptPublisher
        from brokercli.backends.nats.schedules import Schedules
        from brokercli.backends.nats.wanted import WantedPublisher

        if info["config"].get("allow_msg_counter"):
            raise Failed(f"Stream {target.stream} counts, and takes increments only (header Nats-Incr), which letters have not.")
        schedules = Schedules(jetstream, info)
        if subject is not None and (why := schedules.refusal(subject)):
            raise Failed(f"{why[:1].upper()}{why[1:]}.", hint="--to ADDRESS puts it elsewhere")
        return (WantedPublisher if of_interest else KeptPublisher)(jetstream, link, subject, target, policy, info, schedules)
    if of_interest:
        from brokercli.backends.nats.unwanted import TellingPublisher

        return TellingPublisher(jetstream, link, subject, target, policy, info)
    with_ids = policy.template.id is not None or policy.keep_control_headers
    notes = [_FORGETFUL.format(target.stream)] if with_ids and not target.duplicate_window else []
    if info["config"].get("persist_mode") == "async":
        notes.append(f"stream {target.stream} confirms before it writes (persist_mode): what it was about to write is lost where its server is killed")
    return JetStreamPublisher(link, subject, target, policy, notes)


def _check_template(policy: PublishPolicy, resource: str) -> None:
    answers = descriptor.support[resource]
    template = policy.template
    asked = {Capability.KEY: template.key is not None, Capability.PARTITION: template.partition is not None,
             Capability.MESSAGE_TIME: template.time is not None, Capability.TOMBSTONE: template.body is None}
    for capability, wanted in asked.items():
        if wanted:
            raise Unsupported(answers[capability].note)


def _only_subject(info: Json) -> str | None:
    """Return the subject of a stream that has just one, None where each message must name its own."""
    subjects = info["config"].get("subjects") or []
    return subjects[0] if len(subjects) == 1 and not has_wildcards(subjects[0]) else None


def _check_takes_messages(info: Json) -> None:
    config = info["config"]
    name = config["name"]
    if config.get("mirror"):
        raise Failed(f"Stream {name} is a mirror of {named(config['mirror'])} and takes no messages itself.", hint="publish to the stream it mirrors")
    if config.get("sealed"):
        raise Failed(f"Stream {name} is sealed: it takes no more messages.")
    if config.get("no_ack"):
        raise Failed(f"Stream {name} acknowledges nothing (no_ack), so nothing can be confirmed.", hint="publish --core subject:NAME sends unconfirmed")
    if not config.get("subjects"):
        origins = ", ".join(named(source) for source in config.get("sources") or [])
        raise UsageProblem(f"Stream {name} captures no subject, so nothing can be published to it.", hint=f"it is filled from {origins or 'nowhere'}")
