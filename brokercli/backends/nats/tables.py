"""Settings that are tables, or lists of them: which fields there are, of what form, and what no server makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from brokercli.backends.nats.permitted import check_time
from brokercli.backends.nats.settings import TABLE_FIELDS
from brokercli.backends.nats.subjects import check_stream_name, check_subject, has_wildcards, overlap
from brokercli.backends.nats.transforms import fault_of_transform
from brokercli.model.declaration import Declaration, SettingValue
from brokercli.model.errors import UsageProblem

_FORMS: dict[str, tuple[type, str]] = {
    "opt_start_seq": (int, "a whole number"), "inactive_threshold": (int, "a whole number, of nanoseconds"), "max_ack_pending": (int, "a whole number"),
    "headers_only": (bool, "true or false"), "tags": (list, "a list"), "subject_transforms": (list, "a list of tables"), "external": (dict, "a table"),
    "consumer": (dict, "a table")}
"""Of fields in tables that are no texts. The server refuses a request with any other, when half a topology may be made."""


def check_tables(declaration: Declaration, name: str, value: SettingValue) -> None:
    """Raise UsageProblem for what no table of this setting can be."""
    fields = TABLE_FIELDS.get(name)
    if fields is None and name != "metadata":
        return
    tables = [table for table in (value if isinstance(value, list) else [value]) if isinstance(table, dict) and table]
    for table in tables:
        for field, given in table.items():
            if fields is not None and field not in fields:
                near = get_close_matches(field, fields, 1)
                raise UsageProblem(f"{declaration}: {name} has no field {field!r}.", hint=f"did you mean {near[0]}?" if near else f"it has {', '.join(fields)}")
            form, words = (str, "a text") if name == "metadata" else _FORMS.get(field, (str, "a text"))
            if not isinstance(given, form) or (form is int and isinstance(given, bool)):
                raise UsageProblem(f"{declaration}: {field} of {name} is {words}, and {json.dumps(given, ensure_ascii=False)} is not.")
        if name in ("mirror", "sources"):
            _check_origin(declaration, name, table)
        elif name in ("republish", "subject_transform"):
            _check_transform(declaration, name, table)
    if name == "sources" and any(table in tables[:place] for place, table in enumerate(tables)):
        raise UsageProblem(f"{declaration}: sources names the same stream twice with the same filter.", hint="each filter_subject of a stream once")


def _check_origin(declaration: Declaration, name: str, origin: Mapping[str, object]) -> None:
    """A name that is none would be asked about in words that are no question: no answer ever comes to those."""
    if not origin.get("name"):
        raise UsageProblem(f"{declaration}: {name} names no stream to copy from.", hint="name=ORDERS")
    check_stream_name(str(origin["name"]))
    external = origin.get("external")
    if isinstance(external, dict) and external:
        api = str(external.get("api") or "")
        if api and (has_wildcards(api) or overlap(api, "$JS.API")):
            raise UsageProblem(f"{declaration}: the api of external in {name} is where the API of another account or domain begins, and {api} is not.",
                               hint="$JS.DOMAIN.API; leave external out for a stream of the same account")
    elif origin["name"] == declaration.name:
        raise UsageProblem(f"{declaration}: {name} names the stream itself, which would copy its own copies for ever.")
    start = origin.get("opt_start_seq")
    if isinstance(start, int) and start < 0:
        raise UsageProblem(f"{declaration}: opt_start_seq of {name} cannot be negative.")
    check_time(declaration, f"opt_start_time of {name}", origin.get("opt_start_time"))
    if origin.get("filter_subject"):
        check_subject(str(origin["filter_subject"]))
    transforms = list(_transforms(origin))
    if transforms and origin.get("filter_subject"):
        raise UsageProblem(f"{declaration}: {name} has filter_subject and subject_transforms: what src of a transform matches is its filter.",
                           hint="leave filter_subject out")
    for place, transform in enumerate(transforms):
        _check_transform(declaration, f"subject_transforms of {name}", transform)
        for other in transforms[:place]:
            one, two = (str(each.get("src") or ">") for each in (other, transform))
            if overlap(one, two):
                raise UsageProblem(f"{declaration}: src {one} and {two} in subject_transforms of {name} overlap.")


def _transforms(origin: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    given = origin.get("subject_transforms")
    yield from (one for one in given if isinstance(one, dict)) if isinstance(given, list) else ()


def _check_transform(declaration: Declaration, name: str, table: Mapping[str, object]) -> None:
    problem = fault_of_transform(str(table.get("src") or ""), str(table.get("dest") or ""))
    if problem:
        raise UsageProblem(f"{declaration}: {name} cannot rewrite subjects so: {problem}.")
