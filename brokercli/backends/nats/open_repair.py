"""Opening a run over the letters of a stream: what they are, whether they can be taken out, and what can be promised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.dead_letters import RepairPolicy, some_of
from brokercli.backends.nats import INTEREST_STREAM, LIMITS_STREAM
from brokercli.backends.nats.dead_letter_names import recorded_streams
from brokercli.backends.nats.dead_originals import DeadOriginals
from brokercli.backends.nats.homes import Home, Homes
from brokercli.backends.nats.letter_counts import LetterCounts
from brokercli.backends.nats.letters import Letters, find_letters, open_letters
from brokercli.backends.nats.publish import LARGEST_WINDOW
from brokercli.backends.nats.questions import Questions
from brokercli.backends.nats.removing import Remover, refusal_to_remove
from brokercli.backends.nats.repair import NatsRepair
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import has_wildcards
from brokercli.model.address import Address
from brokercli.model.errors import NotAuthorised, TimedOut
from brokercli.model.position import NANOSECONDS

_GUARANTEE = ("exactly once inside the duplicate window of {windows}; at least once after it: what a run that was killed had stored and not yet taken out of "
              "{stream} is put back again then")
_EVERYBODY = "what is put back reaches every consumer of its subject again, not only the one that failed"
_UNLESS = (", unless another consumer still wants it: that one gets both, and the message stays in {} when it is done, shown by dlq ls as one without a "
           "record, to be dropped there")


def open_repair(jetstream: JetStream, questions: Questions, stream: str, policy: RepairPolicy, patterns: Sequence[str]) -> NatsRepair:
    """Open a run. Raises Failed, and changes nothing, where letters could not be taken out afterwards."""
    link = jetstream.link
    # a run always waits for something: for verdicts, or for letters
    link.give_up_after(policy.delivery_timeout)
    questions.answer_within(policy.delivery_timeout)
    letters = link.run(find_letters(jetstream, stream, patterns))
    remover = _remover(jetstream, questions, letters)
    within = letters.consumers is not None
    fed = _fed(jetstream, letters)
    # ours is the only Nats- header that goes along (putting_back.py); it has to
    publishing = PublishPolicy(delivery_timeout=policy.delivery_timeout, keep_control_headers=True, maximum_in_flight=LARGEST_WINDOW,
                               only_wanted=True)
    homes = Homes(jetstream, letters, publishing, _origins(jetstream, letters, fed))
    counts = LetterCounts(jetstream, letters)
    guarantee = _GUARANTEE.format(windows=_windows([letters.info] if within else fed), stream=stream)
    return NatsRepair(link, stream, open_letters(jetstream, letters), homes, DeadOriginals(jetstream, questions, letters.info, within=within), remover, counts,
                      policy, guarantee, (*letters.notes, *_notes(letters, fed, policy.homeward)))


def check_repair(jetstream: JetStream, questions: Questions, letters: Letters) -> None:
    """Raise what `open_repair` would, where letters could not be taken out. Changes nothing."""
    _remover(jetstream, questions, letters)


def obstacles(jetstream: JetStream, letters: Letters, destinations: Sequence[Address]) -> dict[int, str]:
    """Return why letters cannot be put to destinations, by their index."""
    with _homes(jetstream, letters, _fed(jetstream, letters)) as homes:
        found = ((index, _obstacle(homes.find(destination), destination)) for index, destination in enumerate(destinations))
        return {index: why for index, why in found if why}


def fates(jetstream: JetStream, letters: Letters, destinations: Sequence[Address]) -> list[str]:
    """Return what becomes of letters at destinations to which they can be put, and of the messages that they only record."""
    fed = _fed(jetstream, letters)
    with _homes(jetstream, letters, fed) as homes:
        ways = [(destination, homes.find(destination)) for destination in destinations]
        own = [note for destination, home in ways if destination.kind == "stream" and isinstance(home, Home) for note in _own_subjects(home)]
        return [*_of_what_died(fed), *own, *homes.notes]


@contextmanager
def _homes(jetstream: JetStream, letters: Letters, fed: list[Json]) -> Iterator[Homes]:
    """Lend what finds out about destinations before anything is put there."""
    homes = Homes(jetstream, letters, PublishPolicy(only_wanted=True), _origins(jetstream, letters, fed))
    try:
        yield homes
    finally:
        homes.close()


def _own_subjects(home: Home) -> list[str]:
    """Say what it takes to be stored in a stream that does not say under which subject."""
    if len(home.patterns) == 1 and not has_wildcards(home.patterns[0]):
        return []
    return [f"into stream {home.stream} each letter goes on the subject it has, and is refused where that is none of {some_of(home.patterns, 3)}; "
            "--to subject:NAME says one for all of them"]


def _obstacle(home: Home | str, destination: Address) -> str:
    if isinstance(home, str):
        return home
    # into a stream each letter goes on a subject of its own
    return "" if destination.kind == "stream" else home.publisher.obstacle(destination.name)


def _remover(jetstream: JetStream, questions: Questions, letters: Letters) -> Remover:
    refusal = refusal_to_remove(letters.info)
    if refusal is not None:
        raise refusal
    remover = Remover(jetstream, questions, letters.info)
    remover.check_permission()
    return remover


def _origins(jetstream: JetStream, letters: Letters, fed: list[Json]) -> list[Json]:
    """Return the streams that the messages may have died in, as far as letters do not name their homes themselves and this login may ask."""
    if letters.consumers is not None:
        return [letters.info]
    if letters.marks.advisories and not recorded_streams(letters.info["config"]):  # those of every stream
        with suppress(NotAuthorised, TimedOut):
            return jetstream.link.run(jetstream.all([]))
    return fed


def _fed(jetstream: JetStream, letters: Letters) -> list[Json]:
    """Return the streams whose deaths are recorded here, as far as they are named."""
    if not letters.marks.advisories:
        return []
    names = recorded_streams(letters.info["config"]) or ()
    infos = [jetstream.link.run(jetstream.info_or_none(name)) for name in names]
    return [info for info in infos if info is not None]


def _windows(streams: list[Json]) -> str:
    # what died in a copy of a stream does not go back into the copy
    if not all(info["config"].get("subjects") for info in streams) or not streams:
        return "the stream it goes to (two minutes unless that says otherwise, and none where it is filled from others and says nothing)"
    return " and ".join(f"{info['config']['name']} ({int(info['config'].get('duplicate_window') or 0) / NANOSECONDS:g} s)" for info in streams)


def _notes(letters: Letters, fed: list[Json], homeward: bool) -> list[str]:
    back_in = fed if letters.consumers is None else [letters.info]
    notes = [_EVERYBODY] if homeward and any(resource_of(info) == LIMITS_STREAM or _has_others(info) for info in back_in) else []
    return [*notes, *_of_what_died(fed)]


def _of_what_died(fed: list[Json]) -> list[str]:
    """Return what becomes of the messages whose deaths are recorded, in the streams that do not keep all of theirs."""
    notes = []
    for info in fed:
        if resource_of(info) == LIMITS_STREAM:
            continue
        name = info["config"]["name"]
        denied = refusal_to_remove(info)
        if denied is None:
            unless = _UNLESS.format(name) if _has_others(info) else ""
            notes.append(f"once its copy is stored, the dead message itself is taken out of {name} as well{unless}; dropping a letter, or redriving it to "
                         f"another broker, takes out the record only: the message stays in {name}, where dlq ls shows it as one without a record")
        else:
            notes.append(f"the dead messages themselves stay stored in {name}, which lets nothing be deleted")
    return notes


def _has_others(info: Json) -> bool:
    """Whether a message of a stream can be for several consumers, each of which is waited for: a work-queue stream has one for each subject."""
    return resource_of(info) == INTEREST_STREAM and int(info["state"].get("consumer_count", 0)) > 1
