"""The text-guided reader of the published LLaMA-VID checkpoints: InstructBLIP's Q-Former.

32 learned queries and the words of a question go through BERT-base together; in every second layer the queries also
attend to the picture. What leaves is the queries alone, which have seen the picture with the question in mind.
Source: Dai et al. 2023, InstructBLIP, https://arxiv.org/abs/2305.06500 (transformers' `InstructBlipQFormerModel`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from llama_vid.tokenizer.tower import MINILM

#: The most tokens of a text, [CLS] and [SEP] included; of a longer one the end is kept.
TEXT_TOKENS: Final = 256
#: BERT's lower-case vocabulary, which MiniLM has as well. The checkpoints count one more, "[DEC]", that no text has.
WORDS: Final = 30522


@dataclass(frozen=True, slots=True)
class QFormerShape:
    """The Q-Former's size; `vision` is the width of the features that it attends to."""

    queries: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    vocabulary: int = WORDS + 1
    positions: int = 512
    vision: int = 1408


class GuidedReader(nn.Module):
    """Raw features and a text's ids to queries that have read both."""

    def __init__(self, shape: QFormerShape) -> None:
        super().__init__()
        from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

        self.norm = nn.LayerNorm(shape.vision, eps=1e-5)
        self.query = nn.Parameter(torch.zeros(1, shape.queries, shape.width))
        model: Any = InstructBlipQFormerModel(
            InstructBlipQFormerConfig(
                vocab_size=shape.vocabulary,
                hidden_size=shape.width,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                intermediate_size=shape.hidden,
                max_position_embeddings=shape.positions,
                layer_norm_eps=1e-12,
                cross_attention_frequency=2,
                encoder_hidden_size=shape.vision,
            )
        )
        self.model = model

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """Queries (B, Q, H) of features (B, 1 + P, C), the class feature included, and one text's ids (L,)."""
        count = len(features)
        found = self.model(
            input_ids=ids.to(features.device).expand(count, -1),
            query_embeds=self.query.expand(count, -1, -1),
            encoder_hidden_states=self.norm(features),
        )
        queries: Tensor = found.last_hidden_state[:, : self.query.shape[1]]
        return queries


@cache
def _vocabulary() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(MINILM.path().parent / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TEXT_TOKENS, direction="left")
    return tokenizer


def text_ids(text: str) -> Tensor:
    """The ids (L,) of a text for the Q-Former, L at most TEXT_TOKENS. Raises BundleError if MiniLM is not installed."""
    return torch.tensor(_vocabulary().encode(text).ids, dtype=torch.long)
