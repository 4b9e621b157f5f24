"""What a benchmark's prompt asks, without what it tells the model about the form of its answer.

The prompts are those of the task files of lmms-eval 0.7.3 (MVBench, Video-MME, ActivityNet-QA, NExT-QA, VideoChatGPT).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from llama_vid.llm.options import Choices, listed_options

#: Placeholders of other models' prompts.
_PLACEHOLDER: Final = re.compile(r"<(?:image|video)(?:_\d+)?>\s*")
#: The line after which Video-MME's question stands; subtitles stand before it.
_LEAD: Final = re.compile(r"^Select the best answer to the following multiple-choice question\b.*$", re.MULTILINE)
_LABEL: Final = re.compile(r"^\s*Question\s*:\s*", re.IGNORECASE)
_SHORT: Final = re.compile(r"\busing (?:(?:a|one) single word or (?:a )?(?:short )?|a short )phrase\b", re.IGNORECASE)
#: Instructions about the answer at the end of a prompt.
_TAIL: Final = re.compile(
    r"\s*(?:"
    r"(?:please )?answer (?:the|a|this) question using [^\n.]*\.?"
    r"|(?:please )?answer with (?:the|an?) (?:option|letter)[^\n]*"
    r"|only give the best option\.?"
    r"|the best answer is:?"
    r"|(?:please )?(?:respond|answer|reply) with only [^\n]*"
    r"|please answer yes or no\.?"
    r")\s*$",
    re.IGNORECASE,
)
_YES_NO: Final = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A plain question; the options, if it lists any; whether a word or phrase is wanted for an answer."""

    question: str
    choices: Choices | None = None
    brief: bool = False


def read_prompt(context: str) -> Asked:
    """What a prompt asks. A prompt that is nothing but an instruction is asked as it stands."""
    text = _PLACEHOLDER.sub("", context).strip()
    if leads := list(_LEAD.finditer(text)):
        text = text[leads[-1].end() :].strip()
    choices = listed_options(text)
    question = _plain(choices.question if choices else text)
    if choices:
        choices = replace(choices, question=question)
    return Asked(question or text, choices, bool(_SHORT.search(context)))


def brief(answer: str) -> str:
    """An answer's yes or no alone, where it begins with one."""
    found = _YES_NO.match(answer)
    return found[1].capitalize() if found else answer


def _plain(text: str) -> str:
    text = _LABEL.sub("", text.strip())
    while (shorter := _TAIL.sub("", text)) != text:
        text = shorter
    return text.strip()
