"""Whether decoding can begin at a key frame as if nothing had been before it.

In H.264 and H.265 a packet that is marked as a key frame may be a picture of an open group: a decoder that missed what
came before it counts the hole and puts its pictures out in the wrong order. Only an IDR picture forgets everything
(H.264 section 7.4.1.2.4, nal_unit_type 5; H.265 table 7-1, types 16 to 20).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

#: Enough of a packet to see its first slice behind parameter sets and messages.
_HEAD = 1 << 16


def clean_start(codec: str, extradata: bytes | None) -> Callable[[bytes], bool]:
    """A test for key-frame packets of this codec; `extradata` is the container's decoder configuration."""
    if codec not in ("h264", "hevc"):
        return lambda _packet: True
    h264 = codec == "h264"
    # The configuration record of MP4 and Matroska says how long the length before each unit is; others use start codes.
    record = extradata if extradata and extradata[0] == 1 else b""
    at = 4 if h264 else 21
    length = (record[at] & 3) + 1 if len(record) > at else 0

    def test(packet: bytes) -> bool:
        for unit in _units(packet[:_HEAD], length):
            kind = unit & 0x1F if h264 else unit >> 1 & 0x3F
            if h264 and 1 <= kind <= 5:
                return kind == 5
            if not h264 and kind < 32:
                return 16 <= kind <= 20
        return False

    return test


def _units(packet: bytes, length: int) -> Iterator[int]:
    """The first byte of each unit in a packet, with a length of `length` bytes before each, or with start codes (0)."""
    at = 0
    if length:
        while at + length < len(packet):
            yield packet[at + length]
            at += length + int.from_bytes(packet[at : at + length], "big")
        return
    while (at := packet.find(b"\0\0\1", at)) >= 0 and at + 3 < len(packet):
        yield packet[at + 3]
        at += 3
