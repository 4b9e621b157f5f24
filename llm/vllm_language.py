"""The language model as seen from here when a vLLM server runs it: its words and embeddings, and a line to the rest.

Only the tokenizer and the embedding table are loaded. What would be a forward here is a request there: `VllmContext`
puts questions behind a memory, `VllmFinder` weighs yes and no and proposes captions.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import torch
from torch import Tensor

from llama_vid.errors import LlamaVidError
from llama_vid.llm.converted import converted
from llama_vid.llm.embedding_table import EmbeddingTable
from llama_vid.llm.language import LanguageModel, chosen_dtype
from llama_vid.llm.vllm_client import Served, VllmClient
from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable
from llama_vid.llm.vllm_line import VllmLine
from llama_vid.llm.vllm_options import VllmOptions
from llama_vid.tokenizer.parts import Part

logger = logging.getLogger(__name__)

#: What the server and we must read alike before it is trusted with a prompt.
PROBE: Final = "[12 min]\nQuestion: Is there a dog on the lawn?\nAnswer:"
#: How far the log-probabilities of two computations of the same may lie apart: numbers in 16 bits differ by 0.1.
SAME: Final = 0.5
COMPARED: Final = 5  # likeliest tokens that are compared


class VllmLanguage(LanguageModel):
    """A `LanguageModel` without layers. `line` leads to the server; `local` is the whole model, where it is loaded too,
    to answer while the server does not.

    What asks for hidden states (evaluations by likelihood, training) raises LlamaVidError.
    """

    remote = True

    def __init__(
        self,
        table: EmbeddingTable,
        options: VllmOptions,
        *,
        context: int | None = None,
        local: LanguageModel | None = None,
    ) -> None:
        self._table = table.weight
        self._take(table.tokenizer)
        self.width = table.weight.shape[1]
        self.context = min(table.context, context or table.context)
        self.preface = None
        self.eos = table.eos
        self.local = local
        self.line = VllmLine(options, self._check)

    @classmethod
    def attach(
        cls,
        source: Path | Part,
        options: VllmOptions,
        *,
        lora: Mapping[str, Tensor] | None = None,
        device: str = "auto",
        dtype: str = "auto",
        context: int | None = None,
    ) -> VllmLanguage:
        """The model of a folder or part (see `LanguageModel.load`), run by the server of `options`.

        `context` lowers what the server is expected to take. With `options.fallback` the model itself is loaded as
        well, with its low-rank changes `lora`. Raises BundleError for what is missing, VllmError if the server is there
        and not the right one; one that is away is only asked when it is needed.
        """
        folder = converted(source) if isinstance(source, Part) else source
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        local = LanguageModel.load(folder, lora=lora, device=device, dtype=dtype) if options.fallback else None
        table = EmbeddingTable.load(folder, where, chosen_dtype(dtype, where))
        language = cls(table, options, context=context, local=local)
        try:
            language.line.served()
        except VllmUnavailable as problem:
            logger.warning("%s", problem)
        except VllmError:
            language.close()
            raise
        return language

    @property
    def _embedding(self) -> Tensor:
        return self._table

    def close(self) -> None:
        """End the line to the server; requests under way are cancelled."""
        self.line.close()

    async def _check(self, client: VllmClient, served: Served) -> None:
        """Whether the server's model is ours. Raises VllmError."""
        where = client.options.base_url
        if served.context and served.context < self.context:
            raise VllmError(
                f"the vLLM server at {where} takes {served.context} tokens, the memory is laid out for {self.context}; "
                f"set memory.context_tokens to {served.context}, or start it with --max-model-len {self.context}"
            )
        ids = self.tokenize(PROBE)
        embeds = self.embed(ids)
        ours = await client.likely(embeds, served.model)
        theirs = await client.likely(ids, served.model)
        if not _alike(ours, theirs):
            raise VllmError(
                f"{served.model} at {where} is another language model: it does not read our words' embeddings as its "
                "own; serve the one of this bundle: llama-vid models export"
            )
        if self.local is not None:
            scores = self.local.logits(self.local.forward(embeds)[-1]).log_softmax(-1)
            top = scores.topk(2 * COMPARED)
            if not _alike(dict(zip(top.indices.tolist(), top.values.tolist(), strict=True)), ours):
                raise VllmError(
                    f"{served.model} at {where} has other weights than this bundle's language model, such as those "
                    "without our training; serve what this writes: llama-vid models export"
                )

    def forward(self, *_: Any, **__: Any) -> NoReturn:
        """Not here."""
        raise LlamaVidError(
            "the language model runs in a vLLM server, which gives no hidden states; do this with llm.engine: local"
        )

    logits = new_cache = apply_lora = forward


def _alike(one: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Whether the likeliest tokens of one are likely in the other, and as likely."""
    best = sorted(one, key=lambda token: -one[token])[:COMPARED]
    return all(token in other and abs(one[token] - other[token]) <= SAME for token in best)
