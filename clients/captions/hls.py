"""Captions as a subtitle rendition of an HLS stream (RFC 8216, section 3.5 and 4.3.4.1): WebVTT in segments.

A master playlist names it with `media_tag` and plays it beside the pictures; `X-TIMESTAMP-MAP` in each segment says
which MPEG timestamp (90 kHz) local second 0 is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from llama_vid.clients.captions.cues import Cue
from llama_vid.clients.captions.vtt import HEADER, cue_block

#: What FFmpeg's muxer begins counting at (1.4 s), the usual offset of streams that it makes.
FFMPEG_START: Final = 126_000
#: MPEG timestamps have 33 bits.
_ROUND: Final = 1 << 33


class HlsCaptions:
    """Cues of one stream, cut into segments of `segment_s` seconds from media second `origin` on.

    `mpegts` is the video's MPEG timestamp at `origin`. At most `keep` segments are listed (None: all, for a recording);
    cues before them are forgotten.
    """

    def __init__(
        self,
        origin: float = 0.0,
        *,
        segment_s: float = 6.0,
        mpegts: int = FFMPEG_START,
        keep: int | None = None,
        name: str | Callable[[int], str] = "captions",
        wall: bool = False,
    ) -> None:
        """`name` begins the segments' file names, or gives the address of each by its number; `wall` says that media
        seconds are UTC epoch seconds.
        """
        self._origin, self._segment_s, self._mpegts, self._keep = origin, segment_s, mpegts, keep
        self._name, self._wall = name, wall
        self._cues: list[Cue] = []
        self._until = origin
        self._first: int | None = 0 if not wall else None  # the first segment that there is
        self._ended = False

    @property
    def segments(self) -> range:
        """The numbers of the segments that are complete and still kept."""
        whole = (self._until - self._origin) / self._segment_s
        last = math.ceil(whole - 1e-9) if self._ended else math.floor(whole + 1e-9)
        first = self._first or 0
        return range(first if self._keep is None else max(first, last - self._keep), last)

    def add(self, cue: Cue) -> None:
        """The next cue, in order."""
        self._cues.append(cue)
        self.advance(cue.start)

    def advance(self, seconds: float) -> None:
        """Captions are complete up to that media second, whether or not anything was said."""
        if self._first is None:
            self._first = math.floor((seconds - self._origin) / self._segment_s)
        self._until = max(self._until, seconds)
        kept = self._origin + self.segments.start * self._segment_s
        self._cues = [cue for cue in self._cues if cue.end > kept]

    def finish(self, seconds: float | None = None) -> None:
        """The stream is over, at that media second: the last segment is complete, and the playlist says so."""
        end = max((cue.end for cue in self._cues), default=self._until)
        self.advance(end if seconds is None else max(end, seconds))
        self._ended = True

    def segment(self, number: int) -> str:
        """The WebVTT of one segment. A cue stands in every segment that it touches. Raises KeyError for others."""
        if number not in self.segments:
            raise KeyError(number)
        start = self._origin + number * self._segment_s
        end = start + self._segment_s
        # On the wall's clock local times would have six digits of hours: they count from the first segment.
        zero = self._origin + (self._first or 0) * self._segment_s
        mpegts = self._mpegts + round((zero - self._origin) * 90_000)
        head = HEADER.removesuffix("\n") + f"X-TIMESTAMP-MAP=MPEGTS:{mpegts % _ROUND},LOCAL:00:00:00.000\n\n"
        return head + "".join(cue_block(cue, zero) for cue in self._cues if cue.start < end and cue.end > start)

    def segment_name(self, number: int) -> str:
        """The file name under which the playlist lists a segment."""
        return self._name(number) if callable(self._name) else f"{self._name}-{number:06}.vtt"

    def playlist(self) -> str:
        """The media playlist of what is complete."""
        kept = self.segments
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{math.ceil(self._segment_s)}",
            f"#EXT-X-MEDIA-SEQUENCE:{kept.start}",
        ]
        if self._keep is None:
            lines.append(f"#EXT-X-PLAYLIST-TYPE:{'VOD' if self._ended else 'EVENT'}")
        for number in kept:
            start = self._origin + number * self._segment_s
            if self._wall:
                stamp = datetime.fromtimestamp(start, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{stamp}")
            length = min(self._segment_s, self._until - start) if self._ended else self._segment_s
            lines += [f"#EXTINF:{length:.3f},", self.segment_name(number)]
        return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if self._ended else []), ""])


def media_tag(uri: str, *, group: str = "captions", language: str = "en", name: str = "English") -> str:
    """The line of a master playlist that names the rendition; its variants then say `SUBTITLES="captions"`."""
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="{group}",NAME="{name}",LANGUAGE="{language}",'
        f'DEFAULT=YES,AUTOSELECT=YES,FORCED=NO,URI="{uri}"'
    )


def master(
    video: str, captions: str, *, bandwidth: int = 1_000_000, language: str = "en", name: str = "English"
) -> str:
    """A master playlist for one video playlist with its captions."""
    return "\n".join(
        [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            media_tag(captions, language=language, name=name),
            f'#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},SUBTITLES="captions"',
            video,
            "",
        ]
    )
