"""`ask`, `timeline` and `search`: what they print of a film whose answers are known, and how they are interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llama_vid.cli import main
from llama_vid.commands import video
from llama_vid.llm.answer import Answer, AnswerPiece, Evidence, Moment, Span, Timing, TokenUse
from llama_vid.memory.entry import MemoryEntry
from tests.conftest import ROOT
from tests.model.making import entry

ANSWER = Answer(
    answer="Yes. A dog runs.",
    timestamps=[7.0, 65.0],
    evidence=[Evidence(7.0, 9.0, 0.83123456, "a dog on grass"), Evidence(65.0, 65.5, 0.5, "a dog")],
    tokens=TokenUse(70, 140),
    timing=Timing(1.5, 0.25, 2.0),
    model="mini",
)


class KnownFilm:
    """A film that answers every question alike."""

    warnings: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """A still stretch, then a minute second by second, the oldest part of it merged."""
        still = replace(entry(0.0, frames=7), end=7.0)
        merged = replace(entry(7.0, frames=20, energy=0.6), end=27.0)
        return (still, merged, *(entry(float(second), energy=0.5) for second in range(27, 70)))

    def needs_listening(self, question: str) -> bool:
        return "say" in question

    def listen(self, progress: Callable[[float, float | None], None]) -> None:
        progress(70.0, 70.0)
        KnownFilm.listened += 1

    listened = 0

    def ask(self, question: str) -> Answer:
        return ANSWER

    def stream(self, question: str) -> Iterator[AnswerPiece]:
        yield AnswerPiece("Yes. ")
        yield AnswerPiece("A dog runs.", ANSWER)

    def search(self, text: str) -> list[Moment]:
        if text == "spoken":
            return [Moment(7.0, 9.0, 0.8, "It was spoken."), Moment(65.0, 66.0, 0.5)]
        return [Moment(7.0, 9.0, 0.8), Moment(65.0, 66.0, 0.5)] if text != "nothing" else []

    def timeline(self) -> list[Span]:
        return [Span(0.0, 7.0, "a meadow", 0.01), Span(7.0, 70.0, "a dog on grass", 0.5)]


Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs the command line in this process on the known film: (status, stdout, stderr)."""
    monkeypatch.setattr(video, "open_film", lambda *_: KnownFilm())

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["llama-vid", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run_main


def test_ask_as_json_has_the_contract_s_keys(run: Ran) -> None:
    status, out, err = run("ask", "a.mp4", "Is there a dog?", "--json")
    assert (status, err) == (0, "")
    said = json.loads(out)
    assert list(said) == ["answer", "timestamps", "evidence", "tokens", "timing", "model"]
    assert said["evidence"][0] == {"start": 7.0, "end": 9.0, "score": 0.8312, "caption": "a dog on grass"}
    assert said["tokens"] == {"frames": 70, "video": 140, "per_frame": 2}
    assert said["timing"] == {"ingest_s": 1.5, "first_token_s": 0.25, "total_s": 2.0}


def test_a_question_about_what_was_said_has_the_film_listened_to(run: Ran) -> None:
    before = KnownFilm.listened
    assert run("ask", "a.mp4", "Is there a dog?", "--json")[0] == 0
    assert KnownFilm.listened == before
    assert run("ask", "a.mp4", "What did the speaker say?", "--json")[0] == 0
    assert KnownFilm.listened == before + 1


def test_search_tells_what_was_spoken(run: Ran) -> None:
    first, second = json.loads(run("search", "a.mp4", "spoken", "--json")[1])["matches"]
    assert first == {"start": 7.0, "end": 9.0, "score": 0.8, "heard": "It was spoken."}
    assert second == {"start": 65.0, "end": 66.0, "score": 0.5}
    assert "“It was spoken.”" in run("search", "a.mp4", "spoken")[1]


def test_ask_in_words(run: Ran) -> None:
    status, out, err = run("ask", "a.mp4", "Is there a dog?")
    assert status == 0
    assert out.splitlines() == [
        "Yes. A dog runs.",
        "",
        "  0:07–0:09  a dog on grass (0.83)",
        "       1:05  a dog (0.50)",
    ]
    assert "70 frames as 140 tokens" in err


def test_timeline(run: Ran) -> None:
    _, out, _ = run("timeline", "a.mp4", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines == [
        {"start": 0.0, "end": 7.0, "caption": "a meadow", "motion": 0.01},
        {"start": 7.0, "end": 70.0, "caption": "a dog on grass", "motion": 0.5},
    ]
    _, out, _ = run("timeline", "a.mp4")
    assert "0:07–1:10  a dog on grass" in out


def test_timeline_plot(run: Ran, tmp_path: Path) -> None:
    target = tmp_path / "timeline.png"
    status, _, err = run("timeline", "a.mp4", "--plot", str(target))
    assert status == 0, err
    from PIL import Image

    with Image.open(target) as picture:
        assert picture.format == "PNG"
        assert picture.width > 800
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10, "the picture is not empty"


def test_search(run: Ran) -> None:
    _, out, _ = run("search", "a.mp4", "a dog", "--json")
    assert json.loads(out) == {
        "matches": [{"start": 7.0, "end": 9.0, "score": 0.8}, {"start": 65.0, "end": 66.0, "score": 0.5}]
    }
    _, out, _ = run("search", "a.mp4", "a dog")
    assert out.splitlines()[0].split() == ["0:07–0:09", "0.80"]
    _, out, _ = run("search", "a.mp4", "nothing")
    assert out == "no moment matches\n"


def test_ctrl_c_ends_without_a_traceback() -> None:
    # A shell that starts a job in the background has it ignore SIGINT; the test is about a program in the foreground.
    code = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from llama_vid import cli
from llama_vid.commands import video
def open_film(*_):
    print("ready", flush=True)
    threading.Event().wait()
video.open_film = open_film
sys.argv = ["llama-vid", "search", "a.mp4", "x"]
cli.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.strip() == ""
