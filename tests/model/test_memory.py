"""Memory on the real bundle: stillness is free, restarts go on, cameras share the tower, long films keep detail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch

from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.journal import Journal
from llama_vid.stream.frame import Frame
from tests.bundles import film, mini

if TYPE_CHECKING:
    from llama_vid.bundle import Bundle
    from llama_vid.recorder import Recorder

pytestmark = [pytest.mark.model]

BEGIN = 1_700_000_000.0


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return mini()


@pytest.fixture(scope="module")
def street() -> list[Frame]:
    """Ten seconds of a street, a frame a second."""
    from llama_vid.stream.file import FileSource

    return list(FileSource(film()))


def recorder(bundle: Bundle, journal: Journal | None = None, name: str = "front") -> Recorder:
    from llama_vid.recorder import Recorder

    return Recorder(bundle, journal=journal.camera(name) if journal is not None else None)


def later(frames: list[Frame], start: float) -> list[Frame]:
    return [Frame(start + frame.seconds, frame.image, frame.gap) for frame in frames]


def quiet(picture: npt.NDArray[np.uint8], seconds: int, start: float) -> Iterator[Frame]:
    """A camera before which nothing moves, with sensor noise."""
    dice = np.random.default_rng(1)
    for second in range(seconds):
        noisy = picture + dice.normal(0, 3, picture.shape)
        yield Frame(start + second, noisy.clip(0, 255).astype(np.uint8))


def alike(one: tuple[MemoryEntry, ...], other: tuple[MemoryEntry, ...]) -> None:
    assert [(a.start, a.end, a.frames, a.scene, a.energy) for a in one] == [
        (b.start, b.end, b.frames, b.scene, b.energy) for b in other
    ]
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.pair.context, b.pair.context, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(a.pair.motion, b.pair.motion, atol=2e-3, rtol=2e-3)


def test_stillness_costs_no_token_and_hardly_any_tower(
    bundle: Bundle, street: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = bundle.tower.encode_pixels
    monkeypatch.setattr(bundle.tower, "encode_pixels", lambda pixels: encoded.append(len(pixels)) or encode(pixels))
    memory = recorder(bundle)
    memory.add(list(quiet(street[0].image, 120, 0.0)))
    assert (memory.bank.frames, memory.bank.tokens <= 4) == (120, True)
    assert sum(encoded) <= 10
    memory.add(later(street, 120.0))
    assert len(memory.bank) >= 8  # what moves is remembered second by second
    memory.add(list(quiet(street[0].image, 60, 130.0)))
    entries = memory.bank.entries
    assert all(a.end == b.start for a, b in pairwise(entries))
    assert entries[-1].frames >= 55
    assert sum(entry.frames for entry in entries) == 190


def test_a_restart_goes_on_with_the_same_memory(bundle: Bundle, street: list[Frame], tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        first = recorder(bundle, journal)
        first.restore()
        assert first.restored == ""
        first.add(later(street, BEGIN))
        first.add(list(quiet(street[0].image, 30, BEGIN + 10)))
    with Journal(tmp_path) as journal:
        second = recorder(bundle, journal)
        second.restore()
        alike(first.bank.entries, second.bank.entries)
        assert f"{len(first.bank)} entries (40 seconds)" in second.restored
        second.add(later(street, BEGIN + 600))
        entries = second.bank.entries
        assert entries[len(first.bank)].start == BEGIN + 600
        assert entries[-1].scene > entries[0].scene  # nobody watched in between: another scene
        assert second.jpeg(BEGIN + 2) is not None
    with Journal(tmp_path) as journal:
        third = recorder(bundle, journal)
        third.restore()
        alike(second.bank.entries, third.bank.entries)


def test_a_clock_that_was_set_back_does_not_stop_a_camera(
    bundle: Bundle, street: list[Frame], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(tmp_path) as journal:
        memory = recorder(bundle, journal)
        memory.add(later(street, BEGIN + 3600))
    with Journal(tmp_path) as journal:
        again = recorder(bundle, journal)
        again.restore()
        again.add(later(street, BEGIN))
        entries = again.bank.entries
        assert all(a.end <= b.start + 1e-6 for a, b in pairwise(entries))
        assert again.end == pytest.approx(BEGIN + 3600 + 20, abs=1.5)
    assert "Check the machine's clock" in caplog.text


async def test_cameras_that_share_the_tower_remember_what_they_would_alone(bundle: Bundle, street: list[Frame]) -> None:
    from llama_vid.intake import Intake
    from llama_vid.model_thread import ModelThread

    thread = ModelThread()
    try:
        intake = Intake(bundle.tower, thread)
        cameras = [recorder(bundle) for _ in range(5)]
        alone = [recorder(bundle) for _ in range(5)]
        for second in range(10):
            frames = [[street[(second + shift) % 10]] for shift in range(5)]
            frames = [[Frame(float(second), frame[0].image)] for frame in frames]
            await asyncio.gather(*(intake.add(camera, frame) for camera, frame in zip(cameras, frames, strict=True)))
            for camera, frame in zip(alone, frames, strict=True):
                camera.add(frame)
        for shared, single in zip(cameras, alone, strict=True):
            assert [entry.start for entry in shared.bank.entries] == [entry.start for entry in single.bank.entries]
            for a, b in zip(shared.bank.entries, single.bank.entries, strict=True):
                # Batches of other sizes round differently in bfloat16.
                assert float(a.embedding @ b.embedding) > 0.999
                assert torch.cosine_similarity(a.pair.context, b.pair.context, dim=0) > 0.99
    finally:
        thread.close()


async def test_one_camera_that_fails_takes_none_with_it(bundle: Bundle, street: list[Frame]) -> None:
    from llama_vid.errors import LlamaVidError
    from llama_vid.intake import Intake
    from llama_vid.model_thread import ModelThread

    thread = ModelThread()
    try:
        intake = Intake(bundle.tower, thread)
        good, bad = recorder(bundle), recorder(bundle)
        bad.add([Frame(50.0, street[0].image)])
        results = await asyncio.gather(
            intake.add(bad, [Frame(1.0, street[1].image)]),  # time runs backward
            intake.add(good, [street[0]]),
            return_exceptions=True,
        )
        assert isinstance(results[0], LlamaVidError)
        assert results[1] is None
        assert len(good.bank) == 1
        await intake.add(bad, [Frame(60.0, street[2].image)])  # and it goes on itself
        assert len(bad.bank) == 2
    finally:
        thread.close()


def test_a_film_longer_than_memory_keeps_its_detail(bundle: Bundle, tmp_path: Path) -> None:
    from benchmarks.samples import loop_film
    from llama_vid.llm.recall import is_coarse
    from llama_vid.model import LLaMAVID

    long = loop_film(film(), tmp_path / "long.mp4", 150)
    model = LLaMAVID(bundle, context_tokens=699)  # a minute of frames
    opened = model.open(long)
    assert opened.tokens.frames == 150
    assert opened.tokens.video <= 120
    assert any(is_coarse(entry) for entry in opened.entries)
    answer = opened.ask("What happens in the first 10 seconds?")
    assert answer.timestamps
    assert max(answer.timestamps) < 10
    assert opened.frame(3.0) != opened.frame(7.0)
    found = opened.ask("When is there a person on a bicycle?")
    assert found.timestamps
