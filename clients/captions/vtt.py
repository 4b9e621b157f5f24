"""WebVTT (W3C recommendation): a whole file, or one that grows cue by cue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from llama_vid.clients.captions.cues import Cue

HEADER: Final = "WEBVTT\n\n"
MEDIA_TYPE: Final = "text/vtt; charset=utf-8"


def timestamp(seconds: float, comma: bool = False) -> str:
    """Seconds as 00:00:00.000, with a comma for SRT; negative ones are 0."""
    whole = max(0, round(seconds * 1000))
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{',' if comma else '.'}{rest % 1000:03}"


def escaped(line: str) -> str:
    """A line of text as cue text: no tags, no arrow, no control characters."""
    line = re.sub(r"[\x00-\x1f\x7f]+", " ", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cue_block(cue: Cue, origin: float = 0.0) -> str:
    """A cue with the blank line behind it; `origin` is the media second that the player calls 0."""
    start, end = timestamp(cue.start - origin), timestamp(max(cue.end, cue.start + 0.001) - origin)
    return f"{start} --> {end}\n" + "".join(f"{escaped(line)}\n" for line in cue.lines) + "\n"


def vtt(cues: Iterable[Cue], origin: float = 0.0, *, note: str = "") -> str:
    """A whole file. Cues that end before `origin` are left out; `note` is a comment for people."""
    comment = f"NOTE {escaped(note)}\n\n" if note else ""
    return HEADER + comment + "".join(cue_block(cue, origin) for cue in cues if cue.end > origin)
