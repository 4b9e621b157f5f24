"""Streaming recognition: a window of sound that grows and is cut, recognised again and again until words are certain.

Synchronous and without a clock of its own, so that the same sound in the same pieces gives the same events; the thread
around it is `CaptionStream`.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Final, Protocol

import numpy as np

from llama_vid.llm.speech.agreement import Agreement
from llama_vid.llm.speech.doubt import Doubt
from llama_vid.llm.speech.effort import EFFORTS, Effort
from llama_vid.llm.speech.repeats import cut_repeats
from llama_vid.llm.speech.voice import PAD_S, PAUSE_S, Voice, find_voices, is_voiced
from llama_vid.llm.speech.whisper import Heard, prompt_of
from llama_vid.llm.speech.words import CaptionEvent, Line, Word, ends_sentence
from llama_vid.stream.audio import RATE, AudioBlock, Samples

#: Words that end so close to the end of the sound may be cut in half: they wait for the next recognition.
EDGE_S: Final = 0.15
#: The same where each word is recognised once: the last word of a window is hardly longer.
_CUT_S: Final = 0.6
#: Words that two recognitions in a row did not agree on are committed as they are once they are so old.
PATIENCE_S: Final = 6.0
#: What is kept of the sound while nobody speaks: the onset of a word is noticed a little late.
ONSET_S: Final = 0.5
#: A window that is cut keeps this much, for Whisper to hear how the sentence began.
_KEPT_S: Final = 3.0
#: Holes up to this many seconds between blocks are taken for silence.
_HOLE_S: Final = 2.0


class Hearing(Protocol):
    """What is asked of a speech model (`SpeechModel`)."""

    def hear(
        self,
        samples: Samples,
        start: float,
        *,
        beam: int = 5,
        prompt: str = "",
        hotwords: str = "",
        whole: bool = False,
    ) -> Heard: ...


class Recogniser:
    """One stream's recognition. `push` sound, `due` says whether to `recognise`, `finish` at the end."""

    def __init__(self, model: Hearing, *, hotwords: str = "") -> None:
        self._model, self._hotwords = model, hotwords
        self._window: Samples = np.zeros(0, dtype=np.float32)
        self._start = 0.0
        self._heard_until = 0.0
        self._agreement = Agreement()
        self._doubt = Doubt()
        self._effort = EFFORTS[0]
        self._said: list[Word] = []
        self._shown: tuple[Word, ...] = ()
        self._begun = False
        self._pending: list[CaptionEvent] = []
        self.passes = 0
        self.words = 0
        self.left_out = 0
        self.speaking = False

    @property
    def end(self) -> float:
        """The media time up to which sound has come."""
        return self._start + len(self._window) / RATE

    @property
    def settled(self) -> float:
        """The media time up to which no word will be committed any more that was not yet."""
        if self._agreement.tail:
            return min(self._agreement.tail[0].start, self.end)
        return (
            max(self._agreement.until, min(self._heard_until, self.end) - ONSET_S)
            if not self.speaking
            else max(self._agreement.until, self._start)
        )

    @property
    def unclear(self) -> bool:
        """Speech is heard that the model does not understand (another language, for one): its words are left out."""
        return self._doubt.unclear

    @property
    def unheard_s(self) -> float:
        """Seconds of sound that came since the last recognition."""
        return self.end - self._heard_until if self._begun else 0.0

    def push(self, block: AudioBlock) -> None:
        """Take the next block. Where time is missing before it, what was heard until then is settled."""
        if self._begun:
            hole = block.seconds - self.end
            if block.gap or abs(hole) > _HOLE_S:
                self._pending += self.finish()
            elif hole > 0.01:
                self._window = np.concatenate([self._window, np.zeros(round(hole * RATE), dtype=np.float32)])
        if not self._begun:
            self._begun = True
            self._window = np.zeros(0, dtype=np.float32)
            self._start = self._heard_until = block.seconds
            self._agreement.forget(block.seconds)
        self._window = np.concatenate([self._window, block.samples])

    def due(self, effort: Effort = EFFORTS[0]) -> bool:
        """Whether enough new sound has come for another recognition."""
        return bool(self._pending) or self.unheard_s >= effort.step_s

    def recognise(self, effort: Effort = EFFORTS[0]) -> list[CaptionEvent]:
        """Recognise the window once more; gives what that makes final, and the partial caption where it changed."""
        events, self._pending = self._pending, []
        self._effort = effort
        if not self._begun or not len(self._window):
            return events
        voices = find_voices(self._window, self._start)
        end = self.end
        quiet = end - voices[-1].end + PAD_S if voices else end - self._start
        over = quiet >= PAUSE_S
        self.speaking = bool(voices) and not over
        fresh = [voice for voice in voices if voice.end > max(self._agreement.until, self._start) + PAD_S]
        if fresh and (voices[-1].end > self._heard_until - PAUSE_S - PAD_S or self._agreement.tail):
            final = self._agree(voices, effort, over=over)
        else:
            final = self._agreement.settle() if over else ()
        self._heard_until = end
        self._cut(voices, effort, over=over)
        return events + self._tell(final, self._agreement.tail if effort.partials else ())

    def finish(self) -> list[CaptionEvent]:
        """The sound is over, or breaks: recognise what was not heard yet and commit everything."""
        events, self._pending = self._pending, []
        if self._begun:
            final: tuple[Word, ...] = ()
            voices = find_voices(self._window, self._start)
            if self.unheard_s > 0.1 and voices and voices[-1].end > self._heard_until:
                final = self._agree(voices, self._effort, over=True)
            final += self._agreement.settle()
            events += self._tell(final, ())
        self._begun = False
        self._window = np.zeros(0, dtype=np.float32)
        return events

    def _agree(self, voices: tuple[Voice, ...], effort: Effort, *, over: bool) -> tuple[Word, ...]:
        """One recognition of the window from its first voice on; gives the words that are certain with it."""
        first = max(0, round((voices[0].start - self._start) * RATE))
        last = round((voices[-1].end - self._start) * RATE) if over else len(self._window)
        begin = self._start + first / RATE
        before = [word for word in self._said if word.end <= begin + 0.05]
        heard = self._model.hear(
            self._window[first:last], begin, beam=effort.beam, prompt=prompt_of(before), hotwords=self._hotwords
        )
        self.passes += 1
        words = [word for word in heard.words if is_voiced(word.start, word.end, voices)]
        self.left_out += heard.left_out + len(heard.words) - len(words)
        # Without a second recognition, only what may be cut in half waits for the next one.
        settled = self.end if over else self.end - (PATIENCE_S if effort.partials else _CUT_S)
        final = self._agreement.insert(
            words,
            edge=self.end - EDGE_S,
            settled=settled,
        )
        kept = cut_repeats(self._agreement.tail, self._said[-72:] + list(final))
        self.left_out += len(self._agreement.tail) - len(kept)
        self._agreement.tail = kept
        return final

    def _cut(self, voices: tuple[Voice, ...], effort: Effort, *, over: bool) -> None:
        """Shorten the window: behind a pause to its end, and a long one to the best place in what is committed."""
        if over or not voices:
            self._cut_at(self.end - ONSET_S)
            return
        long = self.end - self._start
        if long <= effort.window_s - 3.0:
            return
        # Between two committed words, where a sentence ended or the speaker drew breath, and late.
        inside = [word for word in self._agreement.committed if word.end > self._start]
        places: list[tuple[float, float]] = []
        for word, after in zip_longest(inside, inside[1:]):
            if word.end > self.end - _KEPT_S:
                break
            pause = after.start - word.end if after is not None else 0.0
            worth = 6.0 * ends_sentence(word.text) + 2.0 * word.text.endswith((",", ";", ":")) + 4.0 * min(pause, 1.0)
            places.append((worth + (word.end - self._start) / 2, word.end + min(pause / 2, PAD_S)))
        if places:
            self._cut_at(max(places)[1])
        elif long > effort.window_s + PATIENCE_S:
            # Nothing could be made of it: only the latest is kept.
            self._cut_at(self.end - _KEPT_S)

    def _cut_at(self, seconds: float) -> None:
        drop = round((seconds - self._start) * RATE)
        if drop > 0:
            self._window = self._window[drop:].copy()
            self._start += drop / RATE
            self._agreement.forget(self._start)

    def _tell(self, final: tuple[Word, ...], tail: tuple[Word, ...]) -> list[CaptionEvent]:
        events = []
        believed = self._doubt.sift(final)
        self.left_out += len(final) - len(believed)
        final = believed
        if self._doubt.unclear:
            tail = ()
        if final:
            final = _capitals(final, self._said)
            self._said = [*self._said, *final][-120:]
            self.words += len(final)
            events.append(CaptionEvent("final", Line.of(final)))
        if tail != self._shown:
            self._shown = tail
            events.append(CaptionEvent("partial", Line.of(tail) if tail else None))
        return events


def _capitals(words: tuple[Word, ...], before: list[Word]) -> tuple[Word, ...]:
    """Words with a capital after each full stop: the window may have been cut just there, and Whisper not known it."""
    taken: list[Word] = []
    for word in words:
        last = taken[-1] if taken else before[-1] if before else None
        if (last is None or ends_sentence(last.text)) and word.text[:1].islower():
            word = Word(word.start, word.end, word.text[0].upper() + word.text[1:], word.probability)
        taken.append(word)
    return tuple(taken)
