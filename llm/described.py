"""Answers to what, which, who and where: generated behind the memory and an evidence block of the frames that match."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm import naming
from llama_vid.llm.beside import beside, fitting
from llama_vid.llm.candidates import candidates
from llama_vid.llm.evidence import UNCLEAR, Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.layout import Segment, mark_text
from llama_vid.llm.prompts import question_suffix, shortened
from llama_vid.llm.session import embed_segments
from llama_vid.llm.transcript import Hit
from llama_vid.llm.wanted import wanted
from llama_vid.llm.words import first_sentence, whole

EVIDENCE: Final = 8  # frames in an evidence block
READ_AT_ONCE: Final = 16  # frames read again for all questions together: a quarter of a second on two cores
CROWD: Final = 8  # questions at once beyond which evidence is not read again but taken as memory holds it
SHOWN: Final = 3  # spans of evidence beside an answer
ANSWER_TOKENS: Final = 48  # longest generated answer
NEAR_BEST: Final = 0.6  # z-scores below the best frame that still count as what the question is about


def what(find: Finder, inquiry: Inquiry, under_way: Callable[[], int], heard: Sequence[Hit] = ()) -> Iterator[str]:
    """The answer in pieces; "" between two steps, where frames and other questions have their turn.

    Lines that were `heard` and bear on the question are read beside the frames of their time.

    The more questions are `under_way`, the fewer frames are read again for one, so that none waits for long.
    """
    entries, asked, model = inquiry.entries, inquiry.question, find.language
    z = find.scores(entries, asked.subject or asked.text)
    yield ""
    at_once = under_way()
    if (sort := wanted(asked, candidates())) is not None:
        named = yield from naming.named(find, inquiry, sort, z, remembered=at_once > CROWD)
        if named:
            yield named
            yield from _shown(find, inquiry, z)
            return
    count = max(2, EVIDENCE if at_once <= 2 else READ_AT_ONCE // at_once)
    lines = fitting(heard, model.tokenize)
    best = _frames(inquiry, z, count, [hit for hit, _ in lines])
    if at_once > CROWD:
        block = [entries[index].pair for index in best]
    else:
        block = inquiry.watched.reread([entries[index].start for index in best], asked.subject)
    yield ""
    frames = [(entries[n].start, entries[n].end, pair) for n, pair in zip(best, block, strict=True)] if block else []
    marked: list[Segment] = (
        [mark_text(entries[best[0]].start, zone=inquiry.watched.zone), *beside(frames, lines)] if frames else []
    )
    suffix = question_suffix(shortened(asked.text, model.tokenize))
    prompt = torch.cat([embed_segments(model, marked), model.embed_text(suffix)])
    for _ in inquiry.watched.context.catching_up(inquiry.watched.entries):
        yield ""
    # Asked before it is pulled, so that questions that come together are read together.
    pieces = inquiry.watched.context.generate(
        prompt, max_tokens=ANSWER_TOKENS, stop=model.line_ends, cancel=inquiry.cancel
    )
    yield ""
    silent = True
    for piece in whole(first_sentence(pieces)):
        silent = silent and not piece
        yield piece
    if silent and not inquiry.cancel():
        yield "I cannot tell."
    yield from _shown(find, inquiry, z)


def _frames(inquiry: Inquiry, z: Tensor, count: int, hits: Sequence[Hit]) -> list[int]:
    """The numbers of the entries to read: those in which something was heard, and the best by their pictures."""
    entries = inquiry.entries
    middles = [(hit.line.start + hit.line.end) / 2 for hit in hits]
    near = {min(range(len(entries)), key=lambda n: abs(entries[n].start - at)) for at in middles}
    for index in z.topk(min(count, len(entries))).indices.tolist():
        if len(near) >= count:
            break
        near.add(index)
    return sorted(near)


def _shown(find: Finder, inquiry: Inquiry, z: Tensor) -> Iterator[str]:
    """The frames that an answer rests on become its evidence, and the best of them is described.

    By plain sentences: the language model has had its word, and they cost nothing.
    """
    found = find.events(inquiry.entries, z, float(z.max()) - NEAR_BEST)[:SHOWN]
    yield from find.ground(inquiry, found, z, plain=True)
    if inquiry.evidence and not inquiry.cancel():
        best = max(inquiry.evidence, key=lambda item: item.score)
        if best.caption != UNCLEAR:
            yield f" At {inquiry.stretch(best.start, best.end)}: {best.caption}"
