"""Big models on a GPU: a 7B-shaped Llama behind an hour of memory, and ViT-L/14, beside the chip's ceilings.

    llama-vid bench gpu [--shape 7b|tiny]       (or: python -m benchmarks.gpu)

The language model has Llama-2-7B's shape and random weights: what it says is noise, what it costs is not. It reads
7,200 tokens (an hour, one pair a second) in batches of 256 as the program does, then a pair that is new, then a
question of 20 tokens up to its first token, then it answers. The tower is open_clip's ViT-L/14 with random weights,
from pixels in the machine's memory. The ceilings are measured in the same run: a large matrix product, and a copy
within memory; a decoding step cannot be faster than reading all weights once. The peer is transformers' own `generate`
with its static cache, after as many tokens.

On a machine without a GPU the shape is `tiny`: a rehearsal of every step, whose figures say nothing about a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llama_vid.errors import ConfigError
from llama_vid.llm.batching import Batch, Request
from llama_vid.llm.cache import Snapshot
from llama_vid.llm.language import LanguageModel, chosen_dtype
from llama_vid.llm.reading import BATCH_TOKENS
from llama_vid.tokenizer.open_clip_tower import random_tower

QUESTION: Final = 20
#: The specification's bound, in bytes.
MOST_BYTES: Final = 24_000_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What is measured: a Llama's configuration, its memory's tokens, an answer's; an open_clip name, batch sizes; the
    side of the square product and the bytes of the copy."""

    llama: dict[str, Any]
    memory: int
    answer: int
    tower: str
    batches: tuple[int, ...]
    side: int
    copied: int


SHAPES: Final[dict[str, Shape]] = {
    "7b": Shape(
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 32, "vocab_size": 32000},
        7200, 128, "ViT-L-14", (1, 8, 64), 8192, 2**31,
    ),
    "tiny": Shape(
        {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8,
         "num_key_value_heads": 8, "vocab_size": 1024},
        720, 16, "ViT-B-32", (1, 8), 512, 2**26,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the chip does at most: 10^12 operations a second in a product, bytes a second read and written in a copy."""

    tflops: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Gpu:
    """Seconds, tokens and frames a second on one device; `rehearsal` where that is no GPU."""

    device: str
    shape: str
    rehearsal: bool
    runs: int
    parameters: int
    weight_bytes: int
    memory_tokens: int
    prefill_s: float
    append_s: float
    first_token_s: float
    tokens_per_s: float
    peak_bytes: int
    ceilings: Ceilings
    frames_per_s: dict[int, float]
    compiled_tokens_per_s: float | None = None
    peer_tokens_per_s: float | None = None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        flops = 2 * self.parameters * self.memory_tokens / self.prefill_s / 1e12
        bound = self.ceilings.bytes_per_s / 2 / self.weight_bytes
        return {
            "name": "gpu",
            "n": self.runs,
            "rehearsal": self.rehearsal,
            "device": self.device,
            "shape": self.shape,
            "parameters": self.parameters,
            "memory_tokens": self.memory_tokens,
            "prefill_s": self.prefill_s,
            "append_pair_ms": 1000 * self.append_s,
            "first_token_s": self.first_token_s,
            "decode_tokens_per_s": self.tokens_per_s,
            "decode_compiled_tokens_per_s": self.compiled_tokens_per_s,
            "peak_gb": self.peak_bytes / 1e9,
            "within_24_gb": self.peak_bytes <= MOST_BYTES,
            "frames_per_s": {str(size): rate for size, rate in self.frames_per_s.items()},
            "prefill_tflops": flops,
            "ceiling": {
                "product_tflops": self.ceilings.tflops,
                "copy_gb_per_s": self.ceilings.bytes_per_s / 1e9,
                "decode_tokens_per_s": bound,
            },
            "peer": {"transformers_static_cache_tokens_per_s": self.peer_tokens_per_s},
            "notes": "; ".join(self.notes),
        }


def measure(runs: int | None = None, *, shape: str = "") -> Gpu:
    """Measure `shape` (7b on a GPU, tiny elsewhere) `runs` times (5).

    Raises ConfigError for an unknown shape, or for 7b without a GPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = shape or ("7b" if device.type == "cuda" else "tiny")
    if shape not in SHAPES:
        raise ConfigError(f"unknown --shape {shape!r}; use {' or '.join(SHAPES)}")
    if shape == "7b" and device.type != "cuda":
        raise ConfigError("the shape 7b is measured on a GPU, and torch finds none here; rehearse with --shape tiny")
    told, runs = SHAPES[shape], runs or 5
    dtype = chosen_dtype("auto", device)
    timed = Timer(device, runs)
    ceilings = _ceilings(told, device, dtype, timed)
    frames = _frames(told, device, dtype, timed)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    module = random_llama(told, device, dtype)
    language = LanguageModel(module, _byte_tokenizer(), cache_tokens=2 * _context(told))
    found = _asked(language, told, timed)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _own_bytes()
    del language  # a second one joins the same weights anew
    compiled: float | None = None
    if device.type == "cuda":
        compiled = _asked(LanguageModel(module, _byte_tokenizer(), compiled=True), told, timed)[3]
    peer = _peer(module, told, timed)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    notes = [f"language model in {str(dtype).removeprefix('torch.')}, tower as the program runs it"]
    if device.type != "cuda":
        notes.append("a rehearsal without a GPU: every step ran, no figure says anything about one")
    return Gpu(
        name, shape, device.type != "cuda", runs, sum(each.numel() for each in module.parameters()),
        sum(each.nbytes for each in module.parameters()), told.memory, *found, peak, ceilings, frames, compiled, peer,
        notes,
    )  # fmt: skip


class Timer:
    """Median seconds of work on a device, after one time that is not counted."""

    def __init__(self, device: torch.device, runs: int) -> None:
        self._device, self._runs = device, runs

    def __call__(self, work: Callable[[], object]) -> float:
        """Seconds; the device is waited for before and after."""
        work()
        return median(self._once(work) for _ in range(self._runs))

    def _once(self, work: Callable[[], object]) -> float:
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def random_llama(told: Shape, device: torch.device, dtype: torch.dtype) -> Any:
    """A Llama of that shape with random weights, made where it will lie."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **told.llama, max_position_embeddings=_context(told), tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            torch.manual_seed(0)
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def _context(told: Shape) -> int:
    return -(-(told.memory + QUESTION + told.answer + 64) // BATCH_TOKENS) * BATCH_TOKENS


@torch.inference_mode()
def _asked(language: LanguageModel, told: Shape, timed: Timer) -> tuple[float, float, float, float]:
    """Seconds of the prefill, of one pair more, of a question's first token; tokens a second of an answer."""
    embeds = torch.randn(told.memory, language.width, device=language.device, dtype=language.dtype) * 0.02
    question = embeds[:QUESTION]

    def read() -> Any:
        cache = language.new_cache()
        for at in range(0, told.memory, BATCH_TOKENS):
            language.forward(embeds[at : at + BATCH_TOKENS], cache)
        return cache

    prefill = timed(read)
    cache = read()

    def append() -> None:
        language.forward(embeds[:2], cache.branch(told.memory))

    def answered(tokens: int) -> None:
        request = Request(question, Snapshot(cache, told.memory), tokens, loop=10 * tokens)
        answer = Batch(language).ask(request)
        for _ in answer:
            pass

    first = timed(lambda: answered(1))
    whole = timed(lambda: answered(told.answer))
    return prefill, timed(append), first, (told.answer - 1) / max(1e-9, whole - first)


def _peer(module: Any, told: Shape, timed: Timer) -> float:
    """Tokens a second of transformers' `generate` with its static cache after the same memory."""
    ids = torch.randint(0, told.llama["vocab_size"], (1, told.memory), device=module.device)

    def generated(tokens: int) -> None:
        module.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens,
            do_sample=False, cache_implementation="static", pad_token_id=0,
        )  # fmt: skip

    first, whole = timed(lambda: generated(1)), timed(lambda: generated(told.answer))
    return (told.answer - 1) / max(1e-9, whole - first)


@torch.inference_mode()
def _ceilings(told: Shape, device: torch.device, dtype: torch.dtype, timed: Timer) -> Ceilings:
    left, right = (torch.randn(told.side, told.side, device=device).to(dtype) for _ in range(2))
    product = timed(lambda: left @ right)
    source = torch.ones(told.copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = timed(lambda: target.copy_(source))
    return Ceilings(2 * told.side**3 / product / 1e12, 2 * told.copied / copied)


@torch.inference_mode()
def _frames(told: Shape, device: torch.device, dtype: torch.dtype, timed: Timer) -> dict[int, float]:
    """Frames a second by batch size, from bytes in the machine's memory."""
    tower = random_tower(told.tower).to(device)
    tower.trunk_bfloat16 = dtype is torch.bfloat16
    rates = {}
    for size in told.batches:
        pixels = torch.randint(0, 256, (size, 3, tower.size, tower.size), dtype=torch.uint8)
        rates[size] = size / timed(lambda pixels=pixels: tower.encode_pixels(pixels))  # type: ignore[misc]
    return rates


def _byte_tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _own_bytes() -> int:
    """The most memory that this process has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
