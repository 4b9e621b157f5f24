"""Films on the shelf: opened once while the file is unchanged, the last frame apart, long ones not kept."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluation.model import Missing, full_of
from evaluation.shelf import FILMS, Shelf
from llama_vid.errors import BundleError


class Counting:
    """Counts what it opens and is asked."""

    name = "counting"
    duration = 10.0

    def __init__(self) -> None:
        self.opened: list[tuple[str, bool]] = []
        self.asked: list[tuple[str, ...]] = []

    def open(self, path: Any, *, last_frame_only: bool = False, sound: bool = True) -> Any:
        assert not sound, "what is measured is what was seen"
        self.opened.append((Path(path).name, last_frame_only))
        return SimpleNamespace(duration=self.duration, path=str(path))

    @property
    def full(self) -> Any:
        def ask(path: str, questions: list[str]) -> list[str]:
            self.asked.append(tuple(questions))
            return [f"about {question}" for question in questions]

        return SimpleNamespace(ask=ask)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a film")
    return path


def test_a_film_is_taken_in_once(file: Path) -> None:
    model = Counting()
    shelf: Any = Shelf(model)  # type: ignore[arg-type]
    assert shelf.open(str(file)) is shelf.open(file)
    assert shelf.open(file, last_frame_only=True) is not shelf.open(file)
    assert model.opened == [("a.mp4", False), ("a.mp4", True)]
    assert shelf.name == "counting"
    os.utime(file, ns=(1, 1))
    shelf.open(file)
    assert len(model.opened) == 3


def test_long_films_and_the_longest_unused_are_let_go(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    model.duration = 3600.0
    shelf: Any = Shelf(model)  # type: ignore[arg-type]
    assert shelf.open(file) is not shelf.open(file)
    model.duration = 10.0
    monkeypatch.setattr("evaluation.shelf.FILMS", 2)
    assert FILMS > 2
    for name in ("a", "b", "c", "a"):
        (file.parent / name).touch()
        shelf.open(file.parent / name)
    assert [name for name, _ in model.opened[2:]] == ["a", "b", "c", "a"]
    shelf.open(file.parent / "c")
    assert len(model.opened) == 6


def test_full_answers_are_remembered() -> None:
    model = Counting()
    shelf: Any = Shelf(model)  # type: ignore[arg-type]
    assert shelf.full.ask("a", ["x"]) == shelf.full.ask("a", ["x"]) == ["about x"]
    assert model.asked == [("x",)]


def test_a_missing_full_baseline_says_why() -> None:
    class Without(Counting):
        @property
        def full(self) -> Any:
            raise BundleError("the bundle lacks full.safetensors")

    assert full_of(Shelf(Without())) == Missing("the bundle lacks full.safetensors")  # type: ignore[arg-type]
