"""Open questions whose sort of answer is known: the candidate on which pictures and language model agree.

A small language model that has seen few photos says what it was trained to say. Where a question wants an animal, a
colour, a place or a doing (`wanted.py`), all that there are (`candidates.py`) are compared by the pictures; of those
that fit best each is weighed as in multiple choice (`choosing.py`): how well the statement that it makes true fits the
frames, how likely the language model finds it behind the tokens, and less how likely without them.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm import classed
from llama_vid.llm.candidates import bases, candidates
from llama_vid.llm.evidence import READ, Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.layout import Segment, mark_text
from llama_vid.llm.prompts import answer_target, question_suffix, shortened
from llama_vid.llm.session import embed_segments
from llama_vid.llm.steps import Pause
from llama_vid.llm.wanted import Wanted
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

ENCODED_AT_ONCE: Final = 32  # texts that the text tower reads between two steps
FURTHER: Final = frozenset(("thing", "object"))  # sorts that any class may be of
ANY: Final = frozenset(("thing", "object"))  # sorts of which all things are; what the question names is none of them
CLASSED: Final = 0.5  # z-scores by which a candidate is nearer for each of the log odds that the classifier gives it
#: Sorts that are no things, of which a classifier of things says nothing.
UNCLASSED: Final = frozenset(("colour", "doing", "choice"))
SAID: Final = 2.0  # z-scores by which a candidate is nearer that the sentence names
#: The worth, or the share of the softmax over all, from which an answer is told without "perhaps": on even-numbered
#: clips seven of eleven such answers are right, of the others nine of 45; on odd ones 11 of 13, and 12 of 34.
SURE: Final = 3.5
CLEAR: Final = 0.45
NEAREST: Final = 16  # candidates that the language model weighs: those that the pictures fit best


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part of a candidate's worth counts. Fitted on even-numbered clips."""

    thing: float = 0.3
    statement: float = 0.6
    tokens: float = 1.5
    blind: float = 0.6
    told: float = 1.0
    classes: float = 0.5
    least: float = 0.0

    def worth(self, parts: Parts) -> Tensor:
        """The worth (K,) of each candidate."""
        seen = self.thing * parts.thing + self.statement * parts.statement
        read = self.tokens * (parts.tokens - self.blind * parts.blind)
        return seen + read + self.told * parts.told + self.classes * parts.classes


@dataclass(frozen=True, slots=True)
class Parts:
    """What speaks for each of K `candidates`, (K,) each: image-text scores of the candidate alone and of its statement,
    its mean log-probability behind the tokens and without them, whether the sentence that the best frame matches names
    it (1 or 0), and the log odds that the tower's own classes add (`classed.py`)."""

    candidates: tuple[str, ...]
    thing: Tensor
    statement: Tensor
    tokens: Tensor
    blind: Tensor
    told: Tensor
    classes: Tensor

    @property
    def seen(self) -> Tensor:
        """The better of the two image-text scores."""
        return torch.maximum(self.thing, self.statement)


WEIGHTS: Final = Weights()


def named(
    find: Finder, inquiry: Inquiry, wanted: Wanted, z: Tensor, *, remembered: bool = False, weights: Weights = WEIGHTS
) -> Generator[str, None, str]:
    """The answer in words, by the frames that match best (`z`, (N,)); "" where no candidate stands out.

    Frames are read again under what is asked about unless they are to be taken as `remembered`. Yields "" in between.
    """
    entries = shown(inquiry.entries, z)
    seen: Mapping[str, float] = {}
    if remembered:
        pairs: Sequence[TokenPair] = [entry.pair for entry in entries]
    else:
        pairs = inquiry.watched.reread([entry.start for entry in entries], inquiry.question.subject)
        if wanted.sort not in UNCLASSED:
            seen = inquiry.watched.classes([entry.start for entry in entries])
    yield ""
    sentence = find.plain(inquiry.entries[int(z.argmax())])
    work = parts(find, inquiry.question.text, wanted, entries, pairs, sentence=sentence, seen=seen)
    while not inquiry.cancel():
        try:
            step = next(work)
        except StopIteration as end:
            found: Parts = end.value
            worth = weights.worth(found)
            best = int(worth.argmax())
            if float(found.seen[best]) < weights.least:
                return ""
            return answered(found.candidates[best], sure=is_sure(worth))
        yield step if isinstance(step, Pause) else ""
    return ""


def preparing(find: Finder) -> Iterator[None]:
    """Embed what questions most often want to know: colours, people, places, doings, things, and what one does them
    to. The first such question would do so itself, 500 texts of them, a second or two. Yields between steps.
    """
    words = candidates()
    usual = (words.colours, words.people, words.places, words.doings, words.things, *words.objects_of.values())
    texts = tuple(dict.fromkeys(text for listed in usual for text in listed))
    for at in range(0, len(texts), ENCODED_AT_ONCE):
        find.scorer.prepare(texts[at : at + ENCODED_AT_ONCE])
        yield


def parts(
    find: Finder,
    question: str,
    wanted: Wanted,
    entries: Sequence[MemoryEntry],
    pairs: Sequence[TokenPair],
    *,
    nearest: int = NEAREST,
    sentence: str = "",
    seen: Mapping[str, float] | None = None,
) -> Generator[Pause | None, None, Parts]:
    """What speaks for the candidates that fit the pictures of `entries` best, or that a `sentence` about them names, or
    that are among the classes `seen` in them; yields between steps. `pairs` are what the language model reads.
    """
    seen = seen or {}
    images = torch.stack([entry.embedding for entry in entries]).float().cpu()
    asked = set(re.findall(r"[a-z-]+", question.lower())) if wanted.sort in ANY else set()
    listed = tuple(text for text in wanted.candidates if text.split()[-1] not in asked)
    if wanted.sort in FURTHER:
        listed += classed.further(seen, (*listed, *asked))
    alone = yield from _scored(find, listed, images)
    said = torch.tensor([float(names(sentence, text, wanted.sort)) for text in listed])
    classes = classed.worth(classed.chances(listed, seen))
    near = alone + SAID * said + CLASSED * classes
    kept = sorted(near.topk(min(nearest, len(near))).indices.tolist())
    texts = tuple(listed[index] for index in kept)
    stated = yield from _scored(find, [wanted.stated(text) for text in texts], images)
    model = find.language
    suffix = question_suffix(shortened(question, model.tokenize))
    targets = [answer_target(answered(text)) for text in texts]
    segments: list[Segment] = [mark_text(0.0), *pairs]
    prompt = torch.cat([embed_segments(model, segments), model.embed_text(suffix)])
    behind = yield from find.likely(prompt, targets)
    yield None
    blind = yield from find.likely(model.embed_text(suffix.lstrip("\n")), targets)
    tokens, without = (torch.tensor([found.mean for found in each]) for each in (behind, blind))
    return Parts(texts, alone[kept], stated, tokens, without, said[kept], classes[kept])


def _scored(find: Finder, texts: Sequence[str], images: Tensor) -> Generator[None, None, Tensor]:
    """The mean z-score (K,) of each text over the images (N, E)."""
    found = []
    for at in range(0, len(texts), ENCODED_AT_ONCE):
        found.append(find.scorer.each(texts[at : at + ENCODED_AT_ONCE], images).mean(0))
        yield
    return torch.cat(found)


def names(sentence: str, candidate: str, sort: str) -> bool:
    """Whether a sentence names a candidate: by its last word, a doing by its first. Where anything may be the answer,
    what a sentence happens to name says nothing.
    """
    if sort in ANY:
        return False
    word = candidate.split()[0 if sort == "doing" else -1].lower()
    forms = set(bases(word))
    return any(forms & set(bases(said)) for said in re.findall(r"[a-z-]+", sentence.lower()))


def shown(entries: Sequence[MemoryEntry], z: Tensor) -> list[MemoryEntry]:
    """The entries whose pictures count: those that match best what is asked about, in time order."""
    return [entries[index] for index in sorted(z.topk(min(READ, len(entries))).indices.tolist())]


def is_sure(worth: Tensor) -> bool:
    """Whether the best of candidates by their `worth` (K,) is worth much, or far more than the others."""
    return float(worth.max()) >= SURE or float(torch.softmax(worth, 0).max()) >= CLEAR


def answered(candidate: str, *, sure: bool = True) -> str:
    """A candidate as an answer: "a dog" -> "A dog.", or "Perhaps a dog."."""
    return f"{candidate[:1].upper()}{candidate[1:]}." if sure else f"Perhaps {candidate}."
