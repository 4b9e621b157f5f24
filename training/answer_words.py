"""The words of `llm/answers.json`: what there is to answer with, made from captions and WordNet by counting alone.

    python -m training.answer_words --flickr8k DATA/flickr8k --wordnet /usr/share/wordnet --out llm/answers.json

From the captions of Flickr8k's training photos: things, people, places ("in the snow"), doings ("riding a bike"), and
what follows each verb ("riding": a bike, a horse). From WordNet: nouns in common use, and what each is a kind of, so
that a question's own word ("what animal", "which room") names the candidates. ImageNet's class names are added. Nobody
chooses a word: what is met often enough is in.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from training.flickr8k import read_captions
from training.imagenet import class_names
from training.wordnet import WordNet

#: How often a phrase must be met in 30,000 captions, a colour, and a kind's own word.
LEAST, LEAST_COLOUR, LEAST_KIND = 4, 25, 8
#: How often a noun must be met in captions for pictures to tell that it is missing.
MET: Final = 40
PLACES, PEOPLE, DOINGS, OBJECTS, THINGS, KIND = 240, 80, 300, 30, 400, 60
#: A kind of fewer nouns than that answers no question.
FEW: Final = 4
#: A kind of more nouns than that, of those in captions, is no kind: they are things.
MOST: Final = 400
#: Under these is what can be seen: their first meaning, of the last ones the first two (what one eats, and solid food).
SEEN: Final = ("object", "sport", "game", "color", "weather")
SEEN_TWICE: Final = ("food", "beverage", "material")
_DETERMINED: Final = frozenset("a an the his her their its this some two three four several many".split())  # noqa: SIM905
_SMALL: Final = frozenset(
    """in on at with of from to into onto over under by near behind beside between through along across around down up
    off out against above below inside outside during while as and or that who which is are was were be being been has
    have had next front top toward towards for after before about together away past""".split()  # noqa: SIM905
)
_WHERE: Final = frozenset("in on at inside outside near along by under".split())  # noqa: SIM905
#: Verbs that say how someone is, not what they do.
_STATES: Final = frozenset(("be", "wear", "have", "dress"))


class Counted:
    """Phrases of captions by what they tell."""

    def __init__(self, net: WordNet) -> None:
        self._net = net
        self.nouns, self.places, self.people, self.doings, self.colours = (Counter[str]() for _ in range(5))
        self.objects: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._bare: Counter[str] = Counter()  # how often a noun in the singular stands without a determiner
        self._forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.person, self.animal = net.senses("person")[0], net.senses("animal")[0]
        self.physical, self.colour = net.senses("physical entity")[0], net.senses("color")[0]
        self.body = net.senses("body part")[0]
        self._worn = {net.senses("clothing")[0], self.person, self.body, self.colour}

    def read(self, caption: str) -> None:
        """Count what one caption says."""
        words = re.findall(r"[a-z]+(?:-[a-z]+)*", caption.lower())
        for at, word in enumerate(words):
            before, after = words[:at], words[at + 1 :]
            if (not at or words[at - 1] in _SMALL or _doing(words[at - 1])) and (found := self.phrase(words[at:])):
                self._noun(found)
                self._hued(found)
            if at == 0 and self.person in self.kinds(found := self.phrase(words)) and found[0] in _DETERMINED:
                self.people[self.told(found)] += self.colour not in self._meant(found)
            if word in _WHERE and (found := self.phrase(after)) and self._place(found):
                self.places[" ".join([word, *found])] += 1
            if _doing(word) and (verb := self._net.verb(word)) and before and self._does(before[-1]):
                self._done(word, verb, after)

    def phrase(self, words: Sequence[str]) -> list[str]:
        """The noun phrase that words begin with: a determiner, then words up to a small one or a verb, four at most."""
        start = 1 if words and words[0] in _DETERMINED else 0
        end = start
        while end < len(words) and end - start < 4 and words[end] not in _SMALL | _DETERMINED:
            word = words[end]
            if _doing(word) or (start and words[0] in ("a", "an") and end > start and self._many(word)):
                break  # "a dog runs"
            end += 1
        return list(words[:end]) if start < end else []

    def kinds(self, words: Sequence[str]) -> set[int]:
        """All that the last word of a noun phrase is a kind of, in its commonest meaning."""
        senses = self._net.senses(self._net.singular(words[-1]) or words[-1]) if words else []
        return self._net.above(senses[0]) if senses else set()

    def kinds_of(self, noun: str) -> set[int]:
        """As `kinds`, of one noun in the singular."""
        senses = self._net.senses(noun)
        return self._net.above(senses[0]) if senses else set()

    def _meant(self, words: Sequence[str]) -> set[int]:
        """As `kinds`, in any of the three commonest meanings."""
        return {up for sense in self._net.senses(words[-1])[:3] for up in self._net.above(sense)}

    def told(self, words: Sequence[str]) -> str:
        """A phrase as one would first name it: "the dog" -> "a dog", "her shoes" -> "shoes"."""
        text = self._first_named(words)
        self._forms[text][" ".join(words)] += 1
        return text

    def usual(self, text: str) -> str:
        """A phrase as it is mostly said: "a ground" -> "the ground"."""
        most = self._forms[text].most_common(1)
        return most[0][0] if most and most[0][0].startswith("the ") else text

    def _first_named(self, words: Sequence[str]) -> str:
        first, *rest = words
        if first not in ("the", "his", "her", "their", "its", "this", "some"):
            return " ".join(words)
        if first == "some" or self._many(rest[-1]):
            return " ".join(rest)
        return f"{'an' if rest[0][0] in 'aeiou' else 'a'} {' '.join(rest)}"

    def _many(self, word: str) -> bool:
        return word.endswith("s") and not word.endswith("ss") and self._net.singular(word) != word

    def _does(self, word: str) -> bool:
        return word in ("is", "are", "while") or bool(self.kinds([word]) & {self.person, self.animal})

    def _noun(self, words: Sequence[str]) -> None:
        if len(words) > 1 and self._net.senses(two := f"{words[-2]} {self._net.singular(words[-1])}"):
            self._count(two, words)
        if noun := self._net.singular(words[-1]):
            self._count(noun, words)

    def _count(self, noun: str, words: Sequence[str]) -> None:
        self.nouns[noun] += 1
        single = noun.split()[-1] == words[-1] and words[0] not in _DETERMINED
        self._bare[noun] += single - 2 * (words[0] in ("a", "an", "two", "three"))

    def with_article(self, noun: str) -> str:
        """ "dog" -> "a dog", "snow" -> "snow", by how captions say it."""
        if self._bare[noun] > 0 or self._many(noun.split()[-1]) or noun.endswith(("ses", "gles")):
            return noun
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

    def _hued(self, words: Sequence[str]) -> None:
        for word in words[:-1]:
            if self.colour in self._meant([word]):
                self.colours[word] += 1

    def _done(self, word: str, verb: str, after: Sequence[str]) -> None:
        small = [] if not after or after[0] not in _SMALL or after[0] in ("and", "while", "as", "is") else [after[0]]
        thing = self.phrase(after[len(small) :])
        acts = verb not in _STATES
        self.doings[word] += acts
        if thing and (not small or self.physical in self.kinds(thing)):
            self.doings[" ".join([word, *small, self.told(thing) if not small else " ".join(thing)])] += acts
            self.objects[" ".join([verb, *small])][self.told(thing)] += len(
                thing
            ) < 2 or self.colour not in self._meant(thing)

    def _place(self, words: Sequence[str]) -> bool:
        kinds = self.kinds(words)
        return self.physical in kinds and not kinds & self._worn


def _doing(word: str) -> bool:
    return (
        len(word) > 4 and word.endswith("ing") and word not in ("building", "clothing", "morning", "evening", "string")
    )


def made(captions: Iterable[str], net: WordNet, named: Iterable[str]) -> dict[str, Any]:
    """All lists. `named` are further names of things (ImageNet's), common or not."""
    named = list(named)
    counted = Counted(net)
    for caption in captions:
        counted.read(caption)
    colours = [hue for hue, count in counted.colours.most_common() if count >= LEAST_COLOUR and hue != "color"]
    things = [
        noun
        for noun, count in counted.nouns.most_common()
        if count >= LEAST
        and counted.physical in (above := counted.kinds([noun]))
        and not above & {counted.person, counted.body}
    ]
    things = things[:THINGS]
    objects = {
        verb: list(map(counted.usual, found))
        for verb, counts in sorted(counted.objects.items())
        if sum(counts.values()) >= 12 and len(found := _often(counts, OBJECTS, least=2)) >= 4
    }
    return {
        "colours": colours,
        "people": _often(counted.people, PEOPLE),
        "places": _often(counted.places, PLACES),
        "doings": _often(counted.doings, DOINGS),
        "things": [counted.with_article(noun) for noun in things],
        "objects": objects,
        "met": [noun for noun, count in counted.nouns.most_common() if count >= MET],
        "kinds": _kinds(counted, _nouns(counted, net, named), net),
    }


def _often(counts: Counter[str], most: int, least: int = LEAST) -> list[str]:
    """The commonest phrases; one that ends with a colour ("a white") was cut off."""
    return [text for text, count in counts.most_common(most) if count >= least]


def _nouns(counted: Counted, net: WordNet, named: Iterable[str]) -> dict[str, int]:
    """How often each noun that can be seen is met in captions; 0 for one that is only among the names.

    WordNet's own nouns are left out where neither has them: they are mostly senses that nobody means.
    """
    roots = _roots(net)
    wanted = {noun for noun in {*counted.nouns, *(name.lower() for name in named)} if len(noun) > 2}
    return {
        noun: counted.nouns[noun]
        for noun in sorted(wanted)
        if any(net.above(sense) & roots for sense in net.usual(noun))
    }


def _roots(net: WordNet) -> set[int]:
    """The meanings under which is what can be seen."""
    once = {sense for root in SEEN for sense in net.senses(root)[:1]}
    return once | {sense for root in SEEN_TWICE for sense in net.senses(root)[:2]}


def _kinds(counted: Counted, nouns: dict[str, int], net: WordNet) -> dict[str, list[str]]:
    """Nouns by the words for what they are kinds of, the commonest first; kinds of too few or too many are left out."""
    below: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    roots = _roots(net)
    for noun in nouns:
        for sense in net.usual(noun):
            for up in net.above(sense) - {sense}:
                for word in net.synsets[up].words if net.above(up) & roots else ():
                    if up in net.senses(word)[:2]:
                        below[word][up].add(noun)
    out = {}
    for word, senses in sorted(below.items()):
        every = set().union(*senses.values()) - {word}
        often = net.uses(word) + counted.nouns[word] >= (LEAST_KIND if " " not in word else 1)
        met = sum(nouns[noun] > 0 for noun in every)
        if len(every) >= FEW and met <= MOST and often and word not in counted.colours:
            ranked = [sorted(found, key=lambda noun: (-nouns[noun], noun)) for found in senses.values()]
            # Of several meanings (an instrument: a device, or one of music) each has its turn.
            turns = dict.fromkeys(noun for turn in zip_longest(*ranked) for noun in turn if noun and noun != word)
            out[word] = list(map(counted.with_article, list(turns)[:KIND]))
    return out


def _compact(value: Any) -> Any:
    """Lists as one line each: no phrase has a comma."""
    return ", ".join(value) if isinstance(value, list) else {key: _compact(each) for key, each in value.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flickr8k", type=Path, required=True, help="the folder with captions.tsv")
    parser.add_argument("--wordnet", type=Path, required=True, help="the folder with WordNet 3.0's files")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args(argv)
    texts = _training_texts(options.flickr8k)
    found = made(texts, WordNet(options.wordnet), class_names())
    options.out.write_text(json.dumps(_compact(found), indent=0, ensure_ascii=False) + "\n", "utf-8")


def _training_texts(folder: Path) -> Iterator[str]:
    for caption in read_captions(folder):
        if caption.split == "train":
            yield caption.text


if __name__ == "__main__":
    main()
