"""What loading a published checkpoint will do: where each weight goes, and whether there is memory for it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from llama_vid import published_layout as layout
from llama_vid.errors import BundleError
from llama_vid.llm.pages import LEAST_CONTEXTS, PAGE_TOKENS
from llama_vid.llm.placement import LoadOptions
from llama_vid.llm.quantized import BYTES
from llama_vid.memory_need import free_on
from llama_vid.needs import OVERHEAD, free_bytes, place
from llama_vid.published_config import PublishedConfig
from llama_vid.published_weights import Weights, checkpoint_weights, readable

logger = logging.getLogger(__name__)

#: The file in which the image tower's authors publish it.
TOWER_FILE: Final = "eva_vit_g.pth"
#: Tokens of a context below which no minute of memory fits: a machine with room for less is refused.
LEAST_CONTEXT: Final = 1024
#: The share of free memory beside the weights that the contexts of the KV cache may take.
CACHE_SHARE: Final = 0.8
NAMED: Final = 5  # keys named in one message


@dataclass(frozen=True, slots=True)
class Plan:
    """Where every weight comes from and goes to: by part, the file's key and the name in our module.

    `vision` are keys with the checkpoint's prefix; in a tower's own file (`own_tower`) they stand without.
    """

    weights: Weights
    tower: Weights
    own_tower: bool
    vision: Mapping[str, str]
    tokens: Mapping[str, str]
    language: Mapping[str, str]

    def shape(self, key: str) -> tuple[int, ...]:
        """A weight's shape, by the checkpoint's key."""
        if key.startswith(layout.VISION):
            return self.tower.shapes[key.removeprefix(layout.VISION) if self.own_tower else key]
        return self.weights.shapes[key]

    @property
    def quantisable(self) -> int:
        """How many of them are in the matrices of the language model's layers."""
        shapes = [self.shape(key) for key in self.language if ".layers." in key]
        return sum(math.prod(shape) for shape in shapes if len(shape) == 2)

    @property
    def numbers(self) -> int:
        """How many numbers are loaded."""
        return sum(math.prod(self.shape(key)) for key in (*self.vision, *self.tokens, *self.language))


def plan(folder: Path, config: PublishedConfig) -> Plan:
    """What loading a checkpoint's folder takes; its `.bin` files are converted now if they were not before.

    Raises BundleError for files and weights that are missing or damaged; warns of unexpected weights by name.
    """
    weights = checkpoint_weights(folder)
    if f"{layout.VISION}cls_token" in weights.files:
        return _sorted(folder, weights, weights)
    return _sorted(folder, weights, _own_tower(folder, config))


def _own_tower(folder: Path, config: PublishedConfig) -> Weights:
    names = [name for name in (config.vision_file, TOWER_FILE) if name]
    path = next((found for name in names if (found := place(name, folder)) is not None), None)
    if path is None:
        raise BundleError(
            f"{folder} has no image tower: neither keys {layout.VISION}… nor the file {names[0]}, which its authors "
            "publish as EVA-ViT-g (eva_vit_g.pth, linked in their README). Put it into the folder, or name its folder "
            "in LLAMA_VID_WEIGHTS"
        )
    return Weights.of(readable([path]))


def _sorted(folder: Path, weights: Weights, tower: Weights) -> Plan:
    """Every key used or known as dropped. Raises BundleError for missing ones; warns of unexpected ones by name."""
    own = tower is not weights
    prefixed = {f"{layout.VISION}{key}" if own else key: shape for key, shape in tower.shapes.items()}
    depth = min(layout.VISION_LAYERS, layout.layers(prefixed, layout.TOWER))
    vision = dict(layout.vision_keys(depth))
    tokens = dict(layout.token_keys(layout.layers(weights.shapes, layout.TOKENS)))
    language = dict(layout.language_keys(layout.layers(weights.shapes, layout.LANGUAGE)))
    biases = {value for key in vision if (value := layout.value_bias(key))}
    lacking = [key for key in (*vision, *biases) if key not in prefixed]
    lacking += [key for key in (*tokens, *language) if key not in weights.shapes]
    if not (depth and lacking == []):
        named = ", ".join(sorted(lacking)[:NAMED]) or f"{layout.VISION}blocks.0.…"
        raise BundleError(
            f"{folder} lacks {len(lacking) or 1} weights of a LLaMA-VID checkpoint, such as {named}; fetch it again"
        )
    used = {*vision, *biases, *tokens, *language}
    odd = [key for key in weights.shapes if key not in used and not layout.dropped(key)]
    if own:
        odd += [
            key
            for key in tower.shapes
            if f"{layout.VISION}{key}" not in used and not layout.dropped(key) and not layout.dropped_of_tower(key)
        ]
    if odd:
        more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
        logger.warning("%s holds weights that are not used: %s%s", folder, ", ".join(sorted(odd)[:NAMED]), more)
    return Plan(weights, tower, own, vision, tokens, language)


def fitting_context(
    folder: Path,
    config: PublishedConfig,
    plan: Plan,
    dtype: torch.dtype,
    device: torch.device,
    wanted: int | None,
    options: LoadOptions | None = None,
) -> int:
    """The context for which there is memory beside the weights; the need is said before anything is loaded.

    Raises BundleError where there is too little.
    """
    told = config.language
    groups = told.get("num_key_value_heads", told["num_attention_heads"])
    head = told["hidden_size"] // told["num_attention_heads"]
    a_token = 2 * told["num_hidden_layers"] * groups * head * dtype.itemsize
    options = options or LoadOptions()
    small = plan.quantisable if options.quantize != "none" else 0
    weights = (plan.numbers - small) * dtype.itemsize + small * BYTES.get(options.quantize, 0)
    needed = int(weights * OVERHEAD)
    free = free_on(device, options) if device.type == "cuda" else free_bytes()
    most = min(config.context, wanted or config.context)
    context = most
    if free is not None:
        room = int((free - needed) * CACHE_SHARE) // (LEAST_CONTEXTS * a_token) // PAGE_TOKENS * PAGE_TOKENS
        context = min(most, room)
    least = min(most, LEAST_CONTEXT)
    kind = str(dtype).removeprefix("torch.") + ("" if not small else f", {options.quantize}")
    gigabytes = f"{needed / 1e9:.1f} GB for its weights ({kind})"
    contexts = f"{LEAST_CONTEXTS * a_token * max(context, least) / 1e9:.1f} GB for what it reads"
    here = "memory that is free is not known" if free is None else f"{free / 1e9:.1f} GB are free on {device.type}"
    if context < least:
        raise BundleError(
            f"{folder.name} needs {gigabytes} and at least {contexts}; {here}. Take a machine with more memory, the 7B "
            "checkpoint, dtype bfloat16, or model.quantize: int4"
        )
    logger.warning("%s needs %s and %s; %s", folder.name, gigabytes, contexts, here)
    if context < most:
        logger.warning(
            "%s reads %s tokens at once here, not %s: there is no memory for more", folder.name, f"{context:,}",
            f"{most:,}",
        )  # fmt: skip
    return context
