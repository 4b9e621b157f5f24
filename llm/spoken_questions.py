"""Which questions are about what was said, what they want to know of it, and about which topic.

Rules for English beside those of `questions.py`, over the same words: pure functions. "What does the sign say?" is
about a picture, "Is somebody talking on the phone?" too; "What did the speaker say about printing?" is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import Final, Literal

from llama_vid.llm.questions import Question, bare_words
from llama_vid.llm.subjects import AUXILIARY, of_open, tidied

Which = Literal["", "first", "last"]


class Spoken(StrEnum):
    """What a question wants to know of what was said."""

    TOPICS = "topics"  # what it was about: the chapters
    SAID = "said"  # the words
    WHEN = "when"  # the times of a mention
    WHETHER = "whether"  # yes or no first
    HOW_OFTEN = "how_often"  # mentions counted
    HOW_LONG = "how_long"  # how long a topic was spoken of


@dataclass(frozen=True, slots=True)
class AboutSpeech:
    """A question about what was said: `topic` is "" for whatever was said, `which` names one of several mentions."""

    kind: Spoken
    topic: str = ""
    which: Which = ""


_TALK: Final = r"(?:lecture|talk|speech|lesson|presentation|sermon|podcast|seminar|conversation|discussion|interview)"
#: Things that say something without a voice: what they say is seen.
_WRITTEN: Final = re.compile(
    r"\b(?:signs?|screens?|slides?|labels?|texts?|boards?|blackboard|whiteboard|posters?|captions?|subtitles?|titles?"
    r"|banners?|stickers?|clocks?|pages?|papers?|letters?|displays?|plates?|shirts?|t-shirts?|books?|maps?)$"
)
_TOLD: Final = (
    r"(?:said|mentioned|discussed|talked (?:about|of)|spoken (?:about|of)|brought up|referred to|touched (?:on|upon)"
    r"|addressed|cited|quoted|uttered|explained|introduced|named|defined|covered)"
)
#: Of those, what happens to things as well: a door is covered, a guest introduced. They count where a talk is named.
_ALSO_DONE: Final = re.compile(r"(?:addressed|introduced|named|covered|brought up)$")
_TELL: Final = (
    r"(?:says?|said|saying|mention(?:s|ed|ing)?|discuss(?:es|ed|ing)?|tell(?:s|ing)?|told|explain(?:s|ed|ing)?"
    r"|talk(?:s|ed|ing)?|speak(?:s|ing)?|spoke|spoken|refer(?:s|red|ring)?|bring(?:s|ing)? up|brought up|claim(?:s|ed)?"
    r"|argu(?:es?|ed|ing)|cit(?:es?|ed)|defin(?:es?|ed)|describ(?:es?|ed))"
)
#: "What does the boy do after talking": not the boy's words are asked for.
_CLAUSE: Final = re.compile(r"\b(?:do|does|did|after|before|when|while|first)\b")
#: Behind these a topic must come with "about" or "of": somebody who talks to a camera or on the phone is seen.
_NEEDS_ABOUT: Final = re.compile(r"(?:talk|speak|spoke|tell|told|refer|argu)")
_ABOUT: Final = r"(?:about|of|on|upon|to|regarding|concerning|that)"
_WHO: Final = r"(?:(?:\w|['-])+ ){0,3}?(?:\w|['-])+"
_SOMETIMES: Final = r"(?:(?P<which>first|last|just|ever|also|already|actually|start(?:s|ed)? to|begins? to|began to) )?"

_TOPICS: Final = re.compile(
    r"^(?:what|which)(?:'s| is| are| was| were)?(?: the)?(?: \w+)? (?:topics?|themes?|chapters)\b"
    rf"|^(?:what|which) subjects?\b.*\b{_TOLD}$"
    r"|\b(?:table of contents|(?:main|key) (?:points|ideas)|chapters)\b"
    rf"|^what(?:'s| is| was)? (?:the|this|that|your) (?:\w+ )?{_TALK}(?: all)? about$"
    rf"|^what (?:does|did) (?:the|this|that) (?:\w+ )?{_TALK} (?:cover|discuss|talk about|deal with|say)$"
    rf"|^what (?:is|was|were|has been|have been|had been)(?: being)? "
    r"(?:discussed|covered|talked about|spoken (?:about|of)|lectured on)$"
    rf"|^what (?:is|was|did|does|do|has|have) {_WHO} (?:been )?"
    r"(?:talk(?:ed|ing)?|speak(?:ing)?|spoken|lectur(?:e|ed|ing)) (?:about|of|on)$"
    rf"|^what (?:did|does|do|has|have) (?:the |a |our )?(?:speaker|lecturer|teacher|professor|presenter|instructor)s? "
    r"(?:cover(?:ed)?|discuss(?:ed)?|teach|taught)$"
    rf"|\b(?:summari[sz]e|summary|overview|recap|outline|gist|rundown|sum up)\b.*\b(?:{_TALK}|said|discussed|speaker)\b"
    r"|^(?:list|name|give(?: me)?)(?: all)?(?: the)? topics\b"
)
_OFTEN: Final = re.compile(r"^(?:how (?:often|frequently)|(?:for )?how many times)\b\s*(?P<rest>.+)$")
_LONG: Final = re.compile(r"^(?:for )?how (?:long|much time|many minutes|many seconds)\b\s*(?P<rest>.+)$")
_WHEN: Final = re.compile(
    rf"^(?:when|since when|where in (?:the|this) (?:{_TALK}|video|film|recording|clip)|where"
    r"|(?:at|in|around|about|during)? ?(?:what|which) (?:times?|points?|minutes?|seconds?|moments?|parts?|chapters?)"
    r"|(?:show|give|find|list|play|jump to|go to)(?: me)? (?:all |every )?(?:the )?"
    r"(?:moments?|times?|parts?|places?|points?)(?: (?:when|where|in which|at which))?)\b\s*(?P<rest>.+)$"
)
_PASSIVE: Final = re.compile(
    rf"^{AUXILIARY} (?:there )?(?P<topic>.+?) (?:being |been |ever |also )*"
    rf"(?:(?P<which>first|last) )?(?P<verb>{_TOLD})(?P<end>(?: in| during| by| throughout) .+)?$"
)
_ACTIVE: Final = re.compile(
    rf"^(?:{AUXILIARY} )?(?P<who>{_WHO}) {_SOMETIMES}(?P<verb>{_TELL})\b(?: (?:us|me|them|him|her|you|people))?"
    rf"(?P<about> {_ABOUT})?(?: (?P<topic>.+))?$"
)
_SAID: Final = re.compile(
    rf"^what(?:'s| is| was| were| has been| have been| had been)? (?:(?P<which>just|first|last) )?(?:being )?"
    rf"(?P<verb>said|mentioned|told|explained|talked)(?: {_ABOUT}(?: (?P<topic>.+))?)?$"
)
_THING_SAID: Final = re.compile(
    rf"^what(?:'s| is| was| were)?(?: the)?(?: (?P<which>first|last|final|opening|closing))? "
    rf"(?:words?|things?|sentences?)(?: that)?(?: {AUXILIARY})?(?: {_WHO})? (?:said|say|spoken|spoke|uttered)$"
)
_WHAT_ACTIVE: Final = re.compile(r"^(?:what(?: else| exactly)?|how(?! many| much)|why)(?: words?)? (?P<rest>.+)$")
_WHO_SAID: Final = re.compile(rf"^who (?:was it that )?(?P<verb>{_TELL})(?: {_ABOUT})? (?P<topic>.+)$")
_QUOTE: Final = re.compile(
    rf"^(?:quote|cite|repeat|read out)\b.*?\b(?:{_TELL}|{_TOLD}) {_ABOUT} (?P<topic>.+)$"
    rf"|^(?:quote|cite)\b.*?\b{_ABOUT} (?P<other>.+)$"
)
_ACCORDING: Final = re.compile(
    rf"^(?P<one>.+?),? according to (?:the |this )?(?:speaker|lecturer|teacher|professor|presenter|narrator|{_TALK})$"
    rf"|^according to (?:the |this )?(?:speaker|lecturer|teacher|professor|presenter|narrator|{_TALK}),? (?P<two>.+)$"
)
_HEAR: Final = re.compile(
    rf"^(?:what )?{AUXILIARY} (?:you|we|i|one)(?: just| ever)? (?:hear|heard|overhear)"
    rf"(?: {_ABOUT})?(?: (?P<topic>.+))?$"
)
_ENDS: Final[dict[str | None, Which]] = {
    "first": "first", "opening": "first", "last": "last", "final": "last", "closing": "last", "just": "last",
}  # fmt: skip
#: "the word printing" is about printing, and "anything about it" about it.
_LEADING: Final = re.compile(
    rf"^(?:(?:the|a|any) (?:words?|phrase|term|name|topic|subject|sentence|expression)(?: of)?|(?:any|some|every)?thing"
    rf"(?: at all)? {_ABOUT}|{_ABOUT})\s+"
)
_ENDING: Final = re.compile(
    rf"(?:[\s,]*\b(?:(?:in|during|throughout|by|of) (?:the|this|that|his|her|their|your) (?:\w+ )?(?:{_TALK}|speaker"
    r"|lecturer|teacher|professor|presenter|class)|is|are|was|were|aloud|out loud|exactly|again|there|here))+$"
)
_ANYTHING: Final = re.compile(
    r"(?:any|some|every)(?:thing|one|body)(?: at all)?|what(?:ever)?|words?|it all|all|things?"
)


def about_speech(question: Question, *, zone: tzinfo | None = None) -> AboutSpeech | None:
    """What a sorted question wants to know of what was said; None if it is about something else."""
    text = bare_words(question.text.lower().replace("’", "'"), question.span, zone=zone).replace('"', "")
    if match := _OFTEN.match(text):
        return _mention(Spoken.HOW_OFTEN, match["rest"])
    if match := _LONG.match(text):
        return _mention(Spoken.HOW_LONG, match["rest"])
    if match := _WHEN.match(text):
        return _mention(Spoken.WHEN, match["rest"])
    if _TOPICS.search(text):
        return AboutSpeech(Spoken.TOPICS)
    if match := _ACCORDING.match(text):
        return AboutSpeech(Spoken.SAID, of_open(match["one"] or match["two"]))
    if match := _THING_SAID.match(text):
        return AboutSpeech(Spoken.SAID, "", _ENDS.get(match["which"], ""))
    if match := _SAID.match(text):
        return _found(Spoken.SAID, match["topic"] or "", match["which"])
    if (match := _QUOTE.match(text)) or (match := _WHO_SAID.match(text)):
        groups = match.groupdict()
        return _found(Spoken.SAID, groups["topic"] or groups.get("other") or "", None)
    if match := _HEAR.match(text):
        kind = Spoken.SAID if text.startswith("what") else Spoken.WHETHER
        return _found(kind, match["topic"] or "", None)
    if re.match(rf"^{AUXILIARY}\b", text):
        return _mention(Spoken.WHETHER, text)
    if match := _WHAT_ACTIVE.match(text):
        return _mention(Spoken.SAID, match["rest"])
    return None


def topic_of(question: Question, *, zone: tzinfo | None = None) -> str:
    """What a follow-up to this question is about: the topic of what was said, else what was looked for."""
    about = about_speech(question, zone=zone)
    return about.topic if about is not None else question.subject


def _mention(kind: Spoken, rest: str) -> AboutSpeech | None:
    """A mention in "was printing first mentioned" or "did the speaker talk about printing"; None if there is none."""
    if (match := _PASSIVE.match(rest)) and not _WRITTEN.search(match["topic"]):
        in_talk = match["end"] is not None and re.search(rf"\b(?:{_TALK}|speaker|lecturer)\b", match["end"])
        if in_talk or not _ALSO_DONE.search(match["verb"]):
            return _found(kind, match["topic"], match["which"])
    match = _ACTIVE.match(rest)
    if match is None or _WRITTEN.search(match["who"]) or _CLAUSE.search(match["who"]):
        return None
    verb, about, topic = match["verb"], match["about"], match["topic"]
    if topic and verb.startswith(("tell", "told")) and (told := re.search(r"\babout (.+)$", topic)):
        about, topic = "about", told[1]  # "tell Americans about their country"
    of_topic = (about or "").strip() in ("about", "of")
    if kind is Spoken.SAID:
        tells = of_topic or re.match(r"(?:sa|mention|tell|told|explain|claim|argu|defin|describ)", verb) is not None
        return _found(kind, topic or "", match["which"]) if tells else None
    if _NEEDS_ABOUT.match(verb) and not of_topic:
        return None
    return _found(kind, topic, match["which"]) if topic else None


def _found(kind: Spoken, topic: str, which: str | None) -> AboutSpeech:
    topic = topic.strip(" ,'\"“”")
    while (shorter := _ENDING.sub("", _LEADING.sub("", topic))) != topic:
        topic = shorter
    topic = "" if _ANYTHING.fullmatch(topic) else topic
    pronoun = topic in ("it", "this", "that", "he", "she", "they", "them", "him", "her")
    return AboutSpeech(kind, topic if pronoun else tidied(topic), _ENDS.get(which, ""))
