"""Many websocket clients at once that watch and ask, against the server as a user runs it.

    llama-vid bench clients [--clients 200] [--minutes 5]      (or: python -m benchmarks.clients)

`llama-vid serve` in a process of its own watches one camera (a street film, played in real time) with sign-in on. Every
client holds a websocket, reads all that is told, fetches the newest picture every PICTURE_S seconds as the page does,
and asks a question about something else every ASK_S seconds, or when the answer before is there, if that takes longer.
Clients share tokens, CLIENTS_OF_TOKEN each, within the server's usual limits.

Measured: time to the first token as the asker sees it; everything that went wrong, by kind; the server's resident
memory every READ_S seconds from when all are connected and have asked once, and of it what the camera's own KV cache
takes; cores of server and clients. Floor in the same run: one client alone, before.

The server gives what is free back every half minute, so its memory goes up and down; what counts is the least of every
WINDOW_S seconds, without the KV cache. The verdict looks at how that went on in the last half of the run: `growing`
where it still grew by more than LEVEL_MB a minute, else `flat` where it ended within FLAT_MB of where it began, else
`filled`: it grew, and stopped.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Any, Final, Literal

import httpx

from benchmarks.asking import percentile
from benchmarks.processes import cpu_s, own_cpu_s, resident_mb
from benchmarks.questions import open_questions
from benchmarks.samples import loop_film, sample_film
from benchmarks.serving import START_S, cache_mb, running_server
from llama_vid.access_tokens import create_token
from llama_vid.clients import Client
from llama_vid.clients.protocol import ResponseDone, TextDelta
from llama_vid.errors import LlamaVidError

CLIENTS: Final = 200
MINUTES: Final = 5.0
ASK_S: Final = 100.0
PICTURE_S: Final = 10.0
CLIENTS_OF_TOKEN: Final = 50
ALONE: Final = 8  # questions of the one client alone
CAMERA: Final = "street"
#: Growth of the server's memory, beyond the camera's own, that counts as flat: the noise of an allocator.
FLAT_MB: Final = 32.0
#: Growth in a minute that counts as standing still: what would come to FLAT_MB in five. What is needed least varies by
#: some 5 MB, so less cannot be told in a short run; a moving camera's memory itself takes half a megabyte.
LEVEL_MB: Final = 6.0
#: What was given back is taken again within seconds, so it is read often.
READ_S: Final = 1.0
#: A little longer than the server waits before it gives back what is free (`llama_vid.spare_memory`): the least of each
#: window is what it needs.
WINDOW_S: Final = 40.0


@dataclass(slots=True)
class Tally:
    """What the clients met."""

    first_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    pictures: int = 0
    told: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment: seconds since the beginning, resident memory, its KV cache's part of it, processor
    seconds used.
    """

    at_s: float
    resident_mb: float
    cached_mb: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """How the server's memory went, by samples in time order; MB."""

    samples: Sequence[Sample]

    def lows(self, since_s: float = 0.0) -> list[tuple[float, float]]:
        """The least of every whole WINDOW_S seconds that begin then or later, without the KV cache: (seconds, MB)."""
        windows: dict[int, tuple[float, float]] = {}
        for each in self.samples:
            number = int(each.at_s // WINDOW_S)
            whole = since_s <= number * WINDOW_S and (number + 1) * WINDOW_S <= self.samples[-1].at_s
            if whole:
                own = (each.at_s, each.resident_mb - each.cached_mb)
                windows[number] = min(windows.get(number, own), own, key=lambda item: item[1])
        return list(windows.values())

    @property
    def growth_mb(self) -> float:
        """From the first window's least to the last one's; from the first sample to the last in a run too short."""
        lows = self.lows() or [(each.at_s, each.resident_mb - each.cached_mb) for each in self.samples]
        return lows[-1][1] - lows[0][1]

    @property
    def late_mb_per_min(self) -> float | None:
        """By how much it grew in a minute in the last half, the line that fits best; None for fewer than 3 windows."""
        lows = self.lows(self.samples[-1].at_s / 2)
        if len(lows) < 3:
            return None
        return 60 * linear_regression(*zip(*lows, strict=True)).slope

    @property
    def verdict(self) -> Literal["flat", "filled", "growing", "too short"]:
        """See the module's text."""
        late = self.late_mb_per_min
        if late is None:
            return "too short"
        if late > LEVEL_MB:
            return "growing"
        return "flat" if self.growth_mb <= FLAT_MB else "filled"

    def to_json(self) -> dict[str, Any]:
        minutes: dict[int, list[Sample]] = {}
        for each in self.samples:
            minutes.setdefault(int(each.at_s // 60), []).append(each)
        return {
            "begin": self.samples[0].resident_mb,
            "end": self.samples[-1].resident_mb,
            "each_minute": [
                {
                    "least": min(each.resident_mb for each in minute),
                    "most": max(each.resident_mb for each in minute),
                    "cache": minute[-1].cached_mb,
                }
                for minute in minutes.values()
            ],
            "of_it_the_cameras_cache_grew": self.samples[-1].cached_mb - self.samples[0].cached_mb,
            "growth_otherwise": self.growth_mb,
            "last_half_mb_a_minute": self.late_mb_per_min,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Clients:
    """A finished run; memory in MB, times in seconds."""

    clients: int
    seconds: float
    tally: Tally
    memory: Memory
    client_cores: float
    alone_s: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        first, samples = self.tally.first_s, self.memory.samples
        return {
            "name": "clients",
            "n": len(first),
            "clients": self.clients,
            "seconds": self.seconds,
            "errors": sum(self.tally.wrong.values()),
            "errors_by_kind": dict(self.tally.wrong),
            "first_token": {
                "median_s": median(first) if first else None,
                "p95_s": percentile(first, 0.95) if first else None,
                "most_s": max(first, default=None),
            },
            "whole_answer_p95_s": percentile(self.tally.whole_s, 0.95) if self.tally.whole_s else None,
            "pictures": self.tally.pictures,
            "told_unasked": self.tally.told,
            "server_mb": self.memory.to_json(),
            "cores": {
                "server": (samples[-1].cpu_s - samples[0].cpu_s) / self.seconds,
                "clients": self.client_cores,
            },
            "floor": {
                "one_client_alone": {
                    "median_s": median(self.alone_s),
                    "p95_s": percentile(self.alone_s, 0.95),
                }
            },
        }


def measure(runs: int | None = None, *, clients: int = CLIENTS, minutes: float = MINUTES) -> Clients:
    """Serve, connect, ask. `runs`, where given, is the number of minutes.

    Raises LlamaVidError for a server that does not start, or does not answer one client alone.
    """
    seconds = 60.0 * (minutes if runs is None else runs)
    with tempfile.TemporaryDirectory(prefix="llama-vid-clients-") as place:
        folder = Path(place)
        film = loop_film(sample_film(), folder / "street.mp4", int(seconds) + 240)
        tokens_file = folder / "tokens.json"
        count = -(-clients // CLIENTS_OF_TOKEN)
        tokens = [create_token(tokens_file, f"clients-{number}").secret for number in range(count)]
        settings = folder / "llama-vid.yaml"
        settings.write_text(
            "server:\n  port: 0\n  tokens_file: tokens.json\n"
            f"  limits: {{connections: {max(512, 2 * clients)}}}\n"
            f"memory: {{path: memory}}\ncameras: {{{CAMERA}: {{url: 'file:{film}'}}}}\n"
        )
        with running_server(settings, folder / "server.log") as (url, pid):
            return asyncio.run(_run(url, pid, tokens, clients, seconds))


async def _run(url: str, pid: int, tokens: list[str], clients: int, seconds: float) -> Clients:
    questions = itertools.cycle(open_questions())
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        async with asyncio.timeout(START_S):
            while (await http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.5)
        alone = Tally()
        async with Client.connect(url, token=tokens[0]) as client:
            async with asyncio.timeout(60):
                async for status in client.statuses():
                    if status.state == "live":
                        break
            for _ in range(ALONE):
                await _ask(client, next(questions), alone)
        if alone.wrong:
            raise LlamaVidError(f"one client alone could not ask: {dict(alone.wrong)}")
        tally, connected = Tally(), asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in range(clients):
                token, first_s = tokens[number % len(tokens)], ASK_S * number / clients
                work = _client(http, url, token, first_s, questions, tally, connected)
                tasks.append(group.create_task(work, name=f"client {number}"))
            for _ in range(clients):
                await connected.acquire()
            await asyncio.sleep(min(ASK_S, seconds / 2))  # everybody has asked once
            began, own = time.monotonic(), own_cpu_s()
            tally.first_s.clear()
            tally.whole_s.clear()
            samples = [await _sample(http, pid, tokens[0], began)]
            while (now := time.monotonic() - began) < seconds:
                await asyncio.sleep(min(READ_S, seconds - now))
                samples.append(await _sample(http, pid, tokens[0], began))
            took, used = time.monotonic() - began, own_cpu_s() - own
            for task in tasks:
                task.cancel()
    return Clients(clients, took, tally, Memory(samples), used / took, tuple(alone.first_s))


async def _client(
    http: httpx.AsyncClient,
    url: str,
    token: str,
    first_s: float,
    questions: Iterator[str],
    tally: Tally,
    connected: asyncio.Semaphore,
) -> None:
    """One client, until it is cancelled; comes again when its connection is lost, which counts as an error."""
    while True:
        try:
            async with Client.connect(url, token=token, timeout_s=30) as client, asyncio.TaskGroup() as group:
                connected.release()
                group.create_task(_watch(client, tally), name="watching")
                group.create_task(_look(http, token, tally), name="looking")
                group.create_task(_question(client, first_s, questions, tally), name="asking")
        except* LlamaVidError as problem:
            tally.wrong[f"connection: {problem.exceptions[0]}"[:80]] += 1
            await asyncio.sleep(1.0)


async def _watch(client: Client, tally: Tally) -> None:
    async for _ in client.statuses():
        tally.told += 1
    raise LlamaVidError("the websocket was closed")


async def _look(http: httpx.AsyncClient, token: str, tally: Tally) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        await asyncio.sleep(PICTURE_S)
        try:
            answer = await http.get(f"/api/cameras/{CAMERA}/snapshot.jpg", headers=headers)
        except httpx.HTTPError as problem:
            tally.wrong[f"picture: {type(problem).__name__}"] += 1
        else:
            tally.pictures += answer.status_code == 200
            if answer.status_code != 200:
                tally.wrong[f"picture: {answer.status_code}"] += 1


async def _question(client: Client, first_s: float, questions: Iterator[str], tally: Tally) -> None:
    at = time.monotonic() + first_s
    while True:
        await asyncio.sleep(at - time.monotonic())
        at = max(at + ASK_S, time.monotonic())
        await _ask(client, next(questions), tally)


async def _ask(client: Client, question: str, tally: Tally) -> None:
    began, first = time.perf_counter(), None
    try:
        async with aclosing(client.events(CAMERA, question)) as events:
            async for event in events:
                if first is None and isinstance(event, TextDelta):
                    first = time.perf_counter() - began
                if isinstance(event, ResponseDone) and event.status != "completed":
                    tally.wrong[f"answer: {event.status}"] += 1
    except LlamaVidError as problem:
        tally.wrong[f"answer: {problem.code}"] += 1
        return
    if first is None:
        tally.wrong["answer: no words"] += 1
    else:
        tally.first_s.append(first)
        tally.whole_s.append(time.perf_counter() - began)


async def _sample(http: httpx.AsyncClient, pid: int, token: str, began: float) -> Sample:
    text = (await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})).text
    return Sample(time.monotonic() - began, resident_mb(pid), cache_mb(text), cpu_s(pid))


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
