"""Transcript lines in the language model's context: beside the frames of the evidence block that they belong to.

The rule by which they share the context window (docs/memory.md tells it, tests hold it):

- Frames come first. The memory's pairs and the evidence frames keep all that the budget gives them; lines never take
  any of it. They have HEARD_TOKENS of their own, out of what the budget reserves for the answer: of its 256 tokens a
  generated answer takes 48 at most.
- Only lines that bear on the question come in, best first, each with its quotation marks, until the next one does not
  fit. One that alone is too long keeps its first and last words.
- A line stands behind the frame nearest to its middle, in time order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Final

from llama_vid.llm.layout import Segment
from llama_vid.llm.prompts import shortened
from llama_vid.llm.transcript import Hit
from llama_vid.tokenizer.pair import TokenPair

#: Tokens that lines may take in the context: 256 reserved for an answer, less its longest (48), less as much to spare.
HEARD_TOKENS: Final = 160
#: Lines that come in at most, each with a frame of its own time.
LINES: Final = 3
#: Words of a line that is cut short: less than these tell nothing.
_SHORTEST: Final = 12


def fitting(hits: Sequence[Hit], tokenize: Callable[[str], Sized], limit: int = HEARD_TOKENS) -> list[tuple[Hit, str]]:
    """The lines (`hits`, best first) that fit into `limit` tokens, each with the text that is read, in time order."""
    taken: list[tuple[Hit, str]] = []
    for hit in hits[:LINES]:
        text = line_text(hit.line.text)
        size = len(tokenize(text))
        if size > limit:
            around = len(tokenize(line_text("")))
            if taken or limit - around < _SHORTEST:
                break
            text = line_text(shortened(hit.line.text, tokenize, limit - around - 2))
            size = len(tokenize(text))
            if size > limit:
                break
        taken.append((hit, text))
        limit -= size
    return sorted(taken, key=lambda item: item[0].line.start)


def line_text(text: str) -> str:
    """How the language model reads a spoken line."""
    return f' Heard: "{text}"\n'


def beside(frames: Sequence[tuple[float, float, TokenPair]], lines: Sequence[tuple[Hit, str]]) -> list[Segment]:
    """The segments of frames (start, end, pair), each with the lines behind it whose middle is nearest to its own."""
    segments: list[list[Segment]] = [[pair] for _, _, pair in frames]
    for hit, text in lines:
        middle = (hit.line.start + hit.line.end) / 2
        nearest = min(range(len(frames)), key=lambda n: abs((frames[n][0] + frames[n][1]) / 2 - middle))
        segments[nearest].append(text)
    return [segment for part in segments for segment in part]
