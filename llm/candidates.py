"""The words that there are to answer with, from `answers.json`: made by counting, not by choosing.

`training/answer_words.py` makes the file from the captions of training photos and from WordNet, in the order of how
often each is met; it says how.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Candidates:
    """Phrases by sort, each with its article, the commonest first. `kinds` and `objects_of` are by word and verb;
    `met` are the nouns (in the singular) that training captions name often."""

    colours: tuple[str, ...]
    people: tuple[str, ...]
    places: tuple[str, ...]
    doings: tuple[str, ...]
    things: tuple[str, ...]
    met: frozenset[str]
    kinds: dict[str, tuple[str, ...]]
    objects_of: dict[str, tuple[str, ...]]

    def of_kind(self, word: str) -> tuple[str, ...]:
        """What there is of a kind ("animal", "musical instrument"); () for a word that names none."""
        return self.kinds.get(word, ())

    def objects(self, verb: str, preposition: str = "") -> tuple[str, ...]:
        """What one does a thing to or with: "wear" or "wearing" -> a hat, …; () for a verb that is not known."""
        for base in bases(verb):
            for key in (f"{base} {preposition}".strip(), base):
                if found := self.objects_of.get(key):
                    return found
        return ()


def bases(verb: str) -> tuple[str, ...]:
    """What a verb's form may be a form of: "riding" -> rid, ride; "running" -> runn, runne, run; "held" as it is."""
    for ending in ("ing", "ed", "es", "s"):
        if verb.endswith(ending) and len(verb) > len(ending) + 1:
            stem = verb[: -len(ending)]
            undoubled = (stem[:-1],) if re.search(r"([b-df-hj-np-tv-z])\1$", stem) else ()
            return (verb, stem, f"{stem}e", *undoubled)
    return (verb,)


@cache
def candidates() -> Candidates:
    """The shipped words."""
    return read(json.loads(files("llama_vid.llm").joinpath("answers.json").read_text("utf-8")))


def read(made: dict[str, Any]) -> Candidates:
    """The words of a file as `training/answer_words.py` makes it."""
    return Candidates(
        colours=_list(made["colours"]),
        people=_list(made["people"]),
        places=_list(made["places"]),
        doings=_list(made["doings"]),
        things=_list(made["things"]),
        met=frozenset(_list(made["met"])),
        kinds={kind: _list(listed) for kind, listed in made["kinds"].items()},
        objects_of={verb: _list(listed) for verb, listed in made["objects"].items()},
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()
