"""The work of `ls`: a pattern, a broker, and rows."""

from __future__ import annotations

import re
from dataclasses import replace

from brokercli.backends.registry import Descriptor, find, open_backend
from brokercli.model.address import KINDS, Address, parse_address
from brokercli.model.capability import Capability
from brokercli.model.description import Listing
from brokercli.model.errors import Unsupported, UsageProblem
from brokercli.model.pattern import matches
from brokercli.model.scheme import SCHEME, with_one_scheme
from brokercli.settings.resolve import resolve_connection
from brokercli.terminal.streams import Streams
from brokercli.terminal.tables import print_table


def list_names(streams: Streams, pattern: str | None, context_name: str | None, output: str, connect_timeout: float | None) -> int:
    """Print what matches, and return how many do."""
    address = parse_pattern(pattern)
    resolved = resolve_connection(address, context_name, seconds=connect_timeout)
    descriptor = find(resolved.connection.scheme)
    kinds = _kinds(descriptor, address)
    connection = resolved.within(connect_timeout)
    with open_backend(connection) as backend:
        found = [listing for listing in backend.list(kinds) if address is None or matches(listing.name, address.name)]
        not_shown = "" if found else backend.not_shown()
    print_table(streams, [_row(listing, output) for listing in found], _columns(found) if output != "json" else None, output=output)
    if not found and output != "json":
        everything = address is None or (address.name == "*" and address.kind is None)
        streams.say(f"nothing {'there' if everything else 'of this name'} on {resolved.name}")
    if not_shown:
        streams.say(f"there may be more: {not_shown}")
    return len(found)


def parse_broker(text: str | None) -> Address | None:
    """Read `@CONTEXT/` or a broker's URL; None for anything else, a name on it among that."""
    if not text or not (text.startswith("@") or "://" in text) or text.endswith("*"):
        return None
    address = parse_pattern(text)
    return address if address is not None and address.name == "*" and address.kind is None else None


def parse_pattern(text: str | None) -> Address | None:
    """Read an address whose name may hold * and ?, and may be left out behind a kind, a context or a broker's URL."""
    if not text:
        return None
    text = with_one_scheme(text)
    open_end = re.fullmatch(rf"@[^/\s]+/?|{SCHEME}://[^/]+(/[^/]+)?/?", text)
    if text.partition(":")[0] in KINDS and text.endswith(":"):
        text += "*"
    elif text.startswith("@") and open_end:
        text = f"{text.removesuffix('/')}/*"
    elif text.startswith("@") and text.endswith(":"):
        text += "*"
    elif "://" in text and open_end and (text.count("/") == 2 or text.endswith("/")):
        text = f"{text.removesuffix('/')}/*"
    address = parse_address(text)
    return replace(address, name=f"{address.name}/{address.route}", route=None) if address.route is not None else address


def _kinds(descriptor: Descriptor, address: Address | None) -> tuple[str, ...]:
    kinds = descriptor.kinds if address is None or address.kind is None else (address.kind,)
    if address is not None and address.kind not in (None, *descriptor.kinds):
        raise UsageProblem(f"{descriptor.title} has no {address.kind}s; it has {' and '.join(f'{kind}s' for kind in descriptor.kinds)}.")
    if not any(answers[Capability.LIST] for answers in descriptor.support.values()):
        reason = next(answers[Capability.LIST].note for answers in descriptor.support.values())
        raise Unsupported(f"{descriptor.title} cannot be listed: {reason}", hint="brokercli brokers says what each broker can do")
    return () if kinds == descriptor.kinds else kinds


def _row(listing: Listing, output: str) -> dict[str, object]:
    known: dict[str, object] = {"kind": listing.kind, "name": listing.name, "resource": listing.resource, "messages": listing.messages, "bytes": listing.bytes}
    return known | {"facts": listing.facts} if output == "json" else known | listing.facts


def _columns(found: list[Listing]) -> list[str]:
    columns = ["kind", "name"]
    if any(listing.resource != listing.kind for listing in found):
        columns.append("resource")
    columns += [name for name in ("messages", "bytes") if any(getattr(listing, name) is not None for listing in found)]
    facts = dict.fromkeys(name for listing in found for name, value in listing.facts.items() if value is not None)
    return [*columns, *(name for name in facts if name not in columns)]
