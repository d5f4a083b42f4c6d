"""Which deliveries of a channel are settled and which are still held, and the frames that settle them."""

from __future__ import annotations

import struct

_ACK, _NACK = b"\0\x3c\0\x50", b"\0\x3c\0\x78"
_SETTLE = struct.Struct(">BHI4sQBB")
_MULTIPLE, _REQUEUE = 1, 2


class HeldTags:
    """Tags count from 1 and are one channel's. Its deliveries came in parts, each to a consumer of its own, or to that of the part before."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._lowest = 1
        self._settled: set[int] = set()
        """Tags above the lowest open one that are settled."""

    def end_part(self, tag: int, *, joined: bool = False) -> None:
        """Note the last tag of a part; `joined`: it is returned as one with the part before."""
        if joined:
            self._ends.pop()
        self._ends.append(tag)

    def held(self, taken: int) -> int:
        """Return how many of those up to the last that was taken are not settled."""
        return taken - (self._lowest - 1) - len(self._settled)

    def settle(self, tags: list[int]) -> None:
        """Note that these are handled; they ascend."""
        self._settled.update(tags)

    def acknowledging(self, channel: int, tags: list[int]) -> bytes:
        """Return what takes these, which are settled, out of the queue."""
        while self._lowest in self._settled:
            self._settled.discard(self._lowest)
            self._lowest += 1
        # everything below the lowest open tag is settled, so one acknowledgement stands for those of these that are there
        single = [tag for tag in tags if tag >= self._lowest]
        frames = [_frame(channel, _ACK, tags[len(tags) - len(single) - 1], _MULTIPLE)] if len(single) < len(tags) else []
        frames += [_frame(channel, _ACK, tag, 0) for tag in single]
        return b"".join(frames)

    def giving_back(self, channel: int) -> bytes:
        """Return what puts back all that are held, part by part in ascending order."""
        frames = []
        floor = self._lowest - 1
        for end in self._ends:
            last = end
            while last > floor and last in self._settled:
                last -= 1
            if last > floor:
                frames.append(_frame(channel, _NACK, last, _MULTIPLE | _REQUEUE))
            floor = max(floor, end)
        return b"".join(frames)


def _frame(channel: int, method: bytes, tag: int, bits: int) -> bytes:
    return _SETTLE.pack(1, channel, 13, method, tag, bits, 0xCE)
