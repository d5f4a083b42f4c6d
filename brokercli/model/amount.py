"""How many there are of something, in words."""


def amount(count: int, one: str, several: str | None = None) -> str:
    """Return `1 message`, `2,000 messages`; `several` says what there is more of where that is not `one` with an s: `3 letters are`."""
    return f"{count:,} {one if count == 1 else f'{one}s' if several is None else several}"
