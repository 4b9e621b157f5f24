"""Sentences as vectors: MiniLM as it was trained to compare them, without the image-text head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import torch
from torch import Tensor, nn

from llama_vid.errors import BundleError
from llama_vid.tokenizer.tower import MINILM, load_text_trunk

#: What the model was trained with; longer sentences lose their end.
LONGEST: Final = 128
_BATCH: Final = 32


class SentenceEncoder:
    """all-MiniLM-L6-v2 (Reimers and Gurevych 2019), mean-pooled: the cosine of two sentences is how alike they are."""

    def __init__(self, trunk: Any, tokenizer: Any) -> None:
        """Use `load`."""
        self._trunk, self._tokenizer = trunk, tokenizer

    @classmethod
    def load(cls) -> Self:
        """Load the bundled model; a quarter of a second. Raises BundleError where its package is missing or damaged."""
        from tokenizers import Tokenizer
        from transformers import AutoConfig, AutoModel

        folder = MINILM.path().parent
        make: Any = AutoModel.from_config
        trunk = make(AutoConfig.from_pretrained(folder), add_pooling_layer=False)
        load_text_trunk(trunk, MINILM.path())
        tokenizer_file = folder / "tokenizer.json"
        if not tokenizer_file.is_file():
            raise BundleError(f"{MINILM.distribution} lacks tokenizer.json; reinstall it with --no-deps")
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        tokenizer.enable_truncation(LONGEST)
        tokenizer.enable_padding()
        return cls(trunk.eval(), tokenizer)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit-length embeddings (N, 384) of texts."""
        parts = [torch.zeros(0, self._trunk.config.hidden_size)]
        for at in range(0, len(texts), _BATCH):
            encoded = self._tokenizer.encode_batch(list(texts[at : at + _BATCH]))
            ids = torch.tensor([each.ids for each in encoded])
            mask = torch.tensor([each.attention_mask for each in encoded])
            states = self._trunk(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            weight = mask.unsqueeze(-1).float()
            parts.append(nn.functional.normalize((states * weight).sum(1) / weight.sum(1), dim=-1))
        return torch.cat(parts)
