"""Films of files at any frame rate, and of pictures at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llama_vid.errors import SourceError
from llama_vid.model import LLaMAVID
from llama_vid.stream.file import FileSource
from tests.bundles import mini
from tests.conftest import painted, write_video

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model() -> LLaMAVID:
    return LLaMAVID(mini())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, each painted with its number."""
    return write_video(tmp_path_factory.mktemp("video") / "three.mp4", [painted(second) for second in range(3)])


def test_pictures_at_hand_make_the_film_that_their_file_makes(model: LLaMAVID, video: Path) -> None:
    opened = model.open(video)
    taken = model.take(list(FileSource(video)), name="three")
    assert [(one.start, one.end) for one in taken.entries] == [(one.start, one.end) for one in opened.entries]
    for one, other in zip(taken.entries, opened.entries, strict=True):
        assert torch.equal(one.pair.context, other.pair.context)
        assert torch.equal(one.embedding, other.embedding)
    assert taken.tokens.frames == 3
    assert (taken.path, taken.warnings) == ("three", [])
    assert taken.ask("Is there a dog?").answer == opened.ask("Is there a dog?").answer


def test_frames_a_second(model: LLaMAVID, video: Path) -> None:
    seen: list[tuple[float, float | None]] = []
    film = model.open(video, fps=2.0, progress=lambda seconds, whole: seen.append((seconds, whole)))
    assert film.tokens.frames == 6
    assert [entry.start for entry in film.entries] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert film.duration == pytest.approx(3.0, abs=0.1)
    assert seen == [(2.5, pytest.approx(3.0, abs=0.1))]


def test_no_picture_is_no_film(model: LLaMAVID) -> None:
    with pytest.raises(SourceError, match="holds no picture"):
        model.take([], name="nothing")
