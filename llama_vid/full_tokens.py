"""The baseline `full`: every patch token of up to eight frames in front of the language model, and nothing else.

What other video language models do, with our tower, our language model and our recipe: 81 tokens a frame on `mini`
instead of two. It is measured beside the two tokens (`llama-vid eval`), never used by the program. A bundle holds it as
`full.safetensors` (the projector) and `full-lora.safetensors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from llama_vid.bundle import Bundle, find_bundle, read_manifest
from llama_vid.compact import expanded, thick_deltas
from llama_vid.errors import BundleError, SourceError
from llama_vid.llm.batching import Batch, Request
from llama_vid.llm.cache import Snapshot
from llama_vid.llm.calibration import logistic
from llama_vid.llm.captioner import continued
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import mark_text
from llama_vid.llm.prompts import CAPTION_SUFFIX, question_suffix, shortened, yes_no_ids
from llama_vid.stream.file import FileSource
from llama_vid.tokenizer.compressor import normalised
from llama_vid.tokenizer.full import FullProjector

FRAMES: Final = 8  # frames of a film, evenly spread
ANSWER_TOKENS: Final = 48
PHOTOS_AT_ONCE: Final = 8
PROJECTOR, LORA = "full.safetensors", "full-lora.safetensors"

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Film:
    """A film that was read: what the language model holds of it, its frames, and the tokens that stand for them."""

    path: str
    memory: Snapshot
    frames: int
    tokens: int


class FullTokens:
    """Answers and captions from all patch tokens of a bundle's tower. Not thread-safe; keeps the film asked last."""

    def __init__(self, bundle: Bundle, projector: FullProjector, language: LanguageModel, bias: float = 0.0) -> None:
        self._bundle, self._projector, self._language, self._bias = bundle, projector, language, bias
        self._kept: _Film | None = None

    @classmethod
    def load(cls, bundle: Bundle) -> FullTokens:
        """Of a loaded bundle. Raises BundleError if it has no such baseline."""
        folder = find_bundle(bundle.folder or bundle.name)
        manifest = read_manifest(folder)
        if "full" not in manifest or not (folder / PROJECTOR).is_file():
            raise BundleError(f"the bundle {bundle.name} has no baseline `full`; train it: llama-vid train full")
        config = bundle.compressor.config
        projector = FullProjector(config.patches, config.channels, config.out).eval().requires_grad_(False)
        projector.load_state_dict(expanded(load_file(folder / PROJECTOR)))
        device = bundle.language.device
        language = LanguageModel.load(bundle.source, lora=thick_deltas(load_file(folder / LORA)), device=str(device))
        return cls(bundle, projector.to(device), language, float(manifest["full"].get("bias", 0.0)))

    @property
    def per_frame(self) -> int:
        """Tokens that stand for a frame."""
        return self._projector.patches

    def margins(self, path: str, questions: Sequence[str]) -> list[float]:
        """The language model's score of yes minus no for each question. Raises SourceError."""
        memory, batch, model = self._film(path).memory, Batch(self._language), self._language
        yes, no = yes_no_ids(model.tokenize)
        out = []
        for question in questions:
            logits = batch.scores(Request(model.embed_text(question_suffix(question)), memory, 1, ()))
            out.append(float(logits[yes] - logits[no]))
        return out

    def yesno(self, path: str, questions: Sequence[str]) -> list[float]:
        """p(yes) of each question."""
        return [logistic(margin - self._bias) for margin in self.margins(path, questions)]

    def ask(self, path: str, questions: Sequence[str]) -> list[str]:
        """Each question's answer, greedily, up to the end of its line."""
        memory, batch, model = self._film(path).memory, Batch(self._language), self._language
        suffixes = [model.embed_text(question_suffix(shortened(text, model.tokenize))) for text in questions]
        answers = [batch.ask(Request(suffix, memory, ANSWER_TOKENS, model.line_ends)) for suffix in suffixes]
        return [" ".join("".join(answer).split()) for answer in answers]

    def caption_photos(self, images: Sequence[Picture]) -> list[str]:
        """One sentence for each RGB picture (H, W, 3), chosen as captions of two tokens are."""
        out: list[str] = []
        for at in range(0, len(images), PHOTOS_AT_ONCE):
            tokens = self._tokens(images[at : at + PHOTOS_AT_ONCE])
            mark, suffix = self._language.embed_text(mark_text(0.0)), self._language.embed_text(CAPTION_SUFFIX)
            out += continued(
                self._language, [torch.cat([mark, row, suffix]) for row in tokens], rarity=self._bundle.rarity
            )
        return out

    def take(self, path: str) -> tuple[int, int]:
        """Read a film for the questions that follow: its frames, and the tokens that stand for them.

        Raises SourceError.
        """
        kept = self._film(path)
        return kept.frames, kept.tokens

    def _film(self, path: str) -> _Film:
        """The film's tokens behind a time mark, read into a cache; those of the film asked last are kept."""
        if self._kept is not None and self._kept.path == path:
            return self._kept
        self._kept = None
        frames = _spread(path)
        mark, tokens = self._language.embed_text(mark_text(0.0)), self._tokens(frames).flatten(0, 1)
        memory = torch.cat([mark, tokens])
        cache = self._language.new_cache(len(memory))
        with torch.inference_mode():
            self._language.forward(memory, cache)
        self._kept = _Film(path, Snapshot(cache, cache.length), len(frames), len(tokens))
        return self._kept

    def _tokens(self, images: Sequence[Picture]) -> Tensor:
        """Tokens (B, P, D) in the language model's type."""
        with torch.inference_mode():
            patches = self._bundle.tower.encode(images).patches
            tokens: Tensor = self._projector(normalised(patches))
        return tokens.to(self._language.dtype)


def _spread(path: str) -> list[Picture]:
    """Up to FRAMES pictures of a film at 1 fps, evenly spread. Raises SourceError."""
    frames = [frame.image for frame in FileSource(path)]
    if not frames:
        raise SourceError(f"{path}: no frame could be decoded")
    step = max(1, -(-len(frames) // FRAMES))
    return frames[::step]
