"""Multiple choice: the options that a question lists.

Options stand one on a line, or in running text, named by consecutive letters from A:

    What does the man do?           Which is it: a) a cat, b) a dog or c) a bird?
    A. He runs.
    (B) He sits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: "A. text", "(A) text", "A) text", "[A] text" and "A: text".
_LINE: Final = re.compile(r"\s*[(\[]?(?P<letter>[A-Za-z])[)\].:]\s*(?P<option>\S.*?)\s*$")
#: "a) text" within a line.
_INLINE: Final = re.compile(r"(?<![\w(])\(?(?P<letter>[A-Za-z])\)\s*(?=\S)")
#: A line that only announces the options.
_HEADER: Final = re.compile(r"\s*(?:options?|choices?|answers?|candidates?)\s*:?\s*$", re.IGNORECASE)
_MOST: Final = 26


@dataclass(frozen=True, slots=True)
class Choices:
    """A question with its options in order; option k is called `letters[k]`, a capital."""

    question: str
    options: tuple[str, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """A, B, …, as many as there are options."""
        return tuple(chr(ord("A") + number) for number in range(len(self.options)))


def listed_options(text: str) -> Choices | None:
    """The last list of two or more options in a text, and the question before it; None if there is no such list.

    What follows a list of lines ("Answer with the option's letter.") is no part of either.
    """
    return _of_lines(text.splitlines()) or _of_running_text(text)


def _of_lines(lines: list[str]) -> Choices | None:
    best: tuple[int, list[str]] | None = None
    start, options = 0, list[str]()
    for number, line in enumerate([*lines, "."]):
        if not line.strip():
            continue
        found = _LINE.match(line)
        place = ord(found["letter"].upper()) - ord("A") if found else -1
        if found and options and place == len(options):
            options.append(found["option"])
            continue
        if len(options) >= 2:
            best = start, options
        start, options = number, [found["option"]] if found and place == 0 else []
    if best is None:
        return None
    before = [line for line in lines[: best[0]] if not _HEADER.match(line)]
    return Choices("\n".join(before).strip(), tuple(best[1]))


def _of_running_text(text: str) -> Choices | None:
    marks = list(_INLINE.finditer(text))
    for first in range(len(marks) - 1, -1, -1):
        run: list[re.Match[str]] = []
        for mark in marks[first : first + _MOST]:
            if ord(mark["letter"].upper()) - ord("A") != len(run):
                break
            run.append(mark)
        if len(run) >= 2:
            ends = [mark.start() for mark in run[1:]] + [len(text)]
            options = [_tidied(text[mark.end() : end]) for mark, end in zip(run, ends, strict=True)]
            return Choices(text[: run[0].start()].strip(" \n:,"), tuple(options)) if all(options) else None
    return None


def _tidied(option: str) -> str:
    """An option of running text without what joins it to the next."""
    return re.sub(r"[\s,;]*\b(?:or|and)\s*$", "", option.strip()).strip(" ,;?.\n")
