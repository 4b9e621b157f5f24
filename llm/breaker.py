"""A circuit breaker: a remote model that is dead is left alone for a while, so that it does not delay every question.

Closed, every question may go there. `TRIES` failures in a row open it; a failure that will not pass by itself (a bad
key, an unknown model) does at once. After a pause one question tries again: it closes it, or doubles the pause.
(M. Nygard, Release It!, 2007, "Circuit Breaker".)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from llama_vid.llm.remote_errors import OF_THE_QUESTION, RemoteFailure

TRIES: Final = 3
FIRST_S: Final = 15.0
LONGEST_S: Final = 600.0
#: Nothing mends these by waiting; somebody must.
LASTING: Final = frozenset({"key", "model", "quota", "tls"})


class Breaker:
    """All calls belong to one thread. `clock` counts seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_S
        self._until: float | None = None  # None: closed
        self._trying = False
        self.reason = ""

    @property
    def open(self) -> bool:
        """Whether the remote model is left alone now."""
        return self._until is not None and (self._trying or self._clock() < self._until)

    def enter(self) -> bool:
        """Whether a question may go there (open, one after a pause). Then `worked`, `failed` or `left` must follow."""
        if self.open:
            return False
        self._trying = self._until is not None
        return True

    def left(self) -> None:
        """A question ended without saying anything about the server: it was cancelled, or there was no budget."""
        self._trying = False

    def worked(self) -> None:
        """An answer began."""
        self._failures, self._pause, self._until, self._trying, self.reason = 0, FIRST_S, None, False, ""

    def failed(self, problem: RemoteFailure) -> None:
        """A question failed there for good."""
        tried, self._trying = self._trying, False
        if problem.kind in OF_THE_QUESTION:
            return
        self._failures += 1
        self.reason = str(problem)
        lasting = problem.kind in LASTING or problem.retry_after is not None
        if not (tried or lasting or self._failures >= TRIES):
            return
        if tried:
            self._pause = min(2 * self._pause, LONGEST_S)
        self._until = self._clock() + min(LONGEST_S, max(self._pause, problem.retry_after or 0.0))
