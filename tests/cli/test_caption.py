"""`llama-vid caption`: files fast and in real time, caption files, and one clear line for what cannot be captioned."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webvtt

from llama_vid.errors import BundleError
from llama_vid.llm.speech.whisper import WHISPER
from llama_vid.settings_captions import OFF, Captions, CaptionSettings
from tests.cli.program import llama_vid, one_clear_line
from tests.conftest import ROOT
from tests.peers.http import WebServer
from tests.peers.sound import write_sound
from tests.peers.video import make_video


@pytest.fixture(scope="module")
def _whisper() -> None:
    try:
        WHISPER.path()
    except BundleError as missing:
        pytest.skip(str(missing))


@pytest.mark.model
@pytest.mark.usefixtures("_whisper")
def test_a_file_fast_with_srt(data: Path, tmp_path: Path) -> None:
    done = llama_vid("caption", str(data / "speech" / "jfk.flac"), "-o", str(tmp_path / "jfk.srt"), "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["type"] for event in events} == {"final"}
    assert all(set(event) == {"type", "start", "end", "text"} for event in events)
    said = " ".join(event["text"] for event in events).lower()
    assert "ask not what your country can do for you" in said
    for before, after in pairwise(events):
        assert before["end"] <= after["start"] + 0.01
    cues = list(webvtt.from_srt(tmp_path / "jfk.srt"))
    assert all(len(line) <= 42 for cue in cues for line in cue.text.splitlines())
    assert " ".join(" ".join(cue.text.split()) for cue in cues).lower() == said


@pytest.mark.model
@pytest.mark.usefixtures("_whisper")
def test_a_file_in_real_time_commits_and_never_takes_back(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "live.vtt"
    done = llama_vid(
        "caption", str(data / "speech" / "leopard_test.wav"), "-o", str(target), "--json", "--pace", "realtime"
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    finals = [event for event in events if event["type"] == "final"]
    assert any(event["type"] == "partial" and event["text"] for event in events)
    assert len(finals) >= 3
    for before, after in pairwise(finals):
        assert before["end"] <= after["start"] + 1e-6
    text = " ".join(" ".join(cue.text.split()) for cue in webvtt.read(target))
    assert text == " ".join(event["text"] for event in finals)
    assert "apostle" in text


@pytest.mark.model
@pytest.mark.usefixtures("_whisper")
def test_silence_gives_an_empty_file_and_no_line(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "still.flac", np.zeros(160_000, dtype=np.float32))
    done = llama_vid("caption", str(path), "-o", str(tmp_path / "still.vtt"))
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "still.vtt").read_text() == "WEBVTT\n\n"


@pytest.mark.model
@pytest.mark.usefixtures("_whisper")
def test_a_film_without_sound_says_so(tmp_path: Path) -> None:
    film = make_video(tmp_path / "mute.mp4", seconds=1)
    for pace in ("fast", "realtime"):
        done = llama_vid("caption", str(film), "--pace", pace)
        assert done.returncode == 1
        assert "has no audio track" in one_clear_line(done)


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        (("nothing.wav",), 1, "there is no file nothing.wav"),
        (("setup.cfg", "-o", "a.doc"), 1, "there is no file"),
        (("README.md", "-o", "a.doc"), 2, ".vtt, .srt, .json or .m3u8"),
        (("README.md", "-o", "nowhere/a.vtt"), 2, "no folder"),
        (("README.md", "--language", "de"), 2, "English only"),
        (("README.md", "--glossary", "x" * 700), 2, "600 characters"),
        (("README.md", "--speech-model", "docs"), 1, "model.bin"),
        (("webrtc:",), 1, "captions: true"),
    ],
)
def test_what_cannot_be_is_one_clear_line(arguments: tuple[str, ...], status: int, what: str) -> None:
    done = llama_vid("caption", *arguments)
    assert done.returncode == status
    assert what in one_clear_line(done)


def test_a_cameras_captions_are_a_switch_or_a_section() -> None:
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(Captions)
    assert adapter.validate_python(True) == CaptionSettings()
    assert adapter.validate_python(False) == OFF
    assert not OFF
    glossary = adapter.validate_python({"glossary": [" Gutenberg ", "Nicholas  Jenson"], "language": "en"})
    assert glossary
    assert glossary.hotwords == "Gutenberg, Nicholas Jenson"
    for wrong in ({"glossary": [""]}, {"glossry": []}, {"threads": 0}, "yes please"):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


@pytest.mark.model
@pytest.mark.usefixtures("_whisper")
def test_a_stream_is_captioned_until_it_is_interrupted(data: Path, tmp_path: Path) -> None:
    """Sound over HTTP, as radio comes; Ctrl-C settles what was heard, and the file is whole."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "radio").write_bytes((data / "speech" / "jfk.flac").read_bytes())
    target = tmp_path / "radio.vtt"
    with WebServer(tmp_path / "web") as server:
        program = subprocess.Popen(
            [sys.executable, "-m", "llama_vid", "caption", server.url("radio"), "-o", str(target), "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert program.stdout is not None
        events: list[dict[str, Any]] = []
        for line in program.stdout:
            events.append(json.loads(line))
            if "fellow" in events[-1]["text"].lower() and events[-1]["type"] == "final":
                break
        program.send_signal(signal.SIGINT)
        rest, errors = program.communicate(timeout=30)
    assert program.returncode == 0, errors
    events += [json.loads(line) for line in rest.splitlines()]
    finals = [event for event in events if event["type"] == "final"]
    assert finals[0]["start"] == pytest.approx(time.time(), abs=60), "a stream's seconds are the world's"
    (first, *_) = webvtt.read(target)
    assert first.start.startswith("00:00:00."), "and its file's count from the first word"
    text = " ".join(" ".join(cue.text.split()) for cue in webvtt.read(target))
    assert text == " ".join(event["text"] for event in finals)
