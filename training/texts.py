"""Texts as the frozen text tower sees them: MiniLM's mean-pooled states, before our projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.tokenizer.tower import MINILM
from training.concepts import CONCEPTS
from training.labels import PROMPTS
from training.rowcache import filled

BATCH: Final = 100
LONGEST: Final = 64  # tokens, as in the tower
WIDTH: Final = 384


class TextStates:
    """MiniLM with its tokenizer: texts to states (N, 384) float32. Raises BundleError if the package is missing."""

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = MINILM.verify().parent
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModel.from_pretrained(folder).eval()

    def __call__(self, texts: Sequence[str]) -> Tensor:
        out = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                batch = self._tokenizer(
                    list(texts[start : start + BATCH]),
                    padding=True,
                    truncation=True,
                    max_length=LONGEST,
                    return_tensors="pt",
                )
                hidden = self._model(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1)
                out.append((hidden * mask).sum(1) / mask.sum(1))
        return torch.cat(out).float()


def concept_texts(embed: Callable[[list[str]], Tensor]) -> Tensor:
    """Unit-length embeddings (concepts, E) of the concepts, the mean over their prompts, by a texts' `embed`."""
    rows = []
    for concept in CONCEPTS:
        prompts = [prompt.format(x=concept.phrase) for prompt in PROMPTS[concept.kind]]
        rows.append(F.normalize(embed(prompts).mean(0), dim=-1))
    return torch.stack(rows)


def cache_texts(states: TextStates, texts: Sequence[str], out: Path) -> npt.NDArray[np.float32]:
    """The states (N, 384) of texts, computed where `out` lacks them."""
    return filled(
        out, (len(texts), WIDTH), np.float32, lambda start, stop: states(texts[start:stop]).numpy(), batch=BATCH
    )
