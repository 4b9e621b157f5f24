"""Captions on their way through the server: told to everybody who listens, and read back from the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llama_vid.clients.captions.cues import Cue, CueMaker
from llama_vid.clients.captions.hls import HlsCaptions
from llama_vid.clients.live import CaptionListener
from llama_vid.listeners import Listeners
from llama_vid.llm.speech.words import CaptionEvent, Line, Word
from llama_vid.memory.records import Record

#: HLS segments that a live rendition lists: two minutes of 6 s each, as much as players look back for.
SEGMENTS: Final = 20
#: Called with a camera and a finished line of what was said there, in the event loop's thread.
LineListener = Callable[[str, Line], None]
#: The kind of the journal's records of what was said.
TRANSCRIPT: Final = "transcript"


class CaptionDesk:
    """Hands captions of all cameras on. All methods run in the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: Listeners[CaptionListener] = Listeners()
        self._line_listeners: Listeners[LineListener] = Listeners()
        self._renditions: dict[str, Rendition] = {}

    def take(self, camera: str, event: CaptionEvent) -> None:
        """Something was said, or is being said."""
        if event.type == "final" and event.line is not None:
            self.rendition(camera).push(event.line)
        for listener in self._listeners:
            listener(camera, event)

    def take_line(self, camera: str, line: Line) -> None:
        """A line is whole."""
        for listener in self._line_listeners:
            listener(camera, line)

    def listen_to_lines(self, listener: LineListener) -> Callable[[], None]:
        """Calls `listener(camera, line)` with every finished line from now on; the returned function ends that."""
        return self._line_listeners.add(listener)

    def rendition(self, camera: str) -> Rendition:
        """The live HLS captions of a camera."""
        return self._renditions.setdefault(camera, Rendition())

    def drop(self, camera: str) -> None:
        """The camera is gone, or is to forget: nothing of what was said is at hand any more."""
        self._renditions.pop(camera, None)

    def listen(self, listener: CaptionListener) -> Callable[[], None]:
        """Calls `listener(camera, event)` on every event from now on; the returned function ends that."""
        return self._listeners.add(listener)


class Rendition:
    """The last two minutes of one camera's captions as HLS: segments by the clock, numbered since the epoch.

    An MPEG timestamp of the stream is the clock's seconds (90 kHz, 33 bits); `EXT-X-PROGRAM-DATE-TIME` says the same.
    """

    def __init__(self) -> None:
        self._cues = CueMaker()
        self._hls = HlsCaptions(mpegts=0, keep=SEGMENTS, wall=True, name="captions/{}.vtt".format)

    def push(self, line: Line) -> None:
        """The next words that never change."""
        for cue in self._cues.push(line.words):
            self._hls.add(cue)

    def playlist(self, heard_to: float | None) -> str:
        """What is complete; `heard_to` is the second up to which all that was said has come."""
        if heard_to is not None:
            for cue in self._cues.tick(heard_to):
                self._hls.add(cue)
            since = self._cues.since
            self._hls.advance(heard_to if since is None else min(heard_to, since))
        return self._hls.playlist()

    def segment(self, number: int) -> str | None:
        """One segment as WebVTT; None where it is not listed."""
        return self._hls.segment(number) if number in self._hls.segments else None


def record_of(line: Line) -> Record:
    """A line as the journal keeps it, its words with their times."""
    words = [[round(word.start, 3), round(word.end, 3), word.text, round(word.probability, 3)] for word in line.words]
    return Record(TRANSCRIPT, line.start, line.end, line.text, {"words": words})


def words_of(record: Record) -> list[Word]:
    """The words of a line that the journal kept; none where it has no times."""
    found: Any = record.data.get("words", [])
    return [Word(float(start), float(end), str(text), float(p)) for start, end, text, p in found]


def cues_of(records: Sequence[Record]) -> list[Cue]:
    """What was said, as captions on the screen; records without words are left out."""
    maker, cues = CueMaker(), list[Cue]()
    for record in records:
        cues += maker.push(words_of(record))
    return cues + maker.finish()
