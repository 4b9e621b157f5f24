"""The thread that owns the tensors: order, cancelling, errors, its end."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from llama_vid.model_thread import ModelThread, Priority
from tests.conftest import ROOT


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    made = ModelThread()
    yield made
    made.close()


async def test_questions_before_frames_before_rebuilding(thread: ModelThread) -> None:
    go, order = threading.Event(), list[str]()
    first = thread.submit(Priority.REBUILD, lambda: go.wait(10))
    jobs = [
        thread.submit(priority, lambda name=name: order.append(name))  # type: ignore[misc]
        for priority, name in (
            (Priority.REBUILD, "rebuild"),
            (Priority.FRAMES, "frames 1"),
            (Priority.FRAMES, "frames 2"),
            (Priority.QUESTION, "question"),
        )
    ]
    go.set()
    await asyncio.gather(*(asyncio.wrap_future(job) for job in (first, *jobs)))
    assert order == ["question", "frames 1", "frames 2", "rebuild"]


async def test_an_error_reaches_its_owner_and_nobody_else(thread: ModelThread) -> None:
    def fail() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await thread.run(Priority.FRAMES, fail)
    assert await thread.run(Priority.FRAMES, lambda: 3) == 3


async def test_frames_get_their_turn_between_the_pieces_of_an_answer(thread: ModelThread) -> None:
    order: list[str] = []

    def pieces() -> Iterator[int]:
        for number in range(3):
            order.append(f"piece {number}")
            yield number

    async with contextlib.aclosing(thread.iterate(Priority.QUESTION, pieces())) as items:
        async for number in items:
            await thread.run(Priority.FRAMES, lambda number=number: order.append(f"frames {number}"))  # type: ignore[misc]
    assert order == ["piece 0", "frames 0", "piece 1", "frames 1", "piece 2", "frames 2"]


async def test_leaving_an_iteration_closes_it_in_its_thread(thread: ModelThread) -> None:
    closed: list[str] = []

    def endless() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    async with contextlib.aclosing(thread.iterate(Priority.QUESTION, endless())) as items:
        async for number in items:
            if number == 2:
                break
    await thread.run(Priority.REBUILD, lambda: None)
    assert closed == ["model"]


async def test_cancelling_in_the_middle_of_a_job_closes_the_iterator(thread: ModelThread) -> None:
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        try:
            begun.set()
            go.wait(10)
            yield 1
        finally:
            closed.set()

    async def consume() -> None:
        async with contextlib.aclosing(thread.iterate(Priority.QUESTION, slow())) as items:
            async for _ in items:
                pass

    task = asyncio.create_task(consume(), name="consumer")
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not closed.is_set()
    go.set()
    assert await asyncio.to_thread(closed.wait, 10)


def test_a_job_that_was_cancelled_while_it_waited_never_runs(thread: ModelThread) -> None:
    go, ran = threading.Event(), threading.Event()
    thread.submit(Priority.QUESTION, lambda: go.wait(10))
    job = thread.submit(Priority.QUESTION, ran.set)
    assert job.cancel()
    go.set()
    thread.submit(Priority.REBUILD, lambda: None).result(10)
    assert not ran.is_set()


def test_the_process_ends_in_peace_while_a_job_runs() -> None:
    code = """
import threading, torch
from llama_vid.model_thread import ModelThread, Priority
begun = threading.Event()
def work():
    begun.set()
    for _ in range(300):
        torch.randn(200, 200) @ torch.randn(200, 200)
ModelThread().submit(Priority.FRAMES, work)
begun.wait(10)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
