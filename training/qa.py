"""Questions and answers made from captions: is there, what, where, how many, what colour, worn and done."""

from __future__ import annotations

import random
import re
from typing import Final

from training.concepts import CONCEPTS, Concept

_THING: Final = (
    "Is there {x} in the video?",
    "Is there {x} in the video?",
    "Can you see {x}?",
    "Does the video show {x}?",
    "Is there {x}?",
    "Do you see {x}?",
    "Is {x} visible in the scene?",
)
_ACT: Final = ("Is someone {x}?", "Is someone {x} in the video?", "Is anyone {x}?", "Does the video show someone {x}?")
_PLACE: Final = ("Is this {x}?", "Is this {x}?", "Is the video {x}?", "Does this take place {x}?")
WHAT: Final = (
    "What is happening?",
    "What happens in the video?",
    "Describe the video.",
    "What can be seen?",
    "What is going on?",
)
_COLOURS: Final = "red blue green yellow orange pink purple white black brown grey gray tan blond blonde golden"
_COLOUR = re.compile(
    rf"\b({_COLOURS.replace(' ', '|')}) (shirt|jacket|hat|dress|shorts|pants|coat|uniform|car|ball|"
    r"bike|dog|cat|suit|hair|helmet|boat|toy|flag|truck|shirts|cap|vest|sweater|wall|bicycle|frisbee|motorcycle|horse|bird|couch|umbrella|building)\b"
)
_NUMBER = re.compile(
    r"\b(two|three|four|five|six) (?:\w+ )?(dogs|people|men|women|boys|girls|children|kids|"
    r"players|horses|birds|cars|cyclists|skiers)\b"
)
_PLACE_IN = re.compile(
    r"\b((?:in|on|at|through|across|along|near|under|over|down) (?:the |a |an )?(?:\w+ )?"
    r"(?:snow|grass|beach|water|street|field|pool|park|road|sidewalk|woods|forest|mountain|rock|rocks|sand|"
    r"bench|couch|bed|kitchen|room|table|track|court|ocean|lake|river|hill|dirt|playground))\b"
)
_DOING = re.compile(
    r"^(?:an?|the|two|three|some|several|\w+) (?:\w+ ){0,3}?"
    r"(dogs?|man|men|woman|women|boys?|girls?|child|children|people|person|player|baby|cat|horse|bird)"
    r"(?: \w+ \w+ (?:shirt|jacket|hat|dress|coat))?(?: is| are)? (\w+ing\b.*?)\s*\.?$"
)
_PLURAL: Final = ("men", "women", "people", "children")
_WEARING = re.compile(r"\b(man|woman|boy|girl|child|person|baby)\b[^,.]*?\bwearing ((?:an? )?(?:\w+ ){0,2}\w+)")


_MISSING_THING: Final = (
    "What colour is the {x}?",
    "Where is the {x}?",
    "What is the {x} doing?",
    "What does the {x} look like?",
    "When does the {x} appear?",
    "Which way does the {x} move?",
)
_MISSING_ACT: Final = ("Who is {x}?", "Where is the person who is {x}?", "What does the one who is {x} wear?")


def not_there(concept: Concept, rng: random.Random) -> tuple[str, str] | None:
    """A question that takes a concept for granted which is not there, and the answer; None where none can be asked."""
    if concept.kind == "act":
        return rng.choice(_MISSING_ACT).format(x=concept.phrase), f"I do not see anyone {concept.phrase}."
    if concept.kind == "thing" and (noun := re.fullmatch(r"(?:an?|the) (\w+(?: \w+)?)", concept.phrase)):
        return rng.choice(_MISSING_THING).format(x=noun[1]), f"I do not see {concept.phrase}."
    return None


def denials() -> set[str]:
    """Every answer that `not_there` gives."""
    rng = random.Random(0)
    return {found[1] for concept in CONCEPTS if (found := not_there(concept, rng)) is not None}


def tidy(caption: str) -> str:
    """A dataset caption as running text: no spaces before punctuation, one final stop, a capital first letter."""
    text = re.sub(r"\s+([.,;:!?'])", r"\1", " ".join(caption.split())).strip(' "').rstrip(". ")
    text = re.sub(r"\s+'\s*s\b", "'s", text)
    return text[:1].upper() + text[1:] + "."


def yes_no(concept: Concept, present: bool, rng: random.Random) -> tuple[str, str]:
    """A question about a concept, and its answer: yes or no first."""
    templates = {"thing": _THING, "act": _ACT, "place": _PLACE}[concept.kind]
    return rng.choice(templates).format(x=concept.phrase), "Yes." if present else "No."


def open_questions(caption: str) -> list[tuple[str, str]]:
    """What, where, how many, what colour and what is worn, as far as the caption's form tells."""
    text = tidy(caption)
    low = text.lower()
    out = []
    if found := _COLOUR.search(low):
        verb = "are" if found[2] in ("shorts", "pants", "shirts") else "is"
        out.append((f"What colour {verb} the {found[2]}?", found[1].capitalize() + "."))
    if found := _NUMBER.search(low):
        out.append((f"How many {found[2]} are there?", found[1].capitalize() + "."))
    if found := _DOING.match(low):
        verb = "are" if found[1] in _PLURAL or found[1].endswith("s") else "is"
        out.append((f"What {verb} the {found[1]} doing?", found[2].capitalize() + "."))
    if place := _PLACE_IN.search(low):
        out.append(("Where is this?", place[1].capitalize() + "."))
        if found := _DOING.match(low):
            verb = "are" if found[1] in _PLURAL or found[1].endswith("s") else "is"
            out.append((f"Where {verb} the {found[1]}?", place[1].capitalize() + "."))
    if found := _WEARING.search(low):
        out.append((f"What is the {found[1]} wearing?", found[2].capitalize() + "."))
    return out
