"""What an open question takes for granted: "What colour is the dog?" has no answer where there is no dog.

The thing is asked about as a yes/no question would, from pictures and tokens together, and the question is denied where
that is improbable enough. Rules for English over the sorted question; pure functions beside the one that looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from torch import Tensor

from llama_vid.llm.candidates import candidates
from llama_vid.llm.evidence import Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.subjects import AUXILIARY, asks_who

#: p(there) below which a question is denied: on even-numbered clips it denies falsely no more than 0.3 does, and more
#: of what is not there; above it, more is denied falsely.
DENIED_BELOW: Final = 0.35
#: Familiar things of a kind that make the kind familiar.
FEW: Final = 2
_DETERMINED: Final = re.compile(r"\b(?P<does>(?:do|does|did) )?(?:the|his|her|its|their|this|that) (?P<rest>\w.*)$")
_COUNTED: Final = re.compile(rf"^how many (?!{AUXILIARY}\b|of\b)(\w+)(?: \w+){{0,3}}$")
_WHO: Final = re.compile(rf"^(?:who|which \w+|where) {AUXILIARY} (?:they |he |she |people )?(\w+ing)\b")
_VOWEL: Final = re.compile(r"[aeiou]")
#: Words behind "the" that name the recording, a place in it or a part of a thing, not a thing that may be missing.
_NO_THING: Final = frozenset(
    re.findall(
        r"\w+",
        "video clip film movie scene picture image camera footage recording start beginning end middle weather season "
        "background foreground front back top bottom left right side colour color name title first last same other one "
        "screen place sky air ground floor hand hands face head arm arms leg legs foot feet finger fingers eye eyes "
        "mouth",
    )
)
#: Words that end a noun phrase.
_SMALL: Final = frozenset(
    re.findall(
        r"\w+",
        "is are was were do does did has have on in at of with to from by and or up down out off over under near behind"
        " outside inside now not seen shown made appear visible there here look like that who which besides",
    )
)
_NUMBERS: Final = frozenset(("one", "two", "three", "four", "five", "six", "both", "all", "many", "several"))
_MASS: Final = frozenset(("snow", "grass", "water", "food", "music", "fire", "smoke", "sand", "ice", "rain", "hair"))
_IRREGULAR: Final = {
    "people": "a person", "men": "a man", "women": "a woman", "children": "a child", "mice": "a mouse",
}  # fmt: skip


def presupposed(question: str) -> str:
    """The thing or doing that a question takes for granted, as a yes/no question names it; "" if it takes none.

    "What colour is the dog?" -> "a dog"; "How many women are there?" -> "a woman"; "Who is dancing?" -> "dancing".
    """
    text = _plain(question)
    if re.match(rf"^{AUXILIARY}\b", text):
        return ""
    if asks_who(text):
        return "a person"
    if found := _COUNTED.match(text):
        return singular(found[1])
    if found := _WHO.match(text):
        return found[1]
    if found := _DETERMINED.search(text):
        noun = _noun(found["rest"].split(), verb=bool(found["does"]))
        if not noun or noun.split()[0] in _NO_THING:
            return ""
        last = noun.split()[-1]
        return noun if last in _MASS else singular(noun) if last.endswith("s") or last in _IRREGULAR else _named(noun)
    return ""


def absent(find: Finder, inquiry: Inquiry, look: Callable[[Sequence[float]], Tensor | None] | None = None) -> str:
    """The denial of a question whose thing is not there; "" where it is, or none is taken for granted.

    `look` gives the regions of frames (`Watched.regions` unless given).
    """
    thing = presupposed(inquiry.question.text)
    doing = thing.endswith("ing") and " " not in thing
    if not thing or not (doing or _familiar(thing.split()[-1])):
        return ""  # whoever has hardly met a thing cannot tell that it is missing
    asked = f"Is someone {thing}?" if doing else f"Is there {thing} in the video?"
    text = f"someone {thing}" if doing else thing
    z = find.scores(inquiry.entries, text)
    closer = find.closer(inquiry.entries, z, text, look or inquiry.watched.regions)
    if find.calibration.probability(*find.weighed(inquiry.entries, z, asked), closer) >= DENIED_BELOW:
        return ""
    if asks_who(_plain(inquiry.question.text)):
        return "I have not seen anyone."
    return f"I have not seen {'anyone ' if doing else ''}{thing}."


def _plain(question: str) -> str:
    return " ".join(question.lower().replace("’", "'").split()).strip(" ?.!")


def _familiar(noun: str) -> bool:
    """Whether training captions name a thing often, or several of its kind."""
    known = candidates()
    kind = [each for each in known.of_kind(noun) if each.split()[-1] in known.met]
    return noun in known.met or len(kind) >= FEW


def singular(noun: str) -> str:
    """One of many: "dogs" -> "a dog", "babies" -> "a baby", "people" -> "a person"."""
    *before, last = noun.split()
    if last in _IRREGULAR:
        article, one = _IRREGULAR[last].split()
        return _named(" ".join([*before, one])) if before else f"{article} {one}"
    if noun.endswith("ies") and len(noun) > 4:
        return _named(f"{noun[:-3]}y")
    if re.search(r"(?:s|x|z|ch|sh)es$", noun):
        return _named(noun[:-2])
    return _named(noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun)


def _named(noun: str) -> str:
    return f"{'an' if _VOWEL.match(noun) else 'a'} {noun}"


def _noun(words: Sequence[str], *, verb: bool) -> str:
    """The noun phrase that words begin with, three words at most; with a `verb` its last word is one."""
    words = words[next((at for at, word in enumerate(words) if word not in _NUMBERS), 0) :]
    end = next(
        (at for at, word in enumerate(words) if word in _SMALL or re.search(r"(?:ing|ed|'s)$", word)), len(words)
    )
    end = end - 1 if verb and end > 1 else end
    return " ".join(words[:end]) if 0 < end <= 3 else ""
