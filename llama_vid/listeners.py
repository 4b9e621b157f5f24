"""Whoever wants to hear of something: added, and taken away by the function that adding gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Listeners(Generic[T]):
    """Listeners in the order in which they came. While they are told, others may come and go."""

    def __init__(self) -> None:
        self._all: list[T] = []

    def add(self, listener: T) -> Callable[[], None]:
        """Takes a listener; the returned function takes it away."""
        self._all.append(listener)
        return lambda: self._all.remove(listener)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._all))
