"""The parts of a published checkpoint, built empty and filled weight by weight: no part is ever in memory twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llama_vid import published_layout as layout
from llama_vid.errors import BundleError
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.loading import layer_by_layer
from llama_vid.llm.placement import LoadOptions, Places, placed
from llama_vid.llm.sentencepiece import llama_tokenizer
from llama_vid.published_config import PublishedConfig
from llama_vid.published_plan import Plan
from llama_vid.tokenizer.llamavid_compressor import FrameTokens
from llama_vid.tokenizer.llamavid_qformer import QFormerShape
from llama_vid.tokenizer.llamavid_vision import EvaTower, VisionShape

#: Widths of one attention head, by which the number of heads is known: 16 of EVA-ViT-g, 12 of BERT-base.
HEAD_WIDTH, QFORMER_HEAD_WIDTH = 88, 64


class Filling:
    """Where and in which type a checkpoint's weights are put."""

    def __init__(
        self, folder: Path, plan: Plan, device: torch.device, dtype: torch.dtype, options: LoadOptions | None = None
    ) -> None:
        self._folder, self._plan, self._device, self._dtype = folder, plan, device, dtype
        self._options = options or LoadOptions()

    def vision(self, config: PublishedConfig) -> EvaTower:
        """The image tower. Raises BundleError for weights of another shape."""
        plan = self._plan
        v = layout.VISION
        patch, width = plan.shape(f"{v}patch_embed.proj.weight")[-1], plan.shape(f"{v}cls_token")[-1]
        stored = math.isqrt(plan.shape(f"{v}pos_embed")[1] - 1) * patch
        shape = VisionShape(
            size=(config.size or stored) if plan.own_tower else stored,
            patch=patch,
            width=width,
            layers=sum(key.endswith("attn.qkv.weight") for key in plan.vision),
            heads=max(1, width // HEAD_WIDTH),
            hidden=plan.shape(f"{v}blocks.0.mlp.fc1.weight")[0],
        )
        with torch.device("meta"):
            tower = EvaTower(shape)

        def pieces() -> Iterator[tuple[str, Tensor]]:
            prefix = v if plan.own_tower else ""
            for key, tensor in plan.tower.tensors(key.removeprefix(prefix) for key in plan.vision):
                name = f"{prefix}{key}"
                if (values := layout.value_bias(key)) is not None:
                    ((_, value),) = plan.tower.tensors([values])
                    tensor = torch.cat([tensor, torch.zeros_like(tensor), value])
                elif key.endswith("pos_embed"):
                    tensor = stretched(tensor, shape.positions)
                yield name, tensor

        self._fill(tower, plan.vision, pieces())
        return tower

    def tokens(self, config: PublishedConfig) -> FrameTokens:
        """What makes tokens of features. Raises BundleError for weights of another shape."""
        plan = self._plan
        q = layout.QFORMER
        _, queries, width = plan.shape("model.vlm_att_query")
        shape = QFormerShape(
            queries=queries,
            width=width,
            layers=layout.layers(plan.tokens, layout.TOKENS),
            heads=max(1, width // QFORMER_HEAD_WIDTH),
            hidden=plan.shape(f"{q}encoder.layer.0.intermediate.dense.weight")[0],
            vocabulary=plan.shape(f"{q}embeddings.word_embeddings.weight")[0],
            positions=plan.shape(f"{q}embeddings.position_embeddings.weight")[0],
            vision=plan.shape(f"{layout.VISION}cls_token")[-1],
        )
        with torch.device("meta"):
            tokens = FrameTokens(shape, config.language["hidden_size"], config.grid)
        self._fill(tokens, plan.tokens, plan.weights.tensors(plan.tokens))
        # Computed, not stored.
        tokens.reader.model.embeddings.position_ids = torch.arange(shape.positions, device=self._device).expand((1, -1))
        return tokens

    def language(self, config: PublishedConfig, context: int) -> LanguageModel:
        """The language model with a window of `context` tokens. Raises BundleError for weights of another shape."""
        from transformers.models.llama.configuration_llama import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaForCausalLM, LlamaRotaryEmbedding

        told: dict[str, Any] = {**config.language, "max_position_embeddings": context, "rope_parameters": config.rope()}
        llama = LlamaConfig(**told, tie_word_embeddings=False)
        with torch.device("meta"):
            module: Any = LlamaForCausalLM(llama)
        places = placed(module, self._device, self._dtype, self._options)
        self._fill(module, self._plan.language, self._plan.weights.tensors(self._plan.language), places)
        module.model.rotary_emb = LlamaRotaryEmbedding(llama).to(places.home)
        loaded = layer_by_layer(module, places, self._dtype, self._options.quantize)
        return LanguageModel(module, llama_tokenizer(self._folder), loaded=loaded)

    def _fill(
        self,
        module: nn.Module,
        named: Mapping[str, str],
        pieces: Iterator[tuple[str, Tensor]],
        places: Places | None = None,
    ) -> None:
        """Put tensors in the place of a module's weights, one at a time. Raises BundleError for another shape.

        With `places`, those of a language model: each on its device, or left as it lies until it is quantised.
        """
        waits = places is not None and self._options.quantize != "none"
        expected = dict(module.named_parameters())
        if odd := set(expected) ^ set(named.values()):
            raise BundleError(
                f"{self._folder}: config.json and weights do not agree about {min(odd)}; fetch the checkpoint again"
            )
        for key, tensor in pieces:
            name = named[key]
            if tensor.shape != expected[name].shape:
                raise BundleError(
                    f"{self._folder}: {key} is {list(tensor.shape)}, and config.json asks for "
                    f"{list(expected[name].shape)}; fetch the checkpoint again"
                )
            parent, _, leaf = name.rpartition(".")
            device = self._device if places is None else places.of(name)
            stays = waits and ".layers." in name and tensor.dim() == 2
            value = tensor if stays else tensor.to(device, self._dtype, copy=True)
            setattr(module.get_submodule(parent), leaf, nn.Parameter(value, requires_grad=False))


def stretched(positions: Tensor, count: int) -> Tensor:
    """Learned positions (1, 1 + P, C) for another picture size, (1, count, C): bicubic, the class's own as it is."""
    if positions.shape[1] == count:
        return positions
    old, new = math.isqrt(positions.shape[1] - 1), math.isqrt(count - 1)
    square = positions[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    square = nn.functional.interpolate(square, (new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1].float(), square.permute(0, 2, 3, 1).flatten(1, 2)], 1)
