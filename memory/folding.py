"""Adaptive rate: a frame that says nothing new costs no token of its own.

While a scene stands still, every frame has the very same two tokens: the scene's held context token and the learned
motion token of stillness. Such a frame makes the last entry longer instead of adding one, and nothing is lost by it:
a quiet night is one pair with a duration, and the language model's KV cache does not change at all.
"""

from __future__ import annotations

from dataclasses import replace

from llama_vid.memory.entry import MemoryEntry

#: Seconds between two frames that still belong to one stretch: what was not watched is not claimed.
LONGEST_STEP = 5.0


def folded(last: MemoryEntry, entry: MemoryEntry) -> MemoryEntry | None:
    """`last` made longer by `entry`, which follows it, or None if `entry` has tokens of its own.

    Tokens are compared by identity: the compressor hands out the held token itself, bit for bit.
    """
    same = entry.pair.context is last.pair.context and entry.pair.motion is last.pair.motion
    if not same or entry.scene != last.scene or entry.pinned or last.pinned:
        return None
    if entry.start - last.end > LONGEST_STEP:
        return None
    # The picture is that of the first frame: the rest look like it, and nothing must be computed or written for them.
    return replace(last, end=entry.end, frames=last.frames + entry.frames, energy=max(last.energy, entry.energy))
