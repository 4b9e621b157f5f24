"""Search: the moments of a memory that match a text, found by pictures and put in order by the tokens as well.

Every frame is scored by its picture; the best moments are then read a second time: how likely does the language model
find the text as the caption of a moment's best frame, from its two tokens? The two see differently, and together find
more (docs/training-log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.answer import Moment
from llama_vid.llm.captioner import caption_prompt
from llama_vid.llm.evidence import Finder
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.prompts import answer_target, shortened
from llama_vid.llm.words import sentence
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

MOMENT: Final = 0.75  # z-scores below its best frame that still belong to a moment
READ_AGAIN: Final = 20  # moments that the language model reads: a third of a second on two cores
LONGEST: Final = 64  # tokens of a text that are read
#: z-scores that one more nat of log-probability is worth: fitted on 334 captions of Flickr8k's dev photos.
NAT: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Found:
    """A moment of entries [first, last], its best one, and its z-score."""

    first: int
    last: int
    best: int
    z: float


def search(
    find: Finder, entries: Sequence[MemoryEntry], text: str, limit: int, heard: Sequence[Moment] = ()
) -> list[Moment]:
    """The moments that match a text, each [start, end] around its best frame within one scene, best first; with those
    in which it was `heard` between them, by score.
    """
    if limit < 1:
        return []
    seen = _seen(find, entries, text, limit) if entries else []
    return sorted([*seen, *heard], key=lambda moment: moment.score, reverse=True)[:limit]


def _seen(find: Finder, entries: Sequence[MemoryEntry], text: str, limit: int) -> list[Moment]:
    found = _moments(entries, find.scores(entries, text), max(limit, READ_AGAIN))
    pairs = [entries[each.best].pair for each in found]
    z = read_again(find, torch.tensor([each.z for each in found]), pairs, text).tolist()
    found = [replace(each, z=score) for each, score in zip(found, z, strict=True)]
    found.sort(key=lambda each: each.z, reverse=True)
    return [
        Moment(round(entries[each.first].start, 3), round(entries[each.last].end, 3), round(find.sure(each.z), 4))
        for each in found[:limit]
    ]


def _moments(entries: Sequence[MemoryEntry], z: Tensor, limit: int) -> list[_Found]:
    """The best `limit` moments by their pictures, best first; none shares a frame with another."""
    free = [True] * len(entries)
    out: list[_Found] = []
    for index in z.argsort(descending=True).tolist():
        if len(out) >= limit:
            break
        if not free[index]:
            continue
        scene, floor = entries[index].scene, float(z[index]) - MOMENT

        def belongs(at: int, scene: int = scene, floor: float = floor) -> bool:
            return 0 <= at < len(entries) and free[at] and entries[at].scene == scene and float(z[at]) >= floor

        first = last = index
        while belongs(first - 1):
            first -= 1
        while belongs(last + 1):
            last += 1
        free[first : last + 1] = [False] * (last + 1 - first)
        out.append(_Found(first, last, index, float(z[index])))
    return out


def read_again(find: Finder, z: Tensor, pairs: Sequence[TokenPair], text: str) -> Tensor:
    """The z-scores (N,) of frames with these `pairs`, the best READ_AGAIN with what the language model reads in them.

    That is 0 on average. What is not read is taken for as unlikely as the least likely that is: it passes none by
    being left out.
    """
    best = z.argsort(descending=True, stable=True)[:READ_AGAIN]
    # One that was tuned to talk was fitted to no captions; one that runs elsewhere gives no hidden states.
    if len(best) < 2 or find.language.preface is not None or find.language.remote:
        return z
    nats = caption_likelihoods(find.language, [pairs[index] for index in best.tolist()], text)
    gains = NAT * (nats - nats.mean())
    read = z + gains.min()
    read[best] = z[best] + gains
    return read


def caption_likelihoods(model: LanguageModel, pairs: Sequence[TokenPair], text: str) -> Tensor:
    """The log-probability (N,) of a text as the caption of each of N frames, read from their pairs in one batch."""
    ids = model.tokenize(answer_target(sentence(shortened(text, model.tokenize, LONGEST))))
    prompts = torch.stack([caption_prompt(model, pair) for pair in pairs])
    with torch.inference_mode():
        hidden = model.forward(torch.cat([prompts, model.embed(ids).expand(len(pairs), -1, -1)], 1))
        scores = model.logits(hidden[:, prompts.shape[1] - 1 : -1]).float().log_softmax(-1)
        wanted = torch.as_tensor(ids, dtype=torch.long, device=scores.device)
        return scores.gather(2, wanted[None, :, None].expand(len(pairs), -1, 1)).sum((1, 2)).cpu()
