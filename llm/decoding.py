"""How greedy decoding ends, and its text in pieces that can be shown at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llama_vid.llm.language import LanguageModel

#: An answer that writes the same six tokens a second time is going round in circles.
LOOP_TOKENS: Final = 6
#: So is one that writes the same one to three tokens four times in a row.
CYCLE_TOKENS: Final = 3
CYCLES: Final = 4
#: What an unfinished character shows as.
UNFINISHED: Final = "\N{REPLACEMENT CHARACTER}"


def circles(ids: Sequence[int], loop: int = LOOP_TOKENS) -> bool:
    """Whether the last token completes a repetition, of `loop` tokens anywhere before or of few four times in a row."""
    for width in range(1, CYCLE_TOKENS + 1):
        tail = list(ids[-width * CYCLES :])
        if len(tail) == width * CYCLES and tail == tail[:width] * CYCLES:
            return True
    if len(ids) <= loop:
        return False
    last = list(ids[-loop:])
    return any(list(ids[at : at + loop]) == last for at in range(len(ids) - loop))


class Spelling:
    """The text of tokens as they come, in pieces that never end inside a UTF-8 character.

    Joined they are the text of all tokens; a character that the last token leaves unfinished is left out.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._ids: list[int] = []
        self._shown = 0

    def spell(self, token: int) -> str:
        """What the next token adds; "" while a character is unfinished."""
        self._ids.append(token)
        # The whole text each time: what a token spells may depend on its neighbours, and answers are short.
        text = self._model.detokenize(self._ids).rstrip(UNFINISHED)
        piece = text[self._shown :]
        self._shown = max(self._shown, len(text))
        return piece
