"""How a conversation is written for a language model that was tuned to talk: the text before and after the memory.

Ours needs none (`prompts.py`). Vicuna, under the published LLaMA-VID checkpoints, was tuned on this one:

    <s>A chat between … USER: <memory>\\nWhat is in the video? ASSISTANT: A dog runs through the snow.</s>

The memory stands in it frame by frame, context token then content, with nothing between: no time marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: What Vicuna v1.1 and v1.5 were tuned with.
VICUNA_BEFORE: Final = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "
)
VICUNA_AFTER: Final = "\n{question} ASSISTANT:"
#: What the checkpoints' training appended where one word was wanted.
BRIEFLY: Final = "\nAnswer the question using a single word or phrase."


@dataclass(frozen=True, slots=True)
class Preface:
    """What a conversation begins with: `text` behind the tokens `begin` (the beginning of a text).

    `memory` says whether the language model reads the memory's pairs behind it, or, as one that was not trained on
    pairs, only the frames that are read again for a question.
    """

    text: str = VICUNA_BEFORE
    begin: tuple[int, ...] = ()
    memory: bool = True

    def asks(self, question: str, *, briefly: bool = False) -> str:
        """What follows the memory: the (sanitised) question, and whose turn it is then."""
        return VICUNA_AFTER.replace("{question}", " ".join(question.split()) + (BRIEFLY if briefly else ""))
