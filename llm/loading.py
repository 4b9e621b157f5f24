"""A language model's folder, read into a transformers module: its shards one after another, never held twice.

    config.json                       of the family below, with any of transformers' rotary scalings (llama3, linear, …)
    model.safetensors                 or several shards, named by model.safetensors.index.json
    tokenizer.json

Shards are mapped into memory and each weight is put in its place, converted, on its device. Layers are joined and
quantised one at a time (`decoder.py`), so that the most that is held beside the finished model is one layer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from llama_vid.errors import BundleError
from llama_vid.llm.lora import merge_lora
from llama_vid.llm.placement import LoadOptions, Places, placed
from llama_vid.llm.quantized import quantiser

#: Configurations whose decoder is Llama's: the same layers, norms and rotary positions.
FAMILY: Final = ("llama", "mistral", "qwen2")
INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"
#: Computed, not stored; old checkpoints of Llama 2 have it all the same.
_COMPUTED: Final = ".rotary_emb.inv_freq"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module whose weights are there. `ready(i, layer)` must be called for each layer before it is joined;
    `quantise` makes a joined weight small."""

    module: Any
    places: Places
    ready: Callable[[int, Any], None]
    quantise: Callable[[Tensor], Any] | None
    merged: bool  # whether `ready` adds the low-rank changes


def read_config(folder: Path) -> dict[str, Any]:
    """A language model's config.json. Raises BundleError if it is missing or not of the Llama family."""
    try:
        told: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        kind = told.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise BundleError(
            f"no usable config.json of a language model in {folder}: {error}; name a folder that "
            "transformers' save_pretrained wrote"
        ) from error
    if kind not in FAMILY or (told.get("sliding_window") and told.get("use_sliding_window", True)):
        raise BundleError(
            f"the language model in {folder} is of type {kind!r}; "
            f"use one of the Llama family ({', '.join(FAMILY)}) with full attention"
        )
    return told


def shards(folder: Path) -> list[Path]:
    """The safetensors files of a folder, by its index if it has one. Raises BundleError if one is missing."""
    if (folder / SINGLE).is_file() and not (folder / INDEX).is_file():
        return [folder / SINGLE]
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()))
        found = [folder / Path(name).name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the language model in {folder} cannot be loaded: neither {SINGLE} nor a usable {INDEX} is there "
            f"({type(error).__name__}); fetch it again, as safetensors"
        ) from None
    if lacking := [path.name for path in found if not path.is_file()]:
        raise BundleError(f"{folder} lacks {lacking[0]}, which {INDEX} names; fetch it again")
    return found


def load(
    folder: Path,
    home: torch.device,
    dtype: torch.dtype,
    options: LoadOptions,
    lora: Mapping[str, Tensor] | None = None,
    scale: float = 1.0,
) -> Loaded:
    """The module of a folder on its devices. Raises BundleError for what is missing, damaged or does not fit."""
    kind = read_config(folder)["model_type"]
    try:
        config, make = _class(kind, folder)
        if options.context is not None:
            config.max_position_embeddings = min(options.context, config.max_position_embeddings)
        with torch.device("meta"):
            module = make(config)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(f"the language model in {folder} cannot be loaded: {reason}; fetch it again") from error
    places = placed(module, home, dtype, options)
    small = options.quantize != "none"
    _fill(module, folder, places, dtype, waits=small)
    rotary = type(module.model.rotary_emb)
    module.model.rotary_emb = rotary(config).to(places.home)  # its buffers are computed, not stored
    if small and lora and (odd := next((key for key in lora if not _belongs(key, len(module.model.layers))), None)):
        raise BundleError(f"the LoRA changes {odd}, which the language model in {folder} does not have")
    return layer_by_layer(module, places, dtype, options.quantize, lora, scale)


def layer_by_layer(
    module: Any,
    places: Places,
    dtype: torch.dtype,
    quantize: str,
    lora: Mapping[str, Tensor] | None = None,
    scale: float = 1.0,
) -> Loaded:
    """A filled module whose layers are brought to their devices, changed and quantised one at a time, if at all."""
    makers = {device: quantiser(quantize, device) for device in places.devices}
    small = quantize != "none"

    def ready(index: int, layer: Any) -> None:
        if not small:
            return
        where = places.of(f"model.layers.{index}")
        for part in layer.modules():
            if isinstance(part, nn.Linear):
                part.weight = nn.Parameter(part.weight.to(where, dtype), requires_grad=False)
        changes = {key: value for key, value in (lora or {}).items() if key.startswith(f"layers.{index}.")}
        if changes:
            merge_lora(module, changes, scale)

    def quantise(weight: Tensor) -> Any:
        make = makers[weight.device] if weight.device in makers else quantiser(quantize, weight.device)
        return weight if make is None else make(weight)

    return Loaded(module, places, ready, quantise if small else None, small)


def _class(kind: str, folder: Path) -> tuple[Any, Callable[[Any], Any]]:
    """The configuration in a folder, and what makes its module: Llama's own class, since the Auto ones take longer."""
    if kind == "llama":
        from transformers.models.llama.configuration_llama import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaForCausalLM

        return LlamaConfig.from_pretrained(folder, local_files_only=True), LlamaForCausalLM
    from transformers import AutoConfig, AutoModelForCausalLM

    return AutoConfig.from_pretrained(folder, local_files_only=True), AutoModelForCausalLM.from_config


def _belongs(key: str, layers: int) -> bool:
    parts = key.split(".")
    return len(parts) > 1 and parts[0] == "layers" and parts[1].isdigit() and int(parts[1]) < layers


def _tensors(paths: list[Path]) -> Iterator[tuple[str, Path, Tensor]]:
    """Key, file and tensor of all shards; a file is closed before the next one is opened."""
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 (not a mapping)
                    yield key, path, file.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path.name} in {path.parent} is damaged: {error}; fetch it again") from error


def _fill(module: Any, folder: Path, places: Places, dtype: torch.dtype, *, waits: bool) -> None:
    """Every weight in its place. With `waits` the layers' matrices stay mapped files until they are quantised."""
    expected = dict(module.named_parameters())
    tied = bool(getattr(module.config, "tie_word_embeddings", False))
    for key, path, tensor in _tensors(shards(folder)):
        if key.endswith(_COMPUTED) or (tied and key == "lm_head.weight"):
            continue
        wanted = expected.pop(key, None)
        if wanted is None:
            raise BundleError(f"{path.name} in {folder} has an unknown weight {key}; fetch it again")
        if wanted.shape != tensor.shape:
            raise BundleError(
                f"{path.name} in {folder}: {key} is {list(tensor.shape)}, and config.json asks for "
                f"{list(wanted.shape)}; fetch it again"
            )
        stays = waits and ".layers." in key and tensor.dim() == 2
        value = tensor if stays else tensor.to(places.of(key), dtype)
        parent, _, leaf = key.rpartition(".")
        setattr(module.get_submodule(parent), leaf, nn.Parameter(value, requires_grad=False))
    if tied:
        expected.pop("lm_head.weight", None)
        module.tie_weights()
    if expected:
        files = SINGLE if (folder / SINGLE).is_file() else "the shards"
        raise BundleError(f"{files} in {folder} lacks {next(iter(expected))}; fetch it again")
