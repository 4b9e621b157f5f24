"""Tiny random models with what sets the big ones apart, in several shards, as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

import torch

from tests.llm.conftest import byte_tokenizer

#: What config.json says of Llama 3.1's positions; the original window is small enough to matter here.
LLAMA3_ROPE: Final = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "llama-2": {"num_key_value_heads": 4, "rms_norm_eps": 1e-5},
    "llama-3": {
        "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_parameters": LLAMA3_ROPE, "eos_token_id": [257, 256],
    },
}  # fmt: skip


def save_big_tiny(folder: Path, kind: str, *, dtype: torch.dtype = torch.float32, shard: str = "220KB") -> Path:
    """Write one of SHAPES: width 64, three layers, three shards of weights and their index."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(4)
    told = {
        "vocab_size": 258, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": 512, "tie_word_embeddings": False, "bos_token_id": 256,
        "eos_token_id": 257, "initializer_range": 0.15,
    }  # fmt: skip
    config = LlamaConfig(**(told | SHAPES[kind]))
    cast(Any, LlamaForCausalLM)(config).to(dtype).save_pretrained(folder, max_shard_size=shard)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
