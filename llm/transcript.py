"""What was said beside a memory, looked through: lines that match a topic by their words and by their sense, chapters.

Lines are found in two ways, which make up for each other. The words of the topic that a line has, weighed by how rare
they are in the transcript, find names and terms. The cosine of topic and line as sentences (MiniLM, Reimers and
Gurevych 2019) finds what was said in other words. Nothing is generated: a line is quoted as it was recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from llama_vid.llm.answer import Moment
from llama_vid.llm.questions import sanitize
from llama_vid.llm.speech.chapters import Chapter, dividing
from llama_vid.llm.speech.words import Line
from llama_vid.llm.topic import Topic

Encode = Callable[[Sequence[str]], Tensor]
#: Sentences that are embedded in one step: some 50 ms on one core, so that frames have their turn in between.
STEP: Final = 16
#: Embeddings that are kept: 15 MB, what is said in two days of lectures.
KEPT: Final = 20_000
#: Lines of a long transcript whose sense is compared: the newest, and all that share a word with the topic.
COMPARED: Final = 4_000
#: What all words of a topic are worth beside the likeness of sense (0…1).
WORDS_WORTH: Final = 0.6
#: A line with this score is about the topic.
FOUND: Final = 0.45
#: So long a silence parts two talks: a talk's chapters do not depend on what was said hours before.
SILENCE_S: Final = 600.0
#: Divided talks that are kept.
TALKS: Final = 16


class Transcript(Protocol):
    """Where lines come from: a camera's captions and journal, or the sound of a film.

    `listening` is the work that is still to do before `lines` knows all (a film is listened to when it is first asked
    about), in steps; `asked` is False where a question can do without: only a talk is then listened to. `lines` gives
    those that share time with [start, end], in time order; their words may be missing, `worded` has them. `silent` says
    why nothing can be heard at all, "" where it can.
    """

    def listening(self, *, asked: bool) -> Iterator[None]: ...
    def lines(self, start: float, end: float) -> Sequence[Line]: ...
    def worded(self, line: Line) -> Line: ...
    @property
    def silent(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Hit:
    """A line about a topic: its number among the lines asked, its score in 0…1, the share of the topic's words that it
    has, and whether it has them all.
    """

    line: Line
    number: int
    score: float
    share: float = 1.0
    worded: bool = True


class Heard:
    """A transcript ready to be asked. All calls belong to the thread that owns the tensors."""

    def __init__(self, transcript: Transcript, encode: Encode) -> None:
        """`encode` gives unit-length embeddings (N, D) of sentences."""
        self._transcript, self._encode = transcript, encode
        self._embeddings: dict[str, Tensor] = {}
        self._talks: dict[tuple[float, float, int, tuple[float, ...]], list[Chapter]] = {}

    def listening(self, *, asked: bool) -> Iterator[None]:
        """As the transcript's."""
        return self._transcript.listening(asked=asked)

    @property
    def silent(self) -> str:
        """Why nothing can be heard at all; "" where it can."""
        return self._transcript.silent

    def lines(self, start: float = float("-inf"), end: float = float("inf")) -> list[Line]:
        """The lines that share time with [start, end], without chat-template tokens; empty ones are left out."""
        cleaned = (
            Line(line.start, line.end, sanitize(line.text), line.words) for line in self._transcript.lines(start, end)
        )
        return [line for line in cleaned if line.text]

    def worded(self, line: Line) -> Line:
        """The line with its words' times, where they are known."""
        return self._transcript.worded(line)

    def forget(self) -> None:
        """Part of the transcript was forgotten: nothing that was worked out from it is kept."""
        self._embeddings.clear()
        self._talks.clear()

    def matching(self, lines: Sequence[Line], topic: str, *more: str) -> Generator[None, None, list[Hit]]:
        """The lines that are about a topic (or one of `more` wordings of it), best first; yields while it works."""
        wanted = Topic(topic, [line.text for line in lines])
        shares = [wanted.share(line.text) for line in lines]
        last = len(lines) - COMPARED
        numbers = [number for number, share in enumerate(shares) if share > 0 or number >= last]
        yield from self._embedding([lines[number].text for number in numbers])
        near = [0.0] * len(lines)
        if numbers:
            queries = self._encode([text for text in (topic, *more) if text]).float()
            rows = torch.stack([self._embeddings[lines[number].text].float() for number in numbers])
            for number, cosine in zip(numbers, (rows @ queries.T).max(1).values.tolist(), strict=True):
                near[number] = max(0.0, cosine)
        yield
        hits = [
            Hit(line, number, _score(near[number], share), round(share, 4), wanted.named(line.text))
            for number, (line, share) in enumerate(zip(lines, shares, strict=True))
        ]
        return sorted((hit for hit in hits if hit.score >= FOUND), key=lambda hit: hit.score, reverse=True)

    def moments(self, text: str, start: float, end: float, limit: int) -> Generator[None, None, list[Moment]]:
        """The lines that match a text, as moments of a search, best first."""
        found = yield from self.matching(self.lines(start, end), text)
        return [
            Moment(round(hit.line.start, 3), round(hit.line.end, 3), hit.score, hit.line.text) for hit in found[:limit]
        ]

    def chapters(self, start: float, end: float, cuts: Sequence[float]) -> Generator[None, None, list[Chapter]]:
        """The chapters of every talk that share time with [start, end], in time order; `cuts` are changes of picture.

        A talk is divided as a whole, so that a chapter is the same whichever span is asked for.
        """
        found: list[Chapter] = []
        for talk in talks(self.lines(), SILENCE_S):
            if talk[-1].end > start and talk[0].start < end:
                found += yield from self._divided(talk, cuts)
        return [chapter for chapter in found if chapter.end > start and chapter.start < end]

    def _divided(self, talk: Sequence[Line], cuts: Sequence[float]) -> Generator[None, None, list[Chapter]]:
        near = tuple(cut for cut in cuts if talk[0].start - SILENCE_S < cut < talk[-1].end)
        name = (talk[0].start, talk[-1].end, len(talk), near)
        if name not in self._talks:
            yield from self._embedding([line.text for line in talk])
            self._talks[name] = yield from dividing(talk, self._known, cuts=near)
            while len(self._talks) > TALKS:
                self._talks.pop(next(iter(self._talks)))
        return self._talks[name]

    def _known(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, those of lines from memory."""
        new = [text for text in texts if text not in self._embeddings]
        fresh = dict(zip(new, self._encode(new), strict=True)) if new else {}
        return torch.stack([(fresh.get(text, self._embeddings.get(text))).float() for text in texts])  # type: ignore[union-attr]

    def _embedding(self, texts: Sequence[str]) -> Generator[None, None, None]:
        """Have the embeddings of lines at hand; yields after each step."""
        new = [text for text in dict.fromkeys(texts) if text not in self._embeddings]
        for at in range(0, len(new), STEP):
            some = new[at : at + STEP]
            for text, row in zip(some, self._encode(some).half(), strict=True):
                self._embeddings[text] = row
            yield
        needed = set(texts)
        spare = [text for text in self._embeddings if text not in needed]
        for text in spare[: max(0, len(self._embeddings) - KEPT)]:
            del self._embeddings[text]


def _score(near: float, share: float) -> float:
    """Likeness of sense and the share of words as one score: either may be enough, both are best."""
    return round(1 - (1 - near) * (1 - WORDS_WORTH * share), 4)


def talks(lines: Sequence[Line], silence: float) -> Iterator[list[Line]]:
    """Lines (in time order) in runs with no longer `silence` between them."""
    talk: list[Line] = []
    for line in lines:
        if talk and line.start - talk[-1].end > silence:
            yield talk
            talk = []
        talk.append(line)
    if talk:
        yield talk
