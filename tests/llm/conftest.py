"""A tiny random Llama with a byte-level tokenizer, in float32, and entries for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from llama_vid.llm.language import LanguageModel
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

WIDTH = 48
MakeEntries = Callable[..., list[MemoryEntry]]


def byte_tokenizer() -> Tokenizer:
    """One token a byte, and two control tokens: ids 256 (start) and 257 (end)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)])
    return tokenizer


def save_tiny(folder: Path, *, seed: int = 0, tied: bool = True, context: int = 2048) -> Path:
    """Write a tiny random Llama (config, safetensors, tokenizer) as transformers would; returns the folder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=258, hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=context, tie_word_embeddings=tied,
        bos_token_id=256, eos_token_id=257, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model."""
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> LanguageModel:
    """The tiny model, float32, on the CPU; not to be changed."""
    return LanguageModel.load(tiny_folder, device="cpu", dtype="fp32")


@pytest.fixture
def make_entries() -> MakeEntries:
    """make_entries(count, start=0, step=1.0, seed=0): entries with random tokens, one every `step` seconds."""

    def make(count: int, start: float = 0.0, step: float = 1.0, seed: int = 0) -> list[MemoryEntry]:
        generator = torch.Generator().manual_seed(seed)
        entries = []
        for index in range(count):
            context, motion = torch.randn(2, WIDTH, generator=generator).unbind()
            pair = TokenPair(context, motion, 0.0, held=False, cut=False)
            begin = start + index * step
            entries.append(MemoryEntry(begin, begin + step, pair, torch.nn.functional.normalize(context, dim=0)))
        return entries

    return make
