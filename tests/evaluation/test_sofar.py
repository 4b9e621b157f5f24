"""`eval sofar` credits sentences to scenes by times and meaning, and counts invented things where labels decide."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evaluation.clips import read_clips
from evaluation.meaning import Meaning
from evaluation.sofar import Sentence, evaluate_sofar, joinings, parse
from evaluation.truth import check, coloured, read_truth, share
from llama_vid.stream.file import FileSource
from tests.conftest import painted, read_second, write_video
from tests.evaluation.oracle import OracleModel
from tests.evaluation.question_sets import clip, write_folder
from tests.evaluation.test_judge import bags

TEXTS = ("A dog runs.", "A woman cooks.", "A red car waits.", "A man sings.", "Snow falls.", "A boat swims.")


def test_parse_reads_times_and_repeats_the_same() -> None:
    told = parse("3 scenes in 9 seconds. 0:00–0:03: A dog runs. 0:03: the same. 1:02:07–1:02:09: A man. He sings.")
    assert told == [
        Sentence("3 scenes in 9 seconds."),
        Sentence("A dog runs.", 0.0, 3.0),
        Sentence("A dog runs.", 3.0, 4.0),
        Sentence("A man.", 3727.0, 3729.0),
        Sentence("He sings.", 3727.0, 3729.0),
    ]
    assert parse("") == []


def test_joinings_are_seeded_and_keep_the_halves_apart(tmp_path: Path) -> None:
    clips = read_clips(write_folder(tmp_path, [clip(index) for index in range(30)]))
    films = joinings(clips)
    assert films == joinings(clips)
    assert [len(film) for film in films] == [10] * 4
    assert [{item.index % 2 for item in film} for film in films] == [{0}, {1}, {0}, {1}]
    assert films[0] != films[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clips")
    for index in range(6):
        write_video(place / f"{index}.mp4", [painted(index)] * 6)
    return write_folder(place, [clip(index, caption) for index, caption in enumerate(TEXTS)])


def narrate(path: str, _question: str, last_frame_only: bool) -> str:
    """Tells every scene truly, but calls the boat a dog; from the last frame it tells that alone."""
    shown = [read_second(frame.image) for frame in FileSource(path)]
    starts = [at for at, number in enumerate(shown) if at == 0 or shown[at - 1] != number]
    if last_frame_only:
        return f"0:{len(shown) - 1:02}: {TEXTS[shown[-1]]}"
    texts = [TEXTS[0] if shown[at] == 5 else TEXTS[shown[at]] for at in starts]
    return " ".join(f"0:{at:02}–0:{at + 5:02}: {text}" for at, text in zip(starts, texts, strict=True))


def test_figures(folder: Path) -> None:
    result = evaluate_sofar(OracleModel(narrate), folder, meaning=Meaning(bags))
    figures = result.to_json()
    assert (figures["n"], figures["joinings"]) == (12, 4)
    assert figures["scenes_named"] == pytest.approx(10 / 12), "the boat is missed twice"
    assert figures["scenes_told"] == 1.0
    assert figures["named_even"] == 1.0
    assert figures["named_odd"] == pytest.approx(4 / 6)
    assert figures["invented"] == pytest.approx(0.1), "two dogs of twenty things that can be decided"
    assert figures["baselines"]["blind"]["scenes_named"] == 0.0
    assert figures["baselines"]["last-frame"]["scenes_named"] <= 4 / 12
    assert any(case.said.endswith("A dog runs.") and not case.right for case in result.cases)


def test_truth_decides_by_labels_people_families_and_colours(tmp_path: Path) -> None:
    rows = [
        clip(0, "A woman plays a red guitar.", [("What colour is her dress?", "Blue.")]),
        clip(1, "Cars drive on a road."),
        clip(2, "A cat."),
    ]
    rules = [{"name": "dog", "true_in": [], "uncertain_in": ["2.mp4"]}]
    yesno = [("1.mp4", "outdoors", "yes"), ("0.mp4", "outdoors", "no")]
    facts = list(read_truth(write_folder(tmp_path, rows, rules=rules, yesno=yesno)).values())
    found = check("A man plays drums in the street in a red dress", facts[0])
    assert set(found.invented) == {"man", "drums", "street", "red dress"}
    assert set(found.supported) == {"dress", "plays"}
    assert check("A woman in a dress with a guitar.", facts[0]).invented == ()
    assert check("A woman by a window", facts[0]).undecided == ("window",)
    assert check("A man in a car", facts[1]).invented == ("man",), "nobody describes a clip without its people"
    assert check("A car on the road", facts[1]).supported == ("car", "road")
    assert check("A dog runs.", facts[2]).invented == ("dog",), "a cat is no dog"
    assert share([found, check("A woman by a window", facts[0])]) == (4 / 7, 7 / 8)


def test_coloured() -> None:
    assert coloured("A man in a red and white coat and a blue hat") == [
        ("red", "jacket"), ("white", "jacket"), ("blue", "hat")
    ]  # fmt: skip


def test_shuffled_answers_name_little(folder: Path) -> None:
    """Sentences at the wrong times are credited to nothing but by chance."""

    def shuffled(path: str, question: str, last_frame_only: bool) -> str:
        told = parse(narrate(path, question, last_frame_only))
        texts = [sentence.text for sentence in told]
        random.Random(1).shuffle(texts)
        return " ".join(f"0:{int(s.start or 0):02}: {text}" for s, text in zip(told, texts, strict=True))

    figures = evaluate_sofar(OracleModel(shuffled), folder, system="llama-vid", meaning=Meaning(bags)).to_json()
    assert figures["scenes_named"] < 0.7
    assert figures["named_at_any_time"] > 0.8
