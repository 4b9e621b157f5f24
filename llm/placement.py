"""Which part of a language model lies on which device: one for all, a map by name, or one made by accelerate.

A map is that of transformers' `device_map`: the longest name that a weight's name begins with says where it goes.

    {"model.embed_tokens": 0, "model.layers.0": 0, "model.layers.1": 1, "model.norm": 1, "lm_head": 1, "": "cpu"}

`auto` fills the GPUs and leaves the rest to the CPU, `balanced` spreads layers evenly, `sequential` fills one GPU after
the other; what each may take is what is free, or `max_memory` ({0: "20GiB", "cpu": "60GiB"}). A layer on the CPU is
computed there. Keys and values of all layers lie where the embeddings do.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import torch

from llama_vid.errors import BundleError

#: Maps that accelerate makes.
MADE: Final = ("auto", "balanced", "sequential")
ENVIRONMENT: Final = ("QUANTIZE", "DEVICE_MAP", "MAX_MEMORY", "COMPILE")
DeviceMap = str | Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a language model is loaded, beside device and dtype.

    `quantize` is none, int8 or int4 (`quantized.py`); `device_map` and `max_memory` as above; `context` lowers its
    window; `compiled` has torch compile what stands around attention (`decoder.py`), and the tower's blocks.
    """

    quantize: str = "none"
    device_map: DeviceMap | None = None
    max_memory: Mapping[int | str, int | str] | None = None
    context: int | None = None
    compiled: bool = False

    @classmethod
    def of_environment(cls) -> Self:
        """What LLAMA_VID_MODEL_QUANTIZE, …_DEVICE_MAP, …_MAX_MEMORY and …_COMPILE say, as for `llama-vid serve`.

        Raises BundleError for a map that is no JSON object.
        """
        told = {key: os.environ.get(f"LLAMA_VID_MODEL_{key}", "") for key in ENVIRONMENT}
        where, most = (told[key] for key in ("DEVICE_MAP", "MAX_MEMORY"))
        return cls(
            quantize=told["QUANTIZE"] or "none",
            device_map=_mapping("DEVICE_MAP", where) if where.startswith("{") else where or None,
            max_memory=_mapping("MAX_MEMORY", most) if most else None,
            compiled=told["COMPILE"].lower() in ("1", "true", "yes", "on"),
        )


@dataclass(frozen=True, slots=True)
class Places:
    """Where each part lies; `home` where nothing else is said."""

    home: torch.device
    named: Mapping[str, torch.device] = field(default_factory=dict)

    def of(self, name: str) -> torch.device:
        """The device of a weight or a part of the model."""
        known = [part for part in self.named if not part or name == part or name.startswith(f"{part}.")]
        return self.named[max(known, key=len)] if known else self.home

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Every device that something may lie on, home first."""
        return tuple(dict.fromkeys((self.home, *self.named.values())))


def _mapping(name: str, text: str) -> dict[Any, int | str]:
    try:
        found = json.loads(text)
        return {int(key) if key.isdigit() else key: value for key, value in found.items()}
    except (ValueError, AttributeError):
        raise BundleError(
            f'LLAMA_VID_MODEL_{name} is no JSON object; write it as {{"0": "20GiB", "cpu": "60GiB"}}'
        ) from None


def placed(module: Any, home: torch.device, dtype: torch.dtype, options: LoadOptions) -> Places:
    """Where the parts of a module (its weights may be on `meta`) go. Raises BundleError for a map that cannot be."""
    wanted = options.device_map
    if wanted is None:
        return Places(home)
    if isinstance(wanted, str):
        wanted = _made(module, dtype, wanted, options)
    named = {name: _device(name, where) for name, where in wanted.items()}
    layers = len(module.model.layers)
    for name in ("model.embed_tokens", "model.norm", "lm_head", *(f"model.layers.{at}" for at in range(layers))):
        if not any(not part or name == part or name.startswith(f"{part}.") for part in named):
            raise BundleError(
                f'model.device_map does not say where {name} goes; add it, or "": DEVICE for all that is left'
            )
    return Places(Places(home, named).of("model.embed_tokens"), named)


def _device(name: str, where: int | str) -> torch.device:
    if where == "disk":
        raise BundleError(
            f"model.device_map puts {name or 'what is left'} on disk, where it cannot be computed with; quantise the "
            "model (model.quantize: int4), or allow more memory (model.max_memory)"
        )
    try:
        device = torch.device(f"cuda:{where}" if isinstance(where, int) else where)
    except RuntimeError:
        raise BundleError(f"model.device_map: {where!r} is no device; use cpu, cuda:0, or a GPU's number") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BundleError(
            f"model.device_map puts {name or 'what is left'} on {device}, and this machine has "
            f"{torch.cuda.device_count()} CUDA devices; see: llama-vid doctor"
        )
    return device


def _made(module: Any, dtype: torch.dtype, how: str, options: LoadOptions) -> Mapping[str, int | str]:
    if how not in MADE:
        raise BundleError(f"unknown model.device_map {how!r}; use {', '.join(MADE)}, or a map of names to devices")
    if importlib.util.find_spec("accelerate") is None:
        raise BundleError(
            f"model.device_map: {how} needs the package accelerate; install it (pip install "
            '"llama-vid-live[big]"), or write a map of names to devices'
        )
    accelerate: Any = importlib.import_module("accelerate")
    tools: Any = importlib.import_module("accelerate.utils")
    kind = {"int8": torch.int8, "int4": tools.CustomDtype.INT4}.get(options.quantize, dtype)
    whole = [type(module.model.layers[0]).__name__]  # a layer is never divided
    allowed = dict(options.max_memory) if options.max_memory else None
    try:
        if how == "balanced":
            allowed = tools.get_balanced_memory(module, allowed, dtype=kind, no_split_module_classes=whole)
        found: Mapping[str, int | str] = accelerate.infer_auto_device_map(
            module, max_memory=allowed, no_split_module_classes=whole, dtype=kind
        )
    except (ValueError, TypeError, AttributeError) as problem:
        raise BundleError(f"model.max_memory: {problem}; write it as {{0: 20GiB, cpu: 60GiB}}") from None
    return found
