"""Chapters: a made-up lecture on three subjects, with slides, divided where the subjects change."""

from __future__ import annotations

import pytest
import torch

from llama_vid.errors import BundleError
from llama_vid.llm.speech.chapters import Chapter, chapters
from llama_vid.llm.speech.words import Line, Word
from llama_vid.tokenizer.sentences import SentenceEncoder

PARTS = (
    "Today we look at volcanoes and how magma rises. Molten rock is lighter than the rock around it, so it climbs "
    "through cracks. When the pressure is high enough the volcano erupts. Lava flows can travel for many kilometres. "
    "Ash clouds close airports for weeks. Shield volcanoes such as Mauna Loa have gentle slopes. Geologists watch "
    "earthquakes under the crater to predict an eruption.",
    "Now let us turn to bread. A baker mixes flour, water, salt and yeast. The dough must be kneaded until the gluten "
    "is strong. Yeast eats sugar and makes carbon dioxide, which lets the dough rise. A sourdough starter holds wild "
    "yeast and bacteria. The oven should be very hot for a good crust. Let the bread cool before you cut it.",
    "The last part is about chess. A chess game begins with the opening, where both players develop their knights and "
    "bishops. Castling brings the king to safety. In the middle game tactics decide, such as forks and pins. A pawn "
    "that reaches the last rank becomes a queen. Chess players know hundreds of rook endings by heart. Checkmate ends "
    "the game.",
)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    try:
        return SentenceEncoder.load()
    except BundleError as missing:
        pytest.skip(str(missing))


def lecture(*parts: str, each: float = 1.5) -> tuple[list[Line], list[float]]:
    """The sentences with times, `each` seconds a word, and when each part begins."""
    lines, begins, at = list[Line](), list[float](), 0.0
    for part in parts:
        begins.append(at)
        for sentence in part.split(". "):
            words = []
            for text in f"{sentence.rstrip('.')}.".split():
                words.append(Word(at, at + 0.9 * each, text, 0.9))
                at += each
            lines.append(Line.of(words))
    return lines, begins


def times(found: list[Chapter]) -> list[float]:
    return [chapter.start for chapter in found]


@pytest.mark.model
def test_a_lecture_is_divided_where_its_subject_changes(encoder: SentenceEncoder) -> None:
    lines, begins = lecture(*PARTS)
    found = chapters(lines, encoder.encode, end=lines[-1].end + 5)
    assert times(found) == begins
    assert [chapter.end for chapter in found] == [*begins[1:], lines[-1].end + 5]
    for chapter, subject in zip(found, ("volcano", "bread dough yeast", "chess"), strict=True):
        assert any(word in chapter.title.lower() for word in subject.split()), chapter.title
        assert chapter.text in {line.text for line in lines if chapter.start <= line.start < chapter.end}


@pytest.mark.model
def test_a_new_slide_gives_a_chapter_its_time(encoder: SentenceEncoder) -> None:
    lines, begins = lecture(*PARTS)
    slides = [begins[1] - 0.6, begins[2] + 0.8, 20.0]
    found = chapters(lines, encoder.encode, cuts=slides)
    assert times(found) == [0.0, *slides[:2]], "and one in the middle of a subject makes no chapter"


@pytest.mark.model
def test_one_subject_is_one_chapter(encoder: SentenceEncoder) -> None:
    lines, _ = lecture(PARTS[2])
    (only,) = chapters(lines, encoder.encode)
    assert "chess" in only.title.lower()
    (single,) = chapters(lines[1:2], encoder.encode)
    assert single.text == lines[1].text


def test_nothing_said_is_no_chapter() -> None:
    assert chapters([], lambda texts: torch.zeros(len(texts), 3)) == []


@pytest.mark.model
def test_sentences_alike_are_near(encoder: SentenceEncoder) -> None:
    one, same, other = encoder.encode(["A dog runs in the park.", "A puppy is running outside.", "Taxes rise again."])
    assert float(one @ one) == pytest.approx(1.0, abs=1e-4)
    assert float(one @ same) > 0.5 > 0.3 > float(one @ other)
    assert encoder.encode([]).shape == (0, 384)
