"""WordNet 3.0's nouns and verbs from its own files: senses in the order of their frequency, and what is a kind of what.

Source: Miller 1995, "WordNet: a lexical database for English"; the files are those of https://wordnet.princeton.edu
(Debian's `wordnet-base`: /usr/share/wordnet). Only the making of the answer words reads them, never the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llama_vid.errors import ConfigError

_ENDINGS: Final = (("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"),
                   ("ies", "y"), ("s", ""))  # fmt: skip
SHARE: Final = 0.25  # of a noun's uses, from which a meaning is a usual one
_VERBS: Final = (("ing", "e"), ("ing", ""))


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words, and the numbers of the meanings that it is a kind of."""

    words: tuple[str, ...]
    above: tuple[int, ...]


class WordNet:
    """Nouns with their senses, and which words are verbs. Raises ConfigError where a file is missing."""

    def __init__(self, folder: Path) -> None:
        try:
            self._senses = _index(folder / "index.noun")
            self._verbs = _index(folder / "index.verb")
            self._exceptions = _exceptions(folder / "noun.exc")
            self._verb_exceptions = _exceptions(folder / "verb.exc")
            self.synsets = _synsets(folder / "data.noun")
            self._uses = _uses(folder / "cntlist.rev")
        except OSError as problem:
            raise ConfigError(
                f"{problem.filename}: {problem.strerror}; give the folder with WordNet 3.0's files"
            ) from None

    def senses(self, noun: str) -> list[int]:
        """The meanings of a noun in the singular, the commonest first; () for none."""
        return self._senses.get(noun.replace(" ", "_"), [])

    def uses(self, noun: str) -> int:
        """How often a noun was met in texts, over all of its meanings."""
        return sum(self._uses.get(noun.replace(" ", "_"), {}).values())

    @property
    def met(self) -> list[str]:
        """The nouns that were met in texts."""
        return [word.replace("_", " ") for word in self._uses]

    def usual(self, noun: str) -> list[int]:
        """The meanings in which a noun is usually meant: the first, and each with `SHARE` of its uses."""
        senses, met = self.senses(noun), self._uses.get(noun.replace(" ", "_"), {})
        least = SHARE * sum(met.values())
        return [sense for at, sense in enumerate(senses) if at == 0 or met.get(at + 1, 0) > least]

    def singular(self, word: str) -> str:
        """A noun in the singular; "" for what is no noun."""
        if word in self._exceptions:
            return self._exceptions[word]
        if self.senses(word) and not (word.endswith("s") and self.senses(word[:-1])):
            return word
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and self.senses(word[: -len(ending)] + instead):
                return word[: -len(ending)] + instead
        return ""

    def verb(self, doing: str) -> str:
        """The verb of an -ing form ("running" -> "run"); "" for what is none."""
        if doing in self._verb_exceptions:
            return self._verb_exceptions[doing]
        for ending, instead in _VERBS:
            if doing.endswith(ending) and (base := doing[: -len(ending)] + instead) in self._verbs:
                return base
        return ""

    def above(self, synset: int) -> set[int]:
        """The meaning itself and all that it is a kind of."""
        found, left = {synset}, [synset]
        while left:
            for up in self.synsets[left.pop()].above:
                if up not in found:
                    found.add(up)
                    left.append(up)
        return found


def _index(path: Path) -> dict[str, list[int]]:
    found = {}
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith(" "):
            parts = line.split()
            count = int(parts[2])
            found[parts[0]] = [int(part) for part in parts[-count:]]
    return found


def _exceptions(path: Path) -> dict[str, str]:
    return {line.split()[0]: line.split()[1] for line in path.read_text("utf-8").splitlines() if line.strip()}


def _synsets(path: Path) -> dict[int, Synset]:
    found = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith(" "):
            continue
        parts = line.split(" | ")[0].split()
        count = int(parts[3], 16)
        words = tuple(parts[4 + 2 * number].replace("_", " ").lower() for number in range(count))
        rest = parts[4 + 2 * count :]
        pointers = [rest[1 + 4 * number : 5 + 4 * number] for number in range(int(rest[0]))]
        found[int(parts[0])] = Synset(words, tuple(int(pointer[1]) for pointer in pointers if pointer[0] == "@"))
    return found


def _uses(path: Path) -> dict[str, dict[int, int]]:
    """How often each noun was met in texts, by the number of its meaning."""
    found: dict[str, dict[int, int]] = {}
    for line in path.read_text("utf-8").splitlines():
        key, sense, count = line.split()
        word, _, kind = key.partition("%")
        if kind.startswith("1:"):
            found.setdefault(word, {})[int(sense)] = int(count)
    return found
