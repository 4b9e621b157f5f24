"""Which packets of a recording must be decoded to get the sampled pictures, and which need not.

Decoding costs a hundred times what reading does. At one picture a second, everything after the last wanted picture of a
group of pictures can be left out, and before it, pictures that no other picture refers to. The choice never changes
which pictures come out (a test compares with decoding everything): it only drops what cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

#: What is held while a group is examined: 4 minutes at 25 pictures a second, and at most 64 MB of compressed video.
LONGEST_GROUP = 6000
LARGEST_GROUP = 64 << 20


class PacketLike(Protocol):
    """What is asked of a packet (PyAV's `Packet`)."""

    pts: int | None
    size: int

    @property
    def is_keyframe(self) -> bool: ...

    @property
    def is_discard(self) -> bool: ...

    def __bytes__(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A packet to decode; of one that is not `wanted` only what later pictures refer to is needed."""

    packet: Any
    wanted: bool


class GroupPlanner:
    """Plans group by group (a key frame up to the next one), one group behind the reader.

    Streams with missing, repeated or backward stamps are decoded in full from the group where that is noticed on, as
    their times are only known after decoding.
    """

    def __init__(
        self,
        seconds: Callable[[int], float],
        grid: Callable[[float], int],
        longest_step: float,
        clean: Callable[[bytes], bool] = lambda _packet: True,
    ) -> None:
        """`seconds` turns a stamp into media seconds, `grid` gives the first grid index at or after media seconds.

        A step between key frames of more than `longest_step` seconds counts as broken stamps. `clean` says of a key
        frame's bytes whether decoding can begin there; before any other, nothing may be left out.
        """
        self._seconds = seconds
        self._grid = grid
        self._longest_step = longest_step
        self._clean = clean
        self._group: list[PacketLike] = []
        self._next: list[PacketLike] = []
        self._trusted = True
        self._bytes = 0
        self._first: int | None = None
        self.skipped = 0

    def push(self, packet: PacketLike) -> Iterator[Planned]:
        """Take the next packet in decoding order; gives the packets that are due, planned."""
        if not self._trusted:
            yield Planned(packet, True)
            return
        if packet.pts is None:
            yield from self._give_up(packet)
            return
        self._bytes += packet.size
        if self._first is None:
            self._first = packet.pts
        if self._next:
            # Pictures right after a key frame that are shown before it (an open group) may refer to the group before:
            # only the first picture shown after the key frame says that there are no more of them.
            self._next.append(packet)
            key = self._next[0].pts
            if packet.is_keyframe or (key is not None and packet.pts > key):
                yield from self._close()
        elif packet.is_keyframe and self._group:
            last = self._group[0].pts
            if last is None or not 0 < self._seconds(packet.pts) - self._seconds(last) <= self._longest_step:
                yield from self._give_up(packet)
            else:
                self._next.append(packet)
        else:
            self._group.append(packet)
            if len(self._group) > LONGEST_GROUP or self._bytes > LARGEST_GROUP:
                yield from self._give_up(None)

    def finish(self) -> Iterator[Planned]:
        """The stream is over: plans what is left. The last picture is always wanted."""
        if self._next:
            yield from self._close()
        for packet in self._group:
            yield Planned(packet, True)
        self._group = []

    def _close(self) -> Iterator[Planned]:
        key = self._next[0]
        leading = [packet for packet in self._next[1:] if (packet.pts or 0) < (key.pts or 0)]
        shown = sorted(
            {packet.pts for packet in (*self._group, *leading, key) if packet.pts is not None and not packet.is_discard}
        )
        # Until a picture's successor is shown, the grid times in between are its own.
        wanted = {
            now for now, then in pairwise(shown)
            if self._grid(self._seconds(now)) < self._grid(self._seconds(then))
        }  # fmt: skip
        if self._first is not None:  # the film's first picture stands for its first grid time wherever it lies
            wanted.add(self._first)
        last = max((i for i, packet in enumerate(self._group) if packet.pts in wanted), default=-1)
        if leading or not self._clean(bytes(key)):
            last = len(self._group) - 1
        for packet in self._group[: last + 1]:
            yield Planned(packet, packet.pts in wanted)
        self.skipped += len(self._group) - last - 1
        self._group, self._next = self._next, []
        self._bytes = sum(packet.size for packet in self._group)

    def _give_up(self, packet: PacketLike | None) -> Iterator[Planned]:
        self._trusted = False
        rest = [*self._group, *self._next, *([packet] if packet is not None else [])]
        self._group, self._next = [], []
        for late in rest:
            yield Planned(late, True)
