"""Lists and descriptions: aligned columns for people, one JSON object a line for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from brokercli.model.errors import UsageProblem
from brokercli.terminal.cells import NARROWEST, folded, padded, width_of
from brokercli.terminal.escape import json_of, visible, visible_json
from brokercli.terminal.streams import STYLES, Streams, terminal_width

if TYPE_CHECKING:
    from brokercli.model.description import Description

OUTPUTS = ("auto", "table", "json")
GAP = 2
# numbers that count; the others (offsets, ports, ids) are typed elsewhere as they stand, so nothing is put between their digits
COUNTS = frozenset({"messages", "records", "ready", "unacknowledged", "unacked", "pending", "lag", "in hand", "skipped", "read again", "members", "consumers",
                    "subscribers", "bytes", "size"})
_SIZES = frozenset({"bytes", "size"})


def print_table(streams: Streams, rows: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None, output: str = "auto") -> None:
    """Print rows; without `columns`, every key in the order it first appears. No rows print nothing.

    On a terminal columns fold at its width, and where even that is too narrow each row becomes a block of its own. In a pipe
    nothing is folded, cut or grouped. `json` is one object a line with the values as they are.
    """
    check_output(output)
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    if output == "json":
        print_json(streams, [{name: row.get(name) for name in names} if columns is not None else dict(row) for row in rows])
    elif rows:
        streams.write("".join(f"{line}\n" for line in _Layout(streams).table(rows, names)).encode())


def table_lines(streams: Streams, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the lines that `print_table` would print on this terminal as it is now."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    layout = _Layout(streams, terminal_width(streams.stdout_fd) - 1 if streams.stdout_is_terminal else None)
    return layout.table(rows, names) if rows else []


def print_description(streams: Streams, description: Description, output: str = "auto") -> None:
    """Print everything about one resource: facts, then its tables, then what could not be found out."""
    check_output(output)
    if output == "json":
        print_json(streams, [asdict(description)])
        return
    layout = _Layout(streams)
    lines = [f"{layout.style(visible(f'{description.kind} {description.name}'), 'bold')}"
             + (f"  {layout.style(visible(description.resource), 'dim')}" if description.resource not in (description.kind, "") else "")]
    lines += layout.facts(description.facts, indent=2)
    for section in description.sections:
        names = list(dict.fromkeys(name for row in section.rows for name in row))
        lines += ["", layout.style(visible(section.title), "bold")]
        lines += [f"  {line}" for line in layout.table(section.rows, names, indent=2)] if section.rows else [layout.style("  none", "dim")]
    if description.missing:
        lines += ["", layout.style("Not known", "bold"), *(f"  {line}" for reason in description.missing for line in layout.fold(visible(reason), 2))]
    streams.write("".join(f"{line.rstrip()}\n" for line in lines).encode())


def print_json(streams: Streams, values: Sequence[object]) -> None:
    """Print one JSON value a line."""
    print_json_lines(streams, [json_of(value) for value in values])


def print_json_lines(streams: Streams, lines: Sequence[bytes]) -> None:
    """Print JSON that is written already, one value a line; on a terminal without the control characters that JSON lets through."""
    show = visible_json if streams.stdout_is_terminal else bytes
    streams.write(b"".join(show(line) + b"\n" for line in lines))


def check_output(output: str) -> None:
    """Raise UsageProblem for a form of output that lists do not have."""
    if output not in OUTPUTS:
        raise UsageProblem(f"{output!r} is no form of output for a list.", hint=f"forms: {', '.join(OUTPUTS)}")


class _Layout:
    def __init__(self, streams: Streams, width: int | None = None) -> None:
        self._terminal = streams.stdout_is_terminal
        self._colour = streams.colour
        self._width = width or (streams.width if self._terminal else None)

    def style(self, text: str, style: str) -> str:
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self._colour and text else text

    def fold(self, text: str, indent: int) -> list[str]:
        return [text] if self._width is None else folded(text, max(self._width - indent, NARROWEST))

    def facts(self, facts: Mapping[str, object], indent: int) -> list[str]:
        label_width = max((width_of(_label(name)) for name in facts), default=0)
        lines: list[str] = []
        for name, value in facts.items():
            first, *others = self.fold(self._cell(name, value), indent + label_width + GAP)
            lines.append(" " * indent + self.style(padded(_label(name), label_width), "dim") + " " * GAP + first)
            lines += [" " * (indent + label_width + GAP) + other for other in others]
        return lines

    def table(self, rows: Sequence[Mapping[str, object]], names: Sequence[str], indent: int = 0) -> list[str]:
        cells = [[self._cell(name, row.get(name)) for name in names] for row in rows]
        right = [all(_is_number(row.get(name)) or row.get(name) is None for row in rows) and any(_is_number(row.get(name)) for row in rows) for name in names]
        titles = [_label(name).upper() for name in names]
        widths = [max(width_of(title), *(width_of(row[index]) for row in cells)) for index, title in enumerate(titles)]
        if self._width is not None:
            fitted = _fit(widths, [width_of(title) for title in titles], right, self._width - indent)
            if fitted is None:
                return self._blocks(cells, names)
            widths = fitted
        lines = [self.style(_line(titles, widths, right), "dim")]
        for row in cells:
            folds = [[cell] if self._width is None else folded(cell, width) for cell, width in zip(row, widths, strict=True)]
            for index in range(max(map(len, folds), default=0)):
                lines.append(_line([fold[index] if index < len(fold) else "" for fold in folds], widths, right))
        return lines

    def _blocks(self, cells: list[list[str]], names: Sequence[str]) -> list[str]:
        lines: list[str] = []
        label_width = max(width_of(_label(name)) for name in names)
        for row in cells:
            if lines:
                lines.append("")
            for name, cell in zip(names, row, strict=True):
                first, *others = self.fold(cell, label_width + GAP)
                lines.append(self.style(padded(_label(name), label_width), "dim") + " " * GAP + first)
                lines += [" " * (label_width + GAP) + other for other in others]
        return lines

    def _cell(self, name: str, value: object) -> str:
        if value is None:
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if self._terminal and isinstance(value, int) and name in COUNTS:
            return _size(value) if name in _SIZES else f"{value:,}"
        return visible(str(value))


def _fit(widths: list[int], titles: list[int], right: list[bool], available: int) -> list[int] | None:
    # the widest column of text gives way, a column at a time, never below its title or what is still readable
    fitted = [width if number else min(width, max(title, NARROWEST, available)) for width, title, number in zip(widths, titles, right, strict=True)]
    excess = sum(fitted) + GAP * (len(fitted) - 1) - available
    while excess > 0:
        elastic = [index for index, width in enumerate(fitted) if not right[index] and width > max(titles[index], NARROWEST)]
        if not elastic:
            return None
        fitted[max(elastic, key=lambda index: fitted[index])] -= 1
        excess -= 1
    return fitted


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return (" " * GAP).join(padded(cell, width, right=is_right) for cell, width, is_right in zip(cells, widths, right, strict=True)).rstrip()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _label(name: str) -> str:
    return visible(name.replace("_", " "))


def _size(count: int) -> str:
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024 or unit == "TiB":
            return f"{number:,.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return str(count)
