"""What the tower's own classifier sees, as evidence for answers: which candidates its classes name.

The classifier was trained to tell 1,000 things apart, most of which no caption of training speaks of: a wok, an
oscilloscope, a panpipe. A class names a candidate where both end in the same word ("a steel drum" is a drum) or the
class is among the kinds of that word (a beagle is a dog). Pure functions over names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.candidates import candidates

#: The mean chance from which a class that nobody listed is a candidate itself.
NEW: Final = 0.1
#: The chance that says nothing: what a class gets in pictures that do not show it, at most.
FLOOR: Final = 0.01
#: A word with as many kinds ("a device") says too little to be named by one of them.
MANY: Final = 60


def chances(texts: Sequence[str], seen: Mapping[str, float]) -> Tensor:
    """The chance (K,) in 0…1 that what is `seen` is each of K candidates.

    `seen` has the chances of classes by name, as `PhotoClasses` names them: "wok", or "beagle, dog" with a kind.
    """
    by_word: dict[str, float] = {}
    for name, chance in seen.items():
        for word in _words(name):
            by_word[word] = by_word.get(word, 0.0) + chance
    return torch.tensor([min(1.0, by_word.get(head(text), 0.0)) for text in texts])


def worth(chance: Tensor) -> Tensor:
    """The log odds (K,) that chances (K,) add: 0 where nothing is seen, 4.6 where it is certain."""
    return torch.log((FLOOR + chance) / FLOOR)


def further(seen: Mapping[str, float], texts: Iterable[str]) -> tuple[str, ...]:
    """The classes that are clearly seen and that no candidate names, each with its article."""
    have = {head(text) for text in texts}
    clear = [name.partition(",")[0].lower() for name, chance in seen.items() if chance >= NEW]
    return tuple(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in clear if head(name) not in have)


@cache
def head(text: str) -> str:
    """The last word, in the singular: "steel drums" -> drum."""
    word = text.lower().split()[-1]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word


@cache
def _words(name: str) -> frozenset[str]:
    """The last words of candidates that a class names."""
    own, *kinds = (part.strip().lower() for part in name.split(","))
    return frozenset((head(own), *kinds)) | _kinds().get(own, frozenset())


@cache
def _kinds() -> Mapping[str, frozenset[str]]:
    """The words of which each thing is a kind: "snare drum" -> drum."""
    found: dict[str, set[str]] = {}
    for word, listed in candidates().kinds.items():
        if " " not in word and len(listed) < MANY:
            for text in listed:
                found.setdefault(text.removeprefix("an ").removeprefix("a "), set()).add(word)
    return {name: frozenset(words) for name, words in found.items()}
