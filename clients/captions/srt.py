"""SubRip (SRT): numbered cues, commas in the times, text as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llama_vid.clients.captions.cues import Cue
from llama_vid.clients.captions.vtt import timestamp


def srt_block(number: int, cue: Cue, origin: float = 0.0) -> str:
    """The cue of that number (from 1) with the blank line behind it."""
    start = timestamp(cue.start - origin, comma=True)
    end = timestamp(max(cue.end, cue.start + 0.001) - origin, comma=True)
    # Players read a few HTML tags in SRT, and an arrow would be taken for the next cue's times.
    lines = [re.sub(r"[\x00-\x1f\x7f]+", " ", line).replace("<", "‹").replace("-->", "→") for line in cue.lines]
    return f"{number}\n{start} --> {end}\n" + "\n".join(lines) + "\n\n"


def srt(cues: Iterable[Cue], origin: float = 0.0) -> str:
    """A whole file."""
    shown = [cue for cue in cues if cue.end > origin]
    return "".join(srt_block(number, cue, origin) for number, cue in enumerate(shown, 1))
