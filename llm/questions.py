"""Sorting a question into its kind, with what it is about and the time it names (DESIGN section 8, "Question kinds").

Rules for English, tried in a fixed order; pure functions. Whatever no rule claims is an open question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import Final

from llama_vid.errors import QuestionError
from llama_vid.llm.overview_words import SHOW, asks_whether, wants_overview
from llama_vid.llm.spans import DAY_WORDS, NamedSpan, named_span
from llama_vid.llm.subjects import AUXILIARY, of_counted, of_open, of_timed, of_yes_no, tidied

#: The longest question, in characters.
LONGEST: Final = 4000


class QuestionKind(StrEnum):
    """What sort of answer a question wants."""

    IS_THERE = "is_there"  # yes or no first
    WHAT = "what"  # what, which, who, where: describe the evidence
    WHEN = "when"  # times from evidence
    HOW_LONG = "how_long"  # durations from evidence
    ORDER = "order"  # which of things came first
    HOW_MANY = "how_many"  # how many things, how often something
    SUMMARY = "summary"  # a span of time told
    CHANGE = "change"  # two moments compared


@dataclass(frozen=True, slots=True)
class Question:
    """A sorted question: its sanitised text, kind, and the `subject` phrase to look for ("" if it names none).

    `others` are the further things that an ORDER question compares with, or the choices of "Is it dark or bright?"
    (kind WHAT). `often` says that a HOW_MANY question counts events, not things; `whether`, that a SUMMARY question
    asks if anything happened at all. `span` is the time it names.
    """

    text: str
    kind: QuestionKind
    subject: str = ""
    others: tuple[str, ...] = ()
    often: bool = False
    span: NamedSpan | None = None
    whether: bool = False


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_ASK: Final = "(?:what|which|who|whose|where|when|how|if|whether|at what|in which|about)"

_CONTROL: Final = re.compile(
    r"<\|[^<>|]{0,64}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>", re.IGNORECASE
)
_POLITE: Final = _any(
    r"^(?:hey|hi|hello|ok|okay|so|and|well|please|then|but)\b[\s,]*",
    r"^(?:can|could|would|will) you (?:please )?"
    r"(?=(?:tell|show|describe|summari|count|list|give|find|say|check|name)\w*)",
    rf"^(?:tell|show|say|find out|explain to|let)(?: me| us)?(?: know)? (?={_ASK}\b)",
    rf"^(?:do you know|i want to know|i would like to know|i'd like to know|check) (?={_ASK}\b)",
)
_CHANGE: Final = _any(
    r"^(?:what|anything|something)(?:'s| has| have| had| is| was| are)?(?: been)?(?: \w+)? "
    r"(?:chang(?:ed|es|ing)|different)\b",
    r"^what (?:did|does|has) .*\bchanged?$",
    r"^what (?:change|difference)s?\b",
    rf"^(?:how|{AUXILIARY}) .*\bchanged?(?: (?:since|between|from|over|during|in|at|much|a lot)\b.*)?$",
    r"^(?:compare|describe the (?:change|difference)s?)\b",
    r"\bdifferences? between\b",
    r"^how .*\bdifferent(?:ly)?\b",
    rf"^{AUXILIARY} (?:anything|something|everything|the \w+) (?:different|the same)\b",
)
_CHANGE_WORDS: Final = _any(
    r"\b(?:changed?|changes|changing|differences?|different(?:ly)?|compare|anything|something|everything|the same)\b",
    r"\bbetween (?:the )?(?:start|beginning|first|then|before)\b.*",
    r"\bsince\b.*",
)
_HOW_LONG: Final = _any(
    r"^(?:for )?how long (?!ago\b)",
    r"^(?:for )?how many (?:seconds|minutes|hours|days)\b",
    r"^(?:for )?how much time\b",
    r"^what (?:is|was) the (?:duration|length)(?: of)?\b",
    r"^how long$",
)
_LENGTH: Final = re.compile(
    r"^how long (?:is|are|was) .*\b(?:hair|beard|rope|dress|skirt|sleeves?|tail|table|road|queue|leash)$"
)
_OFTEN: Final = re.compile(
    r"^(?:how (?:often|frequently)|(?:for )?how many times|count how often|what is the number of times)\b\s*"
)
_HOW_MANY: Final = _any(
    r"^(?:(?:count|in|of|with|for|by|to) )?how many(?: (?:different|other|more))?(?: of)?\b\s*",
    r"^(?:what (?:is|was) the )?(?:total )?number of\b\s*",
    r"^count\b\s*",
)
_BEFORE: Final = re.compile(
    rf"^{AUXILIARY} (?P<one>.+?) (?:before|after|earlier than|later than) (?P<two>(?!that$|now$|it$).+)$"
)
_ORDER: Final = _any(
    r"^in (?:which|what) (?:order|sequence)\b",
    r"^(?:what|which)(?: is| was)? the (?:order|sequence)(?: of)?\b",
    r"^(?:what|which|who)\b.*?\b(?<!at )(?:first|last|earlier|later)(?=$|,?:? .+ or .+$)",
)
_WHEN: Final = _any(
    r"^(?:since |from |until |till )?when\b",
    r"^(?:at|around|about|by|in|on)? ?(?:what|which) "
    r"(?:times?|points?|minutes?|seconds?|moments?|hours?|days?|part of the \w+)\b",
    r"^how long ago\b",
    r"^how (?:soon|late|early)\b",
    r"^(?:show|give|find|list)(?: me)? (?:all |every )?(?:the )?(?:moments?|times?|parts?|scenes?)"
    r"(?: (?:when|where|with|of|in which))?\b",
)
#: "is it A or B", "is the scene dark or bright": a definite thing and two choices. "Is there a cat or a dog" is none.
_CHOICE: Final = _any(
    rf"^{AUXILIARY} (?P<pronoun>this|it|that|these|those|he|she|they) (?P<a>\S.*?) or (?P<b>.+)$",
    rf"^{AUXILIARY} (?P<noun>(?:the|this|that|these|those|his|her|their) .*?) (?P<c>\S+) or (?P<d>.+)$",
)
_SHOWS: Final = re.compile(rf"^{AUXILIARY} (?:the|this) (?:{SHOW}|camera) (?:show|contain|include|feature|have)\b")


def sanitize(text: str) -> str:
    """Text from outside without chat-template tokens and control characters, with plain single spaces."""
    text = "".join(char if char.isprintable() else " " for char in text)
    while (shorter := _CONTROL.sub(" ", text)) != text:  # what is left may spell another token
        text = shorter
    return " ".join(text.split())


def sort_question(text: str, start: float = 0.0, end: float = 0.0, *, zone: tzinfo | None = None) -> Question:
    """Sort a question about what was watched in [start, end]; `zone` is a live camera's time zone (None: a recording).

    Raises QuestionError if it is empty or longer than LONGEST characters.
    """
    if len(text) > LONGEST:
        raise QuestionError(f"the question has {len(text)} characters; ask in {LONGEST} or fewer")
    clean = sanitize(text)
    if not any(char.isalnum() for char in clean):
        raise QuestionError("the question is empty; ask something in words, such as: What has happened so far?")
    lower = clean.lower().replace("’", "'")
    span = named_span(lower, start, end, zone=zone)
    bare = bare_words(lower, span, zone=zone)
    kind, subject, others, often = _sorted(bare, named=span is not None, asks=clean.endswith("?"))
    whether = kind is QuestionKind.SUMMARY and asks_whether(bare)
    return Question(clean, kind, subject, others, often, span, whether)


def bare_words(lower: str, span: NamedSpan | None, *, zone: tzinfo | None = None) -> str:
    """A question in lower case without its time words, its politeness and the marks around it."""
    bare = lower.replace(span.words, " ", 1) if span else lower
    if span and zone is not None:
        bare = DAY_WORDS.sub(" ", bare)  # "yesterday between 3 and 4": the day is part of the time
    bare = " ".join(bare.split()).strip(" .,;:!?")
    while (shorter := _POLITE.sub("", bare)) != bare:
        bare = shorter
    return bare


def _sorted(text: str, *, named: bool, asks: bool) -> tuple[QuestionKind, str, tuple[str, ...], bool]:
    """Kind, subject, others and often of a question in lower case, without its time words."""
    if _CHANGE.search(text):
        return QuestionKind.CHANGE, of_open(_CHANGE_WORDS.sub("", text)), (), False
    if (match := _HOW_LONG.search(text)) and not _LENGTH.search(text):
        return QuestionKind.HOW_LONG, of_timed(text[match.end() :]), (), False
    if match := _OFTEN.search(text):
        return QuestionKind.HOW_MANY, of_timed(text[match.end() :]), (), True
    if match := _HOW_MANY.search(text):
        return QuestionKind.HOW_MANY, of_counted(text[match.end() :]), (), False
    if match := _BEFORE.search(text):
        return QuestionKind.ORDER, of_yes_no("is " + match["one"]), (tidied(match["two"]),), False
    if match := _ORDER.search(text):
        things = _things(text[match.end() :])
        return QuestionKind.ORDER, things[0] if things else "", tuple(things[1:]), False
    if match := _WHEN.search(text):
        return QuestionKind.WHEN, of_timed(text[match.end() :]), (), False
    if wants_overview(text):
        return QuestionKind.SUMMARY, "", (), False
    if match := re.match(r"^(?:if|whether)\b\s*", text):
        return (
            QuestionKind.IS_THERE,
            of_yes_no(re.sub(rf"^(there) {AUXILIARY}\b", r"\1", text[match.end() :])),
            (),
            False,
        )
    if re.match(rf"^{AUXILIARY}\b", text):
        if (choice := _CHOICE.match(text)) and not _SHOWS.match(text):
            one, other = choice["a"] or choice["c"], choice["b"] or choice["d"]
            return QuestionKind.WHAT, tidied(choice["pronoun"] or choice["noun"]), (tidied(one), tidied(other)), False
        return QuestionKind.IS_THERE, of_yes_no(text), (), False
    if re.match(r"^any\b", text) and asks:
        return QuestionKind.IS_THERE, of_yes_no(text), (), False
    return QuestionKind.WHAT, of_open(text), (), False


def _things(text: str) -> list[str]:
    """The things that an order question lists: ", the dog or the cat" -> ["the dog", "the cat"]."""
    text = re.sub(rf"^[\s,:]*(?:{AUXILIARY}|of|events?|things?)?\b\s*", "", text)
    text = re.sub(r"\s+(?:appear|come|came|arrive|happen|enter|occur|show up|take place)(?:s|ed|d)?(?: in)?$", "", text)
    parts = re.split(r"\s*,\s*(?:and |or )?|\s+(?:or|and|versus|vs)\s+", text)
    return [thing for part in parts if (thing := tidied(part))]
