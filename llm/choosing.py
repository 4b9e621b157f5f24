"""Which of several options fits what was watched: what the language model reads in the tokens, and what pictures score.

An option's worth has three parts, each taken against the average of the options: how likely the language model finds it
as the answer behind the tokens; less how likely it finds it without them (pointwise mutual information: an option must
not win for being short or common; Holtzman et al. 2021, "Surface form competition", https://aclanthology.org/2021.emnlp-main.564);
and its image-text score over the frames. Yes and no are decided as a plain question is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.evidence import Finder
from llama_vid.llm.layout import Segment, mark_text
from llama_vid.llm.likelihood import likelihoods
from llama_vid.llm.options import Choices
from llama_vid.llm.prompts import CAPTION_SUFFIX, answer_target, question_suffix, shortened
from llama_vid.llm.questions import sort_question
from llama_vid.llm.session import embed_segments
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

#: A word that a picture can show: neither a number nor a letter.
_SHOWN: Final = re.compile(r"[A-Za-z]{3,}")


@dataclass(frozen=True, slots=True)
class Parts:
    """What speaks for each of K options, (K,) each; None where it was not looked for.

    `tokens` and `blind` are the mean log-probability of an option as the answer behind the tokens and without them,
    `image` is its image-text score.
    """

    tokens: Tensor | None
    blind: Tensor
    image: Tensor | None


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part of an option's worth counts. Set by hand, and kept after weights fitted on even-numbered
    clips did no better on the odd ones (`evaluation/lmms/choices.py`).
    """

    tokens: float = 1.0
    blind: float = 0.7
    image: float = 1.0

    def worth(self, parts: Parts) -> Tensor:
        """The worth (K,) of each option, as far above or below the average of all."""
        if parts.tokens is None:
            worth = self.tokens * _centred(parts.blind)
        else:
            worth = self.tokens * _centred(parts.tokens) - self.blind * _centred(parts.blind)
        return worth if parts.image is None else worth + self.image * _centred(parts.image)


class Chooser:
    """Chooses among options, with what a responder finds by."""

    def __init__(self, find: Finder, weights: Weights | None = None) -> None:
        self._find = find
        self._weights = weights or Weights()

    def choose(self, choices: Choices, pairs: Sequence[TokenPair], entries: Sequence[MemoryEntry] = ()) -> int:
        """The number of the option that fits best; the first of equals.

        `pairs` are what the language model reads, none: it guesses. Without `entries` no picture is scored.
        """
        worth = self.weigh(choices, pairs, entries)
        return max(range(len(worth)), key=worth.__getitem__)

    def weigh(self, choices: Choices, pairs: Sequence[TokenPair], entries: Sequence[MemoryEntry] = ()) -> list[float]:
        """Each option's worth: higher is better, comparable within one question only."""
        plain = [option.strip(" .").lower() for option in choices.options]
        if "yes" in plain and "no" in plain and choices.question:
            margin = self._says_yes(choices.question, pairs, entries)
            return [{"yes": margin, "no": -margin}.get(option, -1e3) for option in plain]
        found: list[float] = self._weights.worth(self.parts(choices, pairs, entries)).tolist()
        return found

    def parts(self, choices: Choices, pairs: Sequence[TokenPair], entries: Sequence[MemoryEntry] = ()) -> Parts:
        """What speaks for each option."""
        pictured = bool(entries) and all(map(_SHOWN.search, choices.options))
        return Parts(
            tokens=self._read(choices, pairs) if pairs else None,
            blind=self._read(choices, []),
            image=self._shown(choices, entries) if pictured else None,
        )

    def _read(self, choices: Choices, pairs: Sequence[TokenPair]) -> Tensor:
        """The mean log-probability (K,) of an option's tokens as the answer."""
        model = self._find.language
        suffix = question_suffix(shortened(choices.question, model.tokenize)) if choices.question else CAPTION_SUFFIX
        if pairs:
            segments: list[Segment] = [mark_text(0.0), *pairs]
            prompt = torch.cat([embed_segments(model, segments), model.embed_text(suffix)])
        else:
            prompt = model.embed_text(suffix.lstrip("\n"))
        texts = [answer_target(option) for option in choices.options]
        return torch.tensor([found.mean for found in likelihoods(model, prompt, texts)])

    def _shown(self, choices: Choices, entries: Sequence[MemoryEntry]) -> Tensor:
        """The image-text score (K,) of each option over the frames: the mean of the best quarter."""
        images = torch.stack([entry.embedding for entry in entries]).float().cpu()
        best = max(1, len(entries) // 4)
        scorer = self._find.scorer
        return torch.tensor(
            [float(scorer.score(scorer.plain(option), images).topk(best).values.mean()) for option in choices.options]
        )

    def _says_yes(self, question: str, pairs: Sequence[TokenPair], entries: Sequence[MemoryEntry]) -> float:
        """Above 0 for yes."""
        calibration = self._find.calibration
        if not entries:
            margin = self._find.margin(pairs, question)
            return margin - calibration.tokens_bias if pairs else margin
        asked = sort_question(question)
        z = self._find.scores(entries, asked.subject or asked.text)
        return calibration.probability(*self._find.weighed(entries, z, asked.text)) - 0.5


def _centred(values: Tensor) -> Tensor:
    return values - values.mean()
