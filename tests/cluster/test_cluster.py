"""A real cluster on Ray: cameras survive their worker, answers are those of one process, workers come and go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.processes import family
from benchmarks.reel import Recording
from llama_vid.cluster_ray import RayCluster
from llama_vid.errors import LlamaVidError
from llama_vid.llm.rules.rule import Rule
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.model import LLaMAVID
from tests.cluster.tiny import TinyParts
from tests.peers.waiting import until

if TYPE_CHECKING:  # they import Ray, which may not be installed
    from llama_vid.cluster_model import ClusterModel, ClusterSession

pytestmark = [pytest.mark.slow, pytest.mark.peer]

RED = Rule("red", "a red picture", hold=1.0, cooldown=0.0, threshold=0.2, verify=False)
QUESTIONS = (
    "Is there red?",
    "Is there anything green?",
    "When was it blue?",
    "What has happened so far?",
    "How long was it red?",
    "What can be seen?",
)


async def answer(session: Any, question: str) -> str:
    async for piece in session.ask(question):
        if piece.answer is not None:
            return str(piece.answer.answer)
    raise AssertionError("no answer")


async def test_answers_are_those_of_one_process(model: ClusterModel, parts: TinyParts, colour_film: Path) -> None:
    async with model.watch(Recording(colour_film, pause=0.05), name="same") as session:
        await until(lambda: session.watched_s >= 16)
        found = [await answer(session, question) for question in QUESTIONS]
        moments = await session.search("something blue")
        spans = await session.timeline()
        assert session.tokens.frames == 16
    alone = LLaMAVID(parts.alone(), zone=UTC)
    try:
        async with alone.watch(Recording(colour_film, pause=0.05), name="same") as here:
            await here.wait_watched(16)
            assert [await answer(here, question) for question in QUESTIONS] == found
            best = (await here.search("something blue"))[0]
            assert (best.start, best.end) == (moments[0].start, moments[0].end)
            assert [(s.start, s.end, s.caption) for s in await here.timeline()] == [
                (s.start, s.end, s.caption) for s in spans
            ]
    finally:
        alone.close()


async def test_a_killed_worker_s_camera_goes_on_elsewhere(model: ClusterModel, colour_film: Path) -> None:
    changes: list[AlertChange] = []

    def alert(change: AlertChange) -> None:
        changes.append(change)
        model._journal.alerts.record(change)

    async with (
        model.watch(str(colour_film), name="front", rules=[RED], on_alert=alert) as front,
        model.watch(str(colour_film), name="back") as back,
    ):
        supervisor = model.supervisor
        member = supervisor.placed["front"].member
        assert member is not None
        assert member is not supervisor.placed["back"].member
        await until(lambda: front.watched_s >= 3 and any(change.type == "new" for change in changes))
        before, frames = front._news.start, front.tokens.frames
        states: list[str] = []
        front.on_state(lambda state, _reason: states.append(state))
        os.kill(await member.actor.pid.remote(), signal.SIGKILL)
        killed = time.monotonic()
        await until(lambda: front.state == "live" and front.tokens.frames > frames, 10)
        assert time.monotonic() - killed < 10
        assert "reconnecting" in states
        assert front._news.start == before, "memory begins where it began"
        assert "entries" in front.restored or "entry" in front.restored
        assert "Yes" in await answer(front, "Is there red?"), "seen before the worker died"
        assert back.state == "live", "the other worker's camera never noticed"
        await until(lambda: len(supervisor.members) == 2, 60)
        await until(lambda: any(change.type == "end" for change in changes))
    ids = [(change.type, change.event.id) for change in changes]
    assert len(ids) == len(set(ids)), "each change is told once"
    with Journal(model._journal.camera_folder("front")) as kept:
        events = {event.id: event for event in kept.camera("front").events(0, float("inf"))}
        assert events.keys() == {change.event.id for change in changes}, "what the worker noted, the front was told"
        assert all(event.end is not None for event in events.values())


async def test_a_drained_worker_gives_its_cameras_away(model: ClusterModel, colour_film: Path) -> None:
    async with (
        model.watch(str(colour_film), name="one") as one,
        model.watch(str(colour_film), name="two") as two,
    ):
        await until(lambda: one.watched_s >= 2 and two.watched_s >= 2)
        supervisor = model.supervisor
        await supervisor.scale(1)
        assert [sorted(member.cameras) for member in supervisor.members] == [["one", "two"]]
        frames = (one.tokens.frames, two.tokens.frames)
        await until(lambda: one.tokens.frames > frames[0] and two.tokens.frames > frames[1])
        moved = next(placed for placed in supervisor.placed.values() if placed.moves)
        assert moved.moved_s < 2
        await supervisor.scale(2)
        assert sorted(len(member.cameras) for member in supervisor.members) == [1, 1]
        with pytest.raises(LlamaVidError, match="not there"):
            await supervisor.drain(99)


async def test_the_language_model_s_host_is_told_again_what_it_forgot(model: ClusterModel, colour_film: Path) -> None:
    session: ClusterSession
    async with model.watch(str(colour_film), name="told") as session:
        await until(lambda: session.watched_s >= 3)
        os.kill(await model.reader.pid.remote(), signal.SIGKILL)

        async def answers() -> bool:
            try:
                return "Yes" in await answer(session, "Is there red?")
            except LlamaVidError:
                return False

        async with asyncio.timeout(60):
            while True:
                if await answers():
                    break
                await asyncio.sleep(0.1)


async def test_the_past_is_read_from_the_worker_and_from_the_folder(model: ClusterModel, colour_film: Path) -> None:
    journal = model._journal
    async with model.watch(str(colour_film), name="past") as session:
        await until(lambda: session.watched_s >= 3)
        kept = journal.camera("past")
        assert await asyncio.to_thread(kept.flush)
        bounds = await asyncio.to_thread(lambda: kept.bounds)
        assert bounds is not None
        entries = await asyncio.to_thread(kept.entries, *bounds)
        assert len(entries) >= 3
        start, middle = entries[0].start, entries[1].start

        async def erase() -> None:
            waiting = await asyncio.to_thread(kept.forget, start, middle)
            waiting.result()

        await session.forget(start, middle, erase)
        await until(lambda: session._news.start >= middle)
    left = journal.camera("past").entries(*bounds)
    assert left[0].start >= middle, "nobody has it now: the folder is read"
    assert journal.cameras() == ["past"]


def listening() -> dict[str, str]:
    """The sockets of this machine that listen, by inode: the address in hexadecimal."""
    found = {}
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(file).read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A":
                found[parts[9]] = parts[1].split(":")[0]
    return found


def test_ray_listens_on_this_machine_alone(ray_cluster: RayCluster) -> None:
    there = listening()
    open_to_all = []
    for number in family():
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{number}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(file))
                    address = there.get(inode[1]) if inode else None
                    # 127.0.0.1, ::1 and ::ffff:127.0.0.1, each word in the machine's order
                    if address and not address.endswith("0100007F") and not address.endswith("01000000"):
                        name = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ")[:80].decode()
                        open_to_all.append(f"{name} on {address}")
    assert not open_to_all


def test_its_processes_are_as_nice_as_the_program(ray_cluster: RayCluster) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    found = []
    for number in family():
        with contextlib.suppress(OSError):
            found.append(os.getpriority(os.PRIO_PROCESS, int(number)))
    assert len(found) >= 4, "workers, tower, language model's host"
    assert max(found) == ours
