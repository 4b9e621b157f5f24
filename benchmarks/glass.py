"""From the publisher's glass: how soon a change is seen by a viewer, found by a search, and rested on by an answer.

    llama-vid bench glass [--runs N] [--minutes M]      (or: python -m benchmarks.glass)

`llama-vid serve` in a process of its own has one `webrtc:` camera. ffmpeg's WHIP muxer publishes to it (640×360,
H.264, 15 frames a second); its pictures turn from one sample film to another, N times or for M minutes, and carry the
time at which they were painted. Measured from the painting of a change's first picture: until `latest.jpg` shows the
new scene; until a search for it, over the seconds around the change, gives a moment after the change as the best;
until the first word, and the end, of an answer that rests on frames after the change. A WHEP viewer reads the age of
each picture that it sees. With `--minutes 10` this is also the long run of a publisher: how many frames were watched,
how many seconds were missed, how often and why the camera was lost, the server's memory at the beginning and at the
end; a publisher that stops is started again, and counted. Floor in the same run: a picture through the publisher's
encoder and a decoder, without a network.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any, Final

import av
import httpx
import numpy as np
from PIL import Image

from benchmarks.asking import percentile
from benchmarks.glass_camera import Keeping, Kept
from benchmarks.glass_peers import RATE, SIZE, Publisher, Watcher, age_s, clock_ms, read_stamp, stamp
from benchmarks.serving import START_S, running_server
from benchmarks.wall import clip_images
from llama_vid.clients import Client
from llama_vid.clients.protocol import ResponseDone, TextDelta
from llama_vid.errors import LlamaVidError
from llama_vid.stream.picture import to_rgb

RUNS: Final = 12
CAMERA: Final = "glass"
#: Sample films, what a search for each is, and a question whose answer needs a look.
SCENES: Final = (("bikes.mp4", "cyclists in a street"), ("bigbuckbunny.mp4", "a cartoon animal"))
QUESTION: Final = "What can be seen right now?"
SHOWN_S: Final = 8.0  # each scene at least
LONGEST_S: Final = 20.0  # what has not come by then has not come
WARM_S: Final = 10.0
MOST_STOPS: Final = 5  # of the publisher: with more of them it is no camera, and the run fails


@dataclass(slots=True)
class Tally:
    """Seconds from a change's first picture to each thing; what did not come within LONGEST_S is in `missed`."""

    picture_s: list[float] = field(default_factory=list)
    search_s: list[float] = field(default_factory=list)
    word_s: list[float] = field(default_factory=list)
    answer_s: list[float] = field(default_factory=list)
    missed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Glass:
    """A finished run; times in seconds."""

    changes: int
    seconds: float
    tally: Tally
    viewer_s: tuple[float, ...]
    viewer_fps: float
    kept: Kept
    stops: tuple[str, ...]
    codec_s: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "name": "glass",
            "n": self.changes,
            "seconds": self.seconds,
            "to_latest_picture": _shape(tally.picture_s),
            "to_search": _shape(tally.search_s),
            "to_first_word": _shape(tally.word_s),
            "to_whole_answer": _shape(tally.answer_s),
            "missed": tally.missed,
            "to_viewer": _shape(self.viewer_s) | {"pictures": len(self.viewer_s), "fps": self.viewer_fps},
            "publisher": self.kept.camera() | {"stops": len(self.stops), "stopped_by": "; ".join(self.stops) or None},
            "server": self.kept.server(),
            "floor": {"encoder_and_decoder": _shape(self.codec_s)},
        }


def _shape(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "p50_s": median(values) if values else None,
        "p95_s": percentile(values, 0.95) if values else None,
        "most_s": max(values, default=None),
    }


def measure(runs: int | None = None, *, minutes: float | None = None) -> Glass:
    """Serve, publish, change, ask. Raises LlamaVidError for a server or a publisher that does not start."""
    runs = RUNS if runs is None else runs
    with tempfile.TemporaryDirectory(prefix="llama-vid-glass-") as place:
        settings = Path(place, "llama-vid.yaml")
        settings.write_text(
            f"server: {{port: 0}}\nmemory: {{path: memory}}\ncameras: {{{CAMERA}: {{url: 'webrtc:'}}}}\n"
        )
        log = Path(place, "server.log")
        try:
            with running_server(settings, log) as (url, pid):
                seconds = None if minutes is None else 60 * minutes
                return asyncio.run(run(url, pid, runs, seconds, codec=_codec_alone()))
        except LlamaVidError as problem:
            last = (log.read_text().strip().splitlines() or ["nothing"])[-1]
            raise LlamaVidError(f"{problem} (the server said last: {last})") from None


async def run(url: str, pid: int, runs: int, seconds: float | None, *, codec: Sequence[float] = ()) -> Glass:
    """Measure a server, process `pid`, with a `webrtc:` camera CAMERA that nobody publishes to: `runs` or `seconds`."""
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        await _until(lambda: _ready(http), "the server to be ready", START_S)
        async with Publisher(f"{url}/whip/{CAMERA}", [film for film, _ in SCENES]) as publisher:
            await _until(lambda: _live(http), "the publisher's pictures", 60)
            async with Watcher(http, CAMERA) as watcher:
                await asyncio.sleep(min(WARM_S, SHOWN_S))  # the first seconds of both are their own
                watcher.ages.clear()
                began, tally, changes, stops = time.monotonic(), Tally(), 0, list[str]()
                async with Keeping(http, CAMERA, pid) as keeping:
                    while changes < runs if seconds is None else time.monotonic() - began < seconds:
                        try:
                            at = await publisher.turn_to((changes + 1) % len(SCENES))
                        except LlamaVidError as problem:
                            stops.append(str(problem))
                            if seconds is None or len(stops) > MOST_STOPS:
                                raise
                            await publisher.again()
                            continue
                        changes += 1
                        await _change(http, url, at, changes % len(SCENES), tally)
                took, ages = time.monotonic() - began, tuple(watcher.ages)
    return Glass(changes, took, tally, ages, len(ages) / took, keeping.kept, tuple(stops), tuple(codec))


async def _change(http: httpx.AsyncClient, url: str, at: float, scene: int, tally: Tally) -> None:
    shown_until = time.monotonic() + SHOWN_S
    async with asyncio.TaskGroup() as group:
        group.create_task(_latest(http, at, tally), name="latest")
        group.create_task(_search(http, at, SCENES[scene][1], tally), name="search")
        group.create_task(_answer(url, at, tally), name="answer")
    await asyncio.sleep(max(0.0, shown_until - time.monotonic()))


async def _latest(http: httpx.AsyncClient, at: float, tally: Tally) -> None:
    while time.time() - at < LONGEST_S:
        answer = await http.get(f"/api/cameras/{CAMERA}/snapshot.jpg")
        if answer.status_code == 200:
            with Image.open(io.BytesIO(answer.content)) as image:
                painted = read_stamp(np.asarray(image.convert("RGB")))
            if age_s(painted) <= time.time() - at + 0.001:
                tally.picture_s.append(time.time() - at)
                return
        await asyncio.sleep(0.05)
    tally.missed["picture"] = tally.missed.get("picture", 0) + 1


async def _search(http: httpx.AsyncClient, at: float, text: str, tally: Tally) -> None:
    while time.time() - at < LONGEST_S:
        answer = await http.get(
            f"/api/cameras/{CAMERA}/search", params={"text": text, "from": at - SHOWN_S / 2, "limit": 1}
        )
        found = answer.json().get("matches", ()) if answer.status_code == 200 else ()
        if found and found[0]["start"] >= at:
            tally.search_s.append(time.time() - at)
            return
        await asyncio.sleep(0.1)
    tally.missed["search"] = tally.missed.get("search", 0) + 1


async def _answer(url: str, at: float, tally: Tally) -> None:
    """Asks, and asks again, until an answer rests on a frame after the change."""
    async with Client.connect(url, timeout_s=30) as client:
        while time.time() - at < LONGEST_S:
            first = None
            async with aclosing(client.events(CAMERA, QUESTION)) as events:
                async for event in events:
                    if first is None and isinstance(event, TextDelta):
                        first = time.time() - at
                    if isinstance(event, ResponseDone) and any(seconds >= at for seconds in event.timestamps):
                        tally.word_s.append(first or time.time() - at)
                        tally.answer_s.append(time.time() - at)
                        return
    tally.missed["answer"] = tally.missed.get("answer", 0) + 1


def _codec_alone() -> tuple[float, ...]:
    """How old a picture is when it has gone through the publisher's encoder and a decoder."""
    images = list(clip_images(SCENES[0][0], SIZE))[: 4 * RATE]
    encoder, decoder = av.CodecContext.create("libx264", "w"), av.CodecContext.create("h264", "r")
    assert isinstance(encoder, av.VideoCodecContext)
    assert isinstance(decoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
    encoder.framerate = Fraction(RATE)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    decoder.thread_count = 1
    ages = []
    for image in images:
        for packet in encoder.encode(av.VideoFrame.from_ndarray(stamp(image, clock_ms()), format="rgb24")):
            for picture in decoder.decode(packet):
                ages.append(age_s(read_stamp(to_rgb(picture))))
    return tuple(ages)


async def _ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 200 and bool((await _camera(http))["open"])


async def _live(http: httpx.AsyncClient) -> bool:
    return bool((await _camera(http))["state"] == "live")


async def _camera(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/api/cameras/{CAMERA}")).json()
    return found


async def _until(condition: Callable[[], Any], what: str, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not await condition():  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.25)
    except TimeoutError:
        raise LlamaVidError(f"waited {limit_s:.0f} s in vain for {what}") from None


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
