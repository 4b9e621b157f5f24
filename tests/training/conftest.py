"""A tiny random Llama and a small world of photos for training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from training.concepts import CONCEPTS
from training.labels import concept_labels
from training.sampling import Photos

WIDTH, WORDS = 48, 258
CAPTIONS = (
    "A brown dog runs through the snow .",
    "Two men in red shirts are playing soccer .",
    "A woman wearing a blue dress sits on a bench .",
    "A boy jumps into the water .",
)


@pytest.fixture
def llama() -> Any:
    """A random `LlamaForCausalLM`, float32, with grouped heads."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, tie_word_embeddings=True,
        initializer_range=0.3,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    return model.eval()


@pytest.fixture
def photos() -> Photos:
    """16 photos with two captions each and 4 without any; the captioned ones have four views."""
    captions = [[CAPTIONS[i % 4], CAPTIONS[i % 4]] for i in range(16)] + [[] for _ in range(4)]
    labels = concept_labels(
        captions[:16],
        np.zeros((16, 1000), np.float32),
        np.random.default_rng(0).random((16, len(CONCEPTS)), np.float32),
    )
    extra = np.full((4, len(CONCEPTS)), -1, np.int8)
    return Photos(captions, np.concatenate([labels, extra]), [4] * 16 + [1] * 4)


def encode(text: str) -> list[int]:
    """One token a byte."""
    return list(text.encode())


END = 257
