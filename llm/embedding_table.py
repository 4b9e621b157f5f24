"""The embedding table of a language model whose layers run elsewhere: the one tensor of it that is read here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.llm.language import FAMILY

KEY: Final = "model.embed_tokens.weight"
SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """`weight` (V, D), the tokenizer, the `context` that the model was made for, and the ids that end a text."""

    weight: Tensor
    tokenizer: Tokenizer
    context: int
    eos: tuple[int, ...]

    @classmethod
    def load(cls, folder: Path, device: torch.device, dtype: torch.dtype) -> EmbeddingTable:
        """From a transformers folder: config.json, tokenizer.json, and the one tensor out of its safetensors.

        Raises BundleError for what is missing, damaged, or not of the Llama family (others scale their embeddings).
        """
        config = _json(folder / "config.json")
        if config.get("model_type") not in FAMILY:
            raise BundleError(
                f"the language model in {folder} is of type {config.get('model_type')!r}; use one of the Llama family "
                f"({', '.join(FAMILY)})"
            )
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exception for a missing or damaged file
            raise BundleError(f"no usable tokenizer.json in {folder}: {error}; fetch the model again") from error
        eos = config.get("eos_token_id")
        ends = tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,)
        weight = _tensor(folder).to(device, dtype)
        if weight.shape[1] != config.get("hidden_size"):
            raise BundleError(
                f"{KEY} in {folder} is {weight.shape[1]} wide, its config.json says {config.get('hidden_size')}; "
                "fetch the model again"
            )
        return cls(weight, tokenizer, int(config["max_position_embeddings"]), ends)


def _tensor(folder: Path) -> Tensor:
    path = folder / SINGLE
    if not path.is_file() and (folder / INDEX).is_file():
        name = (_json(folder / INDEX).get("weight_map") or {}).get(KEY)
        if not isinstance(name, str) or Path(name).name != name:
            raise BundleError(f"{INDEX} in {folder} names no file of {KEY}; fetch the model again")
        path = folder / name
    try:
        with safe_open(path, framework="pt") as file:
            weight: Tensor = file.get_tensor(KEY)
            return weight
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} gives no {KEY} ({error}); name a folder with the model's safetensors") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}); name a folder that save_pretrained wrote") from None
    return found if isinstance(found, dict) else {}
