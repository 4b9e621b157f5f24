"""Sorting questions about movement, cuts and stillness: what they are about, and what sort of answer they want.

Rules for English over the question's text; whatever they do not claim is sorted as any other question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from llama_vid.llm.subjects import AUXILIARY, tidied


class About(StrEnum):
    """What a question is about."""

    CUTS = "cuts"
    CAMERA = "camera"
    OBJECTS = "objects"
    STILLNESS = "stillness"
    ARRIVALS = "arrivals"  # something, whatever it is, comes into view
    DEPARTURES = "departures"
    LIGHT = "light"
    MOVEMENT = "movement"
    THING = "thing"  # one that the question names
    WHICH = "which"  # camera or object
    FIRST = "first"  # what moves first


class Form(StrEnum):
    """What sort of answer it wants."""

    WHETHER = "whether"
    WHEN = "when"
    HOW_LONG = "how long"
    HOW_OFTEN = "how often"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about movement. `now` says that it means the present moment, `scenes` that it counts scenes, not the
    changes between them; `subject` is the thing that it names."""

    about: About
    form: Form
    now: bool = False
    scenes: bool = False
    subject: str = ""


_SCENE: Final = r"(?:scenes?|shots?|(?:camera )?views?|pictures?|setting)"
_MOVE: Final = r"(?:mov(?:e|es|ed|ing)|in motion)"
_TURN: Final = rf"(?:{_MOVE}|pan(?:s|ned|ning)?|zoom(?:s|ed|ing)?|shak(?:e|es|ing)|tilt(?:s|ed|ing)?|sw(?:ing|ung))"
_SOMETHING: Final = r"(?:anything|something|things?|everything|any ?one|any ?body|some ?one|it|there|what)"
_OBJECT: Final = r"(?:an? |any |the |some )?(?:objects?|things?|something)"
_ABOUT: Final = (
    (About.WHICH, rf"\bcamera or {_OBJECT}\b", rf"\b{_OBJECT} or the camera\b"),
    (About.CAMERA, rf"\bcamera\b(?: \w+)?? {_TURN}\b", r"\bcamera (?:movements?|motion|pans?|shake)\b"),
    (
        About.FIRST,
        rf"^(?:what|which thing|who) (?:is |was )?(?:{_MOVE} first|the first (?:thing )?(?:to move|moving))$",
    ),
    (
        About.CUTS,
        rf"\b{_SCENE} (?:ever )?(?:chang(?:e|es|ed|ing)|cuts?|switch(?:es|ed)?)\b",
        rf"\bcuts?(?: to (?:another|a (?:new|different)) {_SCENE})?$",
        rf"\b(?:{_SCENE} changes?|changes? of {_SCENE}|{_SCENE} cuts?|new {_SCENE} (?:begin|start)s?)\b",
        rf"^how many (?:different )?{_SCENE}(?: (?:are|were)(?: shown)?)?$",
    ),
    (About.OBJECTS, rf"\b{_OBJECT.replace('|something', '')} {_MOVE}\b"),
    (
        About.STILLNESS,
        rf"\b(?:it|everything|all|{_SCENE}|the (?:video|camera)) (?:(?:is|was|be|been|stays?|stayed|remains?|holds?) )*"
        r"(?:completely |entirely )?still$",
        rf"\b(?:nothing|no ?(?:one|thing|body)) (?:is |was )?{_MOVE}$",
        r"\bno (?:movement|motion)$|\bmotionless$",
    ),
    (
        About.ARRIVALS,
        r"\b(?:anything|something) (?:new )?(?:comes?|came|enters?|entered|appears?|appeared|arrives?|arrived)"
        r"(?: (?:in|into (?:view|sight|the (?:picture|scene|frame))))?$",
    ),
    (
        About.DEPARTURES,
        r"\b(?:anything|something) (?:leaves?|left|disappears?|disappeared|go(?:es)? (?:away|out of (?:view|sight)))"
        r"(?: the (?:picture|scene|frame|view))?$",
    ),
    (
        About.LIGHT,
        r"\b(?:light|lighting|brightness) chang(?:e|es|ed|ing)$",
        r"\b(?:get|gets|got|become|becomes) (?:darker|brighter)$",
    ),
    (
        About.MOVEMENT,
        rf"\b{_SOMETHING} (?:is |was |start(?:s|ed)? |begin(?:s)? |began )?(?:to )?{_MOVE}$",
        r"\b(?:movement|motion)(?: (?:start|begin|stop|end)s?)?$",
    ),
)
_PATTERNS: Final = tuple((about, re.compile("|".join(patterns))) for about, *patterns in _ABOUT)
_NOW: Final = re.compile(r"\b(?:right now|at the moment|currently|now)\b")
_FORMS: Final = (
    (Form.HOW_LONG, re.compile(r"^(?:for )?how (?:long|many (?:seconds|minutes)|much time)\b")),
    (Form.HOW_OFTEN, re.compile(r"^(?:for )?how (?:often|many|frequently)\b|^count\b")),
    (Form.WHEN, re.compile(r"^when\b|^(?:at |in )?(?:what|which) (?:times?|seconds?|moments?|points?)\b")),
    (Form.WHETHER, re.compile(rf"^{AUXILIARY}\b")),
)
_THING: Final = re.compile(
    rf"^(?:when |how long |how often |how many times )?{AUXILIARY} (?P<thing>(?:the|an?|any|his|her|their) .+?) "
    rf"(?:start to |begin to )?{_MOVE}$"
)
_ASIDE: Final = re.compile(
    r"[\s,]*\b(?:in|during|throughout) (?:the |this )?(?:whole )?(?:video|clip|film|recording|footage)$"
    r"|\s+at all$|\s+there$"
)


def is_now(words: str) -> bool:
    """Whether words for a time mean the present moment."""
    return bool(_NOW.search(words))


def asked(text: str) -> Asked | None:
    """What a question about movement asks; None if it is about something else. `text` is the question in words."""
    plain = " ".join(text.lower().replace("’", "'").strip(" .,;:!?").split())
    now = is_now(plain)
    plain = " ".join(_NOW.sub(" ", plain).split()).strip(" ,")
    while (shorter := _ASIDE.sub("", plain)) != plain:
        plain = shorter
    form = next((form for form, pattern in _FORMS if pattern.search(plain)), None)
    about = next((about for about, pattern in _PATTERNS if pattern.search(plain)), None)
    if about in (About.WHICH, About.FIRST):
        return Asked(about, Form.WHETHER, now)
    if form is None:
        return None
    if about is not None:
        return Asked(
            about, form, now, scenes=bool(re.match(rf"how many (?:different )?{_SCENE}(?: are| were|$)", plain))
        )
    if (match := _THING.match(plain)) and (thing := tidied(match["thing"])):
        return Asked(About.THING, form, now, subject=thing)
    return None
