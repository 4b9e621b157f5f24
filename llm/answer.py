"""The units that flow out of `llm/`: answers with evidence, moments and spans; times are seconds of the one clock."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span [start, end] that an answer rests on, its match `score` in 0…1 and one sentence about it."""

    start: float
    end: float
    score: float
    caption: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A span [start, end] that matches a text; `score` in 0…1. `heard` is what was said in it, "" where it was seen."""

    start: float
    end: float
    score: float
    heard: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the timeline: one scene, its caption, and its mean motion energy in 0…1."""

    start: float
    end: float
    caption: str
    motion: float


@dataclass(frozen=True, slots=True)
class TokenUse:
    """How many frames were watched, how many video tokens stand for them now, and how many one frame takes."""

    frames: int
    video: int
    per_frame: int = 2


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What one memory holds now: entries, their tokens, bytes of KV cache, what was restored from a journal, in words
    ("" for nothing), and the tokens that it may take (0: not known).
    """

    entries: int
    tokens: int
    cached_bytes: int
    restored: str = ""
    room: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: taking the video in, from the question to the language model's first token, and from call to answer."""

    ingest_s: float
    first_token_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer: its text, the times and spans it rests on (in time order), and what it cost.

    `model` and `engine` (local, openai) put it into words; `note` says why another engine that was wanted did not.
    """

    answer: str
    timestamps: list[float] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    tokens: TokenUse = field(default_factory=lambda: TokenUse(0, 0))
    timing: Timing = field(default_factory=lambda: Timing(0.0, 0.0, 0.0))
    model: str = ""
    engine: str = "local"
    note: str = ""


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """One piece of a streamed answer: the text to append, and the whole answer with the last piece (else None)."""

    delta: str
    answer: Answer | None = None

    def __str__(self) -> str:
        return self.delta
