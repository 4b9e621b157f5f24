"""CIDEr and BLEU-4 of captions, by pycocoevalcap, without the Java tokenizer that it starts.

pycocoevalcap's own tokenizer is the Stanford Penn Treebank one (lower-cased, punctuation dropped). `tokenize` does the
same for captions: over the 5,000 Flickr8k test captions it gives the same words (a test checks it where Java is there),
over all 40,455 it differs in 22 (abbreviations such as "Jr." and brackets).
Sources: Vedantam et al. 2015, CIDEr; Papineni et al. 2002, BLEU; https://github.com/salaniz/pycocoevalcap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llama_vid.errors import ConfigError

#: Words with inner joints (t-shirt, 3.5, o'clock), after the Treebank's clitics were split off.
_WORD = re.compile(r"[^\W_](?:[\w&/.,'-]*[^\W_])?|[&$%#@+=*]")
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """CIDEr (1.0 is what others print as 100) and BLEU-4 (0…1)."""

    cider: float
    bleu4: float

    def to_json(self) -> dict[str, float]:
        return {"cider": self.cider, "bleu4": self.bleu4}


def tokenize(caption: str) -> list[str]:
    """A caption's words, lower-cased, without punctuation, split as the Penn Treebank does."""
    text = _CLITIC.sub(r" \1", caption.lower().replace("’", "'"))
    text = re.sub(r"\bcannot\b", "can not", text)
    words: list[str] = []
    for chunk in text.split():
        if chunk in ("n't", "'s", "'re", "'ve", "'ll", "'d", "'m"):
            words.append(chunk)
        else:
            words += _WORD.findall(chunk)
    return words


def score_captions(written: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Score one written caption for each photo against its references. Raises ConfigError without pycocoevalcap."""
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
    except ImportError:
        raise ConfigError("CIDEr needs pycocoevalcap; run: pip install -r requirements-eval.txt") from None
    results = {number: [" ".join(tokenize(text))] for number, text in enumerate(written)}
    truths = {number: [" ".join(tokenize(text)) for text in texts] for number, texts in enumerate(references)}
    cider, _ = Cider().compute_score(truths, results)
    bleu, _ = Bleu(4).compute_score(truths, results, verbose=0)
    return CaptionScores(float(cider), float(bleu[3]))
