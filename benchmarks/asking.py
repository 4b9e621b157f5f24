"""Asking a live session and taking its time from outside: from the call to the first piece that has text."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from llama_vid.errors import LlamaVidError
from llama_vid.session import Session


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds to the first text and to the whole answer since the question was put, as the asker sees them.

    `own_s` is what the answer says of itself (`timing.first_token_s`).
    """

    first_s: float
    whole_s: float
    own_s: float
    answer: str


async def ask(session: Session, question: str, *, since: float | None = None) -> Asked:
    """Ask and wait for the whole answer; `since` (perf_counter) is when the asker came, by default now.

    Raises LlamaVidError for an answer without words.
    """
    since = time.perf_counter() if since is None else since
    first = None
    answer = None
    async with aclosing(session.ask(question)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if first is None and piece.delta:
                first = time.perf_counter() - since
            answer = piece.answer or answer
    if first is None or answer is None:
        raise LlamaVidError(f"the question {question!r} got no answer")
    return Asked(first, time.perf_counter() - since, answer.timing.first_token_s, answer.answer)


async def ask_at_once(session: Session, questions: Sequence[str]) -> list[Asked]:
    """All questions put in the same moment."""
    since = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ask(session, question, since=since), name=f"asker {number}")
            for number, question in enumerate(questions)
        ]
    return [task.result() for task in tasks]


async def ask_in_turn(session: Session, questions: Sequence[str]) -> list[Asked]:
    """All askers come in the same moment, and each is served when the one before has its whole answer."""
    since = time.perf_counter()
    return [await ask(session, question, since=since) for question in questions]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` (0…1) of them do not exceed (nearest rank)."""
    if not values:
        raise ValueError("a percentile of no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
