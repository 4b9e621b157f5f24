"""What the evaluations ask of the model: the calls of `LLaMAVID` that they use, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from llama_vid.llm.answer import Answer, Moment

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

    def ask(self, question: str, /) -> Answer: ...

    def search(self, text: str, /, limit: int = 10) -> list[Moment]: ...


class VideoModel(Protocol):
    """The model under evaluation.

    `yesno_tokens` gives p(yes) for each question from the two tokens a frame and the language model alone,
    `yesno_blind` from the language model alone; `caption_photos` writes captions from the two tokens alone.
    """

    @property
    def bundle(self) -> BundleParts: ...

    def open(self, path: str, /, *, last_frame_only: bool = False) -> FilmLike: ...

    def caption_photos(self, images: Sequence[Photo], /) -> list[str]: ...

    def yesno_tokens(self, path: str, questions: Sequence[str], /, *, last_frame_only: bool = False) -> list[float]: ...

    def yesno_blind(self, questions: Sequence[str], /) -> list[float]: ...
