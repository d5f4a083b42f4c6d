"""Which brokers there are, without loading any client: descriptors by name and scheme, plugins by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from brokercli.model.capability import SupportTable, check_complete
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Failed, Unsupported, UsageProblem

if TYPE_CHECKING:
    from brokercli.backends.contract import Backend
    from brokercli.backends.options import ClientOptions, Refusal
    from brokercli.model.declaration import Setting, Settings

BUILT_IN = {"kafka": ("kafka", "kafkas"), "nats": ("nats", "tls"), "rabbitmq": ("amqp", "amqps")}
"""Folder under `backends/` → its schemes; kept here so that a scheme is found without importing the others."""
ENTRY_POINTS = "brokercli.backends.v1"


@dataclass(frozen=True)
class Descriptor:
    """One broker, as data. Importing the module that holds it loads no client."""

    name: str
    title: str
    schemes: tuple[str, ...]
    implementation: str
    """`module:Class` of the Backend."""
    client: str
    """The client's import name, to tell a missing client from a broken one."""
    install: str
    """The command that installs the client."""
    kinds: tuple[str, ...]
    """Kinds of address this broker has."""
    default_port: int
    support: SupportTable
    options: str = ""
    """`module:NAME` of the ClientOptions that a context may pass on (loads no client); empty: all are, and the broker's own code bounds them."""
    declarable: str = ""
    """`module:NAME` of the Settings of what can be declared (loads no client); empty: nothing can."""
    unused: frozenset[str] = frozenset()
    """Keys of a context that say nothing to this broker's client: somebody who writes one means another broker."""
    not_declarable: Mapping[str, str] = field(default_factory=dict)
    """Kind of declaration this broker does not have → why, and what to do instead."""

    def __post_init__(self) -> None:
        check_complete(self.support)


def descriptors() -> Iterator[Descriptor]:
    """Yield every broker there is, built-in first, plugins by name."""
    for name in BUILT_IN:
        yield _built_in(name)
    yield from sorted(_plugins(), key=lambda descriptor: descriptor.name)


def find(scheme: str) -> Descriptor:
    """Return the broker of a scheme. Entry points are read only when no built-in broker has it."""
    for name, schemes in BUILT_IN.items():
        if scheme in schemes:
            return _built_in(name)
    for descriptor in _plugins():
        if scheme in descriptor.schemes:
            return descriptor
    known = sorted(scheme for descriptor in descriptors() for scheme in descriptor.schemes)
    raise UsageProblem(f"No broker speaks {scheme}://.", hint=f"known: {', '.join(f'{scheme}://' for scheme in known)}; brokercli brokers says more")


def open_backend(connection: Connection) -> Backend:
    """Load the client and connect. Raises UsageProblem for an unknown scheme, Failed for a missing client, and whatever
    the backend raises while it connects."""
    descriptor = find(connection.scheme)
    module, _, name = descriptor.implementation.partition(":")
    try:
        implementation: type[Backend] = getattr(import_module(module), name)
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] != descriptor.client:
            raise
        raise Failed(f"{descriptor.title} needs the Python package {descriptor.client}, which is not installed.", hint=descriptor.install) from None
    return implementation(connection)


def check_used(scheme: str, keys: Iterable[str], where: Callable[[str], str]) -> None:
    """Raise UsageProblem for the first key of a context that says nothing to its broker; `where` names it. A scheme that nobody speaks is no
    matter here."""
    descriptor = next((one for one in descriptors() if scheme in one.schemes), None)
    if descriptor is not None and (key := next((key for key in keys if key in descriptor.unused), None)) is not None:
        raise UsageProblem(f"{where(key)} is no setting for {descriptor.title}.", hint="leave it out")


def refused_option(scheme: str, options: Mapping[str, str]) -> Refusal | None:
    """Return the first of a context's options that its broker's client is not given; None when all are. Raises UsageProblem for an unknown
    scheme."""
    descriptor = find(scheme)
    if not descriptor.options:
        return None
    module, _, name = descriptor.options.partition(":")
    allowed: ClientOptions = getattr(import_module(module), name)
    return allowed.refusal(options, scheme)


def settings_of(descriptor: Descriptor) -> Settings:
    """Return the settings of what can be declared on a broker, by kind."""
    if not descriptor.declarable:
        return {}
    module, _, name = descriptor.declarable.partition(":")
    settings: Settings = getattr(import_module(module), name)
    return settings


def known_settings(descriptor: Descriptor, kind: str) -> tuple[Setting, ...]:
    """Return the settings of a kind. Raises Unsupported, with the descriptor's reason, where this broker has no such thing."""
    check_declarable(descriptor)
    settings = settings_of(descriptor)
    if kind in settings:
        return settings[kind]
    others = f"{descriptor.title} has: {', '.join(settings)}"
    if reason := descriptor.not_declarable.get(kind):
        raise Unsupported(f"{descriptor.title} has no {kind}s to declare: {reason}.", hint=others)
    raise Unsupported(f"brokercli declares no {kind}s on {descriptor.title}.", hint=others)


def check_declarable(descriptor: Descriptor) -> None:
    """Raise Unsupported where nothing at all can be declared on this broker."""
    if not settings_of(descriptor):
        raise Unsupported(f"brokercli declares nothing on {descriptor.title}.", hint="brokercli brokers says what each broker can do")


def _built_in(name: str) -> Descriptor:
    descriptor: Descriptor = import_module(f"brokercli.backends.{name}").descriptor
    return descriptor


def _plugins() -> Iterator[Descriptor]:
    from importlib.metadata import entry_points  # slow to import, and needed only for brokers that are not built in

    for entry_point in entry_points(group=ENTRY_POINTS):
        try:
            descriptor = entry_point.load()
        except Exception as problem:
            raise BrokercliError(f"The broker plugin {entry_point.name} ({entry_point.value}) cannot be loaded: {problem}",
                                 hint="update or uninstall the package that brings it") from problem
        if isinstance(descriptor, Descriptor):
            yield descriptor
