"""A memory's layout as rows of embeddings, put together once: what stays is copied, what is new is embedded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import Segment, same
from llama_vid.llm.reading import embedded


class PromptRows:
    """The rows (n, D) of the layout that was asked for last, in the language model's dtype."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._segments: Sequence[Segment] = ()
        self._ends: list[int] = []
        self.rows = model.embed([]).to(model.dtype)

    def __len__(self) -> int:
        return len(self.rows)

    def lay_out(self, segments: Sequence[Segment]) -> None:
        """Hold exactly `segments`."""
        kept = 0
        for old, new in zip(self._segments, segments, strict=False):
            if not same(old, new):
                break
            kept += 1
        if kept == len(segments) == len(self._segments):
            return
        ends = self._ends[:kept]
        parts = [self.rows[: ends[-1] if ends else 0]]
        for segment in segments[kept:]:
            # Bit for bit what it was the last time, so that a server knows it again: the same look-up, the same cast.
            rows = embedded(self._model, segment).to(self._model.dtype)
            parts.append(rows)
            ends.append((ends[-1] if ends else 0) + len(rows))
        self.rows = torch.cat(parts)
        self._segments, self._ends = segments, ends


def common_rows(one: Tensor, other: Tensor) -> int:
    """How many rows at the beginning of (n, D) and (m, D) are the same, bit for bit."""
    least = min(len(one), len(other))
    alike = (one[:least] == other[:least]).all(1)
    return int(alike.cumprod(0).sum())


def cached_tokens(blocks: int, common: int, wanted: int) -> int:
    """Tokens that a prefix cache of `blocks` tokens a block spares of a prompt of `wanted`, if `common` are known.

    Only whole blocks count, and the last token is always computed: its scores are what is asked for.
    """
    return min(common, wanted - 1) // blocks * blocks
