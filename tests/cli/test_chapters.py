"""`llama-vid chapters` on a film with slides and two speakers' speech, and on what has none."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from llama_vid.errors import BundleError
from llama_vid.llm.speech.whisper import WHISPER
from llama_vid.stream.audio import RATE
from llama_vid.stream.audio_file import AudioFile
from llama_vid.tokenizer.tower import MINILM
from tests.cli.program import llama_vid, one_clear_line
from tests.peers.sound import write_sound


def spoken(path: Path) -> np.ndarray:
    return np.concatenate([block.samples for block in AudioFile(path)])


def film(path: Path, wave: np.ndarray, slides: list[float]) -> Path:
    """The sound with a slide of another grey from each of the times on."""
    sound = write_sound(path.with_suffix(".flac"), wave)
    with av.open(str(sound)) as source, av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 160, 96, "yuv420p"
        track = out.add_stream_from_template(source.streams.audio[0])
        for n in range(len(wave) * 5 // RATE):
            level = 40 * (1 + sum(n / 5 >= start for start in slides))
            out.mux(picture.encode(av.VideoFrame.from_ndarray(np.full((96, 160, 3), level, np.uint8), format="rgb24")))
        out.mux(picture.encode(None))
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = track
                out.mux(packet)
    return path


@pytest.mark.model
def test_two_speeches_are_two_chapters_that_begin_with_their_slides(data: Path, tmp_path: Path) -> None:
    try:
        WHISPER.path(), MINILM.path()
    except BundleError as missing:
        pytest.skip(str(missing))
    quiet = np.zeros(RATE, dtype=np.float32)
    first = np.concatenate([spoken(data / "speech" / "lecture.flac")[: 36 * RATE], quiet])
    second = spoken(data / "speech" / "jfk.flac")
    seam = len(first) / RATE
    path = film(tmp_path / "two.mkv", np.concatenate([first, second, quiet, second]), [seam - 0.4])
    done = llama_vid("chapters", str(path), "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(set(chapter) == {"start", "end", "title", "text"} for chapter in found)
    assert [chapter["start"] for chapter in found] == pytest.approx([0.0, seam], abs=1.5)
    assert "printing" in found[0]["text"].lower() or "book" in found[0]["text"].lower()
    assert "country" in found[1]["text"].lower()


def test_what_has_no_chapters_is_one_clear_line() -> None:
    done = llama_vid("chapters", "rtsp://127.0.0.1/stream")
    assert done.returncode == 1
    assert "record it" in one_clear_line(done)
