"""Models with known answers, to show that the evaluations count right: what they return is computed from the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llama_vid.llm.answer import Answer, AnswerPiece, Moment
from llama_vid.stream.file import FileSource
from tests.conftest import read_second

Photo = npt.NDArray[np.uint8]


@dataclass
class NumberedTower:
    """Knows the number that `painted` drew into a photo, and finds it as the last word of a text."""

    def encode(self, images: Sequence[Photo]) -> Any:
        return SimpleNamespace(embedding=torch.stack([self._vector(read_second(image)) for image in images]))

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack([self._vector(int(text.rstrip(" .").split()[-1])) for text in texts])

    def _vector(self, number: int) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor(number), 256).float() * 3  # not of unit length on purpose


@dataclass
class NumberedFilm:
    """Every second a moment, scored 1 where it shows the text's number."""

    path: str

    def search(self, text: str, limit: int = 10) -> list[Moment]:
        wanted = int(text.rstrip(" .").split()[-1])
        shown = [read_second(frame.image) for frame in FileSource(self.path)]
        moments = [Moment(s, s + 1.0, 1.0 if number == wanted else 0.0) for s, number in enumerate(shown)]
        return sorted(moments, key=lambda moment: -moment.score)[:limit]


@dataclass
class OracleModel:
    """Answers yes/no questions by `say(path, question, last_frame_only)`; sees the numbers painted into pictures."""

    say: Callable[[str, str, bool], str] = lambda _path, _question, _last: "Yes."
    opened: list[str] = field(default_factory=list)
    averaged: list[str] = field(default_factory=list)
    full: OracleFull | None = None

    @property
    def bundle(self) -> Any:
        return SimpleNamespace(tower=NumberedTower())

    def open(self, path: str, *, last_frame_only: bool = False) -> Any:
        self.opened.append(path)
        film = NumberedFilm(path)

        def ask(question: str) -> Answer:
            return Answer(self.say(path, question, last_frame_only))

        def stream(question: str) -> Iterator[AnswerPiece]:
            for word in ask(question).answer.split(" "):
                yield AnswerPiece(f"{word} ")

        return SimpleNamespace(ask=ask, stream=stream, search=film.search)

    def caption_photos(self, images: Sequence[Photo]) -> list[str]:
        return [f"this picture shows the number {read_second(image)}" for image in images]

    @property
    def tokens(self) -> OracleTokens:
        return OracleTokens(self)


@dataclass
class OracleTokens:
    """The token route of an oracle: says what it says, with p(yes) 0.9 or 0.2; without a context token always no."""

    model: OracleModel

    def yesno(
        self, path: str, questions: Sequence[str], *, last_frame_only: bool = False, drop: str = ""
    ) -> list[float]:
        said = self.ask(path, questions, last_frame_only=last_frame_only, drop=drop)
        return [0.9 if text.startswith("Yes") else 0.2 for text in said]

    def ask(self, path: str, questions: Sequence[str], *, last_frame_only: bool = False, drop: str = "") -> list[str]:
        if drop == "context":
            return ["No." for _ in questions]
        return [self.model.say(path, question, last_frame_only) for question in questions]

    def yesno_blind(self, questions: Sequence[str]) -> list[float]:
        return [0.6 for _ in questions]

    def ask_blind(self, questions: Sequence[str]) -> list[str]:
        return ["Yes." for _ in questions]

    def average_over(self, paths: Sequence[str]) -> None:
        self.model.averaged = list(paths)


class OracleFull:
    """A `full` baseline that says yes to everything and knows what photos show."""

    def yesno(self, path: str, questions: Sequence[str]) -> list[float]:
        return [0.7 for _ in questions]

    def ask(self, path: str, questions: Sequence[str]) -> list[str]:
        return ["Yes." for _ in questions]

    def caption_photos(self, images: Sequence[Photo]) -> list[str]:
        return [f"a picture of the number {read_second(image)}" for image in images]
