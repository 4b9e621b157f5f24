"""Work that is a generator, so that other work can go between its steps: run to its end, or inside an answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


class Pause(str):
    """An empty piece of an answer, or a step, while another machine works: whoever pulls next should wait a moment."""

    __slots__ = ()


def finished(work: Generator[object, None, T]) -> T:
    """What the work gives, done at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found


def waited(work: Generator[object, None, T]) -> Generator[str, None, T]:
    """The same work inside an answer: an empty piece of it after every step; a `Pause` stays one."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            found: T = end.value
            return found
        yield step if isinstance(step, Pause) else ""
