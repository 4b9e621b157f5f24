"""What is said in a recording: recognised once, when it is first asked about.

Recognition takes about a twentieth of the playing time. So a film is opened without it; a question about what was said
has it done. A question that may also be answered by pictures has it done for talks alone: recordings in whose first
minute somebody speaks for half of the time, which takes a second to find out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from llama_vid.errors import BundleError, SourceError
from llama_vid.llm.speech.lines import Sentences
from llama_vid.llm.speech.pieces import pieces, recognise_recording
from llama_vid.llm.speech.voice import find_voices
from llama_vid.llm.speech.words import Line
from llama_vid.stream.audio_file import AudioFile

if TYPE_CHECKING:
    from llama_vid.llm.speech.recogniser import Hearing

logger = logging.getLogger(__name__)

#: How much of a recording tells whether it is a talk, and the share of it in which somebody must speak.
TASTED_S: Final = 60.0
TALK: Final = 0.5
#: Seconds of voice that make sound without pictures worth asking about.
SPOKEN_S: Final = 1.0

Progress = Callable[[float, float | None], None]


class FilmSpeech:
    """Fulfils `llama_vid.llm.transcript.Transcript` for one file. Belongs to the film's thread.

    `load` gives the speech model when it is first needed.
    """

    def __init__(self, path: str, load: Callable[[], Hearing]) -> None:
        self._path, self._load = path, load
        self._lines: list[Line] = []
        self._work: Iterator[float] | None = None  # recognition that was begun
        self._sound: AudioFile | None = None
        self._done = False
        self._silent = ""
        self._talk: bool | None = None
        self.warnings: list[str] = []

    def listening(self, *, asked: bool) -> Iterator[None]:
        """Recognise the recording, a piece of half a minute a step; what was begun and left is gone on with."""
        if self._done or not (asked or self.is_talk):
            return
        try:
            for _ in self.recognising():
                yield
        except BundleError as missing:
            if asked:
                raise
            logger.warning("%s; so it is answered from the pictures alone", missing)
            self._talk = False

    def recognising(self) -> Iterator[float]:
        """As `listening`: the seconds heard so far, after each piece."""
        if self._done:
            return
        if self._work is None:
            self._work = self._recognised()
        try:
            while (seconds := next(self._work, None)) is not None:
                yield seconds
        except BundleError:
            self._work = None  # for when its package is there
            raise
        except SourceError as problem:
            self._silent = f"it has no sound that can be heard ({problem})"
            self._done = True

    def lines(self, start: float, end: float) -> Sequence[Line]:
        """Lines that share time with [start, end], in time order; none before it was listened to."""
        return [line for line in self._lines if line.end >= start and line.start <= end]

    def worded(self, line: Line) -> Line:
        """The line: it has its words."""
        return line

    @property
    def silent(self) -> str:
        """Why nothing is heard, where that is so."""
        return self._silent

    @property
    def heard(self) -> bool:
        """Whether it was listened to."""
        return self._done

    @property
    def duration(self) -> float | None:
        """The sound's length in seconds, once it is being listened to."""
        return self._sound.duration if self._sound is not None else None

    @property
    def is_talk(self) -> bool:
        """Whether somebody speaks for half of the first minute."""
        if self._talk is None:
            self._talk = self._voiced(TASTED_S, lambda voiced, heard: voiced >= TALK * heard > 0)
        return self._talk

    @property
    def speaks(self) -> bool:
        """Whether anybody speaks at all."""
        return self._voiced(float("inf"), lambda voiced, _heard: voiced >= SPOKEN_S, soon=True)

    def _voiced(self, limit: float, enough: Callable[[float, float], bool], *, soon: bool = False) -> bool:
        """Whether there is `enough` voice in so many seconds; `soon`: as soon as there is."""
        voiced = heard = 0.0
        try:
            for piece in pieces(takewhile(lambda block: block.seconds < limit, AudioFile(self._path))):
                heard += piece.end - piece.seconds
                voiced += sum(voice.end - voice.start for voice in find_voices(piece.samples, piece.seconds))
                if soon and enough(voiced, heard):
                    return True
        except SourceError as none:
            logger.info("no sound: %s", none)
        return enough(voiced, heard)

    def _recognised(self) -> Iterator[float]:
        self._sound, sentences, reached = AudioFile(self._path), Sentences(), [0.0]
        for stretch in recognise_recording(self._load(), self._sound, progress=lambda done: reached.append(done)):
            self._lines += sentences.push(stretch.words)
            yield reached[-1]
        self._lines += sentences.finish()
        self.warnings = list(self._sound.warnings)
        self._done = True
