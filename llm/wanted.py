"""What sort of thing an open question wants: an animal, a colour, a place, what someone does, wears, holds or plays.

"What animal climbs?" wants an animal of which "{} climbs" is true; "Where is the man?" a place for "the man {}". Rules
for English over the sorted question; pure functions. A question that no rule claims wants nothing in particular.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llama_vid.llm.candidates import Candidates
from llama_vid.llm.presupposed import singular
from llama_vid.llm.questions import Question, QuestionKind
from llama_vid.llm.subjects import without_place

_BE: Final = r"(?:is|are|was|were)"
_DO: Final = r"(?:does|do|did)"
_PREPOSITION: Final = (
    r"(?:in front of|on top of|next to|in|on|at|under|below|above|over|behind|beside|near|by|inside|outside|around"
    r"|between|with|against|through|from|to)"
)
_ENDS: Final = re.compile(
    r",? (?:at the (?:end|beginning|start)|in the (?:end|beginning)|at first|first|now|here|there|please"
    r"|(?:can be |is |are )?(?:shown|seen|visible))$"
)
_PRONOUN: Final = re.compile(r"(?:it|this|that|these|those|there|he|she|they|you|we|one)\b")
_ANYONE: Final = {"he": "a man", "she": "a woman", "they": "people"}
_CLAIM: Final = "{}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The `candidates` of the sort that a question wants, and the statement that the right one makes true, with {}."""

    sort: str
    statement: str
    candidates: tuple[str, ...]

    def stated(self, candidate: str) -> str:
        """The statement of a candidate, as a caption would have it: "the man" becomes "a man"."""
        text = re.sub(r"\b(?:the|his|her|their|its)\b", "a", self.statement)
        return " ".join(text.replace(_CLAIM, candidate).split())


def wanted(question: Question, known: Candidates) -> Wanted | None:
    """What a sorted question wants; None where no rule knows it."""
    if question.kind is not QuestionKind.WHAT:
        return None
    if len(question.others) > 1:
        return Wanted("choice", f"{question.subject} {_CLAIM}".strip(), question.others)
    text = question.text.lower().replace("’", "'")
    text = text.replace(question.span.words, " ", 1) if question.span else text
    text = " ".join(without_place(text).replace("what's", "what is").replace("who's", "who is").split())
    text = text.strip(" .,;:!?")
    if (start := re.search(r"\b(?:(?:in|on|at|from|with|to) )?(?:what|which|who|where|how)\b", text)) is None:
        return None
    text = text[start.start() :]
    while (shorter := _ENDS.sub("", text)) != text:
        text = shorter
    subject = question.subject
    for rule in (_colour, _kind, _where, _who, _worn, _doing, _object, _made_of, _thing):
        if (found := rule(text, known, subject)) is not None:
            return found if found.candidates else None
    return None


def _named(text: str, subject: str) -> str:
    """A phrase, with the subject in a pronoun's place: "it" -> "a dog", "" where nothing is known."""
    match = _PRONOUN.match(text)
    if match is None:
        return text
    return f"{_ANYONE.get(match[0], '') or ('' if _PRONOUN.match(subject) else subject)}{text[match.end() :]}".strip()


def _colour(text: str, known: Candidates, subject: str) -> Wanted | None:
    if match := re.match(rf"(?:what|which) colou?r(?:ed)? (?!{_BE}|{_DO})(?P<thing>\w+) {_BE} (?P<x>.+)$", text):
        return Wanted("colour", f"{_named(match['x'], '')} {{}} {match['thing']}", known.colours)
    match = re.match(rf"(?:what|which) colou?rs? (?:{_BE}|{_DO}) (?P<x>.+?)(?: have)?$", text) or re.match(
        rf"what {_BE} the colou?rs? of (?P<x>.+)$", text
    )
    if match is None:
        return None
    thing = _named(match["x"], subject)
    if owner := re.match(r"(?P<who>.+?)'s? (?P<what>.+)$", thing):
        return Wanted("colour", f"{owner['who']} with a {{}} {owner['what']}", known.colours)
    bare = re.sub(r"^(?:the|an?|this|that|these|those|his|her|their|its) ", "", thing)
    return Wanted("colour", f"a {{}} {bare}" if bare else "{}", known.colours)


def _kind(text: str, known: Candidates, subject: str) -> Wanted | None:
    match = re.match(
        r"(?P<prep>(?:in|on|at|from|with|to) )?(?:what|which) (?:(?:kind|type|sort|breed)s? of )?"
        rf"(?P<kind>(?!{_BE}\b|{_DO}\b)\w+(?: (?!{_BE}\b|{_DO}\b)\w+)?)\b ?(?P<rest>.*)$",
        text,
    )
    if match is None:
        return None
    for words in (match["kind"], match["kind"].split()[0]):
        left = f"{match['kind'][len(words) :].strip()} {match['rest']}".strip()
        if words.endswith("s") and text.startswith("what ") and not re.match(rf"(?:{_BE}|{_DO})\b", left):
            continue  # "what covers the head": a verb
        one = re.sub(r"^an? ", "", singular(words)) if words.endswith("s") else words
        one = "musical instrument" if one == "instrument" else one  # WordNet's other instruments are devices
        of_kind = known.things if one in ("object", "thing", "item") else known.of_kind(one)
        if of_kind:
            return Wanted("kind", _claim(left, subject, place=bool(match["prep"])), of_kind)
    return None


def _claim(rest: str, subject: str, *, place: bool) -> str:
    """The statement of what follows "what animal": "climbs" -> "{} climbs", "is he riding" -> "a man riding {}"."""
    be = re.match(rf"{_BE} (?:being )?(?P<x>.+)$", rest)
    if be is not None:
        if not place and re.match(rf"(?:{_PREPOSITION}|\w+(?:ed|ing|wn|en|ld))\b", be["x"]):
            return f"{{}} {be['x']}"
        if _PRONOUN.fullmatch(be["x"]) and not (place and be["x"] in _ANYONE):
            return "{}"
        who = _named(be["x"], "" if not place else subject)
        return f"{who} in {{}}".strip() if place else f"{who} {{}}".strip()
    if do := re.match(rf"(?:{_DO}|can|could) (?P<x>.+)$", rest):
        return f"{_named(do['x'], subject)} {{}}".strip()
    if _PRONOUN.fullmatch(rest) or rest == "":
        return "{}"
    return f"{{}} {rest}"


def _where(text: str, known: Candidates, subject: str) -> Wanted | None:
    match = re.match(rf"where (?:{_BE}|{_DO}) (?P<x>.+)$", text)
    return match and Wanted("place", f"{_named(match['x'], subject)} {{}}".strip(), known.places)


def _who(text: str, known: Candidates, subject: str) -> Wanted | None:
    if re.fullmatch(rf"who(?: (?:{_BE}|can be))?", text):
        return Wanted("person", _CLAIM, known.people)
    match = re.match(rf"who (?:{_BE} )?(?P<x>.+)$", text)
    return match and Wanted("person", f"{{}} {_named(match['x'], '')}".strip(), known.people)


def _worn(text: str, known: Candidates, subject: str) -> Wanted | None:
    match = re.match(rf"what {_BE} (?P<x>.+?) (?:wearing|dressed in)$", text) or re.match(
        rf"how {_BE} (?P<x>.+?) dressed$", text
    )
    return match and Wanted("worn", f"{_named(match['x'], subject)} wearing {{}}", known.objects("wear"))


def _doing(text: str, known: Candidates, subject: str) -> Wanted | None:
    match = re.match(rf"what (?:else )?{_BE} (?P<x>.+?) doing\b", text) or re.match(rf"what {_DO} (?P<x>.+?) do$", text)
    return match and Wanted("doing", f"{_named(match['x'], subject) or 'someone'} {{}}", known.doings)


def _object(text: str, known: Candidates, subject: str) -> Wanted | None:
    match = re.match(rf"what {_BE} (?P<x>.+) (?P<verb>\w+ing)(?P<prep> {_PREPOSITION})?$", text) or re.match(
        rf"what {_DO} (?P<x>.+?) (?P<verb>\w+)(?P<prep> {_PREPOSITION})?$", text
    )
    if match is not None:
        claim = f"{_named(match['x'], '')} {match['verb']}{match['prep'] or ''} {{}}"
    elif match := re.match(rf"what {_BE} (?:being )?(?P<verb>\w+(?:ed|en|wn))(?P<prep>)$", text):
        claim = f"{{}} {match['verb']}"
    else:
        return None
    verb = match["verb"]
    found = known.objects(verb, (match["prep"] or "").strip())
    return Wanted("object", claim.strip(), tuple(dict.fromkeys((*found, *known.things))))


def _made_of(text: str, known: Candidates, subject: str) -> Wanted | None:
    match = re.match(rf"what {_BE} (?P<x>.+) (?P<how>made (?:of|from)|cooked in)$", text)
    if match is None:
        return None
    sort = known.of_kind("material") if match["how"].startswith("made") else known.things
    return Wanted("thing", f"{_named(match['x'], subject)} {match['how']} {{}}", sort)


def _thing(text: str, known: Candidates, subject: str) -> Wanted | None:
    if match := re.match(rf"what (?:else )?(?:{_BE} )?(?P<x>(?:\w+ )?{_PREPOSITION} .+)$", text):
        return Wanted("thing", f"{{}} {match['x']}", known.things)
    match = re.match(rf"what (?P<x>(?!{_BE}\b|{_DO}\b|kind|type|happen)\w+s\b.*)$", text)
    return match and Wanted("thing", f"{{}} {match['x']}", known.things)
