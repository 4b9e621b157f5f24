"""Captions from token pairs alone: many memories of one frame decoded side by side."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.attention import causal
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import mark_text
from llama_vid.llm.prompts import CAPTION_SUFFIX
from llama_vid.llm.session import embed_segments
from llama_vid.tokenizer.pair import TokenPair

LONGEST: Final = 24  # tokens: a caption of 12 words takes about 14
BATCH: Final = 16
PROPOSALS: Final = 5  # drawn sentences to choose from: more gain little


def captions(model: LanguageModel, pairs: Sequence[TokenPair], *, beams: int = 1) -> list[str]:
    """One sentence for each pair, greedily or by beam search over `beams` hypotheses."""
    return continued(model, [_prompt(model, pair) for pair in pairs], beams=beams)


def continued(model: LanguageModel, prompts: Sequence[Tensor], *, beams: int = 1) -> list[str]:
    """One sentence for each prompt (n, D), all of one length, that asks for a caption."""
    out: list[str] = []
    for at in range(0, len(prompts), BATCH):
        with torch.inference_mode():
            out.extend(_batch(model, torch.stack(list(prompts[at : at + BATCH])), beams))
    return out


def _batch(model: LanguageModel, prompts: Tensor, beams: int) -> list[str]:
    """The sentences of prompts (B, n, D): read once, then one token of every hypothesis at a time."""
    count = len(prompts)
    ids = torch.zeros(count, 1, 0, dtype=torch.long)
    score = torch.zeros(count, 1)
    done = torch.zeros(count, 1, dtype=torch.bool)
    ends = torch.tensor(sorted(model.eos))
    cache = _Rows()
    hidden = model.forward(prompts, cache)[:, -1]
    while True:
        width = ids.shape[1]
        logits = model.logits(hidden).float().log_softmax(-1).cpu().view(count, width, -1)
        stay = torch.full_like(logits, float("-inf"))
        stay[..., int(ends[0])] = 0.0
        logits = torch.where(done[..., None], stay, logits)
        total = score[..., None] + logits
        score, where = total.flatten(1).topk(beams, -1)
        source, token = where // logits.shape[-1], where % logits.shape[-1]
        ids = torch.cat([ids.gather(1, source[..., None].expand(-1, -1, ids.shape[2])), token[..., None]], -1)
        done = done.gather(1, source) | torch.isin(token, ends)
        if bool(done[:, 0].all()) or ids.shape[2] == LONGEST:
            return [_text(model, row) for row in ids[:, 0]]
        cache.pick((torch.arange(count)[:, None] * width + source).flatten())
        hidden = model.forward(model.embed(token.flatten().tolist())[:, None], cache)[:, -1]


def proposing(
    model: LanguageModel, pair: TokenPair, *, count: int = PROPOSALS, temperature: float = 0.7
) -> Generator[None, None, list[str]]:
    """Different sentences for one pair: the likeliest, and `count` drawn ones (seeded, so that they stay the same).

    Yields after each token (some 40 ms on two cores), so that other work can go between; returns the sentences.
    """
    prompt = _prompt(model, pair)
    rows = 1 + count
    ids = torch.zeros(rows, 0, dtype=torch.long)
    done = torch.zeros(rows, dtype=torch.bool)
    ends = torch.tensor(sorted(model.eos))
    generator = torch.Generator().manual_seed(0)
    cache = _Rows()
    hidden = model.forward(prompt[None], cache)[:, -1].expand(rows, -1)
    while True:
        with torch.inference_mode():
            logits = model.logits(hidden).float().cpu()
            drawn = torch.multinomial((logits[1:] / temperature).softmax(-1), 1, generator=generator)
            token = torch.cat([logits[:1].argmax(-1, keepdim=True), drawn])
            token[done] = ends[0]
            ids = torch.cat([ids, token], 1)
            done |= torch.isin(token[:, 0], ends)
        if bool(done.all()) or ids.shape[1] == LONGEST:
            return list(dict.fromkeys(text for row in ids if (text := _text(model, row))))
        hidden = model.forward(model.embed(token[:, 0].tolist())[:, None], cache)[:, -1]
        yield


class _Rows:
    """Keys and values of prompts that several sentences go on from side by side (an `AttentionCache`)."""

    def __init__(self) -> None:
        self._held: list[tuple[Tensor, Tensor]] = []
        self._length = 0

    @property
    def length(self) -> int:
        """Tokens that each sentence holds, prompt included."""
        return self._length

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The prompts first, then one token of every sentence: q (b, H, 1, d), k and v (b, G, 1, d). One prompt serves
        any number of sentences; of several, `pick` says which sentence goes on from which.
        """
        if layer == len(self._held):
            self._held.append((k, v))
        else:
            keys, values = (part.expand(len(q), -1, -1, -1) for part in self._held[layer])
            k, v = torch.cat([keys, k], 2), torch.cat([values, v], 2)
            self._held[layer] = (k, v)
        return causal(q, k, v)

    def pick(self, rows: Tensor) -> None:
        """Go on with these rows (b,), in this order, repeated or left out."""
        self._held = [
            (k.index_select(0, rows.to(k.device)), v.index_select(0, rows.to(v.device))) for k, v in self._held
        ]

    def advance(self, n: int) -> None:
        """Count n new tokens of each sentence."""
        self._length += n


def _prompt(model: LanguageModel, pair: TokenPair) -> Tensor:
    """A memory of one frame and the words that ask for its caption, embedded (n, D)."""
    return embed_segments(model, [mark_text(0.0), pair, CAPTION_SUFFIX])


def _text(model: LanguageModel, row: Tensor) -> str:
    kept: list[int] = []
    for token in row.tolist():
        if model.is_control(token):
            break
        kept.append(token)
    return " ".join(model.detokenize(kept).split())
