"""What the two tokens of a frame carry by themselves: questions put to them and the language model, and nothing else.

No image-text score, no evidence block, no template and no rule takes part. Up to `READ` frames, evenly spread over a
film, stand behind one time mark; a question follows, as training appended it (`llm/prompts.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import torch
from torch import Tensor

from llama_vid.llm.batching import Batch, Request
from llama_vid.llm.cache import Snapshot
from llama_vid.llm.calibration import logistic
from llama_vid.llm.evidence import READ
from llama_vid.llm.layout import Segment, mark_text
from llama_vid.llm.prompts import question_suffix, shortened
from llama_vid.llm.session import embed_segments
from llama_vid.tokenizer.pair import TokenPair

if TYPE_CHECKING:
    from llama_vid.bundle import Bundle
    from llama_vid.film import Film
    from llama_vid.llm.responder import Responder

#: Films whose pairs are kept, 40 kB each: every clip of an evaluation, with and without its last frame alone.
KEPT: Final = 512
#: Questions whose answers without any video are kept: each is the same for all films.
BLIND: Final = 4096
#: The longest generated answer, in tokens: as the program's own.
ANSWER_TOKENS: Final = 48


Found = TypeVar("Found", float, str)


class Opener(Protocol):
    """A loaded model that opens films: `LLaMAVID`, or one that keeps what it opened."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def responder(self) -> Responder: ...

    def open(self, path: str, /, *, last_frame_only: bool = False) -> Film: ...


class TokenRoute:
    """Questions answered from token pairs alone. Films are opened through `model.open`, once for all their questions.

    With `drop="motion"` every motion token is the compressor's one for "nothing moved"; with `drop="context"` every
    context token is the mean one over the films of `average_over` (zeros if there are none): what remains is what the
    other of the two tokens carries. Raises what `model.open` raises. Not thread-safe.
    """

    def __init__(self, model: Opener) -> None:
        self._model = model
        self._language = model.bundle.language
        self._mean: Tensor | None = None
        self._pairs: OrderedDict[tuple[str, bool, int], tuple[TokenPair, ...]] = OrderedDict()
        self._blind_margins: OrderedDict[str, float] = OrderedDict()
        self._blind_answers: OrderedDict[str, str] = OrderedDict()

    def yesno(
        self, path: str, questions: Sequence[str], *, last_frame_only: bool = False, drop: str = ""
    ) -> list[float]:
        """p(yes) of each question, in 0…1, by the calibration's threshold on the language model's yes/no margin."""
        pairs = self.pairs(path, last_frame_only=last_frame_only, drop=drop)
        of_tokens, margin = self._model.bundle.calibration.of_tokens, self._model.responder.find.margin
        return [of_tokens(margin(pairs, question)) for question in questions]

    def ask(self, path: str, questions: Sequence[str], *, last_frame_only: bool = False, drop: str = "") -> list[str]:
        """Each question's answer as the language model writes it, greedily, up to the end of the line."""
        pairs = self.pairs(path, last_frame_only=last_frame_only, drop=drop)
        segments: list[Segment] = [mark_text(0.0), *pairs]
        return self._written(embed_segments(self._language, segments), [self._suffix(text) for text in questions])

    def yesno_blind(self, questions: Sequence[str]) -> list[float]:
        """p(yes) of each question without any video."""
        margin = self._model.responder.find.margin
        found = _remembered(self._blind_margins, questions, lambda new: [margin([], question) for question in new])
        return [logistic(value) for value in found]

    def ask_blind(self, questions: Sequence[str]) -> list[str]:
        """Each question's answer without any video."""
        return _remembered(self._blind_answers, questions, self._written_blind)

    def _written_blind(self, questions: Sequence[str]) -> list[str]:
        suffixes = [self._suffix(text).lstrip("\n") for text in questions]
        # All begin with the same word, which stands in for a memory.
        begin = suffixes[0].split(":")[0] if suffixes else ""
        return self._written(self._language.embed_text(begin), [suffix.removeprefix(begin) for suffix in suffixes])

    def pairs(self, path: str, *, last_frame_only: bool = False, drop: str = "") -> list[TokenPair]:
        """The pairs of up to READ frames, evenly spread over a film. Raises ValueError for an unknown `drop`."""
        kept = self._opened(path, last_frame_only)
        still = self._model.bundle.compressor.still_token
        return [without(pair, drop, still=still, mean=self._mean) for pair in kept]

    def average_over(self, paths: Sequence[str]) -> None:
        """Let the mean context token over these films, each counting the same, stand for a dropped one."""
        self._mean = mean_context([self.pairs(path) for path in paths])

    def _opened(self, path: str, last_frame_only: bool) -> tuple[TokenPair, ...]:
        file = Path(path)
        key = (path, last_frame_only, file.stat().st_mtime_ns if file.is_file() else 0)
        if key not in self._pairs:
            entries = self._model.open(path, last_frame_only=last_frame_only).entries
            step = max(1, -(-len(entries) // READ))
            self._pairs[key] = tuple(entry.pair for entry in entries[::step])
            if len(self._pairs) > KEPT:
                self._pairs.popitem(last=False)
        self._pairs.move_to_end(key)
        return self._pairs[key]

    def _suffix(self, question: str) -> str:
        return question_suffix(shortened(question, self._language.tokenize))

    def _written(self, prefix: Tensor, suffixes: Sequence[str]) -> list[str]:
        """What the language model writes after `prefix` (n, D) and each suffix; decoded side by side."""
        model = self._language
        cache = model.new_cache(len(prefix))
        model.forward(prefix, cache)
        memory = Snapshot(cache, cache.length)
        batch = Batch(model)
        stop: Collection[int] = model.line_ends
        answers = [batch.ask(Request(model.embed_text(text), memory, ANSWER_TOKENS, stop)) for text in suffixes]
        return [" ".join("".join(answer).split()) for answer in answers]


def _remembered(
    known: OrderedDict[str, Found], questions: Sequence[str], find: Callable[[Sequence[str]], list[Found]]
) -> list[Found]:
    """What is found for each question; what was asked before is not asked again, new ones are asked together."""
    found = {question: known[question] for question in dict.fromkeys(questions) if question in known}
    new = [question for question in dict.fromkeys(questions) if question not in found]
    found |= zip(new, find(new), strict=True) if new else ()
    known.update(found)
    while len(known) > BLIND:
        known.popitem(last=False)
    return [found[question] for question in questions]


def without(pair: TokenPair, drop: str, *, still: Tensor, mean: Tensor | None) -> TokenPair:
    """A pair without what one of its tokens carries: `still` for "motion", `mean` (None: zeros) for "context"; as it is
    for "".

    Raises ValueError for another `drop`.
    """
    match drop:
        case "motion":
            return replace(pair, motion=still)
        case "context":
            return replace(pair, context=torch.zeros_like(pair.context) if mean is None else mean.to(pair.context))
        case "":
            return pair
    raise ValueError(f"drop is motion, context or nothing, not {drop!r}")


def mean_context(films: Iterable[Sequence[TokenPair]]) -> Tensor | None:
    """The mean context token (D,) over films, each counting the same; None if there are none."""
    means = [torch.stack([pair.context.float() for pair in pairs]).mean(0) for pairs in films]
    return torch.stack(means).mean(0) if means else None
