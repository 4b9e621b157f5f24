"""What the evaluations ask of the model: the calls of `LLaMAVID` that they use, as protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.llm.answer import Answer, AnswerPiece, Moment
from llama_vid.memory.entry import MemoryEntry

Photo = npt.NDArray[np.uint8]


class EncodedPhotos(Protocol):
    """Pooled image embeddings (N, E) in the space that they share with the texts."""

    @property
    def embedding(self) -> Tensor: ...


class Tower(Protocol):
    """The image tower with its text side."""

    def encode(self, images: Sequence[Photo], /) -> EncodedPhotos: ...

    def encode_text(self, texts: Sequence[str], /) -> Tensor: ...


class BundleParts(Protocol):
    """A loaded bundle."""

    @property
    def tower(self) -> Tower: ...


class FilmLike(Protocol):
    """A video that was taken in."""

    @property
    def entries(self) -> tuple[MemoryEntry, ...]: ...

    def ask(self, question: str, /) -> Answer: ...

    def stream(self, question: str, /) -> Iterator[AnswerPiece]: ...

    def search(self, text: str, /, limit: int = 10) -> list[Moment]: ...


class Scores(Protocol):
    """The program's image-text score over memory entries (N,), and a score as a probability (`llm/evidence.py`)."""

    def scores(self, entries: Sequence[MemoryEntry], text: str, /) -> Tensor: ...

    def sure(self, z: float, /) -> float: ...


class Answering(Protocol):
    """What answers questions."""

    @property
    def find(self) -> Scores: ...


class Tokens(Protocol):
    """Questions put to the two tokens of a frame and the language model alone (`llama_vid/token_route.py`).

    `yesno` gives p(yes), `ask` what is written; `drop` takes the motion or the context token away.
    """

    def yesno(
        self, path: str, questions: Sequence[str], /, *, last_frame_only: bool = False, drop: str = ""
    ) -> list[float]: ...

    def ask(
        self, path: str, questions: Sequence[str], /, *, last_frame_only: bool = False, drop: str = ""
    ) -> list[str]: ...

    def yesno_blind(self, questions: Sequence[str], /) -> list[float]: ...

    def ask_blind(self, questions: Sequence[str], /) -> list[str]: ...

    def average_over(self, paths: Sequence[str], /) -> None: ...


class Full(Protocol):
    """The baseline with all patch tokens of a frame (`llama_vid/full_tokens.py`)."""

    def yesno(self, path: str, questions: Sequence[str], /) -> list[float]: ...

    def ask(self, path: str, questions: Sequence[str], /) -> list[str]: ...

    def caption_photos(self, images: Sequence[Photo], /) -> list[str]: ...


class VideoModel(Protocol):
    """The model under evaluation. `caption_photos` writes captions from the two tokens alone."""

    @property
    def bundle(self) -> BundleParts: ...

    @property
    def responder(self) -> Answering: ...

    @property
    def tokens(self) -> Tokens: ...

    def open(self, path: str, /, *, last_frame_only: bool = False) -> FilmLike: ...

    def caption_photos(self, images: Sequence[Photo], /) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a system has no figures: shown as a dash with this reason."""

    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"missing": self.reason}


def full_of(model: VideoModel) -> Full | Missing:
    """The model's `full` baseline, or why it has none."""
    try:
        full: Full | None = getattr(model, "full", None)
    except BundleError as problem:
        return Missing(str(problem))
    return full if full is not None else Missing("this model has no full-token baseline")
