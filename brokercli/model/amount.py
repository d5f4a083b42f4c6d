"""How many there are of something, in words."""


def amount(count: int, what: str) -> str:
    """Return `1 message`, `2,000 messages`; `what` is a word of which there is one, and several have an s."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
