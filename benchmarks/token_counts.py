"""Tokens a frame of ours and of others: what a configuration says, and what was published, each with its source.

A count is *computed* where a configuration on this machine gives it (open_clip's or transformers' own, or the loaded
bundle's), and *cited* where only a paper or a repository does. What a count means for a context is the same for all:
prompt, evidence, answer and one time mark a minute are taken off first, as `memory/budget.py` does for ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from llama_vid.errors import ConfigError
from llama_vid.memory.budget import ANSWER_TOKENS, EVIDENCE_FRAMES, MARK_TOKENS, PAIR_TOKENS, PROMPT_TOKENS

HOUR: Final = 3600  # frames: one a second
CONTEXTS: Final = (4096, 8192, 131_072)  # LLaMA-2's, SmolLM2's, LLaMA-3.2's

How = Literal["measured", "computed", "cited"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many tokens of the language model stand for one frame in a system, and how that is known."""

    system: str
    per_frame: int
    how: How
    source: str

    @property
    def per_hour(self) -> int:
        """Tokens of an hour at one frame a second."""
        return HOUR * self.per_frame


def minutes_in(context: int, per_hour: float) -> float:
    """Minutes at one frame a second that fit a context of so many tokens, if an hour takes `per_hour`."""
    fixed = PROMPT_TOKENS + EVIDENCE_FRAMES * (PAIR_TOKENS + MARK_TOKENS) + ANSWER_TOKENS
    return max(0, context - fixed) / (MARK_TOKENS + per_hour / 60)


def vit_patches(name: str, *, class_token: bool) -> int:
    """Tokens that an open_clip vision transformer gives for a picture, by its configuration.

    Raises ConfigError if open_clip knows no such transformer.
    """
    import open_clip

    vision: Mapping[str, Any] = (open_clip.get_model_config(name) or {}).get("vision_cfg", {})
    size, patch = vision.get("image_size"), vision.get("patch_size")
    if not isinstance(size, int) or not isinstance(patch, int):
        raise ConfigError(f"open_clip's configuration of {name!r} names no picture and patch size; update open_clip")
    return (size // patch) ** 2 + int(class_token)


def pooled_llava() -> int:
    """Tokens a frame of LLaVA-NeXT-Video after its own pooling, by transformers' configuration of it."""
    from transformers import LlavaNextVideoConfig

    config: Any = LlavaNextVideoConfig()
    side = round(config.image_seq_length**0.5) // config.spatial_pool_stride
    return int(side * side)


def counts(patches: int) -> list[Count]:
    """All systems, fewest tokens first; `patches` are those of the loaded bundle's tower."""
    return [
        Count("ours", PAIR_TOKENS, "computed", "the bundle: one context and one motion token"),
        Count("grid-4", 4, "computed", "the tower's map pooled to 2×2; not trained here, counted only"),
        Count("full", patches, "computed", "the bundle's tower: every patch is a token"),
        Count("full, ViT-L/14", vit_patches("ViT-L-14", class_token=True), "computed", "open_clip: 16×16 and a class"),
        Count("LLaVA-1.5", vit_patches("ViT-L-14-336", class_token=False), "computed", "open_clip ViT-L-14-336: 24×24"),
        Count("LLaVA-NeXT-Video, pooled", pooled_llava(), "computed", "transformers' LlavaNextVideoConfig: 12×12"),
        *PUBLISHED,
    ]


#: Published rows. The specification lists Video-LLaMA with "100+" tokens a frame; its configuration says 32.
PUBLISHED: Final = (
    Count("LLaMA-VID", 2, "cited", "Li et al. 2023, arXiv:2311.17043: a context and a content token"),
    Count(
        "Video-LLaMA", 32, "cited",
        "Zhang et al. 2023, arXiv:2306.02858; its video_llama.yaml: num_query_token 32 a frame, 8 frames a clip, which "
        "its video Q-Former fuses to 32 tokens a clip (the specification's table says 100+)",
    ),
    Count(
        "LLaVA-NeXT-Video", 576, "cited",
        "Zhang et al. 2024, LLaVA-NeXT blog of 30 April: 24×24 of ViT-L/14-336, before its pooling",
    ),
    Count("image frames", 257, "cited", "the specification's baseline: every token of ViT-L/14 at 224"),
)  # fmt: skip
