"""Work that is a generator, so that other work can go between its steps: run to its end, or inside an answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finished(work: Generator[object, None, T]) -> T:
    """What the work gives, done at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found


def waited(work: Generator[object, None, T]) -> Generator[str, None, T]:
    """The same work inside an answer: an empty piece of it after every step."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found
        yield ""
