"""Every time that a topic is named in a transcript, to the word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from llama_vid.llm.speech.words import Line, key
from llama_vid.llm.topic import Topic
from llama_vid.llm.transcript import Heard, Hit

#: Mentions so near are one: the speaker goes on about it.
TOGETHER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mention:
    """A moment at which a topic is named, and the line in which it is."""

    at: float
    end: float
    line: Line
    score: float


def mentions_of(heard: Heard, named: str, found: Sequence[Hit], lines: Sequence[Line]) -> list[Mention]:
    """Every time the topic is named, in time order: where the words' times are known, to the word."""
    topic = Topic(named, [line.text for line in lines])
    out: list[Mention] = []
    for hit in sorted(found, key=lambda hit: hit.number):
        count = topic.mentions(hit.line.text)
        if not count:
            continue
        line = heard.worded(hit.line)
        times = [word.start for word in line.words if key(word.text) and topic.is_word(word.text)][:count]
        times += [line.start] * (count - len(times))
        out += [Mention(at, line.end, hit.line, hit.score) for at in sorted(times)]
    return out


def together(mentions: Sequence[Mention]) -> list[list[Mention]]:
    """Mentions (in time order) in runs that are no further apart than TOGETHER_S."""
    runs: list[list[Mention]] = []
    for mention in mentions:
        if runs and mention.at - runs[-1][-1].at <= TOGETHER_S:
            runs[-1].append(mention)
        else:
            runs.append([mention])
    return runs
