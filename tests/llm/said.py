"""A transcript for tests: lines at their times, and an encoder that compares texts by the words that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm.answer import Evidence
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.questions import sort_question
from llama_vid.llm.speech.words import Line, Word
from llama_vid.llm.spoken import tell
from llama_vid.llm.spoken_questions import about_speech
from llama_vid.llm.transcript import Heard


def line(start: float, text: str, *, each: float = 0.5) -> Line:
    """A line whose words take `each` seconds."""
    words = [Word(start + n * each, start + (n + 0.9) * each, word, 0.9) for n, word in enumerate(text.split())]
    return Line.of(words)


def encode(texts: Sequence[str]) -> Tensor:
    """Unit-length vectors (N, 256) of texts' words, small ones less."""
    rows = torch.zeros(len(texts), 256)
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().split():
            bare = word.strip(".,?!")
            row[int(hashlib.md5(bare.encode()).hexdigest(), 16) % 256] += 0.1 if len(bare) < 4 else 1.0
    return F.normalize(rows, dim=-1)


@dataclass
class Said:
    """A transcript; `later` are the lines that it knows only after it was listened to."""

    known: list[Line]
    later: list[Line] = field(default_factory=list)
    silent: str = ""
    talk: bool = True

    def listening(self, *, asked: bool) -> Iterator[None]:
        if asked or self.talk:
            for new in self.later:
                self.known.append(new)
                yield
            self.later = []

    def lines(self, start: float, end: float) -> list[Line]:
        return [
            Line(each.start, each.end, each.text, ()) for each in self.known if each.end >= start and each.start <= end
        ]

    def worded(self, line: Line) -> Line:
        return next(each for each in self.known if each.start == line.start)


@dataclass
class Memory:
    """As much of a watched memory as speech needs: no pictures."""

    heard: Heard | None
    entries: tuple[Any, ...] = ()
    zone: Any = None


def ask(said: Said, question: str) -> tuple[str, list[Evidence]]:
    """The answer to a question about what was said, and its evidence in time order."""
    memory = Memory(Heard(said, encode))
    first, last = (said.known[0].start, said.known[-1].end) if said.known else (0.0, 0.0)
    asked = sort_question(question, first, last)
    about = about_speech(asked)
    assert about is not None, question
    inquiry = Inquiry(asked, memory, (), lambda: False, now=last)  # type: ignore[arg-type]
    text = "".join(tell(about, memory.heard, inquiry))  # type: ignore[arg-type]
    return text, sorted(inquiry.evidence, key=lambda item: item.start)
