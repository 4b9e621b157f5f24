"""A lecture of twenty minutes through the real recogniser and the real model: captions, chapters, and questions about
what was said and what was shown, answered with the right times.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import webvtt

from llama_vid.errors import BundleError
from llama_vid.llm.speech.whisper import WHISPER
from llama_vid.tokenizer.tower import MINILM
from tests.bundles import mini
from tests.e2e.lecture import PARTS, SLIDE_S, Lecture, make_lecture

if TYPE_CHECKING:
    from llama_vid.film import Film

pytestmark = [pytest.mark.data, pytest.mark.model, pytest.mark.slow]


def photo(data: Path, wanted: str) -> Path:
    """A photo all of whose captions name something, and none anybody."""
    captions: dict[str, list[str]] = {}
    with (data / "flickr8k" / "captions.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            captions.setdefault(row["image"], []).append(row["caption"].lower())
    people = {"man", "men", "woman", "women", "boy", "boys", "girl", "girls", "child", "children", "people", "person"}
    for name, said in sorted(captions.items()):
        words = [set(text.split()) for text in said]
        if all(wanted in each and not each & people for each in words):
            return data / "flickr8k" / "photos" / name
    raise LookupError(wanted)


@pytest.fixture(scope="module")
def lecture(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lecture:
    speech = data / "speech"
    if not speech.is_dir():
        pytest.skip("the evaluation data has no speech")
    photos = {part.photo: photo(data, part.photo) for part in PARTS if part.photo}
    return make_lecture(speech, photos, tmp_path_factory.mktemp("lecture") / "lecture.mp4")


@pytest.fixture(scope="module")
def film(lecture: Lecture) -> Film:
    try:
        WHISPER.path(), MINILM.path()
    except BundleError as missing:
        pytest.skip(str(missing))
    from llama_vid.model import LLaMAVID

    return LLaMAVID(mini()).open(lecture.path)


def part_of(seconds: float) -> int:
    """The number of the slide that is shown then."""
    return int(seconds // SLIDE_S)


def near(seconds: float, begins: tuple[float, ...]) -> float:
    """Seconds since the passage began that was being spoken."""
    return seconds - begins[max(0, bisect_right(begins, seconds + 0.5) - 1)]


def test_the_film_is_as_long_as_said_and_not_listened_to_before_it_is_asked(film: Film, lecture: Lecture) -> None:
    assert film.duration == pytest.approx(lecture.seconds, abs=2)
    assert film.needs_listening("What did the speaker say about Gutenberg?")
    assert not film.needs_listening("Is there a dog?")


def test_what_was_said_about_something_is_quoted_at_its_time(film: Film, lecture: Lecture) -> None:
    answer = film.ask("What did the speaker say about the Gutenberg Bible?")
    assert "Gutenberg" in answer.answer
    assert "has never been surpassed" in answer.answer or "earliest book" in answer.answer
    assert answer.timestamps
    for at in answer.timestamps:
        assert part_of(at) == 2
        assert 8.0 <= near(at, lecture.spoken[2]) <= 18.0  # from "And it is worth mention", or "the earliest book" on
    assert film.ask("What did the speaker say about volcanoes?").answer == "I have heard nothing about volcanoes."


def test_when_something_was_mentioned_is_told_to_the_second(film: Film, lecture: Lecture) -> None:
    answer = film.ask("When was Gutenberg mentioned?")
    spoken = [begin + 19.3 for begin in lecture.spoken[2]]  # where the name stands in the passage
    assert answer.timestamps == pytest.approx(spoken, abs=1.5)
    first = film.ask("When was calligraphy first mentioned?")
    assert first.timestamps == pytest.approx([lecture.spoken[4][0] + 21.5], abs=1.5)
    count = film.ask("How many times was Gutenberg mentioned?")
    assert count.answer.startswith(f"{len(lecture.spoken[2])} times")


def test_the_topics_of_a_span_are_its_chapters(film: Film, lecture: Lecture) -> None:
    answer = film.ask("What topics were covered in the first 10 minutes?")
    assert answer.answer.startswith(("3 topics", "4 topics"))
    assert max(answer.timestamps) < 600
    chapters = film.chapters()
    assert chapters[0].start < 5
    for start in lecture.starts[1:]:  # every slide begins a chapter
        assert min(abs(chapter.start - start) for chapter in chapters) < 6
    assert len(chapters) <= len(PARTS) + 2
    whole = film.ask("What topics were covered?")
    assert whole.timestamps == pytest.approx([round(chapter.start, 3) for chapter in chapters])
    country = next(chapter for chapter in chapters if part_of(chapter.start + 10) == 5)
    assert "country" in (country.title + country.text).lower()


def test_what_was_shown_is_told_with_its_time(film: Film) -> None:
    answer = film.ask("When is a dog shown?")
    assert answer.timestamps
    assert all(part_of(item.start) == 1 == part_of(item.end - 1) for item in answer.evidence)
    assert film.ask("Is there a dog in the video?").answer.startswith("Yes")


def test_search_finds_what_was_said_and_what_was_shown(film: Film) -> None:
    heard = film.search("the invention of movable metal letters")
    assert heard[0].heard
    assert part_of(heard[0].start) == 2
    shown = film.search("a dog")
    assert shown[0].heard == ""
    assert part_of(shown[0].start) == 1


def test_an_open_question_is_answered_by_what_was_said(film: Film) -> None:
    answer = film.ask("What should you ask about your country?")
    assert "can do for you" in answer.answer.lower()
    assert all(part_of(at) == 5 for at in answer.timestamps)


def test_captions_of_the_lecture_are_where_it_was_spoken(film: Film, lecture: Lecture, tmp_path: Path) -> None:
    from llama_vid.clients.captions.cues import CueMaker
    from llama_vid.clients.captions.vtt import vtt

    speech = film._speech
    assert speech is not None
    assert speech.heard
    maker = CueMaker()
    cues = [cue for line in speech.lines(0.0, lecture.seconds) for cue in maker.push(line.words)] + maker.finish()
    (tmp_path / "lecture.vtt").write_text(vtt(cues))
    found = webvtt.read(str(tmp_path / "lecture.vtt")).captions
    for number, begins in enumerate(lecture.spoken):
        mine = [cue for cue in found if part_of(cue.start_in_seconds) == number]
        for begin in begins:  # each passage has a caption as it begins
            assert min(abs(cue.start_in_seconds - begin) for cue in mine) < 1.5
    assert all(len(row) <= 42 for cue in found for row in cue.text.splitlines())
