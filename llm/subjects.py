"""What a question is about: the phrase that a picture would have to match, taken out of the question's grammar.

"Is there a dog in the video?" asks about "a dog", "When does the dog jump?" about "the dog jump". Rules for English;
pure functions over text in lower case without its time words.
"""

from __future__ import annotations

import re
from typing import Final

AUXILIARY: Final = (
    r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|should|may|might|must"
    r"|isn't|aren't|wasn't|weren't|don't|doesn't|didn't|hasn't|haven't|can't)"
)
#: Words that point at the recording itself; "in the video" says nothing about what is in it.
_PLACE: Final = re.compile(
    r"\s*\b(?:in|on|during|throughout|within|of|from) (?:the |this |that |your )?(?:whole |entire |current )?"
    r"(?:videos?|clips?|films?|movies?|footage|recordings?|scene|picture|image|frames?|shot|stream|camera|feed|memory)\b"
)
_TRAILING: Final = re.compile(
    r"[\s,]*\b(?:anywhere|at all|so far|here|visible|visibly|(?:to be|that can be|which can be|be) seen|seen|shown"
    r"|present|on screen|somewhere|please|today|again|in total|altogether|in all)$"
)
_LEADING_SUBJECT: Final = re.compile(
    r"^(?:(?:the|this) (?:video|clip|film|movie|footage|recording|scene|camera|picture)(?: ever)? "
    r"(?:show|shows|contain|contains|include|includes|feature|features|depict|depicts|have|has|see|sees)\b"
    r"|(?:you|we|i|one)(?: \w+ly| ever| last| first)? "
    r"(?:see|saw|seen|notice|noticed|spot|spotted|find|observe|observed|hear|detect)\b"
    r"|there(?: \w+ly| ever)?(?: been| be)?\b|it true that\b"
    r"|this (?:a |an )?(?:video|clip|film|scene) (?:of|in|about)\b"
    r")\s*"
)
#: Pronouns as the first word, and what a caption would say.
_PRONOUNS: Final = {
    "it": "", "this": "", "that": "", "there": "", "anything": "something", "anyone": "someone", "anybody": "someone",
    "somebody": "someone", "any": "", "some": "", "you": "", "we": "",
    "he": "a man", "she": "a woman", "they": "people",
}  # fmt: skip
#: What is left when a question is about the whole recording.
_NOTHING: Final = re.compile(
    r"(?:the|an?|(?:the |this )?(?:whole |entire )?(?:video|clip|film|movie|footage|recording))"
)
_ADVERB: Final = re.compile(r"^(?:ever|still|already|also|really|actually|indeed|now|currently|just|first|last)\b\s*")
_WH: Final = re.compile(
    r"^(?:name |(?:in|on|at|from|to|with|of|for|by) )?(?:(?:what|which|who|whose|whom|where|why|how)(?:'s)?\b\s*"
    r"(?:happen(?:s|ed) (?:when|if|while|as|after|before)\b\s*)?)?"
)
_ATTRIBUTE: Final = re.compile(
    r"^(?:(?:is|are|was|were) the |the |an? )?(?:colou?r|kind|type|sort|shape|size|pattern|brand|gender|sex|age|name"
    r"|number|role|weather)s?\b(?: or \w+)?(?: of)?\s*|^(?:long|tall|big|old|high|wide|fast|large|small|much)\b\s*"
)
_GOING_ON: Final = re.compile(
    rf"^(?:{AUXILIARY} )?(?:happening|happened|happens|happen|going on|taking place) "
    r"(?:at|in|on|near|by|behind|outside|inside|in front of|around|next to)\b\s*"
)
_WHO: Final = re.compile(
    rf"^who(?:'s)?(?: {AUXILIARY})?(?: be)?(?: (?:there|here|this|that|it|visible|seen|shown|present))*$"
)
_DOING: Final = re.compile(r"\s*\b(?:doing|do|does|happening|happens|going on|like|look like|made of|used for)$")


def asks_who(text: str) -> bool:
    """Whether a question wants to know who is there, whatever they do."""
    return bool(_WHO.match(without_place(text).strip()))


def without_place(text: str) -> str:
    """Text without "in the video", "of this clip" and the like."""
    return _PLACE.sub("", text)


def tidied(phrase: str) -> str:
    """A phrase without words about the recording, pronouns turned into what a caption would say, and single spaces."""
    phrase = without_place(phrase.strip(' \t\n.,;:!?"“”'))
    while (shorter := _TRAILING.sub("", phrase)) != phrase:
        phrase = shorter
    phrase = _ADVERB.sub("", phrase)
    first, _, rest = phrase.partition(" ")
    if first in _PRONOUNS:
        phrase = f"{_PRONOUNS[first]} {rest}"
    phrase = re.sub(r"\b(?:anyone|anybody|somebody)\b", "someone", phrase)
    phrase = " ".join(phrase.split()).strip(" ,")
    return "" if _NOTHING.fullmatch(phrase) else phrase


def of_yes_no(text: str) -> str:
    """The subject of a yes/no question: "is someone dancing" -> "someone dancing", "is this a cat" -> "a cat"."""
    rest = re.sub(rf"^{AUXILIARY}(?: not)?\b\s*", "", text)
    rest = _LEADING_SUBJECT.sub("", rest)
    rest = re.sub(
        r"^(?:this|it|that|the (?:video|clip|scene|film))(?: filmed| shot| set| taken)? (?:in|on|at|inside)\b\s*",
        "",
        rest,
    )
    return tidied(rest)


def of_timed(text: str) -> str:
    """The subject behind "when", "how long" or "how often": "does the dog jump" -> "the dog jump"."""
    return of_yes_no(re.sub(r"^[,\s]+", "", text))


def of_counted(text: str) -> str:
    """The subject of "how many …": "people are there" -> "people", "cars are parked here" -> "cars parked"."""
    rest = re.sub(rf"\s*\b{AUXILIARY} (?:there|you see|we see|you count|shown|visible|it)\b", "", text)
    rest = re.sub(rf"^(\S+(?: \S+){{0,3}}?) {AUXILIARY} ", r"\1 ", rest)
    rest = re.sub(rf"\s*\b{AUXILIARY}$", "", rest)
    return "" if re.fullmatch(rf"(?:{AUXILIARY}\s*)?(?:there)?", rest) else tidied(rest)


def of_open(text: str) -> str:
    """What to look for to answer an open question: "what colour is the dog" -> "the dog".

    "Who is there" is about "a person".
    """
    if asks_who(text):
        return "a person"
    rest = _GOING_ON.sub("", _WH.sub("", text))
    rest = _ATTRIBUTE.sub("", rest)
    rest = re.sub(rf"^((?:\w+ ){{0,2}}?){AUXILIARY}\b ?", r"\1", rest)
    rest = _LEADING_SUBJECT.sub("", rest)
    rest = _DOING.sub("", rest)
    words = rest.split()
    if len(words) > 1 and words[-1] in ("it", "this", "that", "he", "she", "they", "there"):
        rest = " ".join(words[:-1])  # "what animal is it" -> "animal"
    return tidied(rest)
