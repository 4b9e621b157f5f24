"""A made-up talk and a speech model that hears it as Whisper would: garbled at the end, never the same twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from llama_vid.llm.speech.voice import Voice
from llama_vid.llm.speech.whisper import Heard
from llama_vid.llm.speech.words import CaptionEvent, Word
from llama_vid.stream.audio import RATE, AudioBlock, Samples

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def talk(count: int, *, each: float = 0.4, first: float = 0.2, pause_every: int = 0, pause: float = 1.5) -> list[Word]:
    """`count` different words, one after the other, with a pause after every so many."""
    words, at = [], first
    for n in range(count):
        text = f"{NUMBERS[n % 12]}{n}"
        words.append(Word(at, at + each - 0.05, text, 0.9))
        at += each
        if pause_every and (n + 1) % pause_every == 0:
            at += pause
    return words


def sound(words: Sequence[Word], seconds: float) -> Samples:
    """Samples that are 0.5 while a word is spoken."""
    samples = np.zeros(round(seconds * RATE), dtype=np.float32)
    for word in words:
        samples[round(word.start * RATE) : round(word.end * RATE)] = 0.5
    return samples


def blocks(samples: Samples, first: float = 0.0, step: int = RATE // 10) -> list[AudioBlock]:
    return [AudioBlock(first + n / RATE, samples[n : n + step]) for n in range(0, len(samples), step)]


def loud_voices(samples: Samples, start: float) -> tuple[Voice, ...]:
    """Where the sound of `sound` is loud, with pauses under half a second filled and 0.2 s around, as the real one."""
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    if not len(loud):
        return ()
    breaks = np.flatnonzero(np.diff(loud) > RATE // 2)
    firsts, lasts = np.r_[loud[0], loud[breaks + 1]], np.r_[loud[breaks], loud[-1]]
    end = start + len(samples) / RATE
    return tuple(
        Voice(max(start, start + a / RATE - 0.2), min(end, start + b / RATE + 0.2))
        for a, b in zip(firsts, lasts, strict=True)
    )


class Listener:
    """Hears the words of `truth` that lie in the window; the last one differently each time while it is cut."""

    def __init__(
        self, truth: Sequence[Word], *, slow_s: float = 0.0, invent: Callable[[int], str] | None = None
    ) -> None:
        self.truth, self.slow_s, self.invent = truth, slow_s, invent
        self.calls: list[tuple[float, float, int]] = []
        self.asked: list[str] = []
        self.released = threading.Event()

    def hear(
        self,
        samples: Samples,
        start: float,
        *,
        beam: int = 5,
        prompt: str = "",
        hotwords: str = "",
        whole: bool = False,
    ) -> Heard:
        end = start + len(samples) / RATE
        self.calls.append((start, end, beam))
        self.asked.append(hotwords)
        if self.slow_s:
            time.sleep(self.slow_s)
        inside = [word for word in self.truth if word.end > start + 0.1 and word.start < end - 0.02]
        if inside and inside[-1].end > end - 0.1:
            cut = inside[-1]
            inside[-1] = Word(cut.start, end, f"{cut.text[:2]}{len(self.calls)}", 0.5)
        if self.invent is not None:
            inside.append(Word(end - 0.05, end, self.invent(len(self.calls)), 0.9))
        return Heard(tuple(inside))


def finals(events: Sequence[CaptionEvent]) -> list[Word]:
    """All committed words."""
    return [word for event in events if event.type == "final" and event.line for word in event.line.words]


def bare(words: Sequence[Word]) -> list[str]:
    """Their texts as they were said, whatever capital a sentence's first word got."""
    return [word.text.lower() for word in words]


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Voices are found by loudness, so that made-up sound counts as speech."""
    monkeypatch.setattr("llama_vid.llm.speech.recogniser.find_voices", loud_voices)
    monkeypatch.setattr("llama_vid.llm.speech.pieces.find_voices", loud_voices)
