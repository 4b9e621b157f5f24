"""Words as the evaluations compare them: stems, a small table of synonyms, numbers, colours, and key words.

Everything here is exact and the same on every machine, so that a score can be recomputed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Words without a meaning of their own here: articles, pronouns, auxiliaries, prepositions, and the recording itself.
STOP: Final = frozenset(
    """a an the this that these those it its he him his she her hers they them their i me my you your we there here
    is are was were be been being am do does did done has have had having can could will would may might
    of in on at to by with and or for from as into onto over under up down out off near beside next while when where
    who what which how so some any very something someone somebody kind type probably maybe perhaps
    video clip film movie footage scene picture image frame camera shown seen visible""".split()  # noqa: SIM905
)
#: Each line means one thing to a judge; the first word stands for all. Only words that answer the same question alike.
_SYNONYMS: Final = """
person people persons human humans
man men guy guys male gentleman
woman women lady ladies female
child children kid kids toddler toddlers
baby babies infant infants
boy boys
girl girls
car cars automobile automobiles sedan
bus buses coach
motorcycle motorcycles motorbike motorbikes
bicycle bicycles bike bikes
plane aeroplane airplane aircraft
cat cats kitten kittens
dog dogs puppy puppies
bird birds parrot parrots
rabbit rabbits bunny bunnies hare
deer stag
pig pigs piglet piglets
sofa couch
tshirt t-shirt tee
jeans denim
glasses eyeglasses spectacles sunglasses goggles
spectacle show
makeup make-up cosmetics
picture photo photograph
road street roads streets highway motorway freeway
carpet rug
forest woods wood-land woodland
wood wooden
wool woollen woolen
brick bricks
wok frying-pan pan
drum drums drummer drumkit
cartoon cartoons animation animated
terminal command-line console
diagram flowchart
snow snowy snowing snows
sun sunny sunshine
clear cloudless
dark darkness dim
bright light-filled
crowded busy
staff stick pole rod
uniform uniforms
soldier soldiers military army
gym gymnasium
stripe stripes striped
triangle triangles triangular
lie lies lying
sit sits sitting seated
stand stands standing
run runs running
hug hugs hugging embrace embraces embracing
wave waves waving
make makes making
ride rides riding rode
hold holds holding held
jump jumps jumping
fly flies flying
walk walks walking
dance dances dancing
sing sings singing
cook cooks cooking cooked
apply applies applying
"""
NUMBERS: Final = "zero one two three four five six seven eight nine ten eleven twelve thirteen".split()  # noqa: SIM905
_COLOURS: Final = """
red reddish scarlet crimson
orange orangey
yellow yellowish
green greenish
blue bluish navy
purple violet
pink
brown brownish tan
black
white
grey gray greyish grayish silver
gold golden
beige cream
"""


def _table(text: str) -> dict[str, str]:
    return {word: line.split()[0] for line in text.strip().splitlines() for word in line.split()}


SYNONYMS: Final = _table(_SYNONYMS)
COLOURS: Final = _table(_COLOURS)
_NUMBER: Final = {word: str(value) for value, word in enumerate(NUMBERS)} | {
    "none": "0", "no": "0", "single": "1", "couple": "2", "pair": "2", "both": "2", "twice": "2", "once": "1",
}  # fmt: skip
_WORD: Final = re.compile(r"[a-z0-9]+(?:-[a-z]+)*")
_TIMES: Final = re.compile(r"\b\d+:\d\d(?::\d\d)?\b")


@dataclass(frozen=True, slots=True)
class Words:
    """A text's words in order, each as what it stands for; `colours` and `numbers` among them as sets."""

    stems: tuple[str, ...]
    colours: frozenset[str]
    numbers: frozenset[str]

    @property
    def content(self) -> tuple[str, ...]:
        """The words that carry meaning."""
        return tuple(word for word in self.stems if word not in STOP)


def stem(word: str) -> str:
    """What a word in lower case stands for: its synonym, colour or number, else its stem."""
    for table in (COLOURS, SYNONYMS, _NUMBER):
        if word in table:
            return table[word]
    short = _stem(word)
    return SYNONYMS.get(short, short)


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and re.search(r"(?:s|x|z|ch|sh)es$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    if len(word) > 5 and word.endswith("ing"):
        return _undoubled(word[:-3])
    if len(word) > 4 and word.endswith("ed") and not word.endswith("eed"):
        return _undoubled(word[:-2])
    return word


def _undoubled(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz" else word.removesuffix("e")


def words_of(text: str) -> Words:
    """The words of a text; times such as 0:07 are none. Hyphens join a word that the tables know and divide others."""
    found: list[str] = []
    for word in _WORD.findall(_TIMES.sub(" ", text.lower().replace("’", "'").replace("'s", " "))):
        known = word in SYNONYMS or word in COLOURS
        found += [word] if known or "-" not in word else word.split("-")
    stems = tuple(stem(word) for word in found)
    colours = frozenset(COLOURS[word] for word in found if word in COLOURS)
    numbers = frozenset(_NUMBER.get(word, word) for word in found if word.isdigit() or word in _NUMBER)
    return Words(stems, colours, numbers)


def near(one: str, other: str) -> bool:
    """Whether two stems are one word but for an ending that the stemmer left ("bak" and "bake")."""
    return one == other or (min(len(one), len(other)) >= 3 and one.removesuffix("e") == other.removesuffix("e"))


def has(stems: Collection[str], wanted: str) -> bool:
    """Whether a word is among others."""
    return any(near(word, wanted) for word in stems)
