"""Questions whose first word is the language model's own (kind `what`), no two about the same thing.

The program remembers the texts it has looked for, so a question that was asked before is answered sooner than a new
one; a benchmark takes every question once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PEOPLE: Final = ("man", "woman", "child", "boy", "girl", "worker", "driver", "player", "dancer", "visitor", "cyclist")
DOINGS: Final = (
    "holding", "wearing", "carrying", "looking at", "riding", "sitting on", "pointing at", "eating", "pushing",
    "standing on", "reading", "throwing", "playing with", "walking past", "leaning on", "cleaning", "painting",
)  # fmt: skip


def open_questions() -> Iterator[str]:
    """187 different questions such as "What is the man in the video holding?"."""
    for doing in DOINGS:
        for person in PEOPLE:
            yield f"What is the {person} in the video {doing}?"
