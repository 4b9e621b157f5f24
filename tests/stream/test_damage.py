"""Files damaged in every way: what decodes comes out in order, or one clear error; never anything else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from llama_vid.errors import SourceError
from llama_vid.stream.file import FileSource
from tests.peers.video import make_video


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("originals")
    films = [make_video(folder / f"film.{suffix}", seconds=4, group=20) for suffix in ("mp4", "mkv", "ts")]
    films.append(make_video(folder / "film.avi", seconds=4, codec="mpeg4", options={}))
    return [film.read_bytes() for film in films]


def spoil(data: bytearray, luck: random.Random) -> None:
    """Damage `data` in one of five ways."""
    at, length = luck.randrange(len(data)), luck.randint(1, 4000)
    match luck.randrange(5):
        case 0:
            for _ in range(length // 20):
                data[luck.randrange(len(data))] = luck.randrange(256)
        case 1:
            data[at : at + length] = bytes(len(data[at : at + length]))
        case 2:
            del data[at:]
        case 3:
            del data[:length]
        case 4:
            data[at:at] = data[:length]


@pytest.mark.parametrize("seed", range(12))
def test_damage_never_escapes(tmp_path: Path, originals: list[bytes], seed: int) -> None:
    luck = random.Random(seed)
    for n in range(10):
        data = bytearray(originals[n % len(originals)])
        spoil(data, luck)
        path = tmp_path / f"damaged{n}"
        path.write_bytes(data)
        source = FileSource(path)
        try:
            seconds = [frame.seconds for frame in source]
        except SourceError:
            continue
        assert seconds
        assert seconds == sorted(set(seconds))
        assert len(seconds) < 200
        assert all("\n" not in warning for warning in source.warnings)
