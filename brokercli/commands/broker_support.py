"""Support tables as rows, as JSON and as a page of the documentation."""

from __future__ import annotations

from brokercli.backends.registry import BUILT_IN, Descriptor, descriptors
from brokercli.model.capability import Capability, Support
from brokercli.model.description import Description, Section
from brokercli.model.errors import UsageProblem

WORDS = {"full": "yes", "some": "partly", "not_yet": "not yet", "never": "no"}


def chosen(name: str | None) -> list[Descriptor]:
    """Return one broker, or all. Raises UsageProblem for a name that no broker has."""
    found = [descriptor for descriptor in descriptors() if name in (None, descriptor.name)]
    if not found:
        raise UsageProblem(f"There is no broker called {name!r}.", hint=f"known: {', '.join(descriptor.name for descriptor in descriptors())}")
    return found


def as_tables(descriptor: Descriptor) -> Description:
    """Return the matrix of one broker, and the reason for everything that is not a plain yes."""
    facts = {"schemes": " ".join(f"{scheme}://" for scheme in descriptor.schemes), "addresses": " ".join(f"{kind}:" for kind in descriptor.kinds),
             "default port": str(descriptor.default_port), "client": f"{descriptor.client} ({_installed(descriptor)})"}
    matrix = [{"ability": str(capability), **{resource: WORDS[answers[capability].level] for resource, answers in descriptor.support.items()}}
              for capability in Capability]
    reasons = [{"ability": str(capability), "on": ", ".join(resources), "": WORDS[support.level], "because": support.note}
               for capability in Capability for support, resources in _grouped(descriptor, capability).items() if support.level != "full"]
    return Description("broker", descriptor.name, descriptor.title, {**facts}, [Section("What it can do", [{**row} for row in matrix]),
                                                                                 Section("How far, and why not", [{**row} for row in reasons])])


def as_json(descriptor: Descriptor) -> dict[str, object]:
    """Return everything a descriptor says."""
    support = {resource: {str(capability): {"level": answer.level, "note": answer.note} for capability, answer in answers.items()}
               for resource, answers in descriptor.support.items()}
    return {"broker": descriptor.name, "title": descriptor.title, "schemes": descriptor.schemes, "kinds": descriptor.kinds,
            "default_port": descriptor.default_port, "client": descriptor.client, "support": support}


def page() -> str:
    """Return `docs/brokers.md`, from the built-in descriptors."""
    parts = ["# What each broker can do\n", "Made from the support tables in `brokercli/backends/`; the conformance tests run both halves of them: what is",
             "declared works, and what is declined is refused with the reason given here. `brokercli brokers` prints the same,", "plugins included.\n"]
    for descriptor in (one for one in descriptors() if one.name in BUILT_IN):
        resources = list(descriptor.support)
        parts += [f"## {descriptor.title}\n", f"URLs: {', '.join(f'`{scheme}://`' for scheme in descriptor.schemes)}; "
                  f"addresses: {', '.join(f'`{kind}:`' for kind in descriptor.kinds)}; usual port: {descriptor.default_port}.\n"]
        parts += [f"| | {' | '.join(resources)} |", f"|---|{'---|' * len(resources)}"]
        parts += [f"| {capability} | {' | '.join(WORDS[answers[capability].level] for answers in descriptor.support.values())} |" for capability in Capability]
        parts.append("")
        parts += [f"- **{capability}** on {', '.join(on)}: {WORDS[support.level]}. {_sentence(support.note)}"
                  for capability in Capability for support, on in _grouped(descriptor, capability).items() if support.level != "full"]
        parts.append("")
    return "\n".join(parts)


def _grouped(descriptor: Descriptor, capability: Capability) -> dict[Support, list[str]]:
    groups: dict[Support, list[str]] = {}
    for resource, answers in descriptor.support.items():
        groups.setdefault(answers[capability], []).append(resource)
    return groups


def _sentence(note: str) -> str:
    text = note.rstrip(".")
    return f"{text}." if text.startswith("brokercli") else f"{text[:1].upper()}{text[1:]}."  # the program's name stays small


def _installed(descriptor: Descriptor) -> str:
    from importlib.util import find_spec

    return "installed" if find_spec(descriptor.client) else f"not installed: {descriptor.install}"
