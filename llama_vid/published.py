"""Published LLaMA-VID checkpoints: recognised by their layout and loaded as they are.

`published_config.py` reads the configuration, `published_layout.py` knows the keys, `published_weights.py` the files,
`published_plan.py` what goes where, `published_parts.py` builds. The parts are transformers' own Blip2VisionModel,
InstructBlipQFormerModel and LlamaForCausalLM; around them stand the bundle that scores pictures against texts (by
default that of `mini`: the checkpoints have no contrastive head) and the rest of the program.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from llama_vid.bundle import Bundle, find_bundle, load_scoring
from llama_vid.llm.language import chosen_dtype
from llama_vid.llm.placement import LoadOptions
from llama_vid.llm.preface import Preface
from llama_vid.memory.budget import ANSWER_TOKENS, EVIDENCE_FRAMES, PAIR_TOKENS, PROMPT_TOKENS, Budget
from llama_vid.published_config import CONFIG, PublishedConfig
from llama_vid.published_parts import Filling
from llama_vid.published_plan import fitting_context, plan
from llama_vid.published_weights import listed
from llama_vid.tokenizer.llamavid_compressor import GuidedCompressor
from llama_vid.tokenizer.llamavid_qformer import text_ids
from llama_vid.tokenizer.llamavid_tower import GuidedTower

logger = logging.getLogger(__name__)

LICENCE: Final = (
    "the published LLaMA-VID weights are under CC BY-NC 4.0 (no commercial use), Vicuna under the Llama 2 licence"
)
#: The context whose budget a memory has that the language model does not read.
UNREAD_CONTEXT: Final = 8192


@dataclass(frozen=True, slots=True)
class PublishedBundle(Bundle):
    """A bundle made of a published checkpoint: its guide are a text's ids for the Q-Former."""

    @property
    def guided(self) -> bool:
        """Frames are read with a question in mind, best with the one that is asked."""
        return True

    @property
    def evidence_frames(self) -> int:
        """Frames of an evidence block: fewer than usual where the checkpoint reads hundreds of tokens of each."""
        preface = self.language.preface
        if preface is None or preface.memory:
            return EVIDENCE_FRAMES
        room = self.language.context - self._prompt - ANSWER_TOKENS
        return max(1, min(EVIDENCE_FRAMES, room // self._frame_tokens))

    def budget(self, context_tokens: int | None = None) -> Budget:
        """As in `Bundle`, without time marks. Memory that is not read is bounded as the usual context bounds it."""
        context = min(context_tokens or self.language.context, self.language.context)
        preface = self.language.preface
        if preface is not None and not preface.memory:
            return Budget.for_context(UNREAD_CONTEXT, prompt_tokens=self._prompt, mark_tokens=0)
        rows = -(-self._frame_tokens * EVIDENCE_FRAMES // PAIR_TOKENS)
        return Budget.for_context(context, prompt_tokens=self._prompt, mark_tokens=0, evidence_frames=rows)

    def guide(self, text: str) -> Tensor:
        """A text's ids (L,) for the Q-Former."""
        return text_ids(text)

    @property
    def _prompt(self) -> int:
        preface = self.language.preface
        assert preface is not None  # load_published sets it
        around = self.language.tokenize(preface.text + preface.asks(""))
        return PROMPT_TOKENS + len(preface.begin) + len(around)

    @property
    def _frame_tokens(self) -> int:
        compressor = self.compressor
        return compressor.per_frame if isinstance(compressor, GuidedCompressor) else PAIR_TOKENS


def load_published(
    folder: Path,
    *,
    name: str = "",
    device: str = "auto",
    dtype: str = "auto",
    scorer: str = "mini",
    context_tokens: int | None = None,
    options: LoadOptions | None = None,
) -> PublishedBundle:
    """Load a checkpoint's folder. Raises BundleError if it is no LLaMA-VID one, incomplete, or too large for here.

    Its licence and the memory that it needs are logged first. `scorer` names the bundle whose image-text part scores;
    `context_tokens` lowers the context; `name` is what it is called (default: its folder's name); `options` are for the
    language model.
    """
    config = PublishedConfig.of(folder)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    kind = chosen_dtype(dtype, where)
    logger.warning("%s: %s", folder.name, LICENCE)
    planned = plan(folder, config)
    options = options or LoadOptions()
    context = fitting_context(folder, config, planned, kind, where, context_tokens, options)
    scoring = load_scoring(find_bundle(scorer))
    filling = Filling(folder, planned, where, kind, options)
    vision, tokens, language = filling.vision(config), filling.tokens(config), filling.language(config, context)
    shape = vision.shape
    compressor = GuidedCompressor(tokens.eval().requires_grad_(False), patches=shape.positions, channels=shape.width)
    language.preface = Preface(begin=(language.module.config.bos_token_id,), memory=compressor.per_frame == PAIR_TOKENS)
    tower = GuidedTower(scoring.tower, vision)
    tower.to(where)
    tower.trunk_bfloat16 = kind is torch.bfloat16
    return PublishedBundle(
        name or folder.name, tower, compressor, language, scoring.scorer, scoring.calibration, str(folder), folder,
        scoring.rarity,
    )  # fmt: skip


def identity(folder: Path) -> str:
    """What makes the tokens of a memory, in one line: the folder's name and a digest of its configuration and files.

    Raises BundleError if it has no weights.
    """
    about = [(path.name, path.stat().st_size) for path in listed(folder)]
    digest = hashlib.sha256((folder / CONFIG).read_bytes() + json.dumps(about).encode())
    return f"{folder.name} {digest.hexdigest()[:12]}"
