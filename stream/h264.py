"""H.264 as WebRTC wants it (RFC 6184, RFC 7742): Annex B, parameter sets with each key frame, no reordered pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_START: Final = b"\x00\x00\x00\x01"
#: Start codes, with the zero byte that may stand before one.
_STARTS: Final = re.compile(rb"\x00?\x00\x00\x01")

_IDR: Final = 5
_SPS: Final = 7
_PPS: Final = 8
#: Baseline, Main and High: 8 bits, 4:2:0. Browsers decode all three, whatever profile the SDP names.
_PROFILES: Final = (66, 77, 100)


def units(data: bytes) -> Iterator[bytes]:
    """The NAL units of an Annex B stream, without their start codes."""
    starts = list(_STARTS.finditer(data))
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(data)
        if end > start.end():
            yield data[start.end() : end]


def kind(unit: bytes) -> int:
    """A NAL unit's type."""
    return unit[0] & 0x1F


class Rewriter:
    """Makes Annex B with parameter sets out of one stream's packets, whatever container they come from.

    Once a key frame has come, `passable` says whether browsers can play the stream as it is.
    """

    def __init__(self, extradata: bytes) -> None:
        """`extradata` as FFmpeg gives it: an avcC box (ISO 14496-15), or parameter sets in Annex B, or nothing."""
        self._length = 0  # of the field before each unit; 0: Annex B
        if len(extradata) > 6 and extradata[0] == 1:
            self._length = (extradata[4] & 3) + 1
            self._sets = list(_avcc_sets(extradata))
        else:
            self._sets = [unit for unit in units(extradata) if kind(unit) in (_SPS, _PPS)]
        self._newest: float | None = None
        self._reordered = False

    @property
    def passable(self) -> bool:
        """Whether the stream has a profile that browsers play, and no picture that is shown before an earlier one."""
        profiles = [unit[1] for unit in self._sets if kind(unit) == _SPS and len(unit) > 3]
        return not self._reordered and bool(profiles) and all(profile in _PROFILES for profile in profiles)

    def rewrite(self, data: bytes, seconds: float | None, *, key: bool) -> bytes:
        """One packet (a picture) in Annex B; a key frame begins with its parameter sets."""
        if seconds is not None:
            self._reordered |= self._newest is not None and 0 < self._newest - seconds < 1.0
            self._newest = seconds
        if not self._length and not key:
            return data
        found = list(self._split(data))
        own = [unit for unit in found if kind(unit) in (_SPS, _PPS)]
        if any(kind(unit) == _SPS for unit in own):
            self._sets = own if any(kind(unit) == _PPS for unit in own) else self._sets
        if key and own != self._sets:
            found = [*self._sets, *(unit for unit in found if kind(unit) not in (_SPS, _PPS))]
        return b"".join(_START + unit for unit in found)

    def _split(self, data: bytes) -> Iterator[bytes]:
        if not self._length:
            yield from units(data)
            return
        at = 0
        while at + self._length < len(data):
            size = int.from_bytes(data[at : at + self._length])
            at += self._length
            if size:
                yield data[at : at + size]
            at += size


def begins_anew(data: bytes) -> bool:
    """Whether an Annex B packet holds an IDR picture: only from there can a viewer who joins decode."""
    return any(kind(unit) == _IDR for unit in units(data))


def _avcc_sets(box: bytes) -> Iterator[bytes]:
    at = 5
    for mask in (0x1F, 0xFF):  # how many SPS, then how many PPS
        if at >= len(box):
            return
        count = box[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(box[at : at + 2])
            unit = box[at + 2 : at + 2 + size]
            if unit:
                yield unit
            at += 2 + size
