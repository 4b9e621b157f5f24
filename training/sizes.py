"""How large things are before they are loaded: a language model by its shape, a training step, a tower's features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch

from llama_vid.errors import BundleError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from training.recipe import Align, Language, LlamaShape, Tower

SMOLLM2_SHAPE: Final = LlamaShape(layers=30, width=576, inner=1536, heads=9, groups=3, words=49152, tied=True)
#: Of a trained number: itself, its gradient, and AdamW's two moments, in float32.
TRAINED_BYTES: Final = 16
BFLOAT16: Final = 2
PROCESS_BYTES: Final = 400_000_000  # Python, torch and the photos' lists; the features are read from disk as needed
CAPTION_WORDS: Final = 8000  # tokens that captions and answers are made of, about


@dataclass(frozen=True, slots=True)
class LlamaSize:
    """A Llama-family decoder in numbers."""

    shape: LlamaShape

    @classmethod
    def of(cls, language: str | Language) -> Self | None:
        """Of a recipe's language model: by its config.json, else by the shape that the recipe tells; None for neither.

        Raises BundleError if both are there and differ.
        """
        if not isinstance(language, Language):
            return cls(SMOLLM2_SHAPE)
        found = _read_shape(language.folder)
        if found is not None and language.shape is not None and found != language.shape:
            raise BundleError(
                f"{language.folder} holds a language model of the shape {found}, the recipe was written for "
                f"{language.shape}; give the right folder, or take `shape` out of the recipe"
            )
        shape = found or language.shape
        return None if shape is None else cls(shape)

    @property
    def head_width(self) -> int:
        """Numbers of one attention head."""
        return self.shape.head_width or self.shape.width // self.shape.heads

    @property
    def layer(self) -> int:
        """Weights of one layer's projections, which a step multiplies with; its norms come on top."""
        s, d = self.shape, self.head_width
        return s.width * d * (2 * s.heads + 2 * s.groups) + 3 * s.width * s.inner

    @property
    def parameters(self) -> int:
        """Weights of the whole model."""
        s = self.shape
        return s.layers * (self.layer + 2 * s.width) + s.width + s.words * s.width * (1 if s.tied else 2)

    def deltas(self, rank: int) -> int:
        """Trained numbers of the LoRA deltas on every projection."""
        s, d = self.shape, self.head_width
        sides = 2 * (s.width + s.heads * d) + 2 * (s.width + s.groups * d) + 3 * (s.width + s.inner)
        return s.layers * rank * sides

    def activations(self, rows: int, length: int) -> int:
        """Bytes that a step keeps for its backward pass: what each layer's products and softmax need again."""
        s, d = self.shape, self.head_width
        per_token = (6 * s.width + 3 * d * (s.heads + 2 * s.groups) + 4 * s.inner) * BFLOAT16
        scores = 8 * s.heads * length  # a token's row: bfloat16 before and after, float32 between
        return s.layers * rows * length * (per_token + scores)

    def step_flops(self, rows: int, length: int) -> int:
        """Multiplications and additions of a step: forward, and backward through the frozen weights."""
        s = self.shape
        attention = 4 * length * s.heads * self.head_width
        return rows * length * s.layers * 2 * (2 * self.layer + 3 * attention)

    def step_bytes(self, recipe: Align, trained: int) -> int:
        """Memory of stages 1 and 2: weights, activations, and what is trained with its optimiser."""
        words = CAPTION_WORDS + recipe.words
        scored = recipe.rows * recipe.length // 2  # about half of the slots have a target
        return (
            PROCESS_BYTES
            + self.parameters * BFLOAT16
            + self.activations(recipe.rows, recipe.length)
            + 2 * 4 * scored * words
            + TRAINED_BYTES * (trained + self.deltas(recipe.rank))
        )


def compressor_parameters(patches: int, channels: int, guide: int, out: int) -> int:
    """Trained numbers of a compressor for these parts."""
    with torch.device("meta"):
        made = Compressor(CompressorConfig(patches=patches, channels=channels, guide=guide, out=out))
    return sum(value.numel() for value in made.parameters())


def tower_shape(tower: str | Tower) -> tuple[int, int, int] | None:
    """Patches, channels and the width of the text embeddings of a tower by its configuration; None if it tells none."""
    if not isinstance(tower, Tower):
        mini = CompressorConfig()
        return mini.patches, mini.channels, mini.guide
    import open_clip

    config: dict[str, Any] = open_clip.get_model_config(tower.name.replace("/", "-")) or {}
    vision = config.get("vision_cfg", {})
    size, patch, width = vision.get("image_size"), vision.get("patch_size"), vision.get("width")
    if not (isinstance(size, int) and isinstance(patch, int) and isinstance(width, int)):
        return None
    return (size // patch) ** 2, width, int(config["embed_dim"])


def _read_shape(folder: Path) -> LlamaShape | None:
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        heads = int(told["num_attention_heads"])
        width = int(told["hidden_size"])
        head = int(told.get("head_dim") or width // heads)
        return LlamaShape(
            layers=told["num_hidden_layers"], width=width, inner=told["intermediate_size"], heads=heads,
            groups=told.get("num_key_value_heads") or heads, words=told["vocab_size"],
            tied=bool(told.get("tie_word_embeddings", False)), head_width=0 if head * heads == width else head,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BundleError(f"{path} does not tell a Llama's shape ({problem}); fetch the model again") from None
