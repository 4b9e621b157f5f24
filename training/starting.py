"""Starting a run from a bundle's weights instead of from nothing."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors.torch import load_file
from torch import Tensor

from llama_vid.bundle import find_bundle, read_manifest
from llama_vid.compact import expanded
from llama_vid.errors import ConfigError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from training.decoder import TrainableDecoder


@dataclass(frozen=True, slots=True)
class Start:
    """A bundle's compressor with its configuration, and its LoRA deltas by the names of `apply_lora`."""

    name: str
    config: CompressorConfig
    compressor: dict[str, Tensor]
    lora: dict[str, Tensor]

    @classmethod
    def of(cls, bundle: str) -> Start:
        """Read a bundle by name or folder. Raises BundleError."""
        folder = find_bundle(bundle)
        config = CompressorConfig(**read_manifest(folder)["compressor"])
        weights = [expanded(load_file(folder / f"{part}.safetensors")) for part in ("compressor", "lora")]
        return cls(folder.name, config, *weights)

    def apply(self, compressor: object, decoder: TrainableDecoder) -> None:
        """Put the weights into what is trained; a reader that is no compressor starts anew. Raises ConfigError."""
        decoder.load_lora(self.lora)
        if isinstance(compressor, Compressor):
            if compressor.config != self.config:
                raise ConfigError(f"the bundle {self.name} holds a compressor of another shape than this recipe trains")
            compressor.load_state_dict(self.compressor)
