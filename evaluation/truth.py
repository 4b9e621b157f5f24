"""What is known about each clip, and whether a sentence about it names things that are not there.

A sentence is checked word by word: words that name a concept of `training/concepts.py`, a person, an animal, an
instrument or a sport, and colours of things. Each is decided only where the clip's labels allow it:

- *supported*: the clip's caption, questions and answers name it, or a label says yes;
- *invented*: a label says no (of a general thing, too: no animal, no dog); or it is a person or an animal and the
  clip's texts name none (nobody describes a clip without its people and animals); or the texts name another of its
  family (a woman, not a man; a bear, not a dog; drums, not a guitar); or they name another colour for it;
- anything else is undecided, and counted as such.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evaluation.clips import Clip, read_clips, read_lines, read_yesno
from evaluation.wording import COLOURS, stem, words_of
from training.concepts import CONCEPTS, Concept

#: Names of labels that differ from their concept's.
_NAMES: Final = {"cooking": "cook", "speaker": "speech"}
#: Words for people and animals in captions, beyond the concept lists.
_PEOPLE: Final = frozenset(
    """hand hands soldier soldiers worker workers shopper shoppers umpire batter rider driver singer somebody speaker
    pilot paraglider audience students student musician musicians shopper delivery police officer actor""".split()  # noqa: SIM905
)
_ANIMALS: Final = frozenset("rabbit pig pigs parrot fish elephant kitten bull wolf fox insect butterfly".split())  # noqa: SIM905
#: Things of one sort: who names one of them means no other.
_FAMILIES: Final = (
    ("man", "woman"),
    ("dog", "cat", "bird", "horse", "bear", "rabbit", "pig", "deer", "cow", "fish", "elephant", "sheep"),
    ("guitar", "drum", "piano", "violin", "saxophone", "trumpet"),
    ("baseball", "basketball", "cricket", "tennis", "soccer", "football", "volleyball", "hockey", "golf", "rugby"),
)
#: A "no" to one means a "no" to the others.
_UNDER: Final = {
    "animal": ("dog", "cat", "bird", "horse", "bear"),
    "person": ("man", "woman", "boy", "girl", "child", "baby", "crowd", "group"),
    "child": ("baby", "boy", "girl"),
    "outdoors": ("street", "beach", "forest", "mountains", "field", "ocean"),
    "music": ("guitar", "instrument"),
}
#: A "yes" to what people do means that there are people.
_DONE_BY_PEOPLE: Final = frozenset({"cook", "sport", "dance", "music", "speech", "child", "man", "woman", "baby"})
#: Texts that name people without saying of what sort say nothing against a man or a woman.
_ANYBODY: Final = frozenset({"person", "crowd", "child", "shopper", "player", "audience", "family"})
_WEAR: Final = {"tshirt": "shirt", "jumper": "sweater", "hoodie": "sweater", "coat": "jacket"}


@dataclass(slots=True)
class Known:
    """What is known about a clip: the words of its texts, labels by concept, and colours by the thing that has them."""

    words: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)
    labels: dict[str, bool] = field(default_factory=dict)
    colours: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def read(self, text: str) -> None:
        """Take in a text that is true of the clip."""
        self.words |= _plain(text)
        self.stems |= set(words_of(text).stems)
        for colour, thing in coloured(text):
            self.colours[thing].add(colour)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a sentence names, by what is known: each thing once."""

    supported: tuple[str, ...]
    invented: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def things(self) -> int:
        return len(self.supported) + len(self.invented) + len(self.undecided)


def read_truth(folder: Path) -> dict[Clip, Known]:
    """What is known about each clip of a folder: from clips.jsonl, yesno.jsonl and rules.jsonl. Raises ConfigError."""
    known: dict[Clip, Known] = {}
    for clip in read_clips(folder):
        facts = known[clip] = Known()
        facts.read(clip.caption)
        for question, answer in clip.asked:
            if not re.match(r"(?:yes|no)\b", answer, re.IGNORECASE) and " or " not in question:
                facts.read(f"{question} {answer}")
                for thing in words_of(question).content:
                    if re.search(r"\bcolou?rs?\b", question, re.IGNORECASE):
                        facts.colours[_WEAR.get(thing, thing)] |= words_of(answer).colours
            else:
                facts.read(answer)
    for item in read_yesno(folder) if (folder / "yesno.jsonl").is_file() else ():
        known[item.clip].labels[_NAMES.get(item.concept, item.concept)] = item.answer
    for rule in read_lines(folder / "rules.jsonl") if (folder / "rules.jsonl").is_file() else ():
        name = _NAMES.get(str(rule["name"]), str(rule["name"]))
        for clip, facts in known.items():
            if clip.path.name not in rule.get("uncertain_in", ()):
                facts.labels.setdefault(name, clip.path.name in rule["true_in"])
    for facts in known.values():
        for general, special in _UNDER.items():
            if facts.labels.get(general) is False:
                facts.labels.update(dict.fromkeys(special, False))
        if any(facts.labels.get(name) for name in _DONE_BY_PEOPLE):
            facts.labels.setdefault("person", True)
    return known


def check(sentence: str, facts: Known) -> Checked:
    """Check what a sentence names against what is known about its clip: word by word, and colours of things."""
    found = {word: _there(word, facts) for word in sorted(_plain(sentence)) if _names_something(word)}
    for colour, thing in coloured(sentence):
        if facts.colours.get(thing):
            found[f"{colour} {thing}"] = colour in facts.colours[thing]
    return Checked(*(tuple(name for name, there in found.items() if there is wanted) for wanted in (True, False, None)))


def coloured(text: str) -> list[tuple[str, str]]:
    """(colour, thing) pairs that a text names: "a red and white car" -> (red, car), (white, car)."""
    stems = words_of(text).stems
    out = []
    for place, word in enumerate(stems):
        if word not in COLOURS:
            continue
        rest = [later for later in stems[place + 1 : place + 5] if later not in COLOURS and later != "and"]
        if rest and rest[0] not in ("in", "on", "with", "is", "are", "the", "a", "of"):
            out.append((word, _WEAR.get(rest[0], rest[0])))
    return out


def _names_something(word: str) -> bool:
    return word in _PEOPLE or word in _ANIMALS or any(word in concept.words for concept in CONCEPTS) or _kin(word) != ()


def _there(word: str, facts: Known) -> bool | None:
    """Whether what a word names is in a clip. A no of any of its concepts decides, else the narrowest of them."""
    named = sorted((concept for concept in CONCEPTS if word in concept.words), key=lambda concept: len(concept.words))
    verdicts = [_concept_there(concept, facts) for concept in named]
    for general, more in (("person", _PEOPLE), ("animal", _ANIMALS)):
        every = more | next(concept.words for concept in CONCEPTS if concept.name == general)
        if word in every and not facts.words & every and not facts.labels.get(general):
            return False  # a caption names its people and animals
    if False in verdicts:
        return False
    family, meant = _kin(word), facts.stems
    if family:
        if stem(word) in meant or facts.labels.get(stem(word)):
            return True
        of_family = any(kind in meant for kind in family)
        return False if of_family and not ("man" in family and meant & _ANYBODY) else None
    return True if word in facts.words or stem(word) in meant else verdicts[0] if verdicts else None


def _concept_there(concept: Concept, facts: Known) -> bool | None:
    label = facts.labels.get(concept.name)
    return label if label is not None else True if facts.words & concept.words else None


def _kin(word: str) -> tuple[str, ...]:
    """The family of a word; () if it has none."""
    return next((family for family in _FAMILIES if stem(word) in family), ())


def _plain(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def share(checks: Iterable[Checked]) -> tuple[float | None, float | None]:
    """Of the things that can be decided the share that is invented; of all things the share that can be decided."""
    invented = supported = things = 0
    for item in checks:
        invented, supported, things = (
            invented + len(item.invented),
            supported + len(item.supported),
            things + item.things,
        )
    decided = invented + supported
    return (invented / decided if decided else None), (decided / things if things else None)
