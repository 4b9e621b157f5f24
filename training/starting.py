"""Starting a run from the weights of an earlier one, or of a bundle, instead of from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from llama_vid.bundle import find_bundle, read_manifest
from llama_vid.compact import expanded
from llama_vid.errors import ConfigError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from training.decoder import TrainableDecoder, named_deltas


@dataclass(frozen=True, slots=True)
class Start:
    """A compressor with its configuration, and LoRA deltas by the names of `apply_lora`."""

    name: str
    config: CompressorConfig
    compressor: dict[str, Tensor]
    lora: dict[str, Tensor]

    @classmethod
    def of(cls, named: str, out: Path) -> Start:
        """The earlier run `named` in `out`, or a bundle by name or folder. Raises BundleError, ConfigError."""
        if (checkpoint := out / f"{named}.pt").is_file():
            state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
            if not state.get("config"):
                raise ConfigError(f"init: {checkpoint} holds no compressor; name a run that trained pairs")
            deltas = named_deltas(state["decoder"])
            return cls(named, CompressorConfig(**state["config"]), state["compressor"], deltas)
        return cls.of_bundle(named)

    @classmethod
    def of_bundle(cls, named: str) -> Start:
        """A bundle by name or folder. Raises BundleError."""
        folder = find_bundle(named)
        config = CompressorConfig(**read_manifest(folder)["compressor"])
        weights = [expanded(load_file(folder / f"{part}.safetensors")) for part in ("compressor", "lora")]
        return cls(folder.name, config, *weights)

    def averaged(self, other: Start, share: float) -> Start:
        """The average of two weights of one descent, `share` of it the other's. Raises ConfigError if shapes differ.

        The halves of the deltas are averaged as they are, not their products: runs that start from each other keep
        their halves alike.
        """
        pairs = ((self.compressor, other.compressor), (self.lora, other.lora))
        if any({k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()} for a, b in pairs):
            raise ConfigError(f"average_with: {other.name} has weights of other shapes than {self.name}")
        mixed = [{k: torch.lerp(v.float(), b[k].float(), share) for k, v in a.items()} for a, b in pairs]
        return Start(self.name, self.config, *mixed)

    def apply(self, compressor: object, decoder: TrainableDecoder) -> None:
        """Put the weights into what is trained; a reader that is no compressor starts anew. Raises ConfigError."""
        decoder.load_lora(self.lora)
        if isinstance(compressor, Compressor):
            if compressor.config != self.config:
                raise ConfigError(f"init: {self.name} holds a compressor of another shape than this recipe trains")
            compressor.load_state_dict(self.compressor)
