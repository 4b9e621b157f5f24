"""Questions about the whole of what was seen: what happened, what is shown, whether anything happened at all.

Rules for English over a question in lower case without its time words and its politeness, as `questions.bare_words`
gives it; pure functions.
"""

from __future__ import annotations

import re
from typing import Final

from llama_vid.llm.subjects import AUXILIARY, without_place

SHOW: Final = "(?:video|clip|film|movie|footage|recording|scene|stream|lecture|talk|day)"
HAPPEN: Final = "(?:happen(?:s|ed|ing)?|occurr?(?:s|ed|ing)?|going on|tak(?:es?|en|ing) place|took place)"
_VIEW: Final = f"(?:{SHOW[3:-1]}|picture|image|photo|view|camera|screen)"
_HERE: Final = r"(?: (?:here|there|outside|inside|today|around))?"
_BE: Final = r"(?:'s| is| are| was| were| has been| have been| can be| could be)"
_SEE: Final = r"(?:see|seen|saw|watch(?:ed)?|observed?|notice[sd]?|spot(?:ted)?|recognise|recognize|make out)"
_HOW: Final = (
    r"(?:,? (?:briefly|shortly|quickly|in (?:more |great )?detail|in (?:a|one) (?:few words|sentence|word)"
    r"|in (?:short|brief|general|your own words)))?"
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_OVERVIEW: Final = _any(
    # told as a story
    r"\b(?:summari[sz]e|summary|summari[sz]ing|overview|recap|rundown|gist|sum up|chapters?|timeline)\b",
    r"^(?:tell|talk)(?: me)? (?:about )?(?:everything|what happened|the (?:video|story))",
    r"^(?:what is|what's|tell me) (?:the )?(?:story|plot|content|contents)(?: of)?",
    r"^(?:status|report|update|news)$",
    r"^(?:catch|bring|fill) me (?:up|in)(?: to (?:speed|date))?(?: on (?:it|everything))?$",
    r"^what'?s (?:new|up)$|^what is (?:new|up)$",
    rf"^{AUXILIARY} (?:everything|it|all) (?:ok|okay|alright|all right|fine|in order)$",
    # whether it was interesting is for the asker to say
    rf"^(?:{AUXILIARY} )?(?:there )?(?:been )?(?:anything|something) "
    r"(?:new|interesting|special|important|unusual|strange|suspicious|odd|notable|exciting|to (?:see|report))"
    rf"(?: {HAPPEN}| to (?:see|report))?{_HERE}$",
    # described
    rf"^(?:describe|narrate|caption|explain)(?: to me| for me)?"
    rf"(?: everything| it all|(?: all)? (?:what )?(?:you|we) (?:can )?{_SEE}| what{_BE} (?:shown|seen|visible|there)"
    rf"| what {HAPPEN}| (?:the|this|your)(?: whole| entire| current)? {_VIEW})?{_HERE}{_HOW}$",
    rf"^about (?:the|this) {SHOW}$",
    r"^(?:give|write|make|provide)(?: me| us)? (?:a |an |the |some )?"
    r"(?:\w+ )?(?:description|report|account|update|caption|news)(?: of (?:it|everything|what happened))?$",
    # what is shown
    rf"^what{_BE} (?:this|here|there)$",
    rf"^what{_BE}(?: (?:this|here|there))?(?: (?:shown|seen|visible|to (?:be )?see|to be seen|displayed|depicted|on))?"
    rf"{_HERE}(?: on (?:the |this )?(?:screen|display|tv|monitor|camera))?$",
    rf"^what(?:'s| is| was| does| did)? (?:this|the|that|your)(?: \w+)? (?:{_VIEW}|about)(?: all)?"
    r"(?: about| shows?| showing| shown| sees?| seeing| saw)?$",
    r"^what(?:'s| is| was) (?:it|this|that) (?:all )?about$",
    rf"^what (?:(?:did|have|has|had|do|does|can|could) )?(?:i|you|we|one|it)(?: just)? (?:can |could |have )?"
    rf"(?:miss(?:ed)?|{_SEE})(?: on (?:the |this )?(?:screen|camera))?{_HERE}$",
    # what happened
    r"^what (?:topics?|subjects?|events?|scenes?|things?|activities)\b.*"
    rf"\b(?:covered|discussed|shown|presented|there|{HAPPEN})$",
    rf"^what (?:all )?(?:has|have|had|did|was|were|is|are|else)?\s*(?:been )?(?:covered|discussed|{HAPPEN}){_HERE}$",
    rf"^what's (?:been )?{HAPPEN}{_HERE}$",
)
_WHETHER: Final = _any(
    rf"^(?:{AUXILIARY} )?(?:there )?(?:been )?(?:anything|something|much)(?: \w+)?(?: that)? {HAPPEN}{_HERE}$",
    rf"^(?:{AUXILIARY} )?(?:there )?(?:been )?any (?:events?|activity|activities|incidents?|news)(?: at all)?{_HERE}$",
)


def wants_overview(text: str) -> bool:
    """Whether a question wants the whole told: "what has happened", "what is shown in this video", "describe it"."""
    return not text or bool(_OVERVIEW.search(without_place(text).strip())) or asks_whether(text)


def asks_whether(text: str) -> bool:
    """Whether it asks if anything happened at all: "did anything happen", "anything interesting"."""
    return bool(_WHETHER.search(without_place(text).strip()))
