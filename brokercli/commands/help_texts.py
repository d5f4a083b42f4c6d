"""The topics of `brokercli help`: each is a text under `topics/`."""

from __future__ import annotations

from pathlib import Path

TOPICS = {
    "addresses": "where messages live and go",
    "positions": "places in what is stored: --from, --until, --range",
    "output": "bodies, envelopes, formats",
    "filters": "which records: --grep, --header, --where; which dead letters: --reason, --since",
    "topologies": "everything a broker should have, as one file",
    "contexts": "which broker is meant, and where its settings are written",
    "environment": "variables",
    "exit-codes": "what a script can rely on",
}
"""Topic → the line that announces it."""
_TEXTS = Path(__file__).parent / "topics"


def page(name: str) -> str:
    """Return a topic's text, with what the program itself knows filled in."""
    text = (_TEXTS / f"{name}.txt").read_text(encoding="utf-8")
    if name == "output":
        from brokercli.terminal.format import VERBS

        text = text.replace("{verbs}", "\n".join(f"              %{verb}  {what}" for verb, what in VERBS.items()))
    return text
