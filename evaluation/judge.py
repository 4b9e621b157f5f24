"""Whether a free answer is right, by a reference: its key words, and its meaning; the same judgement every time.

A reference such as "A white bus (coach)." is read as alternatives, each with key words. An answer is right

- by key words, if it has a third of an alternative's, the head of the phrase among them ("bus"; "making a hand sign" is
  said by "a sign"); an answer to a question about colour or number must have all of them, and no other for that thing;
- by meaning, if MiniLM's cosine to an alternative is at least `ALIKE`, and it contradicts no colour, number or choice.

Colours and numbers that are asked for, yes or no, and one of two things that the question names, are right or wrong by
their words alone. `ALIKE` was chosen on pairs made from the references: see `threshold_pairs`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.meaning import Meaning
from evaluation.wording import COLOURS, STOP, Words, has, words_of

#: MiniLM's cosine from which two answers mean the same: the lowest, in steps of 0.05, at which no mismatched pair of
#: the clips passes (of 529 pairs that mean the same 78 % pass, of 892 that do not none; at 0.65 0.4 % of them).
ALIKE: Final = 0.70
#: The share of a phrase's key words that says it, if its head is among them.
SHARE: Final = 1 / 3
#: Forms in which an answer says what a reference says: what a paraphrase may add without a change of meaning.
FORMS: Final = ("{}", "It is {}.", "There is {} in the video.", "I see {}.", "Probably {}.")

_YES_NO: Final = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_CHOICE: Final = re.compile(r"\b(?:is|are|was|were)\b (?P<rest>.+?) or (?P<last>[^?]+)", re.IGNORECASE)
_COLOUR_ASKED: Final = re.compile(r"\bcolou?rs?\b", re.IGNORECASE)
_NUMBER_ASKED: Final = re.compile(r"\b(?:how many|number of)\b", re.IGNORECASE)
_REFUSED: Final = re.compile(
    r"\b(?:i have (?:probably )?not seen|i cannot (?:tell|say)|it is not clear|i do not know)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Right by key words, by meaning, and over all; `cosine` is the best alternative's."""

    keys: bool
    meaning: bool
    right: bool
    cosine: float = 0.0


def alternatives(reference: str) -> list[str]:
    """What a reference accepts: "Red (orange)." -> "Red", "orange"; parts of a list and "or" are alternatives too."""
    outside = re.sub(r"\s*\([^)]*\)", "", reference)
    inside = re.findall(r"\(([^)]*)\)", reference)
    parts = [part for text in (outside, *inside) for part in re.split(r",\s*|\s+or\s+", _between(text))]
    return [clean for part in parts if (clean := part.strip(" .,"))]


def _between(text: str) -> str:
    """ "Red-orange", a colour between two, accepts either."""
    return re.sub(
        r"\b(\w+)-(\w+)\b",
        lambda m: f"{m[1]} or {m[2]}" if {m[1].lower(), m[2].lower()} <= set(COLOURS) else m[0],
        text,
    )


def key_words(phrase: str) -> tuple[tuple[str, ...], str]:
    """The key words of a phrase up to a preposition, and its head, the last of them: "a birthday cake with candles" ->
    birthday and cake, cake."""
    lead = re.sub(r"^(?:as|in|on|at|by|with|from|of|they|he|she|it)\s+", "", phrase.strip(), flags=re.IGNORECASE)
    main = words_of(re.split(r"\b(?:with|on|in|at|of|from|while|and|down)\b", lead, maxsplit=1)[0]).content
    words = main or words_of(lead).content
    return words, (words or ("",))[-1]


def judge(question: str, reference: str, answer: str, meaning: Meaning) -> Judgement:
    """Judge one answer."""
    text = answer.strip()
    if not text or _REFUSED.search(text):
        return Judgement(False, False, False)
    wanted = alternatives(reference)
    if wanted and (yes := _YES_NO.fullmatch(wanted[0])):
        found = _YES_NO.match(text)
        said = found is not None and found[1].lower() == yes[1].lower()
        return Judgement(said, said, said, float(said))
    said_words = words_of(text)
    if other := _other_choice(question, wanted):
        right = any(_covers(said_words, one, question) for one in wanted) and not _names(said_words, other)
        return Judgement(right, right, right, float(right))
    keys = any(_covers(said_words, one, question) for one in wanted)
    asked = (_COLOUR_ASKED, words_of(reference).colours), (_NUMBER_ASKED, words_of(reference).numbers)
    if any(pattern.search(question) and found for pattern, found in asked):
        return Judgement(keys, keys, keys, float(keys))  # exact things, which no likeness can stand in for
    cosine = max((meaning.alike(text.rstrip("."), one) for one in wanted), default=0.0)
    means = cosine >= ALIKE and not any(_contradicts(said_words, one, question) for one in wanted[:1])
    return Judgement(keys, means, keys or means, cosine)


def _covers(said: Words, phrase: str, question: str) -> bool:
    wanted = words_of(phrase)
    if _COLOUR_ASKED.search(question) and wanted.colours:
        return wanted.colours <= said.colours and not _contradicts(said, phrase, question)
    if _NUMBER_ASKED.search(question) and wanted.numbers:
        return wanted.numbers <= said.numbers and not _contradicts(said, phrase, question)
    words, head = key_words(phrase)
    if not words:
        return False
    share = sum(has(said.stems, word) for word in words) / len(words)
    return share >= SHARE and has(said.stems, head)


def _contradicts(said: Words, phrase: str, question: str) -> bool:
    """Whether an answer names another colour or number for what the question asks about."""
    wanted = words_of(phrase)
    if _NUMBER_ASKED.search(question):
        return bool(wanted.numbers) and bool(said.numbers) and not wanted.numbers <= said.numbers
    if not said.colours or not wanted.colours:
        return False
    colours = said.colours
    if _COLOUR_ASKED.search(question):
        # "A man in a red shirt and black trousers" about a shirt: the colour before the word that was asked about.
        asked = [word for word in words_of(question).content if word != "colour"]
        for place, word in enumerate(said.stems):
            before = said.stems[max(0, place - 2) : place]
            if has(asked, word) and any(colour in before for colour in said.colours):
                colours = frozenset(colour for colour in said.colours if colour in before)
                break
        return not colours <= wanted.colours
    return not (colours & wanted.colours)


def _other_choice(question: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Of "Is it dark or bright?" the words of the choice that is not wanted; none where nothing is to be chosen."""
    found = _CHOICE.search(question)
    if found is None:
        return ()
    options = [words_of(found["last"]).content[:2], words_of(found["rest"]).content[-1:]]
    meant = [word for phrase in wanted for word in words_of(phrase).content]
    others = [option for option in options if option and not any(has(meant, word) for word in option)]
    return others[0] if len(others) == 1 else ()


def _names(said: Words, option: Sequence[str]) -> bool:
    return any(has(said.stems, word) for word in option if word not in STOP)


def threshold_pairs(references: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs of (question, reference) answers that mean the same, and that do not: what `ALIKE` is chosen on.

    The same: a reference against its other alternatives and against itself in each of `FORMS`. Not the same: every two
    references without a key word in common whose questions begin alike ("what colour", "what animal", "where", …), the
    hardest mismatches that there are: answers of the right sort.
    """
    same: list[tuple[str, str]] = []
    other: list[tuple[str, str]] = []
    plain = [(question, alternatives(reference)) for question, reference in references]
    plain = [(question, wanted) for question, wanted in plain if wanted and not _YES_NO.fullmatch(wanted[0])]
    for _, wanted in plain:
        low = wanted[0][:1].lower() + wanted[0][1:]
        same += [(wanted[0], form.format(low)) for form in FORMS[1:]]
        same += [(wanted[0], alternative) for alternative in wanted[1:]]
    for number, (question, wanted) in enumerate(plain):
        start = question.lower().split()[:2]
        for later, further in plain[number + 1 :]:
            if later.lower().split()[:2] != start:
                continue
            if set(words_of(wanted[0]).content) & set(words_of(further[0]).content):
                continue
            if _contradicts(words_of(further[0]), wanted[0], question):
                continue  # another colour or number, which is never judged by meaning
            other.append((wanted[0], further[0]))
            other.append((wanted[0], FORMS[1].format(further[0][:1].lower() + further[0][1:])))
    return same, other
