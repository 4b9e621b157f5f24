"""Calls between the parts of a cluster, with ends: what Ray raises becomes our errors, what hangs is given up."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import ray
from ray.exceptions import RayError, RayTaskError

from llama_vid.cluster_wire import Steps
from llama_vid.errors import LlamaVidError

#: A worker or the language model's host that is busy answers late; one that is gone is known at once.
CALL_S: Final = 10.0
#: Reading a journal from another process: short queries, while a model thread waits.
READ_S: Final = 5.0


class UnreachableError(LlamaVidError):
    """A part of the cluster is gone, or does not answer."""


def told(problem: BaseException, whom: str) -> BaseException:
    """What a call raised, as its caller should see it: our own errors as they are, without Ray's frames around."""
    if isinstance(problem, RayTaskError):
        cause = problem.cause
        return cause if isinstance(cause, Exception) else LlamaVidError(f"{whom} failed: {cause}")
    if isinstance(problem, RayError):
        return UnreachableError(f"{whom} is gone; it is being replaced, try again in some seconds")
    if isinstance(problem, TimeoutError):
        return UnreachableError(f"{whom} does not answer; try again in some seconds")
    return problem


async def call(actor: Any, method: str, *arguments: Any, whom: str, timeout: float | None = CALL_S) -> Any:
    """What an actor's method gives. Raises what it raises, or UnreachableError."""
    try:
        return await asyncio.wait_for(getattr(actor, method).remote(*arguments), timeout)
    except (RayError, TimeoutError) as problem:
        raise told(problem, whom) from None


def call_now(actor: Any, method: str, *arguments: Any, whom: str, timeout: float = READ_S) -> Any:
    """As `call`, for a thread that waits."""
    try:
        return ray.get(getattr(actor, method).remote(*arguments), timeout=timeout)
    except (RayError, TimeoutError) as problem:  # Ray's GetTimeoutError is both
        raise (told(TimeoutError(), whom) if isinstance(problem, TimeoutError) else told(problem, whom)) from None


class DistantMirrors:
    """The language model's host as a worker sees it (`cluster_mirror.Mirrors`)."""

    def __init__(self, reader: Any, worker: Any) -> None:
        self._reader, self._worker = reader, worker

    async def begin(self, camera: str, epoch: int, steps: Steps, restored: str, watch_for: str | None) -> int:
        found: int = await call(
            *(self._reader, "begin", camera, epoch, self._worker, steps, restored, watch_for),
            whom="the language model",
            timeout=60,
        )
        return found

    async def append(self, camera: str, epoch: int, at: int, steps: Steps) -> int:
        found: int = await call(self._reader, "append", camera, epoch, at, steps, whom="the language model")
        return found


def journal_call(worker: Any, camera: str) -> Any:
    """Asks the worker that owns a camera about its journal (`cluster_journal.Call`)."""

    def ask(method: str, *arguments: Any) -> Any:
        if worker is None:
            raise UnreachableError(f"no worker has camera {camera} now")
        timeout = 60.0 if method == "forget" else READ_S
        return call_now(worker, "journal", camera, method, arguments, whom=f"{camera}'s worker", timeout=timeout)

    return ask
