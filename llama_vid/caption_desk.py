"""Captions on their way through the server: told to everybody who listens, and read back from the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llama_vid.clients.captions.cues import Cue, CueMaker
from llama_vid.clients.live import CaptionListener
from llama_vid.listeners import Listeners
from llama_vid.llm.speech.words import CaptionEvent, Line, Word
from llama_vid.memory.records import Record

#: The kind of the journal's records of what was said.
TRANSCRIPT: Final = "transcript"


class CaptionDesk:
    """Hands captions of all cameras on. All methods run in the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: Listeners[CaptionListener] = Listeners()

    def take(self, camera: str, event: CaptionEvent) -> None:
        """Something was said, or is being said."""
        for listener in self._listeners:
            listener(camera, event)

    def listen(self, listener: CaptionListener) -> Callable[[], None]:
        """Calls `listener(camera, event)` on every event from now on; the returned function ends that."""
        return self._listeners.add(listener)


def record_of(line: Line) -> Record:
    """A line as the journal keeps it, its words with their times."""
    words = [[round(word.start, 3), round(word.end, 3), word.text, round(word.probability, 3)] for word in line.words]
    return Record(TRANSCRIPT, line.start, line.end, line.text, {"words": words})


def cues_of(records: Sequence[Record]) -> list[Cue]:
    """What was said, as captions on the screen; records without words are left out."""
    maker, cues = CueMaker(), list[Cue]()
    for record in records:
        found: Any = record.data.get("words", [])
        cues += maker.push([Word(float(start), float(end), str(text), float(p)) for start, end, text, p in found])
    return cues + maker.finish()
