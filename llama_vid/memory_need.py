"""How much memory a model takes, from its configuration and its files' headers alone, and what would fit.

    weights    the language model's numbers, quantised as asked; embeddings, norms and the word scores stay in `dtype`
    cache      keys and values of two contexts: the one that is read, and the one that replaces it
    work       a prefill's activations and scores, a joined weight on its way, one answer's word scores
    tower      the image tower in float32 (a bundle's own, or `mini`'s)
    program    Python, torch and its kernels; on a GPU its context

Loads no weights. `mini` and everything that fits is never refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch

from llama_vid.errors import BundleError
from llama_vid.llm.attention import SCRATCH_SCORES
from llama_vid.llm.batching import ACTIVE, STEP_TOKENS
from llama_vid.llm.loading import read_config
from llama_vid.llm.pages import LEAST_CONTEXTS, PAGE_TOKENS
from llama_vid.llm.placement import LoadOptions
from llama_vid.llm.quantized import BYTES, QUANTIZE
from llama_vid.needs import free_bytes

#: Tokens of a context below which no minute of memory fits: a machine with room for less is refused.
LEAST_CONTEXT: Final = 1024
#: Python, torch and kernels on a CPU (measured with `mini`); a GPU's context and libraries.
PROGRAM: Final = {"cpu": 400_000_000, "cuda": 600_000_000}
#: Of a tower, a picture's activations beside the weights.
TOWER_SHARE: Final = 1.15
#: Contexts that are proposed where the wanted one does not fit.
SMALLER: Final = (8192, 4096, 2048, LEAST_CONTEXT)
Rows = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LanguageSize:
    """A Llama-family decoder in numbers; `words` of the vocabulary, `window` the longest context it was made for."""

    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    head_width: int
    words: int
    tied: bool
    window: int

    @classmethod
    def of(cls, told: Mapping[str, Any], where: str = "config.json") -> Self:
        """By a config.json. Raises BundleError if it does not tell."""
        try:
            heads, width = int(told["num_attention_heads"]), int(told["hidden_size"])
            return cls(
                layers=int(told["num_hidden_layers"]), width=width, inner=int(told["intermediate_size"]), heads=heads,
                groups=int(told.get("num_key_value_heads") or heads),
                head_width=int(told.get("head_dim") or width // heads), words=int(told["vocab_size"]),
                tied=bool(told.get("tie_word_embeddings", False)), window=int(told["max_position_embeddings"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as problem:
            raise BundleError(f"{where} does not tell the model's shape ({problem}); fetch it again") from None

    @property
    def joined(self) -> Rows:
        """Shapes (out, in) of one layer's matrices, joined as the decoder joins them."""
        inside = self.heads * self.head_width
        return [
            (inside + 2 * self.groups * self.head_width, self.width), (self.width, inside),
            (2 * self.inner, self.width), (self.width, self.inner),
        ]  # fmt: skip

    @property
    def matrices(self) -> int:
        """Numbers in the layers' matrices: what can be quantised."""
        return self.layers * sum(math.prod(shape) for shape in self.joined)

    @property
    def rest(self) -> int:
        """Numbers in embeddings, word scores and norms."""
        return self.words * self.width * (1 if self.tied else 2) + (2 * self.layers + 1) * self.width

    @property
    def parameters(self) -> int:
        """All numbers."""
        return self.matrices + self.rest

    def weights(self, itemsize: int, quantize: str) -> int:
        """Bytes of the weights."""
        if quantize == "none":
            return self.parameters * itemsize
        scales = 2 * self.layers * sum(out for out, _ in self.joined) if quantize == "int8" else 0
        return int(self.matrices * BYTES[quantize]) + scales + self.rest * itemsize

    def token(self, itemsize: int) -> int:
        """Bytes of one token's keys and values."""
        return self.layers * 2 * self.groups * self.head_width * itemsize

    def work(self, itemsize: int) -> int:
        """Bytes that come and go while it computes."""
        inside = (self.heads + 2 * self.groups) * self.head_width
        prefill = STEP_TOKENS * (2 * inside + 4 * self.inner + 6 * self.width) * itemsize
        weight = max(math.prod(shape) for shape in self.joined) * itemsize
        return prefill + SCRATCH_SCORES * itemsize + weight + ACTIVE * self.words * 4


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes by part, for one way to load a model."""

    name: str
    parameters: int
    dtype: str
    quantize: str
    context: int
    weights: int
    cache: int
    work: int
    tower: int
    program: int

    @property
    def total(self) -> int:
        """All parts."""
        return self.weights + self.cache + self.work + self.tower + self.program

    def to_json(self) -> dict[str, Any]:
        """As `models need --json` writes it: bytes."""
        parts = {part: getattr(self, part) for part in ("weights", "cache", "work", "tower", "program")}
        return {
            "name": self.name, "parameters": self.parameters, "dtype": self.dtype, "quantize": self.quantize,
            "context": self.context, "parts": parts, "total": self.total,
        }  # fmt: skip

    def line(self) -> str:
        """In one line."""
        small = "" if self.quantize == "none" else f", {self.quantize}"
        return (
            f"{self.name} needs {gigabytes(self.total)} of memory: {gigabytes(self.weights)} for "
            f"{self.parameters / 1e9:.2f} billion weights ({self.dtype}{small}), {gigabytes(self.cache)} for contexts "
            f"of {self.context:,} tokens, {gigabytes(self.work + self.tower + self.program)} for all else"
        )


def gigabytes(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 95e6 else f"{count / 1e6:.0f} MB"


def needed(
    name: str, size: LanguageSize, dtype: torch.dtype, device: torch.device, *,
    quantize: str = "none", context: int | None = None, tower: int = 0,
) -> Need:  # fmt: skip
    """What a model needs on a device, `tower` being its tower's bytes."""
    window = min(context or size.window, size.window)
    pages = -(-window // PAGE_TOKENS) * PAGE_TOKENS
    return Need(
        name, size.parameters, str(dtype).removeprefix("torch."), quantize, window,
        size.weights(dtype.itemsize, quantize), LEAST_CONTEXTS * pages * size.token(dtype.itemsize),
        size.work(dtype.itemsize), int(tower * TOWER_SHARE), PROGRAM.get(device.type, PROGRAM["cuda"]),
    )  # fmt: skip


def free_on(device: torch.device, options: LoadOptions | None = None) -> int | None:
    """Bytes that are free on a device now, whoever else uses it (a MIG slice's own); with a map of devices, on all.

    None where the machine does not say.
    """
    if options is not None and options.device_map is not None:
        gpus = sum(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))
        here = free_bytes()
        return None if here is None else gpus + here
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_bytes()


def fitting(need: Need, size: LanguageSize, free: int | None) -> int | None:
    """The longest context, up to the wanted one, for which there is memory; None where not even LEAST_CONTEXT fits."""
    if free is None or need.total <= free:
        return need.context
    itemsize = getattr(torch, need.dtype).itemsize
    room = (free - (need.total - need.cache)) // (LEAST_CONTEXTS * size.token(itemsize)) // PAGE_TOKENS * PAGE_TOKENS
    return min(room, need.context) if room >= min(LEAST_CONTEXT, need.context) else None


def alternatives(
    name: str, size: LanguageSize, dtype: torch.dtype, device: torch.device, free: int, context: int, tower: int
) -> list[Need]:
    """Ways to load it that fit, the most faithful first: each way to quantise with its longest context."""
    found = []
    for quantize in QUANTIZE:
        for shorter in (context, *(each for each in SMALLER if each < context)):
            need = needed(name, size, dtype, device, quantize=quantize, context=shorter, tower=tower)
            if need.total <= free:
                found.append(need)
                break
    return found


def refusal(need: Need, free: int, device: torch.device, others: list[Need]) -> BundleError:
    """The error for a model that does not fit, with what would."""
    ways = [
        " and ".join(
            [
                *([f"quantize: {other.quantize}"] if other.quantize != need.quantize else []),
                *([f"memory.context_tokens: {other.context}"] if other.context != need.context else []),
            ]
        )
        + f" ({gigabytes(other.total)})"
        for other in others
    ]
    fit = f"these would fit: {'; '.join(ways)}" if ways else "no way to quantise it fits; take a smaller model"
    where = "" if device.type == "cpu" else ", or let other devices take layers (model.device_map: auto)"
    return BundleError(f"{need.line()}; {gigabytes(free)} are free on {device.type}; {fit}{where}")


def checked(
    name: str, folder: Path, dtype: torch.dtype, device: torch.device, options: LoadOptions, *,
    tower: int = 0,
) -> tuple[Need, int | None]:  # fmt: skip
    """What loading a language model's folder needs, its context lowered to what fits; and what is free.

    Raises BundleError where not even the shortest context fits, with what would.
    """
    size = LanguageSize.of(read_config(folder), f"{folder / 'config.json'}")
    need = needed(name, size, dtype, device, quantize=options.quantize, context=options.context, tower=tower)
    free = free_on(device, options)
    context = fitting(need, size, free)
    if context is None:
        assert free is not None  # fitting says so
        raise refusal(need, free, device, alternatives(name, size, dtype, device, free, need.context, tower))
    if context == need.context:
        return need, free
    return needed(name, size, dtype, device, quantize=options.quantize, context=context, tower=tower), free


def header_bytes(path: Path, itemsize: int = 4) -> int:
    """Bytes of a tower's weights with `itemsize` each: by a safetensors header, else about the file's size.

    Raises BundleError for a damaged header.
    """
    if path.suffix != ".safetensors":
        return path.stat().st_size
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return itemsize * sum(int(math.prod(entry["shape"])) for key, entry in header.items() if key != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, MemoryError) as problem:
        raise BundleError(f"{path} cannot be read as safetensors ({problem}); fetch it again") from None
