"""The benchmark of glass to answer, against the real port: ffmpeg publishes, a scripted model says what it has."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from benchmarks import glass
from benchmarks.glass_peers import SIZE, age_s, clock_ms, read_stamp, stamp
from benchmarks.samples import sample_film
from llama_vid.errors import ConfigError
from llama_vid.llm.answer import Answer, AnswerPiece, Moment
from llama_vid.stream.frame import Frame
from llama_vid.stream.view import View
from tests.server.running import running_server
from tests.server.scripted import ScriptedModel, ScriptedSession


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
def test_a_painted_time_is_read_in_pictures_of_any_size(scale: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    painted = clock_ms()
    size = (round(SIZE[0] * scale), round(SIZE[1] * scale))
    file = io.BytesIO()
    Image.fromarray(stamp(noise, painted)).resize(size).save(file, "JPEG", quality=60)
    with Image.open(file) as image:
        assert read_stamp(np.asarray(image)) == painted
    assert 0 <= age_s(painted) < 5


class Remembering(ScriptedSession):
    """Has what its source gave last: the newest picture, a moment of it, an answer that rests on it."""

    newest: Frame | None = None

    async def __aenter__(self) -> Remembering:
        await super().__aenter__()
        self.taking = asyncio.create_task(self.take(), name="taking frames")
        return self

    async def __aexit__(self, *reason: Any) -> None:
        self.taking.cancel()
        await asyncio.wait({self.taking})
        await super().__aexit__(*reason)

    async def take(self) -> None:
        while True:
            self.newest = await self.source.recv()

    async def snapshot(self, seconds: float | None = None) -> bytes | None:
        if self.newest is None:
            return None
        file = io.BytesIO()
        Image.fromarray(self.newest.image).save(file, "JPEG")
        return file.getvalue()

    async def search(
        self, text: str, start: float | None = None, end: float | None = None, limit: int = 10
    ) -> list[Moment]:
        return [Moment(self.newest.seconds, self.newest.seconds + 1, 0.5)] if self.newest else []

    async def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncGenerator[AnswerPiece, None]:
        seconds = self.newest.seconds if self.newest else 0.0
        yield AnswerPiece("A street.")
        yield AnswerPiece("", Answer("A street.", [seconds], [], self.tokens, model="scripted"))
        await asyncio.sleep(0.05)


class RememberingModel(ScriptedModel):
    def watch(self, source: Any, *, view: View | None = None, **options: Any) -> ScriptedSession:
        session = Remembering(source, options["name"], options["fps"], None)
        self.sessions.setdefault(options["name"], []).append(session)
        return session


@pytest.mark.peer
@pytest.mark.skipif("whip" not in av.formats_available, reason="PyAV's ffmpeg has no WHIP muxer")
def test_changes_are_followed_to_every_end(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        sample_film()
    except ConfigError as problem:
        pytest.skip(str(problem))
    monkeypatch.setattr(glass, "SHOWN_S", 1.0)
    monkeypatch.setattr(glass, "LONGEST_S", 5.0)
    cameras = {glass.CAMERA: {"url": "webrtc:", "fps": 5}}
    with running_server(cameras, load_model=RememberingModel, ready=False) as server:
        began = time.monotonic()
        found = asyncio.run(glass.run(server.url, os.getpid(), 2, None, codec=(0.01, 0.02)))
        assert time.monotonic() - began > 3
    figures = found.to_json()
    assert figures["missed"] == {}
    assert figures["n"] == 2
    for name in ("to_latest_picture", "to_search", "to_first_word", "to_whole_answer", "to_viewer"):
        assert 0 <= figures[name]["p50_s"] <= figures[name]["p95_s"] <= figures[name]["most_s"] < 5, name
    assert figures["to_viewer"]["pictures"] >= 10
    assert figures["publisher"]["reconnects"] == figures["publisher"]["stops"] == 0
    assert figures["publisher"]["frames_watched"] >= 0
    assert 2 <= figures["publisher"]["seconds"] <= figures["seconds"] + 1
    assert figures["server"]["resident_end_mb"] > 10
    assert figures["floor"]["encoder_and_decoder"]["p50_s"] == pytest.approx(0.015)
