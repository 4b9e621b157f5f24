"""`time` and `change`: questions that follow from the truth, answers that are counted right, windows of pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation import change_questions as change_asks
from evaluation import time as timing
from evaluation.change import evaluate_change
from evaluation.change_questions import Changed
from evaluation.synthetic import TrueFilm, cut_out, true_films
from evaluation.time import Timed, evaluate_time, length_in, probed, questions_about, second_in
from evaluation.windows import Windows, begins, ends, lasts, shown
from llama_vid.llm.answer import Answer
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.evidence import Finder
from llama_vid.llm.language import LanguageModel
from llama_vid.memory.entry import MemoryEntry
from llama_vid.stream.file import FileSource
from llama_vid.tokenizer.pair import TokenPair
from tests.llm.conftest import WIDTH, save_tiny
from training.synthetic.truth import Instant, Thing, Truth

FILMS = 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few photos."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(6):
        small = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache folder of the tests' own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def films(photos: Path) -> list[TrueFilm]:
    return true_films(photos, FILMS)


class Knowing:
    """Answers from the films' truth, or always the same."""

    def __init__(self, asked: Sequence[Timed | Changed], always: str | None = None) -> None:
        self.known = {(str(item.film.path), self._text(item)): item for item in asked}
        self.always = always
        self.opened: list[tuple[str, bool]] = []

    @staticmethod
    def _text(item: Timed | Changed) -> str:
        return item.asked if isinstance(item, Changed) else item.question

    def open(self, path: str, *, last_frame_only: bool = False) -> Any:
        self.opened.append((path, last_frame_only))

        def ask(question: str) -> Answer:
            item = self.known.get((path, question))
            if item is None or last_frame_only or self.always is not None:
                return Answer(self.always or "I cannot say.")
            if isinstance(item, Changed):
                return Answer(change_asks.WORDS.get(item.wanted, item.wanted))
            wanted = item.wanted
            if isinstance(wanted, str):
                return Answer(f"{wanted} first.")
            return Answer(timing.said_length(wanted) if item.kind == "how long" else timing.said_second(wanted))

        return SimpleNamespace(ask=ask, entries=())

    @property
    def tokens(self) -> Any:
        return SimpleNamespace(yesno_blind=lambda texts: [0.7 for _ in texts])

    @property
    def bundle(self) -> Any:
        return SimpleNamespace(calibration=Calibration())


def test_films_are_files_with_a_frame_a_second_and_are_made_once(films: list[TrueFilm], photos: Path) -> None:
    assert len({film.path for film in films}) == FILMS
    film = films[0]
    frames = list(FileSource(film.path))
    assert [round(frame.seconds) for frame in frames] == [round(i.second) for i in film.truth.instants]
    before = film.path.stat().st_mtime_ns
    assert true_films(photos, FILMS)[0] == film
    assert film.path.stat().st_mtime_ns == before
    part = list(FileSource(cut_out(film, 2, 5)))
    assert len(part) == 3
    assert np.abs(part[0].image.astype(float) - frames[2].image).mean() < 12


def test_a_model_that_knows_is_right_and_one_that_does_not_is_wrong(films: list[TrueFilm], photos: Path) -> None:
    model: Any = Knowing(timing.chosen(films))
    result = evaluate_time(model, photos, limit=FILMS).to_json()
    assert result["accuracy"] == 1.0
    assert result["within_2s"] == 1.0
    assert result["baselines"]["last-frame"]["accuracy"] < 0.7
    assert "missing" in result["baselines"]["full"]
    wrong: Any = Knowing([], "I have not seen it.")
    assert evaluate_time(wrong, photos, limit=FILMS, system="llama-vid").to_json()["accuracy"] == 0.0

    asked = change_asks.chosen(films)
    model = Knowing(asked)
    assert evaluate_change(model, photos, limit=FILMS, system="llama-vid").to_json()["accuracy"] == 1.0
    blind = evaluate_change(model, photos, limit=FILMS, system="blind").to_json()
    assert blind["by_kind"]["moving"] == pytest.approx(0.5, abs=0.15)
    yes: Any = Knowing([], "Yes.")
    said = evaluate_change(yes, photos, limit=FILMS, system="llama-vid").to_json()
    assert 0.3 < said["by_kind"]["moving"] < 0.7
    assert said["by_kind"]["which"] == 0.0


def test_changes_are_asked_with_as_many_yes_as_no(films: list[TrueFilm]) -> None:
    asked = change_asks.chosen(films)
    for kind in ("moving", "cut", "camera"):
        answers = [item.wanted for item in asked if item.kind == kind]
        assert abs(answers.count("Yes.") - answers.count("No.")) <= 1
    for item in asked:
        assert 3 <= item.last - item.first <= 7
        window = item.film.truth.window(item.first, item.last)
        if item.kind == "cut":
            assert (item.wanted == "Yes.") == (window.scenes > 1)


def test_times_and_lengths_are_read_from_answers() -> None:
    assert second_in("At 0:07–0:12 and 1:02:05.") == 7.0
    assert second_in("Once, at 1:02:05.") == 3725.0
    assert second_in("I have not seen it.") is None
    assert length_in("About 1 minute 5 seconds: 0:03–0:09.") == 65.0
    assert length_in("I have not seen a dog.") is None


def test_what_is_named_first_counts() -> None:
    film = TrueFilm(Path("film.mp4"), Truth(()))
    item = Timed(film, "order", "Which?", "red ball", (), (), ("red ball", "box"))
    assert timing.is_right(item, "First the red ball at 0:02, then the box at 0:05.")
    assert not timing.is_right(item, "First the box at 0:02. I have not seen the red ball.")
    late = Timed(film, "cut", "When?", 7.0, ())
    assert timing.is_right(late, "At 0:09.")
    assert not timing.is_right(late, "At 0:10.")
    long = Timed(film, "how long", "How long?", 20.0, ())
    assert timing.is_right(long, "About 24 seconds: 0:01–0:25.")
    assert not timing.is_right(long, "About 25 seconds.")


def test_only_what_has_one_answer_is_asked() -> None:
    ball = Thing("red ball", "ball", "red")
    rows = [Instant(float(t), 0 if t < 6 else 1, 0, seen=(0,) if t in (2, 3) else (), moving=(0,) if t == 2 else ())
            for t in range(10)]  # fmt: skip
    asked = {(item.kind, item.question): item.wanted for item in questions_about(
        TrueFilm(Path("film.mp4"), Truth(tuple(rows), (ball,))), random.Random(0))}  # fmt: skip
    assert asked["cut", "When does the scene change?"] == 6.0
    assert asked["enters", "When does the red ball come into view?"] == 2.0
    assert asked["leaves", "When does the red ball leave?"] == 4.0
    assert asked["how long", "How long is the red ball in view?"] == 2.0
    # It goes at once, without moving: then it cannot be said when something moves.
    assert ("moves", "When does something move?") not in asked


def memory(count: int, seed: int = 0) -> list[MemoryEntry]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 2, WIDTH, generator=generator)
    pairs = [TokenPair(row[0], row[1], 0.0, held=False, cut=False) for row in rows]
    return [MemoryEntry(float(t), t + 1.0, pair, torch.ones(1)) for t, pair in enumerate(pairs)]


def test_windows_ask_what_one_question_after_another_would(tmp_path: Path) -> None:
    language = LanguageModel.load(save_tiny(tmp_path), device="cpu", dtype="fp32")
    still = torch.zeros(WIDTH)
    scorer: Any = None
    find = Finder(language, scorer, Calibration())
    model: Any = SimpleNamespace(
        bundle=SimpleNamespace(language=language, compressor=SimpleNamespace(still_token=still)),
        responder=SimpleNamespace(find=find),
        open=lambda path, last_frame_only=False: SimpleNamespace(entries=memory(5)),
    )
    windows = Windows(model)
    entries = windows.entries("film")
    wanted = [find.margin([e.pair for e in entries[max(0, i - 1) : i + 1]], "Is it?") for i in range(5)]
    assert windows.margins(entries, "Is it?", 2) == pytest.approx(wanted, abs=1e-3)
    dropped = Windows(model, drop="motion").entries("film")
    assert all(entry.pair.motion is still for entry in dropped)
    mean = Windows(model, drop="context")
    mean.average_over(["film"])
    contexts = torch.stack([entry.pair.context for entry in mean.entries("film")])
    assert torch.allclose(contexts, torch.stack([e.pair.context for e in entries]).mean(0).expand_as(contexts))


def test_the_turning_point_is_where_the_margin_crosses_its_middle() -> None:
    entries = memory(6)
    flags = shown([-3.0, -2.5, -1.0, 0.5, 0.4, -2.0])
    assert flags == [False, False, True, True, True, False]
    assert (begins(entries, flags), ends(entries, flags), lasts(entries, flags)) == (2.0, 5.0, 3.0)
    assert shown([1.0, 1.1, 1.05]) == [False] * 3
    assert begins(entries, [False] * 6) is None
    film = TrueFilm(Path("film.mp4"), Truth(()))
    told: Any = SimpleNamespace(margins=lambda entries, question, size: [-3.0, -2.5, -1.0, 0.5, 0.4, -2.0])
    assert probed(told, entries, Timed(film, "leaves", "When?", 5.0, (("Is it?", 1),))) == "At 0:05."
