"""Greedy decoding, one token at a time, and its text in pieces that can be shown at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.cache import AttentionCache
from llama_vid.llm.language import LanguageModel

#: An answer that writes the same six tokens a second time is going round in circles.
LOOP_TOKENS: Final = 6
#: So is one that writes the same one to three tokens four times in a row.
CYCLE_TOKENS: Final = 3
CYCLES: Final = 4
_UNFINISHED: Final = "\N{REPLACEMENT CHARACTER}"


def decode(
    model: LanguageModel,
    cache: AttentionCache,
    hidden: Tensor,
    *,
    max_tokens: int,
    stop: Collection[int] = (),
    cancel: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """The most likely token after the final hidden state `hidden` (D,), the one after that, and so on.

    Ends at a token of `stop`, an end token or any other control token (none of them is given out), after `max_tokens`,
    when the text goes round in circles, or when `cancel()`, asked before each token, says so.
    """
    ids: list[int] = []
    while len(ids) < max_tokens and not cancel():
        with torch.inference_mode():
            token = int(model.logits(hidden).argmax())
        if token in stop or model.is_control(token):
            return
        ids.append(token)
        if circles(ids):
            return
        yield token
        if len(ids) < max_tokens:
            hidden = model.forward(model.embed([token]), cache)[-1]


def circles(ids: Sequence[int]) -> bool:
    """Whether the last token completes a repetition."""
    for width in range(1, CYCLE_TOKENS + 1):
        tail = list(ids[-width * CYCLES :])
        if len(tail) == width * CYCLES and tail == tail[:width] * CYCLES:
            return True
    if len(ids) <= LOOP_TOKENS:
        return False
    last = list(ids[-LOOP_TOKENS:])
    return any(list(ids[at : at + LOOP_TOKENS]) == last for at in range(len(ids) - LOOP_TOKENS))


def pieces(model: LanguageModel, tokens: Iterator[int]) -> Iterator[str]:
    """The text of tokens as they come, in non-empty pieces that never end inside a UTF-8 character.

    Joined they are the text of all tokens; a character that the last token leaves unfinished is left out.
    """
    ids: list[int] = []
    shown = 0
    for token in tokens:
        ids.append(token)
        # The whole text each time: what a token spells may depend on its neighbours, and answers are short.
        text = model.detokenize(ids).rstrip(_UNFINISHED)
        if len(text) > shown:
            yield text[shown:]
            shown = len(text)
